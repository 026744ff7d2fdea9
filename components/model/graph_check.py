"""Whether a graph holds nothing but a small network, and how much memory and time it takes: known before it is opened.

Operators by allow-list, weights that lie in the file and are finite, and the size of every tensor by ONNX's own shape
inference. It is parsed in a contained process, since a file of 32 MiB can hold millions of nodes.
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
from components.model.export import IR_VERSION, OPSET, ensemble_graph
from components.model.manifest import GRAPH, INPUT, OUTPUT, Manifest
from components.model.network import weight_shapes
from components.model.plain_file import damaged

#: What a network for images is made of. None repeats, branches, reads a file, or makes a tensor of a size that another
#: tensor holds.
OPERATORS = {
    *("Add", "Sub", "Mul", "Div", "Sqrt", "ReduceMax", "ReduceMean", "Concat", "Gather", "Identity"),
    *("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Clip", "Elu", "LeakyRelu", "Relu", "Sigmoid"),
    *("Softmax", "Softplus", "Tanh", "Conv", "Gemm", "MatMul", "AveragePool", "GlobalAveragePool", "MaxPool"),
    *("BatchNormalization", "InstanceNormalization"),
}
#: Kinds of weights, with the bytes of one.
ITEM_BYTES = {TensorProto.FLOAT: 4, TensorProto.INT64: 8, TensorProto.INT32: 4}

Shapes = Mapping[str, tuple[int, ...]]


def check_graph(graph: bytes, manifest: Manifest) -> int:
    """Raises where a graph is no network like those that are written here, or asks for more than is allowed.

    Returns
    -------
    int
        Bytes of memory that one crop takes on its way through the graph, at most.

    Raises
    ------
    BundleError
        ``BUNDLE_TOO_LARGE``; ``BUNDLE_DAMAGED``, naming what does not belong there.
    """
    if len(graph) > MAX_GRAPH_BYTES:
        raise _too_large("bytes", len(graph), MAX_GRAPH_BYTES)
    budget = Budget(GRAPH_CHECK_SECONDS, GRAPH_CHECK_BYTES)
    try:
        told, _ = call(work, {"members": len(manifest.members)}, [graph], budget)
    except Stopped as error:
        message = f"{GRAPH} cannot be read within {GRAPH_CHECK_SECONDS:g} s and {GRAPH_CHECK_BYTES:,} bytes"
        raise damaged(f"{message} ({error.reason})") from None
    except Failed:
        raise _damaged("is no ONNX graph") from None
    return int(told["memory"])


def check_cost(settings: TrainSettings, members: int) -> None:
    """Raises ``BundleError`` ``BUNDLE_TOO_LARGE`` where an ensemble could not be served; so it need not be trained."""
    shapes = weight_shapes(settings)
    _bound("bytes of weights", 4 * members * sum(map(math.prod, shapes.values())), MAX_GRAPH_BYTES)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    work({"members": members}, [ensemble_graph([zeros] * members, settings).SerializeToString()])


def work(head: dict[str, Any], parts: list[bytes]) -> Message:
    """The contained function: reads the graph in ``parts`` of ``head['members']`` and says what one crop takes."""
    model = onnx.load_from_string(parts[0])
    _check_kind(model)
    _check_rim(model.graph, head["members"])
    _check_weights(model.graph.initializer)
    shapes = _shapes_for_one_crop(model)
    weights = {one.name for one in model.graph.initializer}
    memory = sum(4 * math.prod(shape) for name, shape in shapes.items() if name not in weights)
    _bound("bytes of memory for one crop", memory, MAX_GRAPH_MEMORY_BYTES)
    multiplications = sum(_multiplications(node, shapes) for node in model.graph.node)
    _bound("multiplications for one crop", multiplications, MAX_GRAPH_MULTIPLICATIONS)
    return {"memory": memory}, []


def _check_kind(model: onnx.ModelProto) -> None:
    """The format that is written, and operators of the list alone: no functions, no graphs within nodes."""
    opsets = {(one.domain, one.version) for one in model.opset_import}
    if opsets != {("", OPSET)} or model.ir_version != IR_VERSION:
        raise _damaged(f"is not of opset {OPSET} alone and format {IR_VERSION}")
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer or graph.quantization_annotation:
        raise _damaged("holds functions, training information, sparse or quantised weights")
    if len(graph.node) > MAX_GRAPH_NODES:
        raise _too_large("nodes", len(graph.node), MAX_GRAPH_NODES)
    if any(node.domain or node.op_type not in OPERATORS for node in graph.node):
        raise _damaged("holds an operator that no network here has")
    plain = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.FLOAT, onnx.AttributeProto.STRING)
    if any(attribute.type not in plain for node in graph.node for attribute in node.attribute):
        raise _damaged("holds an attribute that is no number or word")


def _check_rim(graph: onnx.GraphProto, members: int) -> None:
    """Crops in, a probability of each member out, and nothing else."""
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
    """Each lies in the file, as many bytes as its shape says, and is finite."""
    for one in weights:
        size = math.prod(one.dims) * ITEM_BYTES.get(one.data_type, 0)
        in_file = one.data_location == TensorProto.DEFAULT and not one.external_data
        if not in_file or not size or min(one.dims, default=1) < 1 or len(one.raw_data) != size:
            raise _damaged("has a weight whose bytes are not the ones of its shape, in the file itself")
        if not np.isfinite(numpy_helper.to_array(one)).all():
            raise _damaged("has a weight that is not finite")


def _shapes_for_one_crop(model: onnx.ModelProto) -> Shapes:
    """The shape of every tensor, weights among them; ``BUNDLE_DAMAGED`` where one cannot be known beforehand."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]  # what the file says of them is not asked
    try:
        onnx.checker.check_model(model)
        graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        raise _damaged("is no whole graph: ONNX's own checker refuses it") from None
    known = {name: shape for name, shape in _known_shapes(graph) if all(side > 0 for side in shape)}
    known |= {one.name: tuple(one.dims) for one in graph.initializer}
    if any(name not in known for node in graph.node for name in (*node.input, *node.output) if name):
        raise _damaged("has a tensor whose size is not known before it is run")
    return known


def _known_shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            yield value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _multiplications(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Of a convolution or product: each output is a sum over as many weights; of anything else, one an element.

    What only reads, as a maximum does, takes its time by its inputs.
    """
    made = sum(math.prod(shapes[name]) for name in node.output if name)
    if node.op_type in ("Conv", "Gemm", "MatMul"):
        second = shapes[node.input[1]]
        return made * (math.prod(second[1:]) if node.op_type == "Conv" else max(second, default=1))
    kernel = next((one.ints for one in node.attribute if one.name == "kernel_shape"), (1,))
    return max(made * math.prod(kernel), *(math.prod(shapes[name]) for name in node.input if name))


def _bound(what: str, asked: int, most: int) -> None:
    if asked > most:
        raise _too_large(what, asked, most)


def _too_large(what: str, asked: int, most: int) -> BundleError:
    message = f"the ensemble's graph takes {asked:,} {what}; at most {most:,} are allowed"
    return BundleError("BUNDLE_TOO_LARGE", message, "Train a smaller network, or fewer members.")


def _damaged(what: str) -> BundleError:
    return damaged(f"{GRAPH} {what}")
