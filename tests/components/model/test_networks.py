"""The networks that users can name: built-in ones, and functions of their own."""

import dataclasses
import json
import re

import numpy as np
import pytest

from components.common.errors import BundleError, InputError, SrsError
from components.common.network_settings import NETWORKS
from components.common.settings import StudySettings
from components.model.keras_backend import keras
from components.model.keras_network import describe, keras_model, leaves, set_weights
from components.model.layer_stack import Layer, engine_of, layer_stack
from components.model.network import Network, as_vector
from components.model.networks.building import build_network
from components.model.own_network import check_network, checked_network
from tests.components.networks import NETWORKS as SEQUENCES
from tests.components.networks import network_of

layers = keras.layers


def study(**sections):
    return StudySettings.from_dict(sections)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_built_in_network_can_be_trained_and_exported(name):
    network = checked_network(study(train={"network": name}))
    assert set(network.settings) == {field.name for field in dataclasses.fields(NETWORKS[name])}
    model, weights = keras_model(network), network.initial_weights(np.random.default_rng(1))
    set_weights(model, network, weights)
    logits = np.asarray(model(np.random.default_rng(2).random((3, 151, 151, 1), np.float32)))
    assert logits.shape == (3, 2)
    assert np.isfinite(logits).all()
    assert Network.from_dict(json.loads(json.dumps(network.to_dict()))) == network


def test_the_default_network_is_the_papers():
    network = build_network(StudySettings())
    assert layer_stack(network) == (
        Layer("conv_1", (7, 7, 1, 8), 8, relu=True),
        Layer("conv_2", (5, 5, 8, 16), 3, relu=True, dropout=0),
        Layer("dense_1", (256, 32), relu=True),
        Layer("dense_2", (32, 16), relu=True),
        Layer("output", (16, 2)),
    )
    assert network.dropouts[0].shape == (4, 4, 16)
    assert network.dropouts[0].rate == 0.25


def test_the_residual_network_adds_what_skips_its_blocks():
    model = keras_model(network_of("residual", blocks=2, filters=4))
    kinds = [type(layer).__name__ for layer in leaves(model)]
    assert kinds.count("Add") == 2
    assert kinds.count("GroupNormalization") == kinds.count("Conv2D") - 1  # the convolution of a skip has none
    assert model.get_layer("features").output.shape == (None, 8)


def test_weights_as_a_vector_are_those_of_the_description():
    network = network_of("residual", blocks=1, filters=4)
    weights = network.initial_weights(np.random.default_rng(1))
    vector = as_vector(weights)
    assert vector.shape == (network.size,)
    for name, array in network.views(vector).items():
        np.testing.assert_array_equal(array, weights[name])
    kernels = network.views(network.kernel_mask())
    assert all(mask.all() == name.endswith("kernel") for name, mask in kernels.items())


def test_a_description_does_not_depend_on_what_was_built_before():
    def automatic_names():
        image = keras.Input((151, 151, 1))
        return keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(layers.Conv2D(3, 5)(image))))

    keras.utils.clear_session()
    first = describe("x:y", {}, automatic_names())
    assert list(first.shapes) == ["conv2d_kernel", "conv2d_bias", "dense_kernel", "dense_bias"]
    keras.utils.clear_session()
    assert describe("x:y", {}, automatic_names()) == first


def test_a_layer_used_twice_has_its_weights_once_and_nested_models_prefix_them():
    image, shared = keras.Input((151, 151, 1)), layers.Conv2D(1, 3, padding="same", name="twice")
    inner = keras.Sequential([keras.Input((151, 151, 1)), layers.Conv2D(2, 3, name="first")], name="block")
    features = layers.GlobalAveragePooling2D()(inner(shared(shared(image))))
    network = describe("x:y", {}, keras.Model(image, layers.Dense(2, name="output")(features)))
    assert list(network.shapes) == [
        "twice_kernel", "twice_bias", "block_first_kernel", "block_first_bias", "output_kernel", "output_bias",
    ]  # fmt: skip
    assert [tuple(one.shape) for one in keras_model(network).trainable_variables] == list(network.shapes.values())


def image_to(*stack):
    return keras.Sequential([keras.Input((151, 151, 1)), layers.MaxPooling2D(50), layers.Flatten(), *stack])


def attention():
    """A layer whose dropout draws random numbers: what matters to its user is that it cannot be exported."""
    image = keras.Input((151, 151, 1))
    pixels = layers.Reshape((9, 1))(layers.MaxPooling2D(50)(image))
    attended = layers.MultiHeadAttention(1, 2, dropout=0.1)(pixels, pixels)
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(attended)))


