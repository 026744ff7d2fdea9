"""Whether a graph is one that ``export`` writes, and how much memory and time it takes: known before it is opened.

A bundle's settings and the number of its members say what its graph must be, byte for byte, but for the weights. So a
graph from elsewhere is compared with the one that ``export`` writes, and never parsed: whatever a graph could hold more
(another operator, a function, a file outside, a shape without end) makes it another graph.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from components.common.errors import BundleError
from components.common.limits import MAX_GRAPH_BYTES, MAX_GRAPH_MEMORY_BYTES, MAX_GRAPH_MULTIPLICATIONS
from components.common.settings import IMAGE_SIZE_PX, StudySettings, TrainSettings
from components.promote.export import ensemble_graph
from components.promote.manifest import Manifest
from components.promote.plain_file import EXPORT_AGAIN
from components.train.network import pooled_sides, weight_shapes

Bytes = NDArray[np.uint8]


def check_graph(graph: bytes, manifest: Manifest) -> int:
    """Raises where a graph is not the one of its manifest's settings, or asks for more than is allowed.

    Returns
    -------
    int
        Bytes of memory that one crop takes on its way through the graph, at most.

    Raises
    ------
    BundleError
        ``BUNDLE_TOO_LARGE``; ``BUNDLE_DAMAGED`` where it is another graph, or one of its weights is not finite.
    """
    settings, members = StudySettings.from_dict(manifest.settings).train, len(manifest.members)
    memory = check_cost(settings, members)
    zeros, ones = (_serialised(_template(settings, members, bits)) for bits in (0, -1))
    _check_bytes(_bytes(graph), zeros, ones)
    return memory


def check_cost(settings: TrainSettings, members: int) -> int:
    """Raises ``BundleError`` ``BUNDLE_TOO_LARGE`` where an ensemble could not be served; so it need not be trained.

    Returns
    -------
    int
        As ``check_graph``.
    """
    _bound("bytes of weights", 4 * members * sum(_sizes(settings).values()), MAX_GRAPH_BYTES)
    _bound("multiplications for one crop", members * _multiplications(settings), MAX_GRAPH_MULTIPLICATIONS)
    memory = _memory_of_one_crop(_template(settings, members, 0))
    _bound("bytes of memory for one crop", memory, MAX_GRAPH_MEMORY_BYTES)
    return memory


def _bound(what: str, asked: int, most: int) -> None:
    if asked > most:
        message = f"the ensemble's graph takes {asked:,} {what}; at most {most:,} are allowed"
        raise BundleError("BUNDLE_TOO_LARGE", message, "Train a smaller network, or fewer members.")


def _check_bytes(graph: Bytes, zeros: Bytes, ones: Bytes) -> None:
    """Compares a graph with ours, whose weights are all bits 0 and all bits 1: where these differ, weights stand."""
    weights = zeros != ones
    if len(graph) != len(zeros) or not np.array_equal(graph[~weights], zeros[~weights]):
        message = "ensemble.onnx is not the graph that is written for the manifest's settings and members"
        raise BundleError("BUNDLE_DAMAGED", message, EXPORT_AGAIN)
    if not np.isfinite(graph[weights].view("<f4")).all():
        raise BundleError("BUNDLE_DAMAGED", "a weight in ensemble.onnx is not finite", EXPORT_AGAIN)


def _template(settings: TrainSettings, members: int, bits: int) -> onnx.ModelProto:
    """The graph with 32 equal ``bits`` in the place of each weight."""
    shapes = weight_shapes(settings).items()
    weights = {name: np.full(shape, bits, np.int32).view(np.float32) for name, shape in shapes}
    return ensemble_graph([weights] * members, settings)


def _serialised(model: onnx.ModelProto) -> Bytes:
    return _bytes(model.SerializeToString(deterministic=True))


def _bytes(content: bytes) -> Bytes:
    return np.frombuffer(content, np.uint8)


def _sizes(settings: TrainSettings) -> dict[str, int]:
    return {name: int(np.prod(shape)) for name, shape in weight_shapes(settings).items()}


def _multiplications(settings: TrainSettings) -> int:
    """Of one member for one crop: each weight of a kernel once at each place where the kernel stands."""
    sides = (IMAGE_SIZE_PX - settings.kernel_1 + 1, pooled_sides(settings)[0] - settings.kernel_2 + 1)
    places = {"conv_1_kernel": sides[0] ** 2, "conv_2_kernel": sides[1] ** 2}
    return sum(size * places.get(name, 1) for name, size in _sizes(settings).items() if name.endswith("kernel"))


def _memory_of_one_crop(model: onnx.ModelProto) -> int:
    """Bytes of all float32 tensors between input and output together, as if none were freed."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = ([dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in inferred.graph.value_info)
    return sum(4 * int(np.prod(shape)) for shape in shapes)
