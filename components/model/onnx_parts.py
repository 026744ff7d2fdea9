"""Writes large layers for a few members at a time, so that their maps stay in the processor's cache.

The first maps of fifty members of the paper's network take 34 MB. Written for all members at once, they go out to
memory before the pooling reads them back; written part by part, each is pooled while it is still in the cache.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from components.common.limits import MIB
from components.model.onnx_graph import Graph, Value

#: Size of a layer's maps that stay in a processor's cache: those of eight members of the paper's network. Half of it is
#: as fast on one thread, but on two the threads wait for each other as often as that saves.
PART_BYTES = 6 * MIB
#: Channels that ONNX Runtime's convolution computes together: four vectors of eight. Other numbers take longer.
CHANNELS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What a layer computes: one value of all members, or one for each part of the members."""

    values: tuple[Value, ...]

    @property
    def is_shared(self) -> bool:
        """Whether all members share it, such as the image."""
        return len(self.values) == 1 and self.values[0].lanes == 1

    def of(self, part: int) -> Value:
        """The value that a part of the members uses."""
        return self.values[part] if len(self.values) > 1 else self.values[0]


class PartWriter:
    """Writes layers into a graph: those with large maps once for each part of the members, others for all at once.

    Parameters
    ----------
    graph
        The graph of all members.
    part_bytes
        Bytes of a layer's maps, for one crop, above which they are computed part by part.
    """

    def __init__(self, graph: Graph, part_bytes: float) -> None:
        self._graph = graph
        self._most = part_bytes
        self._parts: list[Graph] = []

    def write(
        self,
        write: Callable[[Graph, list[Value]], Value],
        inputs: Sequence[Parts],
        shape: Sequence[int],
        *,
        has_weights: bool,
    ) -> Parts:
        """Writes a layer, and joins its parts as soon as they are small.

        Parameters
        ----------
        write
            Writes the layer for the members of a graph, given its inputs.
        inputs
            What the layers before it compute.
        shape
            The output's shape for one image and member.
        has_weights
            Whether it makes something of the members' own from what they share.
        """
        size = 4 * math.prod(shape)
        is_large = size * len(self._graph.members) > self._most
        if has_weights and is_large and all(one.is_shared for one in inputs):
            self._parts = self._parts or self._parted(size, shape[-1])
            graphs = self._parts
        elif any(len(one.values) > 1 for one in inputs) and all(one.is_shared or len(one.values) > 1 for one in inputs):
            graphs = self._parts
        else:
            graphs, inputs = [self._graph], [Parts((self.joined(one),)) for one in inputs]
        found = Parts(tuple(write(graph, [one.of(part) for one in inputs]) for part, graph in enumerate(graphs)))
        return found if is_large else Parts((self.joined(found),))

    def joined(self, parts: Parts) -> Value:
        """The value of all members."""
        for part in self._parts:  # all that was written for one part comes before the next part
            self._graph.nodes += part.take_nodes()
        if len(parts.values) == 1:
            return parts.values[0]
        first = parts.values[0]
        names, axis = [one.name for one in parts.values], 1 if first.is_map else 0
        name = self._graph.node("Concat", names, f"{first.name}/joined", axis=axis)
        return dataclasses.replace(first, name=name, lanes=len(self._graph.members))

    def _parted(self, size: int, channels: int) -> list[Graph]:
        """Graphs of as many members as have maps of ``size`` bytes each within the limit, in whole ``CHANNELS``."""
        most, together = max(1, int(self._most // size)), CHANNELS // math.gcd(CHANNELS, channels)
        step, members = most // together * together or most, len(self._graph.members)
        return [self._graph.part(first, first + step) for first in range(0, members, step)]