REFUSED = {
    "batch norm": (lambda: image_to(layers.BatchNormalization(), layers.Dense(2)), "batch_normalization.*GroupNorm"),
    "softmax": (lambda: image_to(layers.Dense(2, activation="softmax")), "must be linear"),
    "softmax layer": (lambda: image_to(layers.Dense(2), layers.Softmax()), "must be linear"),
    "outputs": (lambda: image_to(layers.Dense(3)), r"the shape \(2,\).* it has \(3,\)"),
    "input": (lambda: keras.Sequential([keras.Input((64, 64, 1)), layers.Flatten(), layers.Dense(2)]), "one image"),
    "random": (lambda: image_to(layers.GaussianNoise(0.1), layers.Dense(2)), r"\(GaussianNoise\) cannot be exported"),
    "attention": (
        lambda: attention(),
        r"\(MultiHeadAttention\) cannot be exported .*Layers that can be exported: Conv2D, .*Activation",
    ),
    "regularizer": (lambda: image_to(layers.Dense(2, kernel_regularizer="l2")), "kernel_regularizer .* would ignore"),
    "half": (lambda: image_to(layers.Dense(2, dtype="float16")), "float16"),
    "initializer": (lambda: image_to(layers.Dense(2, kernel_initializer="orthogonal")), "Orthogonal"),
    "channels first": (
        lambda: image_to(layers.Reshape((3, 3, 1)), layers.Flatten(data_format="channels_first"), layers.Dense(2)),
        "channels last",
    ),
    "noise": (
        lambda: image_to(layers.Dropout(0.2, noise_shape=(3,)), layers.Dense(2)),
        "noise_shape of 2 sides, of which the first is None",
    ),
    "sigmoid": (lambda: image_to(layers.Dense(2), layers.Activation("sigmoid")), "must be linear"),
    "sigmoid in the layer": (lambda: image_to(layers.Dense(2, activation="sigmoid")), "must be linear"),
    "softmax in a model": (
        lambda: image_to(keras.Sequential([keras.Input((9,)), layers.Dense(2, activation="softmax")])),
        "must be linear",
    ),
    "softmax passed on": (
        lambda: image_to(layers.Dense(2, activation="softmax"), layers.Reshape((2,))),
        "must be linear",
    ),
    "softmax before a model": (
        lambda: image_to(
            layers.Dense(2, activation="softmax"), keras.Sequential([keras.Input((2,)), layers.Identity()])
        ),
        "must be linear",
    ),
    "half-linear": (lambda: image_to(layers.Dense(2), layers.ReLU(), layers.Dropout(0.1)), "must be linear"),
    "drops all": (lambda: image_to(layers.Dropout(1.0), layers.Dense(2)), "drops everything"),
    "no weights": (
        lambda: keras.Sequential([keras.Input((151, 151, 1)), layers.MaxPooling2D((75, 151)), layers.Flatten()]),
        "it has no weights",
    ),
    "not trainable": (lambda: image_to(layers.Dense(3, trainable=False), layers.Dense(2)), "has trainable=False"),
    "no input": (lambda: keras.Sequential([layers.Flatten(), layers.Dense(2)]), "its input is not declared"),
    "no model": (lambda: "a text", "Sequential or a functional"),
}


def test_a_dropout_layer_in_a_model_used_twice_is_refused():
    block = keras.Sequential([keras.Input((151, 151, 1)), layers.Dropout(0.1, name="inner")])
    image = keras.Input((151, 151, 1))
    with pytest.raises(InputError, match="the layer inner is used more than once"):
        describe("x:y", {}, keras.Model(image, layers.Dense(2)(layers.Flatten()(block(block(image))))))


def test_a_linear_activation_at_the_end_is_accepted():
    describe("x:y", {}, image_to(layers.Dense(2), layers.Activation("linear")))


def test_a_dropout_layer_used_twice_is_refused():
    image, dropout = keras.Input((151, 151, 1)), layers.Dropout(0.1, name="twice")
    value = dropout(layers.Conv2D(1, 3)(dropout(image)))
    with pytest.raises(InputError, match="the layer twice is used more than once"):
        describe("x:y", {}, keras.Model(image, layers.Dense(2)(layers.Flatten()(value))))


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_cannot_be_trained_is_refused(case):
    build, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        describe("x:y", {}, build())
    assert caught.value.code == "NETWORK_REFUSED"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a module of a user's own; returns the study that names ``net`` in it."""

    def write(source, **sections):
        name = f"own_{abs(hash(source)) % 10**8}"
        (tmp_path / f"{name}.py").write_text(f"import dataclasses\nimport keras\nfrom keras import layers\n{source}")
        monkeypatch.syspath_prepend(tmp_path)
        return study(**{**sections, "train": {"network": f"{name}:net"}})

    return write


