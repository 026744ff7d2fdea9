"""A graph in the making: ONNX nodes and tensors that compute a network for all members at once.

Members are folded into the tensors. Maps have the shape [n, members x channels, height, width] and are computed by
grouped convolutions; features have the shape [members, n, features] and are computed by batched products.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a process that trains asks the exporter which layers it knows, and has no use for onnx
    import onnx

#: Graph format that the oldest supported ONNX Runtime reads; raised only together with the bundle's version.
OPSET = 17
IR_VERSION = 9

Weights = Mapping[str, NDArray[np.float32]]


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """What a layer computes.

    Parameters
    ----------
    name
        Its tensor in the graph.
    shape
        For one image and member, as in Keras: (height, width, channels) of maps, (features,) of features.
    lanes
        The number of members, or 1 where all members share the value, such as the image.
    """

    name: str
    shape: tuple[int, ...]
    lanes: int

    @property
    def is_map(self) -> bool:
        """Whether it is maps; otherwise it is features."""
        return len(self.shape) == 3

    @property
    def channels(self) -> int:
        """Number of channels of maps, or of features."""
        return self.shape[-1]


class Graph:
    """Nodes and tensors of the network of several members.

    Parameters
    ----------
    members
        The weights of each member.
    """

    def __init__(self, members: Sequence[Weights]) -> None:
        self.members = members
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, NDArray[np.generic]] = {}
        self._named: set[str] = set()

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        """Appends a node; returns the name of its output, with a number where ``name`` is taken."""
        from onnx import helper

        taken = sum(one == name or one.startswith(f"{name}#") for one in self._named)
        output = f"{name}#{taken + 1}" if taken else name
        self._named.add(output)
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def part(self, first: int, last: int) -> "Graph":
        """A graph of the members from ``first`` to before ``last``, with nodes of its own and the same tensors."""
        part = Graph(self.members[first:last])
        part.tensors, part._named = self.tensors, self._named
        return part

    def take_nodes(self) -> "list[onnx.NodeProto]":
        """The nodes written so far, which the graph then no longer has."""
        nodes, self.nodes = self.nodes, []
        return nodes

    def tensor(self, name: str, array: NDArray[np.generic]) -> str:
        """Stores an array once; returns its name, with a number where another array has ``name``."""
        array = np.asarray(array, order="C")
        numbered = (f"{name}#{number}" if number > 1 else name for number in itertools.count(1))
        free = next(one for one in numbered if one not in self.tensors or np.array_equal(self.tensors[one], array))
        self.tensors[free] = array
        return free

    def number(self, value: float) -> str:
        """The name of a constant."""
        return self.tensor(f"number/{value!r}", np.array(value, np.float32))

    def reshape(self, value: str, sides: Sequence[int], name: str) -> str:
        """Appends a node that gives a tensor the shape ``sides``, of which one is -1."""
        shape = self.tensor(f"shape/{'x'.join(map(str, sides))}", np.array(sides, np.int64))
        return self.node("Reshape", [value, shape], name)

    def spread(self, value: Value) -> Value:
        """A shared value, repeated for each member; another as it is."""
        if value.lanes == len(self.members):
            return value
        axis = 1 if value.is_map else 0
        name = self.node("Concat", [value.name] * len(self.members), f"{value.name}/members", axis=axis)
        return dataclasses.replace(value, name=name, lanes=len(self.members))

    def flat(self, value: Value, name: str) -> Value:
        """Maps as features, in Keras' order: channels fastest."""
        if not value.is_map:
            return value
        height, width, channels = value.shape
        pixels = self.reshape(value.name, [-1, value.lanes, channels, height * width], name)
        ordered = self.node("Transpose", [pixels], name, perm=[1, 0, 3, 2])
        features = height * width * channels
        return Value(self.reshape(ordered, [value.lanes, -1, features], name), (features,), value.lanes)

    def maps(self, value: Value, shape: tuple[int, ...], name: str) -> Value:
        """Features as maps of ``shape`` (height, width, channels), the reverse of ``flat``."""
        height, width, channels = shape
        pixels = self.reshape(value.name, [value.lanes, -1, height * width, channels], name)
        ordered = self.node("Transpose", [pixels], name, perm=[1, 0, 3, 2])
        return Value(self.reshape(ordered, [-1, value.lanes * channels, height, width], name), shape, value.lanes)
