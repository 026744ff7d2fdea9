"""Layers with kernels, poolings and normalisations as ONNX nodes, for all members at once."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.model.onnx_activations import activated
from components.model.onnx_call import Call
from components.model.onnx_graph import Value

Kernels = list[NDArray[np.float32]]


def conv_2d(call: Call, value: Value) -> Value:
    """``Conv2D``; its kernel [height, width, in, out] becomes [out, in, height, width]."""
    kernels = [kernel.transpose(3, 2, 0, 1) for kernel in call.weights("kernel")]
    return activated(call, _convolved(call, value, "kernel", kernels, call.layer.groups, bias=call.layer.use_bias))


def depthwise_conv_2d(call: Call, value: Value) -> Value:
    """``DepthwiseConv2D``, a convolution of as many groups as channels."""
    return activated(call, _depthwise(call, value, "kernel", bias=call.layer.use_bias))


def separable_conv_2d(call: Call, value: Value) -> Value:
    """``SeparableConv2D``: a depthwise convolution, then one of single pixels."""
    between = _depthwise(call, value, "depthwise_kernel", bias=False)
    return activated(call, _pointwise(call, between, "pointwise_kernel", call.layer.use_bias))


def dense(call: Call, value: Value) -> Value:
    """``Dense``: a batched product of features, or a convolution of single pixels of maps."""
    if value.is_map:
        return activated(call, _pointwise(call, value, "kernel", call.layer.use_bias))
    kernels = call.weights("kernel")
    name = call.node("MatMul", value.name, call.tensor("kernel", [kernel[np.newaxis] for kernel in kernels]))
    if call.layer.use_bias:
        name = call.node("Add", name, call.tensor("bias", [bias.reshape(1, 1, -1) for bias in call.weights("bias")]))
    return activated(call, Value(name, (kernels[0].shape[-1],), len(kernels)))


def zero_padding_2d(call: Call, value: Value) -> Value:
    """``ZeroPadding2D``: each channel convolved with a kernel of one pixel that is 1, since a convolution can pad."""
    _require_maps(call, value)
    (top, bottom), (left, right) = call.layer.padding
    channels = value.lanes * value.channels
    ones = call.graph.tensor(f"ones/{channels}x1x1x1", np.ones((channels, 1, 1, 1), np.float32))
    name = call.node("Conv", value.name, ones, group=channels, pads=[top, left, bottom, right])
    height, width, _ = value.shape
    return Value(name, (height + top + bottom, width + left + right, value.channels), value.lanes)


def max_pooling_2d(call: Call, value: Value) -> Value:
    """``MaxPooling2D``."""
    return _pooled(call, value, "MaxPool")


def average_pooling_2d(call: Call, value: Value) -> Value:
    """``AveragePooling2D``, which leaves padding out of the average, as ONNX does by default."""
    return _pooled(call, value, "AveragePool")


def global_average_pooling_2d(call: Call, value: Value) -> Value:
    """``GlobalAveragePooling2D``."""
    return _global(call, value, "ReduceMean")


def global_max_pooling_2d(call: Call, value: Value) -> Value:
    """``GlobalMaxPooling2D``."""
    return _global(call, value, "ReduceMax")


def group_normalization(call: Call, value: Value) -> Value:
    """``GroupNormalization`` of channels."""
    call.require(call.layer.axis in (-1, len(value.shape)), "groups along another axis than the last")
    return _scaled(call, _normalised(call, value, call.layer.groups))


def layer_normalization(call: Call, value: Value) -> Value:
    """``LayerNormalization`` over all values of an image, or over the channels of each pixel."""
    call.require(not getattr(call.layer, "rms_scaling", False), "rms_scaling")
    given = call.layer.axis
    rank = len(value.shape)
    axes = sorted(axis % (rank + 1) for axis in ([given] if isinstance(given, int) else given))
    if axes == list(range(1, rank + 1)):
        return _scaled(call, _normalised(call, value, 1))
    call.require(axes == [rank], "axes that are neither all nor the last")
    return _scaled(call, _normalised_by_pixel(call, value))


def _convolved(
    call: Call, value: Value, name: str, kernels: Kernels, groups: int, *, bias: bool, pointwise: bool = False
) -> Value:
    """A convolution by kernels [out, in, height, width]; of one with groups, a shared value is repeated first."""
    _require_maps(call, value)
    if groups > 1:
        value = call.graph.spread(value)
    filters, _, *sides = kernels[0].shape
    steps, dilations, same = ([1, 1], [1, 1], False) if pointwise else _window(call)
    spans = [(side - 1) * dilation + 1 for side, dilation in zip(sides, dilations, strict=True)]
    height, width, pads = _placed(value.shape, spans, steps, same)
    tensors = [call.tensor(name, kernels), *([call.tensor("bias", call.weights("bias"))] if bias else [])]
    group = value.lanes * groups
    given = {"strides": steps, "dilations": dilations, "pads": pads, "group": group}
    defaults = {"strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4, "group": 1}
    options = {key: option for key, option in given.items() if option != defaults[key]}
    output = call.node("Conv", value.name, *tensors, **options)
    return Value(output, (height, width, filters), len(kernels))


def _depthwise(call: Call, value: Value, name: str, *, bias: bool) -> Value:
    kernels = [kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2]) for kernel in call.weights(name)]
    return _convolved(call, value, name, kernels, value.channels, bias=bias)


def _pointwise(call: Call, value: Value, name: str, bias: bool) -> Value:
    """A product over the channels of each pixel."""
    kernels = [kernel.reshape(kernel.shape[-2:]).T[..., np.newaxis, np.newaxis] for kernel in call.weights(name)]
    return _convolved(call, value, name, kernels, 1, bias=bias, pointwise=True)


def _window(call: Call) -> tuple[list[int], list[int], bool]:
    """Strides, dilations, and whether the padding is ``same``."""
    layer = call.layer
    call.require(layer.data_format == "channels_last", f"the data format {layer.data_format}")
    call.require(layer.padding in ("valid", "same"), f"the padding {layer.padding}")
    return list(layer.strides), list(getattr(layer, "dilation_rate", (1, 1))), layer.padding == "same"


def _placed(shape: Sequence[int], spans: Sequence[int], steps: Sequence[int], same: bool) -> tuple[int, int, list[int]]:
    """Output height and width, and the padding [top, left, bottom, right]; of an odd number, the end gets one more."""
    if not same:
        height, width = ((side - span) // step + 1 for side, span, step in zip(shape, spans, steps, strict=False))
        return height, width, [0] * 4
    height, width = (math.ceil(side / step) for side, step in zip(shape, steps, strict=False))
    whole = [
        max(0, (out - 1) * step + span - side)
        for out, step, span, side in zip((height, width), steps, spans, shape, strict=False)
    ]
    before = [amount // 2 for amount in whole]
    return height, width, [*before, whole[0] - before[0], whole[1] - before[1]]


def _pooled(call: Call, value: Value, operator: str) -> Value:
    _require_maps(call, value)
    steps, _, same = _window(call)
    sides = list(call.layer.pool_size)
    height, width, pads = _placed(value.shape, sides, steps, same)
    padding = {"pads": pads} if any(pads) else {}
    name = call.node(operator, value.name, kernel_shape=sides, strides=steps, **padding)
    return Value(name, (height, width, value.channels), value.lanes)


def _global(call: Call, value: Value, operator: str) -> Value:
    _require_maps(call, value)
    call.require(call.layer.data_format == "channels_last", f"the data format {call.layer.data_format}")
    pooled = Value(call.node(operator, value.name, axes=[2, 3]), (1, 1, value.channels), value.lanes)
    return pooled if call.layer.keepdims else call.graph.flat(pooled, f"{call.stem}/flat")


def _normalised(call: Call, value: Value, groups: int) -> Value:
    """The values of each image and group of channels, with mean 0 and variance 1."""
    height, width, channels = value.shape if value.is_map else (1, 1, value.channels)
    rows = value.lanes * groups if value.is_map else groups
    ones, zeros = (
        call.graph.tensor(f"{name}/{rows}", np.full(rows, number, np.float32))
        for name, number in (("ones", 1), ("zeros", 0))
    )
    grouped = call.reshape(value.name, -1, rows, height * width * channels // groups)
    name = call.node("InstanceNormalization", grouped, ones, zeros, epsilon=float(call.layer.epsilon))
    sides = (-1, value.lanes * channels, height, width) if value.is_map else (value.lanes, -1, channels)
    return dataclasses.replace(value, name=call.reshape(name, *sides))


def _normalised_by_pixel(call: Call, value: Value) -> Value:
    """Maps of which the channels of each pixel have mean 0 and variance 1."""
    height, width, channels = value.shape
    pixels = call.reshape(value.name, -1, channels, height, width)
    centred = call.node("Sub", pixels, call.node("ReduceMean", pixels, axes=[1]))
    variance = call.node("ReduceMean", call.node("Mul", centred, centred), axes=[1])
    deviation = call.node("Sqrt", call.node("Add", variance, call.graph.number(float(call.layer.epsilon))))
    name = call.reshape(call.node("Div", centred, deviation), -1, value.lanes * channels, height, width)
    return dataclasses.replace(value, name=name)


def _scaled(call: Call, value: Value) -> Value:
    """Multiplied by the layer's ``gamma`` and shifted by its ``beta``, where it has them."""
    for operator, name, has in (("Mul", "gamma", call.layer.scale), ("Add", "beta", call.layer.center)):
        if has:
            value = call.graph.spread(value)
            value = call.same(value, operator, call.parameter(name, value))
    return value


def _require_maps(call: Call, value: Value) -> None:
    call.require(value.is_map, f"an input of the shape {value.shape}")