SETTLED = """
@dataclasses.dataclass(frozen=True)
class Settings:
    units: int = 3
    name: str = "x"

def net(settings: Settings):
    body = [layers.Flatten(), layers.Dense(settings.units, activation="relu"), layers.Dense(2)]
    return keras.Sequential([keras.Input((151, 151, 1)), *body])
"""


def test_settings_of_an_own_network_are_those_of_its_dataclass(own):
    network = build_network(own(SETTLED, network={"units": "5"}))
    assert network.settings == {"units": 5, "name": "x"}
    assert network.shapes["dense_kernel"] == (151 * 151, 5)
    with pytest.raises(InputError, match=r"network\.units: 'many' is not an integer") as caught:
        build_network(own(SETTLED, network={"units": "many"}))
    assert caught.value.code == "SETTING_INVALID"
    with pytest.raises(InputError, match=r"network\.wide: unknown .* settings are units, name") as caught:
        build_network(own(SETTLED, network={"wide": 3}))
    assert caught.value.code == "SETTING_UNKNOWN"
    assert re.fullmatch(r"The dataclass Settings of own_\d+ declares them\.", caught.value.hint)


def test_a_default_of_an_own_networks_settings_is_checked_too(own):
    with pytest.raises(InputError, match=r"network\.units: 'three' is not an integer") as caught:
        build_network(own(SETTLED.replace("int = 3", "int = 'three'")))
    assert caught.value.code == "SETTING_INVALID"


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("def other(): pass", "NETWORK_UNKNOWN", "no function net"),
        ("import absent_module", "NETWORK_FAILED", r"ModuleNotFoundError in own_\d+\.py, line 4: .*absent_module"),
        ("net = 5", "NETWORK_UNKNOWN", "no function net"),
        ("def net():\n    raise SystemExit('bye')", "NETWORK_FAILED", "SystemExit in own_.*bye"),
        ("def net(a: 'Gone'): pass", "NETWORK_FAILED", "NameError"),
        ("def net():\n    return layers.Dense(2, activation='nonsense')", "NETWORK_FAILED", r"in own_\d+\.py, line 5"),
        ("def net(a, b): pass", "NETWORK_REFUSED", "one parameter"),
        ("def net(filters): pass", "NETWORK_REFUSED", "annotated with a dataclass"),
        ("def net():\n    return 1 / 0", "NETWORK_FAILED", r"ZeroDivisionError in own_\d+\.py, line 5"),
        ("def net():\n    return None", "NETWORK_REFUSED", "Sequential or a functional"),
        ("def net(:", "NETWORK_FAILED", "SyntaxError"),
    ],
)
def test_an_own_network_that_cannot_be_built_is_refused_in_words(own, source, code, message):
    with pytest.raises(InputError, match=message) as caught:
        build_network(own(source))
    assert caught.value.code == code


def test_a_module_that_does_not_exist_is_named():
    with pytest.raises(InputError, match=r"nowhere\.to:be.*current folder") as caught:
        build_network(study(train={"network": "nowhere.to:be"}))
    assert caught.value.code == "NETWORK_UNKNOWN"


SHARED = """
def net():
    image = keras.Input((151, 151, 1))
    maps, dense = layers.Conv2D(4, 15, strides=15)(image), layers.Dense(4, activation="relu")
    both = layers.Concatenate()([
        layers.GlobalAveragePooling2D()(dense(maps)), dense(layers.GlobalMaxPooling2D()(maps))
    ])
    return keras.Model(image, layers.Dense(2)(both))
"""


def test_a_layer_used_on_maps_and_on_features_is_exported(own):
    assert checked_network(own(SHARED)).size == 15 * 15 * 4 + 4 + 4 * 4 + 4 + 8 * 2 + 2


def test_a_graph_that_differs_from_its_model_is_refused_before_training(own, monkeypatch):
    monkeypatch.setattr("components.model.keras_export.window_scale", lambda _: (1.0, 0.0))
    with pytest.raises(BundleError, match="differs from its Keras model: probabilities by up to") as caught:
        checked_network(own(SETTLED))
    assert caught.value.code == "EXPORT_DIFFERS"


BODIES = {
    "lambda": "layers.Lambda(lambda x: x * 2)",
    "own layer": "Mine()",
    "activation": "layers.Dense(3, activation=lambda x: x)",
}


