"""Weights, CT window and orientations of the network of STUDY 4, and the network as a Keras model.

``layers`` declares its layers. Only the Keras functions import TensorFlow, and only when they are called.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.model.layers import layers

Weights = dict[str, NDArray[np.float32]]


def dropout_shape(settings: TrainSettings) -> tuple[int, ...]:
    """Shape of one image's activations that dropout acts on: the output of the layer ``dropout_after``."""
    return next(layer.output for layer in layers(settings) if layer.name == settings.dropout_after)


def weight_shapes(settings: TrainSettings) -> dict[str, tuple[int, ...]]:
    """Shapes by name, in order: kernels [height, width, in, out] or [in, out], each followed by its bias [out]."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers(settings):
        shapes |= {f"{layer.name}_kernel": layer.kernel, f"{layer.name}_bias": (layer.units,)}
    return shapes


def views(vector: NDArray[np.float32], settings: TrainSettings) -> Weights:
    """The weights by name, as views of a ``vector`` that holds them all in order."""
    shapes = weight_shapes(settings)
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    parts = np.split(vector, ends[:-1])
    return {name: part.reshape(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


def as_vector(weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """All weights in order, as one vector."""
    return np.concatenate([array.ravel() for array in weights.values()])


def kernel_mask(settings: TrainSettings) -> NDArray[np.float32]:
    """Vector over all weights that is 1 for those of kernels and 0 for biases."""
    shapes = weight_shapes(settings).items()
    return as_vector({name: np.full(shape, name.endswith("kernel"), np.float32) for name, shape in shapes})


def initial_weights(settings: TrainSettings, rng: np.random.Generator) -> Weights:
    """Random initial weights: He-normal before a ReLU, Glorot-uniform before the softmax, biases zero."""
    weights: Weights = {}
    for layer in layers(settings):
        fan_in = math.prod(layer.kernel[:-1])
        if layer.relu:
            kernel = rng.standard_normal(layer.kernel) * np.sqrt(2 / fan_in)
        else:
            kernel = rng.uniform(-1, 1, layer.kernel) * np.sqrt(6 / (fan_in + layer.units))
        weights[f"{layer.name}_kernel"] = kernel.astype(np.float32)
        weights[f"{layer.name}_bias"] = np.zeros(layer.units, np.float32)
    return weights


def window_scale(settings: TrainSettings) -> tuple[float, float]:
    """Slope and intercept that map the CT window to [0, 1]; values outside the window are clipped."""
    slope = 1 / settings.window_width_hu
    return slope, 0.5 - settings.window_level_hu * slope


def windowed(crops_hu: NDArray[np.float32], settings: TrainSettings) -> NDArray[np.float32]:
    """Crops [n, side, side] in HU mapped to [0, 1] by the CT window: the network's first operation."""
    slope, intercept = (np.float32(value) for value in window_scale(settings))
    return np.asarray(np.clip(crops_hu * slope + intercept, 0, 1), np.float32)


def oriented(images: NDArray[np.float32], augmentation: str) -> NDArray[np.float32]:
    """Images [n, side, side] in all orientations of ``augmentation``, the original first: [orientations x n, ...]."""
    turns = [np.rot90(images, turn, (1, 2)) for turn in range(4)]
    mirrored = [turned[:, :, ::-1] for turned in turns]
    chosen = {
        "none": turns[:1],
        "flips": [turns[0], mirrored[0], turns[2], mirrored[2]],
        "rotations": turns,
        "both": turns + mirrored,
    }
    return np.concatenate(chosen[augmentation])


def keras_model(settings: TrainSettings) -> Any:
    """The network as a Keras model: crops [n, 151, 151] in HU to probabilities [n, 2]."""
    import keras
    from keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ReLU, Rescaling, Reshape

    slope, intercept = window_scale(settings)
    stack = [
        Rescaling(slope, intercept, name="window"),
        ReLU(max_value=1.0, name="clip"),
        Reshape((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), name="channel"),
    ]
    maps = True
    for layer in layers(settings):
        activation = "relu" if layer.relu else "softmax"
        if layer.is_convolution:
            stack.append(Conv2D(layer.units, layer.kernel[0], activation=activation, name=layer.name))
            stack.append(MaxPooling2D(layer.pool, name=layer.name.replace("conv", "pool")))
        else:
            stack += [Flatten(name="features")] if maps else []
            stack.append(Dense(layer.units, activation=activation, name=layer.name))
        maps = layer.is_convolution
        if layer.name == settings.dropout_after:
            stack.append(Dropout(layer.dropout, name="dropout"))
    return keras.Sequential([keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX)), *stack])


def set_weights(model: Any, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Sets a member's weights in a model created by ``keras_model``."""
    for name, kernel in weights.items():
        layer, _, part = name.rpartition("_")
        if part == "kernel":
            model.get_layer(layer).set_weights([kernel, weights[f"{layer}_bias"]])
