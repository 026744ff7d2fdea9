"""Checks that a bundle's graph is a small network, and computes its memory and work, before ONNX Runtime opens it.

Operators must be on an allow-list, weights must be finite and lie in the file, and the size of every tensor must follow
from ONNX's own shape inference. The graph is parsed in a contained process, since 32 MiB can hold millions of nodes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from components.common.contained import Budget, Failed, Message, Stopped, call
from components.common.errors import BundleError
from components.common.limits import (
    GRAPH_CHECK_BYTES,
    GRAPH_CHECK_SECONDS,
    MAX_GRAPH_BYTES,
    MAX_GRAPH_MEMORY_BYTES,
    MAX_GRAPH_MULTIPLICATIONS,
    MAX_GRAPH_NODES,
)
from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.model.manifest import GRAPH, INPUT, OUTPUT, Manifest
from components.model.network import Network, window_scale
from components.model.onnx_graph import IR_VERSION, OPSET
from components.model.plain_file import damaged

#: Operators of image networks. None of them loops, branches, reads a file, or creates a tensor whose size depends on
#: the values of another tensor.
OPERATORS = {
    *("Add", "Sub", "Mul", "Div", "Sqrt", "ReduceMax", "ReduceMean", "Concat", "Gather", "Identity"),
    *("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Clip", "Elu", "LeakyRelu", "Relu", "Sigmoid"),
    *("Softmax", "Softplus", "Tanh", "Conv", "Gemm", "MatMul", "AveragePool", "GlobalAveragePool", "MaxPool"),
    *("BatchNormalization", "InstanceNormalization"),
}
#: Allowed types of weights, with the size of one element in bytes.
ITEM_BYTES = {TensorProto.FLOAT: 4, TensorProto.INT64: 8, TensorProto.INT32: 4}

Shapes = Mapping[str, tuple[int, ...]]


def check_graph(graph: bytes, manifest: Manifest) -> int:
    """Refuses a graph that is not a network of the kind exported here, or that exceeds a limit.

    Returns
    -------
    int
        Largest memory that one crop takes on its way through the graph, in bytes.

    Raises
    ------
    BundleError
        ``BUNDLE_TOO_LARGE``; ``BUNDLE_DAMAGED``, which names what is not allowed.
    """
    if len(graph) > MAX_GRAPH_BYTES:
        raise _too_large("bytes", len(graph), MAX_GRAPH_BYTES)
    budget = Budget(GRAPH_CHECK_SECONDS, GRAPH_CHECK_BYTES)
    try:
        result, _ = call(measure_graph, {"members": len(manifest.members)}, [graph], budget)
    except Stopped as error:
        message = f"{GRAPH} cannot be read within {GRAPH_CHECK_SECONDS:g} s and {GRAPH_CHECK_BYTES:,} bytes"
        raise damaged(f"{message} ({error.reason})") from None
    except Failed:
        raise _damaged("is not an ONNX graph") from None
    return int(result["memory"])


def check_cost(network: Network, settings: TrainSettings, members: int) -> None:
    """Refuses an ensemble that could not be exported or would be too large to be served, before it is trained.

    Raises
    ------
    InputError
        ``NETWORK_REFUSED``; see ``ensemble_graph``.
    BundleError
        ``BUNDLE_TOO_LARGE``.
    """
    from components.model.export import ensemble_graph  # it needs Keras, which the predictor's image lacks

    _limit("bytes of weights", 4 * members * network.size, MAX_GRAPH_BYTES)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()}
    graph = ensemble_graph(network, [zeros] * members, window_scale(settings))
    measure_graph({"members": members}, [graph.SerializeToString()])


def measure_graph(head: dict[str, Any], parts: list[bytes]) -> Message:
    """The contained function: checks the graph ``parts[0]`` of ``head["members"]`` members; returns its memory."""
    model = onnx.load_from_string(parts[0])
    _check_kind(model)
    _check_signature(model.graph, head["members"])
    _check_weights(model.graph.initializer)
    shapes = _shapes_for_one_crop(model)
    weights = {one.name for one in model.graph.initializer}
    memory = sum(4 * math.prod(shape) for name, shape in shapes.items() if name not in weights)
    _limit("bytes of memory for one crop", memory, MAX_GRAPH_MEMORY_BYTES)
    multiplications = sum(_multiplications(node, shapes) for node in model.graph.node)
    _limit("multiplications for one crop", multiplications, MAX_GRAPH_MULTIPLICATIONS)
    return {"memory": memory}, []


def _check_kind(model: onnx.ModelProto) -> None:
    """Requires the exported format and allowed operators only, without functions or nested graphs."""
    opsets = {(one.domain, one.version) for one in model.opset_import}
    if opsets != {("", OPSET)} or model.ir_version != IR_VERSION:
        raise _damaged(f"does not have opset {OPSET} and IR version {IR_VERSION}, and no other")
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer or graph.quantization_annotation:
        raise _damaged("contains functions, training information, sparse or quantised weights")
    if len(graph.node) > MAX_GRAPH_NODES:
        raise _too_large("nodes", len(graph.node), MAX_GRAPH_NODES)
    if any(node.domain or node.op_type not in OPERATORS for node in graph.node):
        raise _damaged("contains an operator that is not allowed")
    plain = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.FLOAT, onnx.AttributeProto.STRING)
    if any(attribute.type not in plain for node in graph.node for attribute in node.attribute):
        raise _damaged("contains an attribute that is neither number nor text")


def _check_signature(graph: onnx.GraphProto, members: int) -> None:
    """Requires crops as the only input and the members' probabilities as the only output."""
    weights = {one.name for one in graph.initializer}
    inputs = [_described(one) for one in graph.input if one.name not in weights]
    outputs = [_described(one) for one in graph.output]
    expected = (
        [(INPUT, TensorProto.FLOAT, ["n", IMAGE_SIZE_PX, IMAGE_SIZE_PX])],
        [(OUTPUT, TensorProto.FLOAT, ["n", members])],
    )
    if (inputs, outputs) != expected:
        raise _damaged("has other inputs or outputs than crops and the members' probabilities")


