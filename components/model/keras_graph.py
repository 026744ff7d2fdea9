"""Goes through the layers of a Keras model in the order in which they are computed.

Nested models are entered, and a layer that is used twice is visited twice.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from components.model.keras_backend import keras

Value = TypeVar("Value")
#: Computes the values of a layer, given the layer, the stem of its weights' names, and the values of its inputs.
Visit = Callable[[Any, str, list[Value]], Value]


def walk(model: Any, visit: Visit[Value], *inputs: Value) -> Value:
    """What ``visit`` returns for the last layer of a Sequential or functional model.

    Parameters
    ----------
    model
        A Keras model with one output.
    visit
        Called with each layer, the stem of its weights' names as in ``Network.weights`` (``block_1_conv_2``), and what
        it returned for the layers before.
    inputs
        The values of the model's inputs.
    """
    return _walk(model, visit, list(inputs), ())


def _walk(model: Any, visit: Visit[Value], inputs: list[Value], path: tuple[str, ...]) -> Value:
    def enter(layer: Any, *given: Any, **_options: Any) -> Value:
        values: list[Value] = keras.tree.flatten(given)
        if hasattr(layer, "layers"):
            return _walk(layer, visit, values, (*path, layer.name))
        return visit(layer, "_".join((*path, layer.name)), values)

    functional = model if hasattr(model, "_run_through_graph") else model._functional
    outputs = functional._run_through_graph(inputs, call_fn=enter)
    (output,) = keras.tree.flatten(outputs)
    return cast(Value, output)
