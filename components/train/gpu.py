"""Training and inference of the network on a GPU: the same as ``arithmetic``, with TensorFlow's operations."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.common.settings import TrainSettings
from components.model.layers import layers
from components.model.network import dropout_shape, kernel_mask, oriented, weight_shapes, windowed
from components.train.arithmetic import Rows, SgdState
from components.train.convolution import Floats


class GpuArithmetic:
    """``Arithmetic`` on one TensorFlow device, with the data in its memory and one traced function for all members."""

    determinism = "device"

    def __init__(
        self,
        crops_hu: NDArray[np.float32],
        labels: NDArray[np.integer[Any]],
        settings: TrainSettings,
        device: str = "GPU:0",
    ) -> None:
        self.settings, self._device = settings, device
        images = oriented(windowed(crops_hu, settings), settings.augmentation)[..., None]
        self.orientations = len(images) // len(crops_hu)
        with tf.device(device):
            self._images = tf.constant(images)
            self._labels = tf.constant(np.tile(labels, self.orientations), tf.int32)
            self._shrink = tf.constant(1 - settings.learning_rate * settings.weight_decay * kernel_mask(settings))
        self._traced_train, self._traced_answer = tf.function(self._train), tf.function(self._answer)

    def train(
        self, state: SgdState, first: int, batches: Rows, dropout_masks: Sequence[Floats | None], class_weights: Floats
    ) -> tuple[SgdState, float]:
        """SGD steps, starting at step ``first`` of an attempt, as ``Arithmetic.train``."""
        ones = np.ones((len(batches), 1, *[1 for _ in dropout_shape(self.settings)]), np.float32)
        factors = np.stack([mask for mask in dropout_masks if mask is not None]) if self.settings.dropout else ones
        with tf.device(self._device):
            tensors = [tf.constant(array) for array in (*state, batches, factors, class_weights)]
            *new_state, loss = self._traced_train(*tensors, tf.constant(first))
        return SgdState(*(tensor.numpy() for tensor in new_state)), float(loss)

    def answer(self, weights: Floats, rows: Rows) -> Floats:
        """Outputs before the softmax, [m, 2], of the tumours at ``rows`` [m]."""
        with tf.device(self._device):
            return np.asarray(self._traced_answer(tf.constant(weights), tf.constant(rows)))

    def loss_and_gradient(self, weights: Any, rows: Any, mask: Any, class_weights: Any) -> tuple[Any, Any]:
        """Mean cross-entropy of a batch, weighted by class, and its gradient with respect to the weights."""
        labels = tf.gather(self._labels, rows)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs = self._logits(weights, rows, mask)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
            loss = tf.reduce_mean(losses * tf.gather(class_weights, labels))
        return loss, tape.gradient(loss, weights)

    def _train(
        self,
        weights: Any,
        velocity: Any,
        average: Any,
        batches: Any,
        masks: Any,
        class_weights: Any,
        first: Any,
    ) -> Any:
        settings, total = self.settings, tf.constant(0.0)
        for step in tf.range(tf.shape(batches)[0]):
            loss, gradient = self.loss_and_gradient(weights, batches[step], masks[step], class_weights)
            velocity = settings.momentum * velocity - settings.learning_rate * gradient
            weights = weights * self._shrink + velocity
            past = settings.weight_average * tf.cast(first + step > 0, tf.float32)
            average = past * average + (1 - past) * weights
            total += loss
        return weights, velocity, average, total / tf.cast(tf.shape(batches)[0], tf.float32)

    def _answer(self, weights: Any, rows: Any) -> Any:
        return self._logits(weights, rows, tf.ones([1]))

    def _logits(self, weights: Any, rows: Any, mask: Any) -> Any:
        shapes = weight_shapes(self.settings)
        parts = tf.split(weights, [math.prod(shape) for shape in shapes.values()])
        named = {name: tf.reshape(part, shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
        value = tf.gather(self._images, rows)
        for layer in layers(self.settings):
            kernel = named[f"{layer.name}_kernel"]
            if layer.is_convolution:
                maps = tf.nn.conv2d(value, kernel, 1, "VALID")
                value = tf.nn.max_pool2d(maps, layer.pool, layer.pool, "VALID")
            else:
                value = tf.matmul(tf.reshape(value, [-1, kernel.shape[0]]), kernel)
            value = value + named[f"{layer.name}_bias"]
            if layer.relu:
                value = tf.nn.relu(value)
            if layer.name == self.settings.dropout_after:
                value = value * mask
        return value
