"""The exported graph computes what Keras computes, whatever the layers; what cannot be exported is named."""

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from components.common.settings import TrainSettings
from components.model import export
from components.model.export import ensemble_graph
from components.model.graph_check import measure_graph
from components.model.keras_backend import keras
from components.model.keras_network import describe
from components.model.manifest import INPUT
from components.model.network import window_scale
from components.model.onnx_parts import PART_BYTES
from tests.components.networks import drawn_weights, network_of, reference_probabilities, stacked

layers = keras.layers
WINDOW = window_scale(TrainSettings())
#: All layers of these small networks for all members at once; some for one member at a time; all of them.
PARTS = (PART_BYTES, 2000, 1)
#: Normalisation divides by deviations that Keras computes as a difference of float32 sums.
NORMALISED = 6e-6


def crops(count=2, seed=3):
    return np.random.default_rng(seed).normal(40, 50, (count, 151, 151)).astype(np.float32)


def assert_answers_as_keras(network, members=2, tolerance=2e-6):
    rng = np.random.default_rng(11)
    weights = [drawn_weights(network, rng) for _ in range(members)]
    given = crops()
    expected = np.stack([reference_probabilities(one, given, network) for one in weights], axis=1)
    for part_bytes in PARTS:
        graph = ensemble_graph(network, weights, WINDOW, part_bytes).SerializeToString()
        assert measure_graph({"members": members}, [graph])[0]["memory"] > 0
        answers = onnxruntime.InferenceSession(graph).run(None, {INPUT: given})[0]
        np.testing.assert_allclose(answers, expected, atol=tolerance)
    assert members == 1 or np.ptp(expected) > 1e-4  # the members must differ for a mixed-up one to be seen


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("network", ["cha2018", "residual"])
def test_built_in_networks(network, members):
    assert_answers_as_keras(network_of(network), members)


SMALLER = functools.partial(layers.AveragePooling2D, 15)


def tail(name="head"):
    return [layers.GlobalAveragePooling2D(name=name)]


