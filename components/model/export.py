"""Exports the members of an ensemble as one ONNX graph, which answers for all members in one call.

The members see the same image, so their first convolutions become one with members x filters; each later convolution
becomes one grouped convolution, and the fully connected layers become batched matrix products.

    crop_hu [n,151,151] -> window to [0,1] -> each convolution -> ReLU -> pool
        -> [members,n,features] -> each fully connected layer -> ReLU -> softmax -> probabilities [n,members]
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.model.layers import Layer, layers
from components.model.manifest import INPUT, OUTPUT
from components.model.network import window_scale

Weights = Mapping[str, NDArray[np.float32]]

#: Graph format that the oldest supported ONNX Runtime reads; raised only together with the bundle's version.
OPSET = 17
IR_VERSION = 9


def ensemble_graph(weights: Sequence[Weights], settings: TrainSettings) -> onnx.ModelProto:
    """One graph that computes the probabilities of all members.

    Parameters
    ----------
    weights
        For each member, arrays by name as in ``components.model.network``; convolution kernels HWIO, dense kernels
        [in, out] with the input flattened in HWC order.
    settings
        The network's sizes and its window in HU.

    Returns
    -------
    onnx.ModelProto
        Input ``crop_hu`` [n, 151, 151] float32 in HU, output ``probabilities`` [n, members] float32:
        each member's probability of non-response.
    """
    tensors = _constants(weights, settings) | _convolutions(weights, settings) | _dense(weights, settings)
    graph = helper.make_graph(
        _nodes(len(weights), settings),
        "ensemble",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", IMAGE_SIZE_PX, IMAGE_SIZE_PX])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", len(weights)])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="srs-response")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def _nodes(members: int, settings: TrainSettings) -> list[onnx.NodeProto]:
    node = helper.make_node
    nodes = [
        node("Mul", [INPUT, "window_slope"], ["sloped"]),
        node("Add", ["sloped", "window_intercept"], ["scaled"]),
        node("Clip", ["scaled", "zero", "one"], ["windowed"]),
        node("Unsqueeze", ["windowed", "channel_axis"], ["image"]),
    ]
    value = "image"
    convolutions = [layer for layer in layers(settings) if layer.is_convolution]
    for number, layer in enumerate(convolutions, start=1):
        nodes += _convolution(layer, number, value, members)
        value = f"pool_{number}"
    nodes += [
        node("Reshape", [value, "by_member"], ["flat"]),
        node("Transpose", ["flat"], ["hidden_0"], perm=[1, 0, 2]),
    ]
    for number, layer in enumerate(_fully_connected(settings)):
        nodes += _product(layer, number)
    return [
        *nodes,
        node("Softmax", ["output_sum"], ["answers"], axis=-1),
        node("Gather", ["answers", "non_response"], ["by_member_and_tumour"], axis=2),
        node("Transpose", ["by_member_and_tumour"], [OUTPUT], perm=[1, 0]),
    ]


def _convolution(layer: Layer, number: int, value: str, members: int) -> list[onnx.NodeProto]:
    """A convolution of all members: of the same image for the first, and of each member's own maps for later ones."""
    name, relu, pool = layer.name, f"relu_{number}", f"pool_{number}"
    groups = {"group": members} if number > 1 else {}
    sides = {"kernel_shape": [layer.pool] * 2, "strides": [layer.pool] * 2}
    return [
        helper.make_node("Conv", [value, f"{name}_kernel", f"{name}_bias"], [name], **groups),
        helper.make_node("Relu", [name], [relu]),
        helper.make_node("MaxPool", [relu], [pool], **sides),
    ]


def _product(layer: Layer, number: int) -> list[onnx.NodeProto]:
    name = layer.name
    nodes = [
        helper.make_node("MatMul", [f"hidden_{number}", f"{name}_kernel"], [f"{name}_product"]),
        helper.make_node("Add", [f"{name}_product", f"{name}_bias"], [f"{name}_sum"]),
    ]
    return [*nodes, helper.make_node("Relu", [f"{name}_sum"], [f"hidden_{number + 1}"])] if layer.relu else nodes


def _fully_connected(settings: TrainSettings) -> list[Layer]:
    return [layer for layer in layers(settings) if not layer.is_convolution]


def _constants(weights: Sequence[Weights], settings: TrainSettings) -> dict[str, NDArray[np.generic]]:
    slope, intercept = window_scale(settings)
    return {
        "window_slope": np.array(slope, np.float32),
        "window_intercept": np.array(intercept, np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "channel_axis": np.array([1], np.int64),
        "by_member": np.array([0, len(weights), -1], np.int64),
        "non_response": np.array(1, np.int64),
    }


def _convolutions(weights: Sequence[Weights], settings: TrainSettings) -> dict[str, NDArray[np.generic]]:
    """Kernels transposed from HWIO to OIHW, with the members' filters concatenated."""
    return {
        f"{layer.name}_{part}": np.ascontiguousarray(
            np.concatenate([np.transpose(w[f"{layer.name}_{part}"], axes) for w in weights])
        )
        for layer in layers(settings)
        if layer.is_convolution
        for part, axes in (("kernel", (3, 2, 0, 1)), ("bias", (0,)))
    }


def _dense(weights: Sequence[Weights], settings: TrainSettings) -> dict[str, NDArray[np.generic]]:
    """Kernels [members, in, out], the first layer's rows reordered from HWC to CHW, and biases [members, 1, out]."""
    first, *others = (layer.name for layer in _fully_connected(settings))
    channels = next(layer.units for layer in reversed(layers(settings)) if layer.is_convolution)

    def by_channel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
        return kernel.reshape(-1, channels, kernel.shape[1]).transpose(1, 0, 2).reshape(kernel.shape)

    tensors: dict[str, NDArray[np.generic]] = {
        f"{first}_kernel": np.stack([by_channel(w[f"{first}_kernel"]) for w in weights])
    }
    for name in others:
        tensors[f"{name}_kernel"] = np.stack([w[f"{name}_kernel"] for w in weights])
    for name in (first, *others):
        tensors[f"{name}_bias"] = np.stack([w[f"{name}_bias"] for w in weights])[:, np.newaxis]
    return tensors
