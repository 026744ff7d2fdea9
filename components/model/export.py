"""The members of an ensemble as one ONNX graph: one call, all answers, no TensorFlow.

The members see the same image, so their first convolutions become one with members x f1 filters; the second
is one grouped convolution and the dense layers are batched matrix products.

    crop_hu [n,151,151] -> window to [0,1] -> conv_1 -> ReLU -> pool_1 -> conv_2 -> ReLU -> pool_2
        -> [members,n,f2*h*w] -> dense_1 -> ReLU -> dense_2 -> ReLU -> output -> softmax -> probabilities [n,members]
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.model.network import window_scale

Weights = Mapping[str, NDArray[np.float32]]

#: Graph format that the oldest supported runtime reads; raised only with the bundle's version.
OPSET = 17
IR_VERSION = 9

INPUT = "crop_hu"
OUTPUT = "probabilities"


def ensemble_graph(weights: Sequence[Weights], settings: TrainSettings) -> onnx.ModelProto:
    """One graph that answers for all members.

    Parameters
    ----------
    weights
        Per member: name to array as ``components.model.network`` names them; convolution kernels HWIO, dense
        kernels [in, out] with the input flattened in HWC order.
    settings
        The network's sizes and its window in HU.

    Returns
    -------
    onnx.ModelProto
        Input ``crop_hu`` [n, 151, 151] float32 in HU, output ``probabilities`` [n, members] float32:
        each member's probability of non-response.
    """
    tensors = _constants(weights, settings) | _convolutions(weights) | _dense(weights, settings)
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
    pool_1, pool_2 = [settings.pool_1] * 2, [settings.pool_2] * 2
    nodes = [
        node("Mul", [INPUT, "window_slope"], ["sloped"]),
        node("Add", ["sloped", "window_intercept"], ["scaled"]),
        node("Clip", ["scaled", "zero", "one"], ["windowed"]),
        node("Unsqueeze", ["windowed", "channel_axis"], ["image"]),
        node("Conv", ["image", "conv_1_kernel", "conv_1_bias"], ["conv_1"]),
        node("Relu", ["conv_1"], ["relu_1"]),
        node("MaxPool", ["relu_1"], ["pool_1"], kernel_shape=pool_1, strides=pool_1),
        node("Conv", ["pool_1", "conv_2_kernel", "conv_2_bias"], ["conv_2"], group=members),
        node("Relu", ["conv_2"], ["relu_2"]),
        node("MaxPool", ["relu_2"], ["pool_2"], kernel_shape=pool_2, strides=pool_2),
        node("Reshape", ["pool_2", "by_member"], ["flat"]),
        node("Transpose", ["flat"], ["hidden_0"], perm=[1, 0, 2]),
    ]
    for layer, name in enumerate(("dense_1", "dense_2", "output")):
        nodes += [
            node("MatMul", [f"hidden_{layer}", f"{name}_kernel"], [f"{name}_product"]),
            node("Add", [f"{name}_product", f"{name}_bias"], [f"{name}_sum"]),
        ]
        if name != "output":
            nodes.append(node("Relu", [f"{name}_sum"], [f"hidden_{layer + 1}"]))
    return [
        *nodes,
        node("Softmax", ["output_sum"], ["answers"], axis=-1),
        node("Gather", ["answers", "non_response"], ["by_member_and_tumour"], axis=2),
        node("Transpose", ["by_member_and_tumour"], [OUTPUT], perm=[1, 0]),
    ]


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


def _convolutions(weights: Sequence[Weights]) -> dict[str, NDArray[np.generic]]:
    """Kernels HWIO -> OIHW, the members' filters one after the other."""
    return {
        f"{layer}_{part}": np.ascontiguousarray(
            np.concatenate([w[f"{layer}_{part}"].transpose(axes) if axes else w[f"{layer}_{part}"] for w in weights])
        )
        for layer in ("conv_1", "conv_2")
        for part, axes in (("kernel", (3, 2, 0, 1)), ("bias", ()))
    }


def _dense(weights: Sequence[Weights], settings: TrainSettings) -> dict[str, NDArray[np.generic]]:
    """Kernels [members, in, out] with the first one's rows in the graph's CHW order, biases [members, 1, out]."""
    channels = settings.filters_2

    def by_channel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
        return kernel.reshape(-1, channels, kernel.shape[1]).transpose(1, 0, 2).reshape(kernel.shape)

    tensors: dict[str, NDArray[np.generic]] = {
        "dense_1_kernel": np.stack([by_channel(w["dense_1_kernel"]) for w in weights])
    }
    for name in ("dense_2", "output"):
        tensors[f"{name}_kernel"] = np.stack([w[f"{name}_kernel"] for w in weights])
    for name in ("dense_1", "dense_2", "output"):
        tensors[f"{name}_bias"] = np.stack([w[f"{name}_bias"] for w in weights])[:, np.newaxis]
    return tensors
