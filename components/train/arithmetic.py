"""Training and inference of the network on one CPU core, in numpy and, for the convolutions, in compiled loops.

The layers are read from the Keras model's description by ``layer_stack``. All weights of a member are one vector, of
which each layer has a view, so that a step of SGD is a few operations on vectors.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.common.settings import TrainSettings
from components.model.layer_stack import Layer, layer_stack
from components.model.network import Network, Weights, oriented, windowed
from components.train.convolution import Argmax, Floats, convolve_and_pool, image_gradient, kernel_gradient, loops

Rows = NDArray[np.int32]
#: For each dropout layer of the network: whether a value is kept, [steps, batch, *shape] or [batch, *shape].
Kept = Sequence[NDArray[np.bool_]]
_overflow_shows_in_the_loss = np.errstate(over="ignore", invalid="ignore")


class SgdState(NamedTuple):
    """The state of SGD: the weights, their velocity and their moving average, each as one vector."""

    weights: Floats
    velocity: Floats
    average: Floats


class _Activation(NamedTuple):
    """What backpropagation needs of a layer: its input, and ReLU and dropout as one factor (``slope``) of each sum."""

    layer: Layer
    value: Floats
    argmax: Argmax | None
    slope: Floats


class Arithmetic:
    """Training and inference on one data set.

    Parameters
    ----------
    network
        A network of layers that ``layer_stack`` knows.
    crops_hu
        [n, 151, 151] float32, HU.
    labels
        [n] integers, 1 = non-responder.

    The data set has n rows for each orientation of ``settings.augmentation``, the crops as given first.
    """

    determinism = "bitwise-cpu"

    def __init__(
        self,
        network: Network,
        crops_hu: NDArray[np.float32],
        labels: NDArray[np.integer[Any]],
        settings: TrainSettings,
    ) -> None:
        self.network, self.settings = network, settings
        self._images = oriented(windowed(crops_hu, settings), settings.augmentation)[..., None]
        self.orientations = len(self._images) // len(crops_hu)
        self.labels = labels
        self._labels = np.tile(labels, self.orientations)
        self._layers = layer_stack(network)
        for layer in self._layers:
            if layer.is_convolution:
                loops(layer.kernel[0], layer.pool)
        self._shrink = 1 - np.float32(settings.learning_rate * settings.weight_decay) * network.kernel_mask()

    @_overflow_shows_in_the_loss
    def train(
        self, state: SgdState, first: int, batches: Rows, kept: Kept, class_weights: Floats
    ) -> tuple[SgdState, float]:
        """SGD steps on ``batches`` [steps, batch] of rows of the data set, starting at step ``first`` of an attempt.

        ``kept`` says for each dropout layer what is kept, [steps, batch, *shape]. ``class_weights`` [2] weight the
        losses of responders and non-responders. Returns the new state and the mean loss of the steps.
        """
        losses = []
        for step, rows in enumerate(batches):
            now = [one[step] for one in kept]
            loss, gradient = self.loss_and_gradient(state.weights, rows, now, class_weights)
            state = self._descend(state, gradient, first + step)
            losses.append(loss)
        return state, float(np.mean(losses))

    @_overflow_shows_in_the_loss
    def answer(self, weights: Floats, rows: Rows) -> Floats:
        """Outputs before the softmax, [m, 2], of the tumours at ``rows`` [m]."""
        return self._forward(self.network.views(weights), rows, ())[0]

    def loss_and_gradient(self, weights: Floats, rows: Rows, kept: Kept, class_weights: Floats) -> tuple[float, Floats]:
        """Mean cross-entropy of a batch, weighted by class, and its gradient with respect to the weights."""
        parts, gradient = self.network.views(weights), np.empty_like(weights)
        outputs, activations = self._forward(parts, rows, kept)
        true = np.arange(len(rows)), self._labels[rows]
        shares = class_weights[self._labels[rows]] / np.float32(len(rows))
        log_probabilities = outputs - np.logaddexp.reduce(outputs, axis=1, keepdims=True)
        upstream = np.exp(log_probabilities)
        upstream[true] -= 1
        self._backward(parts, activations, upstream * shares[:, None], self.network.views(gradient))
        return -float(shares @ log_probabilities[true]), gradient

    def _forward(self, weights: Weights, rows: Rows, kept: Kept) -> tuple[Floats, list[_Activation]]:
        """The network's outputs, and the activation of each layer; without dropout where ``kept`` is empty."""
        value, activations = self._images[rows], []
        for layer in self._layers:
            kernel, argmax = weights[f"{layer.name}_kernel"], None
            if layer.is_convolution:
                sums, argmax = convolve_and_pool(value, kernel, layer.pool)
            else:
                value = value.reshape(len(rows), -1)
                sums = value @ kernel
            sums = sums + weights[f"{layer.name}_bias"]
            slope = np.asarray(sums > 0, np.float32)
            if layer.dropout is not None and kept:
                slope *= self._mask(kept, layer.dropout).reshape(slope.shape)
            activations.append(_Activation(layer, value, argmax, slope))
            value = sums * slope
        return sums, activations

    def _mask(self, kept: Kept, dropout: int) -> Floats:
        """0, or 1 / (1 - rate), which preserves the mean."""
        return kept[dropout].astype(np.float32) / np.float32(1 - self.network.dropouts[dropout].rate)

    def _backward(self, weights: Weights, activations: list[_Activation], upstream: Floats, gradient: Weights) -> None:
        """Fills ``gradient`` layer by layer, from ``upstream``, the gradient of the outputs, to the first kernel."""
        previous = [*activations[-2::-1], None]
        for (layer, value, argmax, _), before in zip(reversed(activations), previous, strict=True):
            kernel = weights[f"{layer.name}_kernel"]
            gradient[f"{layer.name}_bias"][...] = upstream.reshape(-1, upstream.shape[-1]).sum(axis=0)
            if argmax is None:
                by_kernel = value.T @ upstream
            else:
                by_kernel = kernel_gradient(value, kernel, layer.pool, argmax, upstream)
            gradient[f"{layer.name}_kernel"][...] = by_kernel
            if before:  # the images themselves need no gradient
                if argmax is None:
                    by_value = upstream @ kernel.T
                else:
                    by_value = image_gradient(value, kernel, layer.pool, argmax, upstream)
                upstream = by_value.reshape(before.slope.shape) * before.slope

    def _descend(self, state: SgdState, gradient: Floats, step: int) -> SgdState:
        """One step of SGD with momentum and weight decay; the average starts with the weights of the first step."""
        settings = self.settings
        velocity = np.float32(settings.momentum) * state.velocity - np.float32(settings.learning_rate) * gradient
        weights = state.weights * self._shrink + velocity
        past = np.float32(settings.weight_average if step else 0)
        average = np.float32(1 - past) * weights + past * state.average if past else weights
        return SgdState(weights, velocity, np.asarray(average, np.float32))
