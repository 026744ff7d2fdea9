"""Exports the members of an ensemble as one ONNX graph, which computes the answers of all members in one call.

The exporter goes through the network's Keras model layer by layer. The members see the same image, so their first
convolutions become one with members x filters; each later convolution becomes one grouped convolution, and fully
connected layers become batched matrix products. Layers with large maps are computed for a few members at a time.

    crop_hu [n,151,151] -> window to [0,1] -> the network's layers -> softmax -> probabilities [n,members]
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from components.common.errors import InputError
from components.common.limits import MAX_GRAPH_NODES
from components.common.settings import IMAGE_SIZE_PX
from components.model.keras_backend import keras
from components.model.keras_graph import walk
from components.model.keras_network import keras_model
from components.model.manifest import INPUT, OUTPUT
from components.model.network import Network
from components.model.onnx_activations import FUNCTIONS
from components.model.onnx_call import Call, Unsupported
from components.model.onnx_graph import IR_VERSION, OPSET, Graph, Value, Weights
from components.model.onnx_parts import PART_BYTES, Parts, PartWriter
from components.model.onnx_table import LAYERS


def ensemble_graph(
    network: Network, members: Sequence[Weights], window: tuple[float, float], part_bytes: float = PART_BYTES
) -> onnx.ModelProto:
    """One graph that computes the probabilities of all members.

    Parameters
    ----------
    network
        The members' network.
    members
        The weights of each member, as in ``Network.weights``.
    window
        Slope and intercept of the CT window, as ``window_scale`` returns them.
    part_bytes
        Bytes of a layer's maps, for one crop, above which they are computed for a few members at a time. Where this
        would give more nodes than a bundle may have, all layers are computed for all members at once.

    Returns
    -------
    onnx.ModelProto
        Input ``crop_hu`` [n, 151, 151] float32 in HU, output ``probabilities`` [n, members] float32:
        each member's probability of non-response.

    Raises
    ------
    InputError
        ``NETWORK_REFUSED``, which names every layer that cannot be exported.
    """
    graph = _computed(network, members, window, part_bytes)
    if len(graph.nodes) > MAX_GRAPH_NODES:
        graph = _computed(network, members, window, math.inf)
    described = helper.make_graph(
        graph.nodes,
        "ensemble",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", IMAGE_SIZE_PX, IMAGE_SIZE_PX])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", len(members)])],
        [numpy_helper.from_array(array, name) for name, array in graph.tensors.items()],
    )
    model = helper.make_model(described, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="srs-response")
    model.ir_version = IR_VERSION
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        raise _refused(network, ["a combination of layers that gives no valid ONNX graph"]) from None
    return model


def _computed(network: Network, members: Sequence[Weights], window: tuple[float, float], part_bytes: float) -> Graph:
    graph = Graph(members)
    image = _windowed(graph, window)
    _answer(graph, _logits(graph, PartWriter(graph, part_bytes), network, image))
    return graph


def _windowed(graph: Graph, window: tuple[float, float]) -> Value:
    """The image in [0, 1], which all members share."""
    slope, intercept = (
        graph.tensor(name, np.array(number, np.float32))
        for name, number in zip(("window_slope", "window_intercept"), window, strict=True)
    )
    sloped = graph.node("Mul", [INPUT, slope], "sloped")
    scaled = graph.node("Add", [sloped, intercept], "scaled")
    windowed = graph.node("Clip", [scaled, graph.number(0), graph.number(1)], "windowed")
    channel = graph.tensor("channel_axis", np.array([1], np.int64))
    image = graph.node("Unsqueeze", [windowed, channel], "image")
    return Value(image, (IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), 1)


def _logits(graph: Graph, writer: PartWriter, network: Network, image: Value) -> Value:
    problems: list[str] = []

    def visit(layer: Any, stem: str, inputs: list[Parts]) -> Parts:
        kind = type(layer).__name__
        if not isinstance(layer, keras.layers.Layer):
            problems.append(f"an operation {kind} that is no layer; use keras.layers instead of keras.ops, + and *")
            raise _refused(network, problems)
        shape = _shape_after(layer, [one.values[0] for one in inputs])

        def write(graph: Graph, values: list[Value]) -> Value:
            try:
                if kind not in LAYERS:
                    raise Unsupported("this kind of layer")
                return LAYERS[kind](Call(graph, layer, stem), *values)
            except Unsupported as error:
                problems.append(f"{stem} ({kind}): {error}")
                return Value("", shape, len(graph.members))

        return writer.write(write, inputs, shape, has_weights=bool(layer.weights))

    logits = writer.joined(walk(keras_model(network), visit, Parts((image,))))
    if problems:
        raise _refused(network, problems)
    return graph.spread(logits)


def _refused(network: Network, problems: list[str]) -> InputError:
    hint = f"Layers that can be exported: {', '.join(LAYERS)}. Activations: {', '.join(FUNCTIONS)}."
    heading = f"the network {network.name} cannot be exported, because it has:"
    return InputError.collected("NETWORK_REFUSED", heading, list(dict.fromkeys(problems)), hint)


def _shape_after(layer: Any, values: list[Value]) -> tuple[int, ...]:
    """The output's shape of a layer, also of one that cannot be exported, so that those after it are checked too."""
    shapes: list[tuple[int | None, ...]] = [(None, *value.shape) for value in values]
    return tuple(layer.compute_output_shape(shapes[0] if len(shapes) == 1 else shapes)[1:])


def _answer(graph: Graph, logits: Value) -> None:
    """From logits [members, n, 2] to the probabilities of the second class, the non-responders."""
    answers = graph.node("Softmax", [logits.name], "answers", axis=-1)
    non_response = graph.tensor("non_response", np.array(1, np.int64))
    chosen = graph.node("Gather", [answers, non_response], "by_member_and_tumour", axis=2)
    graph.node("Transpose", [chosen], OUTPUT, perm=[1, 0])
