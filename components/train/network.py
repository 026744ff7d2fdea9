"""The network of STUDY 4, written plainly: what the engine's faster arithmetic must equal.

    crop in HU -> window to [0, 1] -> convolution -> max-pool -> ReLU -> convolution -> max-pool -> ReLU
               -> drop-out -> fully connected, ReLU -> fully connected, ReLU -> two units, softmax

Convolutions are valid and pools do not overlap. Unit 1 is the non-responder. Only the Keras functions import
TensorFlow, and they do so when called.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.settings import IMAGE_SIZE_PX, TrainSettings

LAYERS = ("conv_1", "conv_2", "dense_1", "dense_2", "output")
Weights = dict[str, NDArray[np.float32]]


def pooled_sides(settings: TrainSettings) -> tuple[int, int]:
    """Sides in pixels of the maps that leave the first and the second pool."""
    first = (IMAGE_SIZE_PX - settings.kernel_1 + 1) // settings.pool_1
    return first, (first - settings.kernel_2 + 1) // settings.pool_2


def features(settings: TrainSettings) -> int:
    """Length of the convolutional output: what drop-out sees."""
    return pooled_sides(settings)[1] ** 2 * settings.filters_2


def weight_shapes(settings: TrainSettings) -> dict[str, tuple[int, ...]]:
    """Shapes by name, in order: kernels [height, width, in, out] or [in, out], each followed by its bias [out]."""
    kernels: tuple[tuple[int, ...], ...] = (
        (settings.kernel_1, settings.kernel_1, 1, settings.filters_1),
        (settings.kernel_2, settings.kernel_2, settings.filters_1, settings.filters_2),
        (features(settings), settings.dense_1),
        (settings.dense_1, settings.dense_2),
        (settings.dense_2, 2),
    )
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, kernel in zip(LAYERS, kernels, strict=True):
        shapes |= {f"{layer}_kernel": kernel, f"{layer}_bias": kernel[-1:]}
    return shapes


def initial_weights(settings: TrainSettings, rng: np.random.Generator) -> Weights:
    """Fresh weights: He-normal before a ReLU, Glorot-uniform before the softmax, biases zero."""
    weights: Weights = {}
    for name, shape in weight_shapes(settings).items():
        fan_in, fan_out = int(np.prod(shape[:-1])), shape[-1]
        if name.endswith("bias"):
            draw = np.zeros(shape)
        elif name == "output_kernel":
            draw = rng.uniform(-1, 1, shape) * np.sqrt(6 / (fan_in + fan_out))
        else:
            draw = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
        weights[name] = draw.astype(np.float32)
    return weights


def window_scale(settings: TrainSettings) -> tuple[float, float]:
    """Slope and intercept that take the CT window to [0, 1]; beyond it the values are clipped."""
    slope = 1 / settings.window_width_hu
    return slope, 0.5 - settings.window_level_hu * slope


def windowed(crops_hu: NDArray[np.float32], settings: TrainSettings) -> NDArray[np.float32]:
    """Crops [n, side, side] in HU brought to [0, 1] by the CT window: the network's first operation."""
    slope, intercept = (np.float32(value) for value in window_scale(settings))
    return np.asarray(np.clip(crops_hu * slope + intercept, 0, 1), np.float32)


def keras_model(settings: TrainSettings) -> Any:
    """The network as a Keras model: crops [n, 151, 151] in HU to probabilities [n, 2]."""
    import keras
    from keras import layers

    slope, intercept = window_scale(settings)
    return keras.Sequential(
        [
            keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX)),
            layers.Rescaling(slope, intercept, name="window"),
            layers.ReLU(max_value=1.0, name="clip"),
            layers.Reshape((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), name="channel"),
            layers.Conv2D(settings.filters_1, settings.kernel_1, activation="relu", name="conv_1"),
            layers.MaxPooling2D(settings.pool_1, name="pool_1"),
            layers.Conv2D(settings.filters_2, settings.kernel_2, activation="relu", name="conv_2"),
            layers.MaxPooling2D(settings.pool_2, name="pool_2"),
            layers.Flatten(name="features"),
            layers.Dropout(settings.dropout, name="dropout"),
            layers.Dense(settings.dense_1, activation="relu", name="dense_1"),
            layers.Dense(settings.dense_2, activation="relu", name="dense_2"),
            layers.Dense(2, activation="softmax", name="output"),
        ]
    )


def set_weights(model: Any, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Puts a member's weights into a model made by ``keras_model``."""
    for layer in LAYERS:
        model.get_layer(layer).set_weights([weights[f"{layer}_kernel"], weights[f"{layer}_bias"]])


def reference_probabilities(
    weights: Mapping[str, NDArray[np.float32]], crops_hu: NDArray[np.float32], settings: TrainSettings
) -> NDArray[np.float32]:
    """Probability of non-response [n] of crops [n, 151, 151] in HU, by the Keras model."""
    model = keras_model(settings)
    set_weights(model, weights)
    return np.concatenate(
        [model(crops_hu[i : i + 32], training=False).numpy()[:, 1] for i in range(0, len(crops_hu), 32)]
    )
