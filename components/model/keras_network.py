"""Makes a network's description from its Keras model, which it checks first, and makes the Keras model again.

Reading the description needs no Keras; see ``components.model.network``.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.common.errors import InputError
from components.common.settings import IMAGE_SIZE_PX
from components.model.initializers import is_known
from components.model.keras_backend import keras
from components.model.network import Dropout, Network, Weight, Weights
from components.model.onnx_activations import LAYERS as ACTIVATIONS
from components.model.onnx_table import LAYERS

INPUT_SHAPE, OUTPUT_SHAPE = (None, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), (None, 2)
#: The layers that may draw random numbers in training.
DROPOUTS = ("Dropout", "SpatialDropout2D")
#: Layers that pass their values on, perhaps in another order; the input layer is here for models within a model.
PASSING = (*DROPOUTS, "Identity", "Reshape", "Flatten", "InputLayer")
#: Parts of a layer that add to the loss or change weights after a step, which no engine does.
NOT_TRAINED = ("regularizer", "constraint")


def describe(name: str, settings: Mapping[str, Any], model: Any) -> Network:
    """The description of the Keras model that the function ``name`` returned for ``settings``.

    Raises
    ------
    InputError
        ``NETWORK_REFUSED``, with all that keeps the model from being trained or exported.
    """
    problems = list(_problems(model))
    if not problems:
        architecture = json.loads(model.to_json())
        del architecture["compile_config"]
        problems += list(_misused(architecture["config"]["layers"]))
        configs = dict(_configs(architecture["config"]["layers"]))
        weights = tuple(_weight(*place, variable, configs) for place, variable in _variables(model))
        names = [weight.name for weight in weights]
        problems += [f"two of its weights are called {one}" for one in {n for n in names if names.count(n) > 1}]
        problems += [
            f"the initializer {one.initializer['class_name']} of {one.name} is not known; use one of "
            "GlorotUniform, HeNormal, VarianceScaling, RandomNormal, Zeros, Ones ..."
            for one in weights
            if not is_known(one.initializer)
        ]
    if problems:
        page = "docs/how-to.md, `A network of your own`, says what its function must return."
        hint = f"{page} Layers that can be exported: {', '.join(LAYERS)}."
        raise InputError.collected("NETWORK_REFUSED", f"the network {name} is refused:", problems, hint)
    return Network(name, dict(settings), architecture, weights, tuple(_dropouts(model)))


def keras_model(network: Network) -> Any:
    """The Keras model of a description, all weights zero: images [n, 151, 151, 1] in [0, 1] to logits [n, 2]."""
    return model_of(_without_initializers(network.architecture))


def model_of(architecture: Mapping[str, Any]) -> Any:
    """The Keras model of an architecture.

    ``model_from_json`` would build a Sequential anew after each of its layers.
    """
    if architecture["class_name"] != "Sequential":
        return keras.models.model_from_json(json.dumps(architecture))
    config = architecture["config"]
    return keras.Sequential([keras.layers.deserialize(layer) for layer in config["layers"]], name=config["name"])


def _without_initializers(value: Any, key: str = "") -> Any:
    """An architecture whose weights start at zero: JAX would compile a program for each shape that it draws."""
    if key.endswith("_initializer") and value:
        return {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": None}
    if isinstance(value, dict):
        return {name: _without_initializers(part, name) for name, part in value.items()}
    return [_without_initializers(part) for part in value] if isinstance(value, list) else value


def set_weights(model: Any, network: Network, weights: Weights) -> None:
    """Sets a member's weights in a model that ``keras_model`` made."""
    for variable, name in zip(model.trainable_variables, network.shapes, strict=True):
        variable.assign(weights[name])


