"""Layers that combine or reshape values as ONNX nodes, for all members at once."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from components.model.onnx_call import Call
from components.model.onnx_graph import Value

Operation = Callable[[Call, str, str], str]


def merged(operation: Operation) -> Callable[..., Value]:
    """A layer that combines its inputs, element by element, from left to right."""
    return lambda call, *values: functools.reduce(lambda left, right: _pair(call, operation, left, right), values)


def operator(name: str) -> Operation:
    """The operation of one ONNX operator."""
    return lambda call, left, right: call.node(name, left, right)


def larger(call: Call, left: str, right: str) -> str:
    """The larger of two values."""
    return call.node("Add", left, call.node("Relu", call.node("Sub", right, left)))


def smaller(call: Call, left: str, right: str) -> str:
    """The smaller of two values."""
    return call.node("Sub", left, call.node("Relu", call.node("Sub", left, right)))


def average(call: Call, *values: Value) -> Value:
    """``Average``."""
    return call.same(merged(operator("Add"))(call, *values), "Mul", call.graph.number(1 / len(values)))


def _pair(call: Call, operation: Operation, left: Value, right: Value) -> Value:
    """Two values combined; sides of 1 are repeated, as are values that members share."""
    call.require(len(left.shape) == len(right.shape), f"inputs of the shapes {left.shape} and {right.shape}")
    shape = np.broadcast_shapes(left.shape, right.shape)
    lanes = max(left.lanes, right.lanes)
    if not left.is_map or (left.lanes, left.channels) == (right.lanes, right.channels):
        return Value(operation(call, left.name, right.name), shape, lanes)
    name = operation(call, _by_member(call, left), _by_member(call, right))
    height, width, channels = shape
    return Value(call.reshape(name, -1, lanes * channels, height, width), shape, lanes)


def _by_member(call: Call, value: Value) -> str:
    """Maps with an axis for members: [n, members, channels, height, width]."""
    height, width, channels = value.shape
    return call.reshape(value.name, -1, value.lanes, channels, height, width)


def concatenate(call: Call, *values: Value) -> Value:
    """``Concatenate`` along any axis."""
    lanes = max(value.lanes for value in values)
    values = tuple(call.graph.spread(value) if value.lanes < lanes else value for value in values)
    rank = len(values[0].shape)
    axis = call.layer.axis % (rank + 1) - 1
    sides = list(values[0].shape)
    sides[axis] = sum(value.shape[axis] for value in values)
    if not values[0].is_map:
        return Value(call.node("Concat", *(value.name for value in values), axis=2), tuple(sides), lanes)
    joined = call.node("Concat", *(_by_member(call, value) for value in values), axis=[3, 4, 2][axis])
    height, width, channels = sides
    return Value(call.reshape(joined, -1, lanes * channels, height, width), tuple(sides), lanes)


def flatten(call: Call, value: Value) -> Value:
    """``Flatten``."""
    return call.graph.flat(value, f"{call.stem}/flat")


def reshape(call: Call, value: Value) -> Value:
    """``Reshape`` to features or maps."""
    shape = tuple(call.layer.compute_output_shape((None, *value.shape))[1:])
    call.require(len(shape) in (1, 3), f"the shape {shape}; one or three sides can be")
    features = flatten(call, value)
    return features if len(shape) == 1 else call.graph.maps(features, shape, f"{call.stem}/maps")


def rescaling(call: Call, value: Value) -> Value:
    """``Rescaling`` by numbers."""
    scale, offset = (np.asarray(number) for number in (call.layer.scale, call.layer.offset))
    call.require(not scale.ndim and not offset.ndim, "a scale or an offset that is not one number")
    scaled = call.same(value, "Mul", call.graph.number(float(scale)))
    return call.same(scaled, "Add", call.graph.number(float(offset)))


def unchanged(_call: Call, value: Value) -> Value:
    """A layer that does nothing outside training."""
    return dataclasses.replace(value)
