"""A network as data: what every step after the start of a run needs to train, export or draw it.

``components.model.keras_network`` makes it once from the Keras model that a function of
``components.model.networks``, or of a user, returns; it also makes the Keras model again. This module needs no Keras.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.files import digest_of
from components.common.settings import TrainSettings
from components.model.initializers import draw

Weights = dict[str, NDArray[np.float32]]


@dataclasses.dataclass(frozen=True, slots=True)
class Weight:
    """One array of weights.

    Parameters
    ----------
    name
        Its path in the Keras model, joined by underscores: ``conv_1_kernel``.
    shape
        As in Keras: kernels of convolutions [height, width, in, out], of fully connected layers [in, out].
    initializer
        Class name and configuration of its Keras initializer.
    """

    name: str
    shape: tuple[int, ...]
    initializer: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Dropout:
    """A dropout layer: its name, its rate, and the shape of its mask for one image (1 where a value is shared)."""

    layer: str
    rate: float
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A network from images [n, 151, 151, 1] in [0, 1] to logits [n, 2] of responder and non-responder.

    Parameters
    ----------
    name
        A built-in network's name, or ``package.module:function``.
    settings
        The settings that its function was called with.
    architecture
        The Keras model in Keras' own JSON format.
    weights
        All its weights, in the order of the model's ``trainable_variables``.
    dropouts
        Its dropout layers, in the order in which they are computed.
    """

    name: str
    settings: dict[str, Any]
    architecture: dict[str, Any]
    weights: tuple[Weight, ...]
    dropouts: tuple[Dropout, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which ``from_dict`` reads back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Network":
        """A network written by ``to_dict``."""
        parts = {
            "weights": tuple(Weight(**{**one, "shape": tuple(one["shape"])}) for one in fields["weights"]),
            "dropouts": tuple(Dropout(**{**one, "shape": tuple(one["shape"])}) for one in fields["dropouts"]),
        }
        return cls(**{**fields, **parts})

    @property
    def digest(self) -> str:
        """Digest of everything that training depends on."""
        return digest_of([self.architecture, [dataclasses.asdict(weight) for weight in self.weights]])

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights by name, in order."""
        return {weight.name: weight.shape for weight in self.weights}

    @property
    def size(self) -> int:
        """Number of all weights."""
        return sum(math.prod(weight.shape) for weight in self.weights)

    def initial_weights(self, rng: np.random.Generator) -> Weights:
        """Random initial weights, as the layers' initializers define them."""
        return {one.name: draw(one.initializer, one.shape, rng) for one in self.weights}

    def views(self, vector: NDArray[np.float32]) -> Weights:
        """The weights by name, as views of a ``vector`` that holds them all in order."""
        ends = np.cumsum([math.prod(weight.shape) for weight in self.weights])
        parts = np.split(vector, ends[:-1])
        return {one.name: part.reshape(one.shape) for part, one in zip(parts, self.weights, strict=True)}

    def kernel_mask(self) -> NDArray[np.float32]:
        """Vector over all weights that is 1 for those of kernels, on which weight decay acts, and 0 for others."""
        return as_vector({n: np.full(shape, n.endswith("kernel"), np.float32) for n, shape in self.shapes.items()})


def as_vector(weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """All weights in order, as one vector."""
    return np.concatenate([array.ravel() for array in weights.values()])


def window_scale(settings: TrainSettings) -> tuple[float, float]:
    """Slope and intercept that map the CT window to [0, 1]; values outside the window are clipped."""
    slope = 1 / settings.window_width_hu
    return slope, 0.5 - settings.window_level_hu * slope


def windowed(crops_hu: NDArray[np.float32], settings: TrainSettings) -> NDArray[np.float32]:
    """Crops [n, side, side] in HU mapped to [0, 1] by the CT window: what a network sees."""
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
