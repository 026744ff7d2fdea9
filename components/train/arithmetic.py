"""The network's arithmetic in TensorFlow, in the form that runs fastest: one traced step for all members.

The first convolution runs at full resolution on one input channel, which costs a convolution routine most of
its time. So it becomes a matrix product. A K x K convolution followed by a P x P max-pool looks, for each
pooled pixel, at P x P shifted K x K patches. Patches that differ only in their column lie in one window of
K x (K + P - 1) px. These windows are cut out of the images once, for the whole data set; the kernel is placed at
the P column offsets of a window; and the pool is a maximum over P rows of windows and P offsets. ReLU and bias
commute with the maximum and come after it. The images need no gradient.
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from components.common.settings import TrainSettings
from components.train.network import features, pooled_sides, weight_shapes, windowed

Tensors = tuple[Any, ...]


def cut_windows(crops_hu: NDArray[np.float32], settings: TrainSettings) -> Tensors:
    """Windows of the first convolution, P arrays [n, pooled px, K (K + P - 1)], of crops [n, side, side] in HU.

    The p-th array holds the windows of the p-th pixel row of every pooled pixel.
    """
    kernel, pool, side = settings.kernel_1, settings.pool_1, pooled_sides(settings)[0]
    windows = np.empty((pool, len(crops_hu), side, side, kernel, kernel + pool - 1), np.float32)
    for number, crop in enumerate(crops_hu):
        views = sliding_window_view(windowed(crop, settings), (kernel, kernel + pool - 1))
        for row in range(pool):
            windows[row, number] = views[row : side * pool : pool, : side * pool : pool]
    return tuple(windows.reshape(pool, len(crops_hu), side * side, -1))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def product_and_max(kernel: Any, *windows: Any) -> Any:
    """Largest of ``windows @ kernel`` over the phases of the pool, first over its rows, then over its columns.

    Each of the P ``windows`` is [px, K (K + P - 1)] and ``kernel`` [K (K + P - 1), P filters]; gives [px, filters].
    Where rows tie, as on flat ground they do exactly, the first takes the gradient; columns share it.
    """
    pool = len(windows)
    rows = [tf.matmul(window, kernel) for window in windows]  # P times [px, P filters]
    row = functools.reduce(tf.maximum, rows)
    columns = tf.reshape(row, [-1, pool, kernel.shape[1] // pool])
    largest = tf.reduce_max(columns, 1)

    def gradient(upstream: Any) -> Tensors:
        winners = tf.cast(tf.equal(columns, largest[:, None]), tf.float32)
        rest = tf.reshape(winners * (upstream / tf.reduce_sum(winners, 1))[:, None], tf.shape(row))
        total = tf.zeros_like(kernel)
        for window, outputs in zip(windows, rows, strict=True):
            share = tf.cast(tf.equal(outputs, row), tf.float32) * rest
            rest -= share
            total += tf.matmul(window, share, transpose_a=True)
        return total, *(None for _ in windows)

    return largest, gradient


def place_kernel(kernel: Any, pool: int) -> Any:
    """The kernel [K, K, 1, filters] at every column offset of a window: [K (K + P - 1), P filters]."""
    side, _, _, filters = kernel.shape
    placed = [tf.pad(kernel[:, :, 0], [[0, 0], [offset, pool - 1 - offset], [0, 0]]) for offset in range(pool)]
    return tf.reshape(tf.stack(placed, 2), [side * (side + pool - 1), pool * filters])


def logits(weights: Tensors, windows: Iterable[Any], keep: Any, settings: TrainSettings) -> Any:
    """Outputs before the softmax, [n, 2], of a batch of windows; ``keep`` [n, features] scales the drop-out's input."""
    k1, b1, k2, b2, k3, b3, k4, b4, k5, b5 = weights
    side = pooled_sides(settings)[0]
    windows = [tf.reshape(window, [-1, window.shape[-1]]) for window in windows]
    maps = product_and_max(place_kernel(k1, settings.pool_1), *windows)
    maps = tf.reshape(tf.nn.relu(maps + b1), [-1, side, side, settings.filters_1])
    maps = tf.nn.max_pool2d(tf.nn.conv2d(maps, k2, 1, "VALID"), settings.pool_2, settings.pool_2, "VALID")
    flat = tf.reshape(tf.nn.relu(maps + b2), [-1, features(settings)])
    flat = flat if keep is None else flat * keep
    hidden = tf.nn.relu(tf.matmul(flat, k3) + b3)
    hidden = tf.nn.relu(tf.matmul(hidden, k4) + b4)
    return tf.matmul(hidden, k5) + b5