def leaves(model: Any) -> Iterator[Any]:
    """The layers of a model and of the models in it, in the order in which they were added, without inputs."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from leaves(layer)
        elif type(layer).__name__ != "InputLayer":
            yield layer


def _problems(model: Any) -> Iterator[str]:
    if not isinstance(model, keras.Sequential) and type(model).__name__ != "Functional":
        yield "the function must return a Sequential or a functional Keras model"
        return
    if not model.built:
        yield f"its input is not declared; it must begin with keras.Input(({IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}, 1))"
        return
    if isinstance(model.input_shape, list) or tuple(model.input_shape) != INPUT_SHAPE:
        yield f"its input must be one image, keras.Input(({IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}, 1))"
        return
    if len(model.outputs) > 1:
        yield f"it has {len(model.outputs)} outputs; it must have one, the two logits"
        return
    if isinstance(model.output_shape, list) or tuple(model.output_shape) != OUTPUT_SHAPE:
        shape = model.output_shape[1:]
        yield f"its output must have the shape (2,), the logits of responder and non-responder; it has {shape}"
    last = _last(model.outputs[0])
    if type(last).__name__ in ACTIVATIONS or not _is_linear(last):
        yield "its last layer must be linear: the platform adds the softmax"
    if not model.trainable_variables:
        yield "it has no weights"
    for layer in leaves(model):
        yield from _problems_of(layer)


def _last(value: Any) -> Any:
    """The layer that computes a value, inside the models in it, and before those that only pass it on."""
    operation, node, _ = value._keras_history
    kind, last = type(operation).__name__, operation
    if hasattr(operation, "layers"):
        last = _last(operation.outputs[0])
        kind = type(last).__name__
    given = operation._inbound_nodes[node].input_tensors  # none of an input layer
    passed_on = kind in PASSING or (kind == "Activation" and _is_linear(last))
    return _last(given[0]) if given and passed_on else last


def _is_linear(layer: Any) -> bool:
    return getattr(layer, "activation", keras.activations.linear) is keras.activations.linear


def _problems_of(layer: Any) -> Iterator[str]:
    kind = type(layer).__name__
    if kind == "BatchNormalization":
        yield f"the layer {layer.name} ({kind}) has running averages, which are not trained; {_INSTEAD}"
        return
    if kind not in LAYERS:
        yield f"the layer {layer.name} ({kind}) cannot be exported"
        return
    if layer.compute_dtype != "float32":
        yield f"the layer {layer.name} computes in {layer.compute_dtype}; all must compute in float32"
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        yield f"the layer {layer.name} ({kind}) has channels first; all must have the channels last"
    noise = getattr(layer, "noise_shape", None)
    if noise is not None and (len(noise) != len(layer.input.shape) or noise[0] is not None):
        sides = len(layer.input.shape)
        yield f"the layer {layer.name} ({kind}) must have a noise_shape of {sides} sides, of which the first is None"
    if kind in DROPOUTS and not layer.rate < 1:
        yield f"the layer {layer.name} ({kind}) drops everything"
    if not layer.trainable:
        yield f"the layer {layer.name} ({kind}) has trainable=False; all layers are trained"
    for name, value in vars(layer).items():
        if name.endswith(NOT_TRAINED) and value is not None:
            yield f"the layer {layer.name} has the {name.strip('_')} {value}, which training would ignore"


def _misused(layers: list[dict[str, Any]], *, inside: bool = False) -> Iterator[str]:
    """Problems of how layers are called: dropout more than once would share a mask."""
    for layer in layers:
        twice = inside or len(layer.get("inbound_nodes", ())) > 1
        if twice and layer["class_name"] in DROPOUTS:
            yield f"the layer {layer['config']['name']} is used more than once; use a dropout layer for each place"
        if any(node["kwargs"].get("training") is True for node in layer.get("inbound_nodes", ())):
            yield f"the layer {layer['config']['name']} is called with training=True, which a served network never is"
        yield from _misused(layer["config"].get("layers", []), inside=twice)


_INSTEAD = "use GroupNormalization or LayerNormalization instead"


def _variables(model: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    """Each trainable variable with the path of its layer and its own name, in the order of the model's."""
    places = {id(variable): (path, variable.name) for path, variable in _placed(model, ())}
    for variable in model.trainable_variables:
        path, name = places[id(variable)]
        yield ("/".join(path), name), variable


def _placed(model: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _placed(layer, (*path, layer.name))
        else:
            yield from (((*path, layer.name), variable) for variable in layer.trainable_variables)


def _configs(layers: list[dict[str, Any]], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The class and configuration of each layer, by its path."""
    for layer in layers:
        name = path + layer["config"]["name"]
        if "layers" in layer["config"]:
            yield from _configs(layer["config"]["layers"], f"{name}/")
        else:
            yield name, layer["config"]


def _weight(layer: str, variable_name: str, variable: Any, configs: Mapping[str, dict[str, Any]]) -> Weight:
    config, stem = configs[layer], variable_name.removesuffix("_kernel")
    keys = (f"{variable_name}_initializer", f"{stem}_initializer", "depthwise_initializer")
    initializer = next((config[key] for key in keys if key in config), {"class_name": "unknown", "config": {}})
    kept = {"class_name": initializer["class_name"], "config": initializer["config"]}
    return Weight(f"{layer.replace('/', '_')}_{variable_name}", tuple(variable.shape), kept)


def _dropouts(model: Any) -> Iterator[Dropout]:
    for layer in leaves(model):
        if type(layer).__name__ in DROPOUTS and layer.rate:
            shape = tuple(layer.input.shape[1:])
            shared = (1,) * (len(shape) - 1) + shape[-1:] if type(layer).__name__ == "SpatialDropout2D" else shape
            given = getattr(layer, "noise_shape", None)
            if given is not None:
                shared = tuple(side if one is None else one for one, side in zip(given[1:], shape, strict=True))
            yield Dropout(layer.name, layer.rate, shared)
