"""One use of a layer in a graph: what the functions that write layers are given."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.model.onnx_graph import Graph, Value


class Unsupported(Exception):
    """A layer, or an option of one, that cannot be exported; its text says which option."""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One use of a layer.

    Parameters
    ----------
    graph
        The graph to write it into.
    layer
        The Keras layer.
    stem
        Stem of its weights' names.
    """

    graph: Graph
    layer: Any
    stem: str

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        """Appends a node; returns the name of its output."""
        return self.graph.node(operator, inputs, f"{self.stem}/{operator}", **attributes)

    def same(self, value: Value, operator: str, *others: str, **attributes: object) -> Value:
        """The value after a node that changes each of its elements alone."""
        return dataclasses.replace(value, name=self.node(operator, value.name, *others, **attributes))

    def reshape(self, value: str, *sides: int) -> str:
        """Appends a node that gives a tensor another shape."""
        return self.graph.reshape(value, sides, f"{self.stem}/Reshape")

    def weights(self, name: str) -> list[NDArray[np.float32]]:
        """One of the layer's arrays, of each member."""
        return [member[f"{self.stem}_{name}"] for member in self.graph.members]

    def tensor(self, name: str, members: list[NDArray[np.float32]], axis: int = 0) -> str:
        """Stores the members' arrays, concatenated."""
        return self.graph.tensor(f"{self.stem}_{name}", np.concatenate(members, axis=axis))

    def parameter(self, name: str, value: Value) -> str:
        """Stores the members' arrays so that they broadcast over a value that is not shared.

        They have the value's shape, with sides of 1 allowed, or that of its last axes.
        """
        rank = len(value.shape)
        arrays = [array.reshape((1,) * (rank - array.ndim) + array.shape) for array in self.weights(name)]
        if not value.is_map:
            return self.tensor(name, [array.reshape(1, 1, -1) for array in arrays])
        full = [np.broadcast_to(array, (*array.shape[:2], value.channels)) for array in arrays]
        return self.tensor(name, [array.transpose(2, 0, 1) for array in full])

    def require(self, holds: bool, what: str) -> None:
        """Raises ``Unsupported`` for an option that cannot be exported."""
        if not holds:
            raise Unsupported(what)
