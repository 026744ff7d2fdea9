"""Networks for tests, and the answers of Keras, with which all others are compared."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.settings import IMAGE_SIZE_PX, StudySettings, TrainSettings
from components.model.keras_backend import keras
from components.model.keras_network import describe, keras_model, set_weights
from components.model.network import Network, windowed
from components.model.networks.building import build_network


def network_of(name: str = "cha2018", **values: object) -> Network:
    """A built-in network with some of its settings."""
    return build_network(StudySettings.from_dict({"train": {"network": name}, "network": values}))


def _sequence(
    convolutions: list[tuple[int, int, int]], hidden: list[int], dropout_after: str, rate: float = 0.25
) -> Network:
    """Convolutions of (filters, kernel, pool), then hidden layers, as ``cha2018`` has them."""
    layers, stack = keras.layers, []
    for number, (filters, kernel, pool) in enumerate(convolutions, start=1):
        stack.append(layers.Conv2D(filters, kernel, activation="relu", name=f"conv_{number}"))
        stack.append(layers.MaxPooling2D(pool, name=f"pool_{number}"))
    stack.append(layers.Flatten(name="features"))
    stack += [layers.Dense(units, activation="relu", name=f"dense_{n}") for n, units in enumerate(hidden, start=1)]
    place = [layer.name for layer in stack].index(dropout_after) + 1
    stack.insert(place, layers.Dropout(rate, name="dropout"))
    return stacked(*stack)


def stacked(*stack: Any) -> Network:
    """The network of a Sequential model of these layers, with an input before and a linear layer after them."""
    keras.utils.clear_session(free_memory=False)
    with keras.StatelessScope(initialize_variables=False):  # drawing weights would compile a program for each shape
        image = keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1))
        model = keras.Sequential([image, *stack, keras.layers.Dense(2, name="output")], name="stacked")
    network = describe("tests:stacked", {}, model)
    keras.utils.clear_session(free_memory=False)
    return network


def drawn_weights(network: Network, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Initial weights with noise on all of them, so that a bias in the wrong place is seen."""
    weights = network.initial_weights(rng)
    return {name: (one + 0.05 * rng.standard_normal(one.shape)).astype(np.float32) for name, one in weights.items()}


NETWORKS = {
    "a third convolution": _sequence([(2, 5, 4), (3, 4, 3), (4, 3, 2)], [6, 5], "pool_2"),
    "one convolution": _sequence([(3, 6, 12)], [6, 5], "pool_1"),
    "three hidden layers": _sequence([(2, 4, 6), (3, 3, 4)], [7, 6, 5], "dense_2"),
    "no hidden layer": _sequence([(2, 4, 6), (3, 3, 4)], [], "features"),
}


def reference_probabilities(
    weights: Mapping[str, NDArray[np.float32]],
    crops_hu: NDArray[np.float32],
    network: Network,
    settings: TrainSettings | None = None,
) -> NDArray[np.float32]:
    """Probability of non-response [n] of crops [n, 151, 151] in HU, computed by the Keras model."""
    model = keras_model(network)
    set_weights(model, network, dict(weights))
    images = windowed(crops_hu, settings or TrainSettings())[..., None]
    logits = np.concatenate([np.asarray(model(images[i : i + 32], training=False)) for i in range(0, len(images), 32)])
    return np.asarray(keras.ops.softmax(logits))[:, 1]