#: One layer of a kind, between a small convolution and the last layer; each is made anew, since names are the model's.
LAYERS = {
    "a convolution": lambda: [layers.Conv2D(4, 3, name="a")],
    "padded": lambda: [layers.Conv2D(4, (3, 2), padding="same", name="a")],
    "of uneven strides": lambda: [layers.Conv2D(4, 3, strides=(2, 3), padding="same", use_bias=False, name="a")],
    "dilated": lambda: [layers.Conv2D(4, 3, dilation_rate=(1, 2), padding="same", name="a")],
    "grouped": lambda: [layers.Conv2D(6, 3, groups=3, name="a")],
    "depthwise": lambda: [layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same", name="a")],
    "separable": lambda: [layers.SeparableConv2D(5, 3, depth_multiplier=2, activation="relu", name="a")],
    "a product of pixels": lambda: [layers.Dense(4, activation="tanh", name="a")],
    "zeros around": lambda: [layers.ZeroPadding2D(((1, 2), (0, 3))), layers.Conv2D(4, 3, name="a")],
    "overlapping pools": lambda: [layers.MaxPooling2D(3, strides=2)],
    "padded pools": lambda: [layers.MaxPooling2D((2, 3), padding="same")],
    "averages": lambda: [layers.AveragePooling2D(3, strides=2)],
    "padded averages": lambda: [layers.AveragePooling2D(4, padding="same")],
    "normalised by groups": lambda: [layers.GroupNormalization(3, name="a")],
    "normalised by channels": lambda: [layers.GroupNormalization(-1, name="a"), layers.ReLU()],
    "normalised in all": lambda: [layers.GroupNormalization(1, center=False, name="a"), layers.ReLU()],
    "normalised unscaled": lambda: [layers.GroupNormalization(2, scale=False, epsilon=0.1, name="a")],
    "normalised by pixel": lambda: [layers.LayerNormalization(name="a")],
    "normalised as layer": lambda: [layers.LayerNormalization(axis=[1, 2, 3], name="a"), layers.ReLU()],
    "softmax of channels": lambda: [layers.Softmax()],
    "dropped out": lambda: [layers.SpatialDropout2D(0.5), layers.Identity()],
    "slopes": lambda: [layers.PReLU(shared_axes=[1, 2], name="a", alpha_initializer="ones")],
    "slopes of each pixel": lambda: [layers.PReLU(name="a")],
    "clipped": lambda: [layers.ReLU(max_value=0.5)],
    "clipped with slope": lambda: [layers.ReLU(max_value=0.2, negative_slope=0.3)],
    "leaky": lambda: [layers.LeakyReLU(0.2)],
    "exponential": lambda: [layers.ELU(0.7)],
    "a layer as activation": lambda: [layers.Conv2D(3, 2, activation=layers.LeakyReLU(0.1), name="a")],
    "rescaled": lambda: [layers.Rescaling(3.0, -0.2)],
    "flattened": lambda: [layers.Flatten(), layers.Dense(4, name="a")],
    "reshaped": lambda: [layers.Reshape((-1,)), layers.Reshape((4, -1, 1)), layers.Conv2D(2, 3, name="a")],
    "reshaped maps": lambda: [layers.Reshape((4, -1, 2)), layers.Conv2D(2, 3, groups=2, name="a")],
    "maxima": lambda: [layers.GlobalMaxPooling2D(keepdims=True), layers.Conv2D(3, 1, name="a")],
    "averages kept": lambda: [layers.GlobalAveragePooling2D(keepdims=True)],
}


@pytest.mark.parametrize("kind", LAYERS)
def test_each_kind_of_layer_of_the_members_own_maps(kind):
    head = [layers.GlobalMaxPooling2D(name="head")] if kind != "flattened" else []
    first = layers.Conv2D(6, 3, activation="elu", name="first")
    network = stacked(SMALLER(), layers.Rescaling(4.0, -1.0), first, *LAYERS[kind](), *head)
    assert_answers_as_keras(network, tolerance=NORMALISED if "normalised" in kind else 2e-6)


#: Those that treat a shared value in another way, or have weights.
OF_ONE_CHANNEL = [
    *("padded", "depthwise", "separable", "a product of pixels", "zeros around", "padded pools", "normalised in all"),
    *("normalised by channels", "normalised by pixel", "normalised as layer", "slopes", "flattened", "maxima"),
]


@pytest.mark.parametrize("kind", OF_ONE_CHANNEL)
def test_each_kind_of_layer_of_the_image_that_members_share(kind):
    head = [layers.Flatten(name="head")] if kind != "flattened" else []
    network = stacked(SMALLER(), layers.Rescaling(4.0, -1.0), *LAYERS[kind](), *head)
    assert_answers_as_keras(network, tolerance=NORMALISED if "normalised" in kind else 2e-6)


ACTIVATIONS = [
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "hard_sigmoid", "tanh", "softplus", "silu"),
    *("hard_silu", "mish", "softmax", "swish"),
]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_of_maps_and_of_features(activation):
    maps = [SMALLER(), layers.Conv2D(5, 3, activation=activation, name="c"), layers.Flatten()]
    assert_answers_as_keras(stacked(*maps, layers.Dense(6, name="d"), layers.Activation(activation)))


@pytest.mark.parametrize("normalise", [layers.LayerNormalization, lambda **name: layers.GroupNormalization(2, **name)])
def test_normalised_features(normalise):
    dense = layers.Dense(6, name="d")
    network = stacked(SMALLER(), layers.Flatten(), dense, normalise(name="n"), layers.Dropout(0.5))
    assert_answers_as_keras(network, tolerance=NORMALISED)