def _described(value: onnx.ValueInfoProto) -> tuple[str, int, list[str | int]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]


def _check_weights(weights: Sequence[TensorProto]) -> None:
    """Requires each weight to lie in the file, to have as many bytes as its shape needs, and to be finite."""
    for one in weights:
        size = math.prod(one.dims) * ITEM_BYTES.get(one.data_type, 0)
        in_file = one.data_location == TensorProto.DEFAULT and not one.external_data
        if not in_file or not size or min(one.dims, default=1) < 1 or len(one.raw_data) != size:
            raise _damaged("has a weight outside the file, or of another size than its shape needs")
        if not np.isfinite(numpy_helper.to_array(one)).all():
            raise _damaged("has a weight that is not finite")


def _shapes_for_one_crop(model: onnx.ModelProto) -> Shapes:
    """The shape of every tensor, including weights; ``BUNDLE_DAMAGED`` where one cannot be inferred."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]  # shapes that the file states are not trusted
    try:
        onnx.checker.check_model(model)
        graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        raise _damaged("is not a valid graph: ONNX's own checker refuses it") from None
    shapes = {name: shape for name, shape in _inferred_shapes(graph) if all(side > 0 for side in shape)}
    shapes |= {one.name: tuple(one.dims) for one in graph.initializer}
    if any(name not in shapes for node in graph.node for name in (*node.input, *node.output) if name):
        raise _damaged("has a tensor whose size cannot be inferred")
    return shapes


def _inferred_shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            yield value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _multiplications(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Multiplications of a node, or a comparable measure of its work.

    Each output of a convolution or product is a sum over weights. Any other node counts one for each element, of its
    inputs where they are larger, as for a maximum.
    """
    outputs = sum(math.prod(shapes[name]) for name in node.output if name)
    if node.op_type in ("Conv", "Gemm", "MatMul"):
        second = shapes[node.input[1]]
        return outputs * (math.prod(second[1:]) if node.op_type == "Conv" else max(second, default=1))
    kernel = next((one.ints for one in node.attribute if one.name == "kernel_shape"), (1,))
    return max(outputs * math.prod(kernel), *(math.prod(shapes[name]) for name in node.input if name))


def _limit(what: str, needed: int, most: int) -> None:
    if needed > most:
        raise _too_large(what, needed, most)


def _too_large(what: str, needed: int, most: int) -> BundleError:
    message = f"the ensemble's graph needs {needed:,} {what}; at most {most:,} are allowed"
    return BundleError("BUNDLE_TOO_LARGE", message, "Train a smaller network, or fewer members.")


def _damaged(what: str) -> BundleError:
    return damaged(f"{GRAPH} {what}")
