"""Activations as ONNX nodes: those that are arguments of other layers, and those that are layers."""

from collections.abc import Callable
from typing import Any

from components.model.keras_backend import keras
from components.model.onnx_call import Call, Unsupported
from components.model.onnx_graph import Value


def activated(call: Call, value: Value, function: Any = None) -> Value:
    """The value after the activation that is an argument of the layer."""
    function = function or call.layer.activation
    layer = LAYERS.get(type(function).__name__)
    if layer is not None and not function.weights:
        return layer(Call(call.graph, function, call.stem), value)
    name = getattr(function, "__name__", type(function).__name__)
    if name not in FUNCTIONS or getattr(keras.activations, name, None) is not function:
        raise Unsupported(f"the activation {name}")
    return FUNCTIONS[name](call, value)


def _relu(call: Call, value: Value) -> Value:
    layer = call.layer
    call.require(layer.threshold == 0, "a threshold other than 0")
    most = [] if layer.max_value is None else [call.graph.number(layer.max_value)]
    if layer.negative_slope:
        value = call.same(value, "LeakyRelu", alpha=float(layer.negative_slope))
        return call.same(value, "Clip", "", *most) if most else value
    return call.same(value, "Clip", call.graph.number(0), *most) if most else call.same(value, "Relu")


def _prelu(call: Call, value: Value) -> Value:
    value = call.graph.spread(value)
    positive = call.same(value, "Relu")
    negative = call.same(value, "Sub", positive.name)
    return call.same(positive, "Add", call.same(negative, "Mul", call.parameter("alpha", value)).name)


def _softmax(call: Call, value: Value) -> Value:
    axis = getattr(call.layer, "axis", -1)
    call.require(axis in (-1, len(value.shape)), "a softmax over another axis than the last")
    if not value.is_map:
        return call.same(value, "Softmax", axis=-1)
    height, width, channels = value.shape
    by_pixel = call.node("Softmax", call.reshape(value.name, -1, channels, height, width), axis=1)
    return Value(call.reshape(by_pixel, -1, value.lanes * channels, height, width), value.shape, value.lanes)


def _hard_sigmoid(call: Call, value: Value) -> Value:
    raised = call.same(value, "Add", call.graph.number(3))
    clipped = call.same(raised, "Clip", call.graph.number(0), call.graph.number(6))
    return call.same(clipped, "Div", call.graph.number(6))


def _selu(call: Call, value: Value) -> Value:
    return call.same(call.same(value, "Elu", alpha=1.6732632423543772), "Mul", call.graph.number(1.0507009873554805))


def _gate(gate: Callable[[Call, Value], Value]) -> Callable[[Call, Value], Value]:
    """The activation that multiplies a value by a function of itself."""
    return lambda call, value: call.same(value, "Mul", gate(call, value).name)


def _operator(name: str, **attributes: float) -> Callable[[Call, Value], Value]:
    return lambda call, value: call.same(value, name, **attributes)


#: Activation functions by their name in ``keras.activations``.
FUNCTIONS: dict[str, Callable[[Call, Value], Value]] = {
    "linear": lambda _call, value: value,
    "relu": _operator("Relu"),
    "relu6": lambda call, value: call.same(value, "Clip", call.graph.number(0), call.graph.number(6)),
    "leaky_relu": _operator("LeakyRelu", alpha=0.2),
    "elu": _operator("Elu", alpha=1.0),
    "selu": _selu,
    "sigmoid": _operator("Sigmoid"),
    "hard_sigmoid": _hard_sigmoid,
    "tanh": _operator("Tanh"),
    "softplus": _operator("Softplus"),
    "silu": _gate(_operator("Sigmoid")),
    "hard_silu": _gate(_hard_sigmoid),
    "mish": _gate(lambda call, value: call.same(call.same(value, "Softplus"), "Tanh")),
    "softmax": _softmax,
}
#: Layers that are activations.
LAYERS: dict[str, Callable[[Call, Value], Value]] = {
    "ReLU": _relu,
    "LeakyReLU": lambda call, value: call.same(value, "LeakyRelu", alpha=float(call.layer.negative_slope)),
    "ELU": lambda call, value: call.same(value, "Elu", alpha=float(call.layer.alpha)),
    "PReLU": _prelu,
    "Softmax": _softmax,
    "Activation": activated,
}