def functional(function):
    keras.utils.clear_session(free_memory=False)
    with keras.StatelessScope(initialize_variables=False):
        image = keras.Input((151, 151, 1), name="image")
        value = function(SMALLER()(image), layers.Conv2D(4, 3, padding="same", activation="tanh", name="first"))
        value = layers.GlobalMaxPooling2D()(value) if len(value.shape) == 4 else value
        model = keras.Model(image, layers.Dense(2, name="output")(value))
    network = describe("tests:functional", {}, model)
    keras.utils.clear_session(free_memory=False)
    return network


MERGING = [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]


@pytest.mark.parametrize("merge", MERGING)
def test_merging_of_what_is_shared_and_what_is_not(merge):
    two = merge in (layers.Subtract,)

    def shared(image, first):
        return merge()([first(image), image] if two else [image, first(image), image])

    def own(image, first):
        maps = first(image)
        other = layers.Conv2D(4, 5, padding="same", name="other")(image)
        weight = layers.Dense(4, activation="sigmoid", name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(maps))
        place = layers.Conv2D(1, 1, activation="sigmoid", name="place")(maps)
        return merge()([merge()([merge()([maps, other]), weight]), place])

    for network in (shared, own):
        assert_answers_as_keras(functional(network))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenation(axis):
    def network(image, first):
        one = first(image)
        image = layers.Concatenate()([image] * 4)
        joined = layers.Concatenate(axis=axis)([one, image, layers.Conv2D(4, 1, name="other")(one)])
        return layers.Conv2D(3, 3, name="last")(joined)

    assert_answers_as_keras(functional(network))


def test_concatenated_features():
    def network(image, first):
        flat = layers.Flatten()(image)
        pooled = layers.GlobalAveragePooling2D()(first(image))
        return layers.Concatenate()([pooled, layers.Dense(3, name="d")(flat), flat])

    assert_answers_as_keras(functional(network))


def test_layers_that_are_used_twice_and_models_in_models():
    def network(image, first):
        inner = keras.Input((10, 10, 4))
        block = layers.Add()([layers.Conv2D(4, 3, padding="same", name="c")(inner), inner])
        model = keras.Model(inner, block, name="block")
        stack = keras.Sequential([keras.Input((10, 10, 4)), layers.Conv2D(4, 1, name="c")], name="stack")
        return stack(model(model(first(image))))

    network = functional(network)
    assert "block_c_kernel" in network.shapes
    assert_answers_as_keras(network)


#: Those after which there are still maps of some size.
CHAINED = [kind for kind in LAYERS if not kind.startswith(("reshaped", "flattened", "maxima", "slopes of"))]


@settings(max_examples=6)
@given(kinds=st.lists(st.sampled_from(CHAINED), min_size=1, max_size=4), members=st.integers(1, 3))
def test_layers_in_any_order(kinds, members):
    keras.utils.clear_session(free_memory=False)
    stack = [layers.Conv2D(6, 3, padding="same", activation="tanh", name="first")]
    for number, kind in enumerate(kinds):
        stack += [layers.Conv2D(6, 1, name=f"between_{number}")]
        for layer in LAYERS[kind]():
            config = layer.get_config() | {"name": f"layer_{number}_{len(stack)}"}
            stack.append(type(layer).from_config(config))
    stack = [layers.AveragePooling2D(6), *stack, layers.GlobalMaxPooling2D()]
    try:
        network = stacked(*stack)
    except ValueError:  # nothing of the image is left
        return
    assert_answers_as_keras(network, members, tolerance=2e-5)


def test_members_share_one_first_convolution():
    network = network_of()
    rng = np.random.default_rng(1)
    graph = ensemble_graph(network, [drawn_weights(network, rng) for _ in range(3)], WINDOW).graph
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    assert shapes["conv_1_kernel"] == (24, 1, 7, 7)
    groups = [
        onnx.helper.get_attribute_value(attribute)
        for node in graph.node
        for attribute in node.attribute
        if attribute.name == "group"
    ]
    assert groups == [3]


def parted(part_bytes=PART_BYTES, members=10):
    """The nodes of the paper's network as (operator, shape of its kernel)."""
    network = network_of()
    weights = [drawn_weights(network, np.random.default_rng(number)) for number in range(members)]
    graph = ensemble_graph(network, weights, WINDOW, part_bytes).graph
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    return [(node.op_type, shapes.get(node.input[1]) if len(node.input) > 1 else None) for node in graph.node]


