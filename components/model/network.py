"""The network of STUDY 4, written plainly: what the engine's faster arithmetic must equal.

    crop in HU -> window to [0, 1] -> convolution -> max-pool -> ReLU -> convolution -> max-pool -> ReLU
               -> drop-out -> fully connected, ReLU -> fully connected, ReLU -> two units, softmax

Convolutions are valid and pools do not overlap; ``dropout_after`` moves the drop-out. Unit 1 is the non-responder.
Only the Keras functions import TensorFlow, and they do so when called.
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
    """Length of the convolutional output: what the first fully connected layer sees."""
    return pooled_sides(settings)[1] ** 2 * settings.filters_2


def dropout_shape(settings: TrainSettings) -> tuple[int, ...]:
    """Shape of what drop-out sees of one image: the output of the layer ``dropout_after``."""
    first, second = pooled_sides(settings)
    shapes = {
        "conv_1": (first, first, settings.filters_1),
        "conv_2": (second, second, settings.filters_2),
        "dense_1": (settings.dense_1,),
        "dense_2": (settings.dense_2,),
    }
    return shapes[settings.dropout_after]


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


def views(vector: NDArray[np.float32], settings: TrainSettings) -> Weights:
    """The weights by name, as parts of a ``vector`` that holds them all in their order."""
    shapes = weight_shapes(settings)
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    parts = np.split(vector, ends[:-1])
    return {name: part.reshape(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}


def as_vector(weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """All weights in one vector, in their order."""
    return np.concatenate([array.ravel() for array in weights.values()])


def kernel_mask(settings: TrainSettings) -> NDArray[np.float32]:
    """1 where a vector of all weights holds a kernel's, 0 where a bias's."""
    shapes = weight_shapes(settings).items()
    return as_vector({name: np.full(shape, name.endswith("kernel"), np.float32) for name, shape in shapes})


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


def oriented(images: NDArray[np.float32], augmentation: str) -> NDArray[np.float32]:
    """Images [n, side, side] in all orientations of ``augmentation``, the given one first: [orientations x n, ...]."""
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
    from keras import layers

    slope, intercept = window_scale(settings)
    stack = [
        layers.Rescaling(slope, intercept, name="window"),
        layers.ReLU(max_value=1.0, name="clip"),
        layers.Reshape((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), name="channel"),
        layers.Conv2D(settings.filters_1, settings.kernel_1, activation="relu", name="conv_1"),
        layers.MaxPooling2D(settings.pool_1, name="pool_1"),
        layers.Conv2D(settings.filters_2, settings.kernel_2, activation="relu", name="conv_2"),
        layers.MaxPooling2D(settings.pool_2, name="pool_2"),
        layers.Flatten(name="features"),
        layers.Dense(settings.dense_1, activation="relu", name="dense_1"),
        layers.Dense(settings.dense_2, activation="relu", name="dense_2"),
        layers.Dense(2, activation="softmax", name="output"),
    ]
    last = settings.dropout_after.replace("conv", "pool")  # a convolution ends with its pool
    place = 1 + [layer.name for layer in stack].index(last)
    stack.insert(place, layers.Dropout(settings.dropout, name="dropout"))
    return keras.Sequential([keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX)), *stack])


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
