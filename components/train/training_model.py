"""The Keras model that packs are trained with: the network's own, of layers that suit many members at once.

It has the same weights in the same order, and computes the same logits to float32 rounding. Convolutions are matrix
products (``components.train.products``), together with the max-pooling that follows them; dropout layers multiply by
masks that they are given, so that every engine trains with the same ones.
"""

import contextlib
import contextvars
import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import Any

import numpy as np

from components.common.errors import TrainingError
from components.common.settings import IMAGE_SIZE_PX
from components.model.keras_backend import keras
from components.model.keras_network import DROPOUTS, keras_model, set_weights
from components.model.network import Network
from components.train.products import convolve, convolve_and_pool

Entry = dict[str, Any]
#: Activations that never decrease: the maximum of their values is their value of the maximum.
MONOTONIC = ("linear", "relu", "elu", "leaky_relu", "sigmoid", "tanh", "softplus")
#: Largest kernel of a product, in pixels: each is a slice of the images, and XLA takes minutes to compile many more.
MOST_WINDOWS = 31 * 31
#: Largest difference of the logits of both models, relative to the largest of them.
LARGEST_DIFFERENCE = 1e-3
_masks: contextvars.ContextVar[Sequence[Any]] = contextvars.ContextVar("dropout masks")


def training_model(network: Network) -> Any:
    """The model, all weights zero: images [n, 151, 151, 1] in [0, 1] to logits [n, 2]."""
    architecture = copy.deepcopy(network.architecture)
    _rewrite(architecture["config"], count())
    with keras.utils.custom_object_scope({kind.__name__: kind for kind in (ProductConv2D, MaskedDropout)}):
        return keras_model(dataclasses.replace(network, architecture=architecture))


def checked_training_model(network: Network) -> Any:
    """``training_model``; a user's network is compared with it, for random weights and images (ours are tested).

    Raises
    ------
    TrainingError
        ``NETWORK_DIFFERS``, before any training.
    """
    ours = training_model(network)
    if ":" in network.name:
        _compare(network, ours)
    return ours


def _compare(network: Network, ours: Any) -> None:
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in network.shapes.items()}
    images = rng.random((2, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), np.float32)
    models = keras_model(network), ours
    for model in models:
        set_weights(model, network, weights)
    expected, found = (keras.ops.convert_to_numpy(model(images, training=False)) for model in models)
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max()) / scale
    if not difference <= LARGEST_DIFFERENCE:
        message = f"the network {network.name} would be trained wrongly: its logits differ by {difference:.1e}"
        raise TrainingError("NETWORK_DIFFERS", message, "Please report it; use other layers meanwhile.")


@contextlib.contextmanager
def dropout_masks(masks: Sequence[Any]) -> Iterator[None]:
    """Calls of a training model in this block drop what ``masks`` say; outside of such a block, or if empty, nothing.

    Parameters
    ----------
    masks
        For each of ``Network.dropouts``, booleans [n, *shape]: True where a value is kept.
    """
    token = _masks.set(masks)
    try:
        yield
    finally:
        _masks.reset(token)


class MaskedDropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout by a given mask, the one at ``position`` among those of the network."""

    def __init__(self, *, position: int, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.position, self.rate = position, rate

    def call(self, values: Any) -> Any:
        """Values that are kept are divided by the fraction of them, which preserves the mean."""
        masks = _masks.get(())
        if not masks:
            return values
        return values * (keras.ops.cast(masks[self.position], "float32") * (1 / (1 - self.rate)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape stays."""
        return input_shape


class ProductConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """``Conv2D`` as a product; with a ``pool`` the maximum of each pool of positions, before bias and activation."""

    def __init__(self, *, pool: tuple[int, int] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.pool = pool and (pool[0], pool[1])  # Keras' JSON format has lists

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """What ``Conv2D`` computes before it adds the bias."""
        if self.pool:
            return convolve_and_pool(inputs, kernel, self.pool)
        return convolve(inputs, kernel, self.strides, self.padding, self.dilation_rate)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape [n, height, width, filters]."""
        shape = super().compute_output_shape(input_shape)
        if self.pool:
            sides = (side // step for side, step in zip(shape[1:3], self.pool, strict=True))
            return (shape[0], *sides, shape[3])
        return shape


def _rewrite(model: Entry, positions: Iterator[int]) -> None:
    """Replaces the layers of a model, and of the models in it, in its configuration."""
    pools = _pools(model)
    after = {pool["config"]["name"]: pool for pool in pools.values()}
    for layer in model["layers"]:
        config, kind = layer["config"], layer["class_name"]
        name = config["name"]
        if "layers" in config:
            _rewrite(config, positions)
        elif kind in DROPOUTS and config["rate"]:
            _replace(layer, MaskedDropout, rate=config["rate"], position=next(positions))
        elif kind == "Conv2D" and _is_product(config):
            pool = pools[name]["config"]["pool_size"] if name in pools else None
            _replace(layer, ProductConv2D, **{**config, "pool": pool})
        elif name in after:
            _replace(layer, keras.layers.Identity)


def _replace(layer: Entry, kind: type[Any], **options: Any) -> None:
    ours, config = kind.__module__ == __name__, {"name": layer["config"]["name"], **options}
    layer |= {"class_name": kind.__name__, "module": None if ours else "keras.layers", "config": config}
    layer["registered_name"] = kind.__name__ if ours else None


def _pools(model: Entry) -> dict[str, Entry]:
    """The max-pooling layers that alone use the result of a convolution, by the convolution's name."""
    layers = {layer["config"]["name"]: layer for layer in model["layers"]}
    consumers: dict[str, list[str]] = {name: [] for name in layers}
    for source, consumer in _edges(model):
        consumers[source].append(consumer)
    pairs = ((layers[one], layers[names[0]]) for one, names in consumers.items() if len(names) == 1 and names[0])
    return {one["config"]["name"]: pool for one, pool in pairs if _is_fusible(one, pool)}


def _edges(model: Entry) -> Iterator[tuple[str, str]]:
    """The names of a layer and of one that uses its result, which is empty for the model's output."""
    if "output_layers" not in model:  # a Sequential
        yield from pairwise(layer["config"]["name"] for layer in model["layers"])
        return
    for layer in model["layers"]:
        for source in _histories(layer["inbound_nodes"]):
            yield source, layer["config"]["name"]
    for source in _names(model["output_layers"]):
        yield source, ""


def _histories(value: Any) -> Iterator[str]:
    """The layers' names of all tensors in the arguments of a layer's calls."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield value["keras_history"][0]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _histories(one)


def _names(outputs: Any) -> Iterator[str]:
    """The layers' names in ``output_layers``: one [name, node, tensor], or any structure of such."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if outputs and isinstance(outputs[0], str):
        yield outputs[0]
    else:
        for one in outputs:
            yield from _names(one)


def _is_product(config: Entry) -> bool:
    """Whether a convolution is computed as a product."""
    return bool(config["groups"] == 1 and math.prod(config["kernel_size"]) <= MOST_WINDOWS)


def _is_fusible(convolution: Entry, pool: Entry) -> bool:
    """Whether a convolution and the only layer that uses its result are one operation of ``products``."""
    first, second = convolution["config"], pool["config"]
    return (
        (convolution["class_name"], pool["class_name"]) == ("Conv2D", "MaxPooling2D")
        and max(*first["strides"], *first["dilation_rate"]) == 1
        and first["activation"] in MONOTONIC
        and _is_product(first)
        and len(pool.get("inbound_nodes", ())) <= 1  # where it is used elsewhere too, it must stay
        and first["padding"] == second["padding"] == "valid"
        and first["data_format"] == second["data_format"] == "channels_last"
        and list(second["pool_size"]) == list(second["strides"])
    )