def mean_loss(outputs: Any, labels: Any) -> Any:
    """Mean cross-entropy of outputs [n, 2] and labels [n]."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs))


def loss_and_gradients(
    weights: Tensors, windows: Iterable[Any], labels: Any, keep: Any, settings: TrainSettings
) -> Any:
    """Mean cross-entropy of a batch and its gradient by every weight."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        loss = mean_loss(logits(weights, windows, keep, settings), labels)
    return loss, tape.gradient(loss, weights)


class Arithmetic:
    """Training steps and answers on one data set, traced once and shared by all members and threads.

    Parameters
    ----------
    crops_hu
        [n, 151, 151] float32, HU.
    labels
        [n] integers, 1 = non-responder.
    """

    def __init__(
        self, crops_hu: NDArray[np.float32], labels: NDArray[np.integer[Any]], settings: TrainSettings
    ) -> None:
        self.settings = settings
        self.windows = tuple(tf.constant(window) for window in cut_windows(crops_hu, settings))
        self.labels = tf.constant(labels, tf.int32)
        weights = tuple(tf.TensorSpec(shape, tf.float32) for shape in weight_shapes(settings).values())
        batches = tf.TensorSpec([None, settings.batch_size], tf.int32)
        keys = tf.TensorSpec([None, 2], tf.int64)
        self.train = tf.function(self._train, input_signature=(weights, weights, batches, keys))
        self.answer = tf.function(self._answer, input_signature=(weights, tf.TensorSpec([None], tf.int32)))

    def _train(self, weights: Tensors, velocity: Tensors, batches: Any, keys: Any) -> Any:
        """SGD steps on ``batches`` [steps, batch] of tumour indices; ``keys`` [steps, 2] seed the drop-out.

        Returns the weights, their velocity and the mean loss.
        """
        total = tf.constant(0.0)
        for step in tf.range(tf.shape(batches)[0]):
            weights, velocity, loss = self._step(weights, velocity, batches[step], keys[step])
            total += loss
        return weights, velocity, total / tf.cast(tf.shape(batches)[0], tf.float32)

    def _step(self, weights: Tensors, velocity: Tensors, batch: Any, key: Any) -> Any:
        keep = self._keep(key) if self.settings.dropout else None
        labels = tf.gather(self.labels, batch)
        loss, gradients = loss_and_gradients(weights, self._of(batch), labels, keep, self.settings)
        pairs = zip(velocity, gradients, strict=True)
        velocity = tuple(self.settings.momentum * v - self.settings.learning_rate * g for v, g in pairs)
        return tuple(w + v for w, v in zip(weights, velocity, strict=True)), velocity, loss

    def _keep(self, key: Any) -> Any:
        """Drop-out factors [batch, features]: 0, or 1 / (1 - rate) so that the mean stays."""
        shape, rate = [self.settings.batch_size, features(self.settings)], self.settings.dropout
        draws = tf.random.stateless_uniform(shape, key, alg="philox")
        return tf.cast(draws >= rate, tf.float32) / (1 - rate)

    def _answer(self, weights: Tensors, indices: Any) -> Any:
        """Outputs before the softmax, [m, 2], of the tumours at ``indices`` [m]."""
        return logits(weights, self._of(indices), None, self.settings)

    def _of(self, indices: Any) -> list[Any]:
        """Windows of the tumours at ``indices``."""
        return [tf.gather(window, indices) for window in self.windows]