def test_large_maps_are_pooled_before_those_of_the_next_members_are_made():
    first = [("Conv", (64, 1, 7, 7)), ("Relu", None), ("MaxPool", None)]
    last = [("Conv", (16, 1, 7, 7)), ("Relu", None), ("MaxPool", None)]
    nodes = parted(members=18)
    begin = nodes.index(first[0])
    joined = ("Concat", None)
    assert nodes[begin : begin + 11] == [*first, *first, *last, joined, ("Conv", (288, 8, 5, 5))]
    assert [kind for kind, _ in nodes[begin + 11 :]].count("Conv") == 0


def test_a_part_has_as_many_members_as_have_so_many_bytes_of_maps():
    """Each member's first maps are 8 of 145 x 145 float32; four members have the 32 that are computed together."""
    bytes_of_one = 8 * 145 * 145 * 4
    for part_bytes, sizes in (
        (bytes_of_one, [1] * 10),
        (4 * bytes_of_one - 1, [3, 3, 3, 1]),
        (4 * bytes_of_one, [4, 4, 2]),
        (8 * bytes_of_one, [8, 2]),
        (10 * bytes_of_one - 1, [8, 2]),
        (10 * bytes_of_one, [10]),
    ):
        kernels = [shape for kind, shape in parted(part_bytes) if kind == "Conv"][:-1]
        assert kernels == [(8 * size, 1, 7, 7) for size in sizes]


def test_a_graph_that_would_have_too_many_nodes_is_written_for_all_members_at_once(monkeypatch):
    at_once, by_parts = parted(np.inf), parted()
    monkeypatch.setattr(export, "MAX_GRAPH_NODES", len(by_parts))
    assert parted() == by_parts
    monkeypatch.setattr(export, "MAX_GRAPH_NODES", len(by_parts) - 1)
    assert parted() == at_once


def test_what_members_share_is_computed_once():
    network = stacked(layers.MaxPooling2D(2), layers.Conv2D(2, 3, name="a"), layers.GlobalAveragePooling2D())
    members = [drawn_weights(network, np.random.default_rng(number)) for number in range(3)]
    kinds = [node.op_type for node in ensemble_graph(network, members, WINDOW, 1).graph.node]
    assert (kinds.count("MaxPool"), kinds.count("Conv")) == (1, 3)


def test_all_that_cannot_be_exported_is_named_at_once():
    with pytest.raises(InputError) as error:
        stacked(layers.UpSampling2D(2, name="up"), layers.Permute((2, 1, 3), name="swapped"), layers.Flatten())
    for line in ("the layer up (UpSampling2D) cannot be exported", "the layer swapped (Permute) cannot be exported"):
        assert line in error.value.safe_message
    assert "GroupNormalization" in error.value.hint
    network = stacked(
        layers.Conv2D(2, 3, activation="gelu", name="smooth"),
        layers.ReLU(threshold=0.5, name="late"),
        layers.GlobalAveragePooling2D(),
    )
    weights = network.initial_weights(np.random.default_rng(1))
    with pytest.raises(InputError) as error:
        ensemble_graph(network, [weights], WINDOW)
    assert error.value.code == "NETWORK_REFUSED"
    message = error.value.safe_message
    for line in (
        "smooth (Conv2D): the activation gelu",
        "late (ReLU): a threshold other than 0",
    ):
        assert line in message
    assert "GroupNormalization" in error.value.hint
    assert "softplus" in error.value.hint


def test_operations_that_are_no_layers_are_refused():
    def network(image, first):
        return first(image) + 1.0

    described = functional(network)
    with pytest.raises(InputError, match=r"an operation Add that is no layer; use keras.layers"):
        ensemble_graph(described, [described.initial_weights(np.random.default_rng(1))], WINDOW)
