"""Saliency maps: how sensitive the ensemble's prediction is to each pixel, for selected tumours.

A map is the absolute gradient of the logit margin (non-responder minus responder) with respect to the windowed image,
averaged over a group's members and smoothed. It shows where the prediction is sensitive to the image, not why. Plain
numpy, since a handful of tumours is not worth loading TensorFlow.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from components.common.artifacts.members import Member
from components.common.settings import TrainSettings
from components.model.layers import layers
from components.model.network import windowed
from components.model.scores import calls

Array = NDArray[np.float64]

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


def saliency_maps(members: Sequence[Member], crops_hu: NDArray[np.float32], settings: TrainSettings) -> Array:
    """Saliency maps [n, rows, columns] in [0, 1] of crops [n, rows, columns] in HU, averaged over ``members``."""
    images = windowed(np.asarray(crops_hu, np.float32), settings).astype(np.float64)
    total = sum(np.abs(margin_gradient(member.weights, images, settings)[1]) for member in members)
    maps = ndimage.gaussian_filter(np.asarray(total), sigma=(0, SMOOTHING_PX, SMOOTHING_PX))
    peak = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(maps / np.where(peak > 0, peak, 1.0))


def margin_gradient(
    weights: Mapping[str, NDArray[np.float32]], images: Array, settings: TrainSettings
) -> tuple[Array, Array]:
    """Logit margin [n] (non-responder minus responder) of windowed images [n, rows, columns], and its gradient.

    Parameters
    ----------
    weights
        A member's weights, with the names and shapes of ``components.model.network``.
    images
        In [0, 1].
    settings
        Sizes of kernels and pools; dropout is not applied.
    """
    named = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    activation, passed = images[..., None], []
    for layer in layers(settings):
        kernel = named[f"{layer.name}_kernel"]
        inputs = activation if layer.is_convolution else activation.reshape(len(activation), -1)
        sums = (_convolve(inputs, kernel) if layer.is_convolution else inputs @ kernel) + named[f"{layer.name}_bias"]
        passed.append((layer, kernel, activation.shape, sums))
        activation = np.maximum(sums, 0)
        activation = _pool(activation, layer.pool) if layer.is_convolution else activation
    margin = sums[:, 1] - sums[:, 0]
    gradient = np.broadcast_to([-1.0, 1.0], sums.shape)
    for layer, kernel, shape, sums in reversed(passed):
        if layer.is_convolution:
            gradient = _unconvolve(_unpool(gradient, sums, layer.pool), kernel)
        else:
            slope = (sums > 0) if layer.relu else 1.0
            gradient = ((slope * gradient) @ kernel.T).reshape(shape)
    return margin, gradient[..., 0]


def _convolve(x: Array, kernel: Array) -> Array:
    """Valid convolution of [n, h, w, in] by [k, k, in, out]."""
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.tensordot(windows, kernel, axes=([4, 5, 3], [0, 1, 2]))


def _unconvolve(g: Array, kernel: Array) -> Array:
    """Gradient at the input of ``_convolve`` from that at its output."""
    side, height, width = kernel.shape[0], g.shape[1], g.shape[2]
    back = np.zeros((len(g), height + side - 1, width + side - 1, kernel.shape[2]))
    for row in range(side):
        for column in range(side):
            back[:, row : row + height, column : column + width] += g @ kernel[row, column].T
    return back


def _pool(x: Array, side: int) -> Array:
    """Maximum over non-overlapping blocks; rows and columns that do not fill a block are dropped."""
    return np.asarray(_blocks(x, side).max(axis=(2, 4)))


def _unpool(g: Array, sums: Array, side: int) -> Array:
    """Gradient before ReLU and pool: it goes to the maximum of each block if positive, divided equally among ties."""
    blocks = _blocks(sums, side)
    maxima = (blocks == blocks.max(axis=(2, 4), keepdims=True)) & (blocks > 0)
    shares = maxima / np.maximum(maxima.sum(axis=(2, 4), keepdims=True), 1)
    back = np.zeros_like(sums)
    rows, columns = g.shape[1] * side, g.shape[2] * side
    spread = (shares * g[:, :, None, :, None]).reshape(len(g), rows, columns, g.shape[-1])
    back[:, :rows, :columns] = spread
    return back


def _blocks(x: Array, side: int) -> Array:
    n, height, width, channels = x.shape
    rows, columns = height // side, width // side
    return x[:, : rows * side, : columns * side].reshape(n, rows, side, columns, side, channels)