@pytest.mark.parametrize("case", BODIES)
def test_what_keras_cannot_rebuild_is_refused(own, case):
    source = f"""
class Mine(layers.Layer):
    def call(self, x):
        return x

def net():
    image = keras.Input((151, 151, 1))
    return keras.Model(image, layers.Dense(2)({BODIES[case]}(layers.Flatten()(image))))
"""
    with pytest.raises(InputError, match=r"NETWORK_(REFUSED|FAILED)"):
        checked_network(own(source))


def test_a_model_that_the_function_compiles_is_accepted(own):
    body = "keras.Sequential([keras.Input((151, 151, 1)), layers.Flatten(), layers.Dense(2)])"
    source = f"def net():\n    model = {body}\n    model.compile('adam', 'mse')\n    return model"
    assert build_network(own(source)).shapes["dense_kernel"] == (151 * 151, 2)


def test_a_layer_that_is_called_as_in_training_is_refused():
    image = keras.Input((151, 151, 1))
    value = layers.Dropout(0.5, name="always")(layers.Flatten()(image), training=True)
    with pytest.raises(InputError, match="always is called with training=True"):
        describe("x:y", {}, keras.Model(image, layers.Dense(2)(value)))


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"network": "residual", "engine": "cpu"}},
        {"train": {"network": "residual"}, "network": {"filters": 256, "blocks": 5}},
        {"network": {"dense_1": 4096, "filters_2": 512}},
    ],
)
def test_a_built_in_network_that_cannot_be_used_is_refused_before_the_run(sections):
    with pytest.raises(SrsError, match=r"ENGINE_UNSUITABLE|BUNDLE_TOO_LARGE"):
        check_network(study(**sections))


BATCH = """
def net():
    image = keras.Input((151, 151, 1))
    pooled = layers.GlobalAveragePooling2D()(image), layers.GlobalMaxPooling2D()(image)
    return keras.Model(image, layers.Dense(2)(layers.Concatenate(axis=0)(pooled)))
"""


def test_what_gives_no_valid_graph_is_refused(own):
    with pytest.raises(InputError, match="NETWORK_REFUSED"):
        checked_network(own(BATCH))


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_compiled_loops_know_plain_sequences(name):
    assert engine_of(SEQUENCES[name], "auto", 0) == "cpu"
    assert engine_of(SEQUENCES[name], "auto", 1) == "jax"
    assert engine_of(SEQUENCES[name], "tensorflow", 0) == "tensorflow"


UNKNOWN = {
    "padding": [layers.Conv2D(2, 3, padding="same", activation="relu"), layers.Flatten()],
    "strides": [layers.Conv2D(2, 3, strides=2, activation="relu"), layers.Flatten()],
    "bias": [layers.Conv2D(2, 3, use_bias=False, activation="relu"), layers.Flatten()],
    "activation": [layers.Conv2D(2, 3, activation="tanh"), layers.Flatten()],
    "no activation": [layers.Conv2D(2, 3), layers.Flatten()],
    "overlapping pool": [layers.Conv2D(2, 3, activation="relu"), layers.MaxPooling2D(4, strides=2), layers.Flatten()],
    "pool first": [layers.MaxPooling2D(4), layers.Conv2D(2, 3, activation="relu"), layers.Flatten()],
    "average": [layers.Conv2D(2, 3, activation="relu"), layers.GlobalAveragePooling2D()],
    "capped": [layers.Conv2D(2, 3), layers.ReLU(max_value=6), layers.Flatten()],
    "dropout twice": [
        layers.Conv2D(2, 3, activation="relu"),
        layers.Dropout(0.1),
        layers.Dropout(0.1),
        layers.Flatten(),
    ],
    "maps": [layers.Conv2D(2, 3, activation="relu"), layers.Dense(3, activation="relu"), layers.Flatten()],
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_the_compiled_loops_refuse_what_they_do_not_know(case):
    image = keras.Input((151, 151, 1))
    network = describe("x:y", {}, keras.Sequential([image, *UNKNOWN[case], layers.Dense(2)]))
    assert engine_of(network, "auto", 0) == "jax"
    with pytest.raises(InputError, match="cannot train the network x:y") as caught:
        engine_of(network, "cpu", 0)
    assert caught.value.code == "ENGINE_UNSUITABLE"


def test_the_compiled_loops_refuse_dropout_of_the_logits():
    network = describe("x:y", {}, image_to(layers.Dense(2), layers.Dropout(0.5)))
    assert engine_of(network, "auto", 0) == "jax"


def test_the_compiled_loops_refuse_a_gpu():
    with pytest.raises(InputError, match="uses no GPU"):
        engine_of(SEQUENCES["one convolution"], "cpu", 1)
