"""The layers of a network that the compiled loops on CPU know, read from its description without Keras.

    image -> convolutions, each with ReLU and max-pooling -> fully connected layers, each with ReLU -> two logits

Convolutions are unpadded with stride 1, and pools do not overlap. Dropout may follow any layer but the last.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from components.common.errors import InputError
from components.common.settings import IMAGE_SIZE_PX, Engine
from components.model.network import Network

_HINT = "Set train.engine to auto, jax or tensorflow."


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights, with the pooling, activation and dropout that follow it.

    Parameters
    ----------
    name
        Stem of its weights' names, ``<name>_kernel`` and ``<name>_bias``.
    kernel
        Shape of its kernel: [height, width, in, out] of a convolution, [in, out] of a fully connected layer.
    pool
        Size and stride of the max-pooling after a convolution, px; 1 for none.
    relu
        Whether a ReLU follows.
    dropout
        Position in ``Network.dropouts`` of the dropout that follows in training, or None.
    """

    name: str
    kernel: tuple[int, ...]
    pool: int = 1
    relu: bool = False
    dropout: int | None = None

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution; otherwise it is fully connected."""
        return len(self.kernel) == 4


class Unknown(Exception):
    """Raised where a network has a layer, an option or an order of layers that the compiled loops do not know."""


def layer_stack(network: Network) -> tuple[Layer, ...]:
    """The layers with weights, from the image to the logits; raises ``Unknown``, with what is not known."""
    stack: list[Layer] = []
    for config, kind in _parts(network):
        if kind in ("Conv2D", "Dense"):
            stack.append(_with_weights(config, kind, network))
        elif not stack:
            raise Unknown(f"{kind} before the first layer with weights")
        elif kind == "MaxPooling2D":
            stack[-1] = _pooled(config, stack[-1])
        elif kind == "ReLU" and not any(config.get(name) for name in ("max_value", "negative_slope", "threshold")):
            stack[-1] = dataclasses.replace(stack[-1], relu=True)
        elif kind == "Dropout":
            stack[-1] = _with_dropout(config, stack[-1], network)
        elif kind != "Flatten":
            raise Unknown(f"the layer {config['name']} ({kind})")
    if not all(layer.relu for layer in stack[:-1]) or stack[-1].relu or stack[-1].is_convolution:
        raise Unknown("another activation than ReLU after each layer with weights but the last, a Dense one")
    if stack[-1].dropout is not None:
        raise Unknown("dropout of the logits")
    if not _fits(stack):
        raise Unknown("a convolution after a fully connected layer, or features that are not flattened")
    return tuple(stack)


def engine_of(network: Network, engine: Engine, gpus: int) -> Engine:
    """The engine that trains a network: ``cpu``, ``jax`` or ``tensorflow``, whatever ``engine`` leaves open.

    Raises
    ------
    InputError
        ``ENGINE_UNSUITABLE`` where ``cpu`` was chosen and does not know the network's layers, or GPUs were requested.
    """
    if gpus:
        require_gpu_engine(engine)
    try:
        layer_stack(network)
    except Unknown as error:
        if engine == "cpu":
            message = f"the engine cpu cannot train the network {network.name}: it does not know {error}"
            raise InputError("ENGINE_UNSUITABLE", message, _HINT) from None
        return "jax" if engine == "auto" else engine
    if engine == "auto":
        return "jax" if gpus else "cpu"
    return engine


def require_gpu_engine(engine: Engine) -> None:
    """Raises ``ENGINE_UNSUITABLE`` for the engine that uses no GPU."""
    if engine == "cpu":
        raise InputError("ENGINE_UNSUITABLE", "the engine cpu uses no GPU, but GPUs were requested", _HINT)


def _parts(network: Network) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Configuration and class of each layer of a plain sequence; ``Unknown`` for any other graph."""
    if network.architecture["class_name"] != "Sequential":
        raise Unknown("a model that is not Sequential")
    for layer in network.architecture["config"]["layers"]:
        if layer["class_name"] != "InputLayer":
            yield layer["config"], layer["class_name"]


def _with_weights(config: Mapping[str, Any], kind: str, network: Network) -> Layer:
    name, activation = config["name"], config["activation"]
    plain = {
        "padding": "valid",
        "data_format": "channels_last",
        "groups": 1,
        "strides": [1, 1],
        "dilation_rate": [1, 1],
    }
    options = [option for option, value in plain.items() if config.get(option, value) != value]
    kernel = network.shapes[f"{name}_kernel"]
    if options or not config["use_bias"] or activation not in ("relu", "linear"):
        raise Unknown(f"the options of {name} ({kind})")
    if kind == "Conv2D" and kernel[0] != kernel[1]:
        raise Unknown(f"the kernel of {name}, which is not square")
    return Layer(name, kernel, relu=activation == "relu")


def _pooled(config: Mapping[str, Any], layer: Layer) -> Layer:
    (height, width), strides = config["pool_size"], config["strides"]
    plain = config["padding"] == "valid" and config["data_format"] == "channels_last"
    if not (plain and [height, width] == [height, height] == list(strides)) or not layer.is_convolution:
        raise Unknown(f"the options or the place of {config['name']}")
    if layer.pool > 1 or layer.dropout is not None:
        raise Unknown(f"the place of {config['name']}")
    return dataclasses.replace(layer, pool=height)


def _with_dropout(config: Mapping[str, Any], layer: Layer, network: Network) -> Layer:
    positions = [number for number, one in enumerate(network.dropouts) if one.layer == config["name"]]
    if not positions:  # its rate is 0
        return layer
    if layer.dropout is not None or config["noise_shape"] is not None:
        raise Unknown(f"the options or the place of {config['name']}")
    return dataclasses.replace(layer, dropout=positions[0])


def _fits(stack: list[Layer]) -> bool:
    """Whether each layer takes what the one before it gives, flattened before the first fully connected one."""
    side, channels, flat = IMAGE_SIZE_PX, 1, False
    for layer in stack:
        if layer.is_convolution:
            if flat or layer.kernel[2] != channels:
                return False
            side, channels = (side - layer.kernel[0] + 1) // layer.pool, layer.kernel[3]
        else:
            if layer.kernel[0] != (channels if flat else side**2 * channels):
                return False
            channels, flat = layer.kernel[1], True
    return True
