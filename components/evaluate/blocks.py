"""The blocks of a network's drawing: layers of its main path, with what follows each, and its skip connections."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from components.common.settings import IMAGE_SIZE_PX
from components.model.keras_graph import walk
from components.model.keras_network import keras_model
from components.model.network import Network


@dataclass(frozen=True, slots=True)
class Block:
    """A layer with those that follow it and are not drawn: activations, normalisation, dropout.

    Parameters
    ----------
    kind
        ``image``, ``convolution``, ``pooling``, ``features``, ``hidden``, ``output`` or ``other``.
    title
        Its name in the drawing.
    shape
        Shape of its output for one image.
    layer
        Stem of the layer's weights' names, by which a block is known.
    notes
        What is said of it beside its shape.
    """

    kind: str
    title: str
    shape: tuple[int, ...]
    layer: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """A connection past the main path, from the output of the block ``start`` to that of the block ``end``."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class _Path:
    """The main path to a value: its blocks, the connections that skip some, and its number of layers, drawn or not."""

    blocks: tuple[Block, ...]
    skips: tuple[Skip, ...] = ()
    layers: int = 0


def blocks_of(network: Network) -> tuple[list[Block], list[Skip]]:
    """The blocks of the longest path through a network, in order, and the connections that skip some of them."""
    image = _Path((Block("image", "CT crop", (IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1)),))
    path = walk(keras_model(network), _visit, image)
    *others, last = path.blocks
    return [*others, replace(last, kind="output", title="softmax", notes=())], list(path.skips)


def activations_of(network: Network) -> list[str]:
    """Names of the activations of a network's layers, in order, each once."""
    found: dict[str, None] = {}

    def visit(layer: Any, _stem: str, _values: list[None]) -> None:
        kind = type(layer).__name__
        found[kind if kind in ACTIVATIONS else getattr(getattr(layer, "activation", None), "__name__", "linear")] = None

    walk(keras_model(network), visit, None)
    return [ACTIVATIONS.get(name, name) for name in found if name != "linear"]


def _visit(layer: Any, stem: str, paths: list[_Path]) -> _Path:
    """The path to a layer's output: that to the input with most layers, and the layer."""
    main = max(paths, key=lambda path: path.layers)
    own = [_skip(path, main, SIGNS.get(type(layer).__name__, "")) for path in paths if path is not main]
    shapes = [(None, *path.blocks[-1].shape) for path in paths]
    shape = tuple(layer.compute_output_shape(shapes[0] if len(paths) == 1 else shapes)[1:])
    return _Path(_after(layer, stem, main.blocks, shape), (*main.skips, *own), main.layers + 1)


def _skip(branch: _Path, main: _Path, sign: str) -> Skip:
    """A branch that leaves the main path after the blocks that both have; its own are named on the connection."""
    pairs = zip(branch.blocks, main.blocks, strict=False)
    common = next((n for n, (one, other) in enumerate(pairs) if one.layer != other.layer), len(branch.blocks))
    titles = ", ".join(block.title for block in branch.blocks[common:])
    return Skip(common - 1, len(main.blocks) - 1, f"{sign} {titles}".strip())


def _after(layer: Any, stem: str, blocks: tuple[Block, ...], shape: tuple[int, ...]) -> tuple[Block, ...]:
    """The blocks after a layer: one more, or the last with the layer's shape and note."""
    kind = type(layer).__name__
    if kind == "Dense" and len(shape) == 1:
        return (*blocks, Block("hidden", "fully connected", shape, stem))
    if kind in BLOCKS:
        drawn, title = BLOCKS[kind]
        return (*blocks, Block(drawn, title(layer), shape, stem, _strides(layer)))
    *before, last = blocks
    note = NOTES.get(kind, lambda _: "")(layer)
    return (*before, replace(last, shape=shape, notes=(*last.notes, note) if note else last.notes))


def _strides(layer: Any) -> tuple[str, ...]:
    """A note of the strides, where they are not those that one expects: 1, or the size of the pool."""
    strides = getattr(layer, "strides", (1, 1))
    usual = getattr(layer, "pool_size", (1, 1))
    return () if strides == usual else (f"stride {_sides(strides)}",)


def _sides(sides: tuple[int, int]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}\u2009×\u2009{sides[1]}"


def _kernel(name: str) -> Callable[[Any], str]:
    return lambda layer: f"{name} {layer.kernel_size[0]}\u2009×\u2009{layer.kernel_size[1]}"


#: Layers that are drawn: kind of their block, and its title.
BLOCKS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "Conv2D": ("convolution", _kernel("convolution")),
    "DepthwiseConv2D": ("convolution", _kernel("depthwise")),
    "SeparableConv2D": ("convolution", _kernel("separable")),
    "Dense": ("convolution", lambda _: "convolution 1\u2009×\u20091"),  # of maps; see _after for that of features
    "MaxPooling2D": ("pooling", lambda layer: f"max-pool {_sides(layer.pool_size)}"),
    "AveragePooling2D": ("pooling", lambda layer: f"mean-pool {_sides(layer.pool_size)}"),
    "GlobalMaxPooling2D": ("features", lambda _: "global maximum"),
    "GlobalAveragePooling2D": ("features", lambda _: "global mean"),
    "Flatten": ("features", lambda _: "flattened"),
    "Reshape": ("features", lambda _: "reshaped"),
}
#: What is noted at a block of a layer that follows it; other layers, such as activations, are not noted.
NOTES: dict[str, Callable[[Any], str]] = {
    "GroupNormalization": lambda _: "group norm",
    "LayerNormalization": lambda _: "layer norm",
    "Dropout": lambda layer: f"dropout {layer.rate:g}" if layer.rate else "",
    "SpatialDropout2D": lambda layer: f"dropout {layer.rate:g}" if layer.rate else "",
    "ZeroPadding2D": lambda _: "zero-padded",
    "Rescaling": lambda _: "rescaled",
}
#: What stands before the name of a connection that joins the main path.
SIGNS = {"Add": "+", "Subtract": "−", "Multiply": "×", "Concatenate": "and"}
#: Layers that are activations, by the name of the function.
ACTIVATIONS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu", "Softmax": "softmax"}
