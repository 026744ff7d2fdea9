"""Saliency maps: how sensitive the ensemble's prediction is to each pixel, for selected tumours.

A map is the absolute gradient of the logit margin (non-responder minus responder) with respect to the windowed image,
averaged over a group's members and smoothed. It shows where the prediction is sensitive to the image, not why. The
gradient is that of the network's Keras model, by JAX.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from components.common.artifacts.members import Member
from components.common.settings import TrainSettings
from components.model.keras_backend import keras
from components.model.keras_network import keras_model
from components.model.network import Network, Weights, windowed
from components.model.scores import calls

Array = NDArray[np.float64]
#: From a member's weights and images [n, rows, columns] in [0, 1] to margins [n] and gradients [n, rows, columns].
MarginGradient = Callable[[Weights, NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]

#: Standard deviation, in pixels of the crop, of the Gaussian that smooths a map: max-pooling makes gradients speckled.
SMOOTHING_PX = 2.5


def most_confident(rows: pd.DataFrame, score: str, cut_off: float, each: int = 3) -> pd.DataFrame:
    """The ``each`` most confident correct and the ``each`` most confident incorrect rows of ``Evaluation.scores``.

    A column ``correct`` is added; correctly classified tumours come first.
    """
    correct = calls(rows[score], cut_off) == (rows["label"] == 1)
    ranked = rows.assign(correct=correct, confidence=(rows[score] - cut_off).abs()).sort_values(
        "confidence", ascending=False, kind="stable"
    )
    return pd.concat([ranked[ranked["correct"]].head(each), ranked[~ranked["correct"]].head(each)])


def saliency_maps(
    members: Sequence[Member], crops_hu: NDArray[np.float32], network: Network, settings: TrainSettings
) -> Array:
    """Saliency maps [n, rows, columns] in [0, 1] of crops [n, rows, columns] in HU, averaged over ``members``."""
    images = windowed(np.asarray(crops_hu, np.float32), settings)
    gradient = margin_gradient(network)
    total = sum(np.abs(np.asarray(gradient(member.weights, images)[1], np.float64)) for member in members)
    maps = ndimage.gaussian_filter(np.asarray(total), sigma=(0, SMOOTHING_PX, SMOOTHING_PX))
    peak = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(maps / np.where(peak > 0, peak, 1.0))


def margin_gradient(network: Network) -> MarginGradient:
    """A function of a member's weights and images that computes the logit margin of each image, and its gradient.

    The margin is that of non-responder over responder. Dropout is not applied. The function is compiled once.
    """
    import jax  # after Keras, whose module here chooses the device

    model = keras.models.clone_model(keras_model(network), clone_function=_even, recursive=True)
    states = [variable.value for variable in model.non_trainable_variables]

    def total(images: Any, weights: list[Any]) -> tuple[Any, Any]:
        logits, _ = model.stateless_call(weights, states, images[..., None], training=False)
        margins = logits[:, 1] - logits[:, 0]
        return margins.sum(), margins

    compiled = jax.jit(jax.grad(total, has_aux=True))

    def margins_and_gradient(
        weights: Weights, images: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        gradient, margins = compiled(images, [weights[name] for name in network.shapes])
        return np.asarray(margins), np.asarray(gradient)

    return margins_and_gradient


def _even(layer: Any) -> Any:
    """A copy of a layer; of max-pooling without overlap, one that divides a gradient among equal maxima.

    Where the CT window clips an image, whole areas are equal; otherwise one pixel of each pool would get it all.
    """
    if type(layer).__name__ == "MaxPooling2D" and layer.pool_size == layer.strides and layer.padding == "valid":
        return _EvenMaxPooling2D.from_config(layer.get_config())
    return type(layer).from_config(layer.get_config())


class _EvenMaxPooling2D(keras.layers.MaxPooling2D):  # type: ignore[misc]  # Keras has no type hints
    """Maximum over blocks; rows and columns that do not fill a block are dropped."""

    def call(self, inputs: Any) -> Any:
        """The maxima [n, rows, columns, channels] of maps."""
        (height, width), (_, rows, columns, channels) = self.pool_size, self.compute_output_shape(inputs.shape)
        cut = inputs[:, : rows * height, : columns * width]
        return keras.ops.max(keras.ops.reshape(cut, (-1, rows, height, columns, width, channels)), axis=(2, 4))
