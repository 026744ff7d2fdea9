"""The layers that can be exported: what ``export`` calls for each, and what ``keras_network`` knows of them."""

from collections.abc import Callable

from components.model import onnx_layers, onnx_merging
from components.model.onnx_activations import LAYERS as ACTIVATIONS
from components.model.onnx_graph import Value

#: By their class in ``keras.layers``.
LAYERS: dict[str, Callable[..., Value]] = {
    "Conv2D": onnx_layers.conv_2d,
    "DepthwiseConv2D": onnx_layers.depthwise_conv_2d,
    "SeparableConv2D": onnx_layers.separable_conv_2d,
    "Dense": onnx_layers.dense,
    "ZeroPadding2D": onnx_layers.zero_padding_2d,
    "MaxPooling2D": onnx_layers.max_pooling_2d,
    "AveragePooling2D": onnx_layers.average_pooling_2d,
    "GlobalMaxPooling2D": onnx_layers.global_max_pooling_2d,
    "GlobalAveragePooling2D": onnx_layers.global_average_pooling_2d,
    "GroupNormalization": onnx_layers.group_normalization,
    "LayerNormalization": onnx_layers.layer_normalization,
    "Add": onnx_merging.merged(onnx_merging.operator("Add")),
    "Subtract": onnx_merging.merged(onnx_merging.operator("Sub")),
    "Multiply": onnx_merging.merged(onnx_merging.operator("Mul")),
    "Maximum": onnx_merging.merged(onnx_merging.larger),
    "Minimum": onnx_merging.merged(onnx_merging.smaller),
    "Average": onnx_merging.average,
    "Concatenate": onnx_merging.concatenate,
    "Flatten": onnx_merging.flatten,
    "Reshape": onnx_merging.reshape,
    "Rescaling": onnx_merging.rescaling,
    "Dropout": onnx_merging.unchanged,
    "SpatialDropout2D": onnx_merging.unchanged,
    "Identity": onnx_merging.unchanged,
    **ACTIVATIONS,
}
