"""The model that packs are trained with against the network's own Keras model."""

import dataclasses

import jax
import numpy as np
import pytest

from components.common.errors import TrainingError
from components.common.settings import IMAGE_SIZE_PX
from components.model.keras_backend import keras
from components.model.keras_network import describe, keras_model, leaves, set_weights
from components.train.training_model import checked_training_model, dropout_masks, training_model
from tests.components.networks import NETWORKS, network_of

layers = keras.layers


def image():
    return keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1))


def described(start, value):
    value = layers.GlobalAveragePooling2D()(value)
    return describe("tests:network", {}, keras.Model(start, layers.Dense(2)(value)))


def nested():
    """A Sequential in a functional model, which itself has dropout of whole maps after a fused convolution."""
    first = [layers.Conv2D(3, 5, activation="relu", name="conv"), layers.MaxPooling2D(4, name="pool")]
    block = keras.Sequential([*first, layers.SpatialDropout2D(0.5, name="drop")], name="block")
    value = layers.Dropout(0.2, name="drop", noise_shape=(None, 1, None, 3))(block(start := image()))
    return described(start, layers.Conv2D(4, 3, strides=2, padding="same", groups=1, name="conv")(value))


def used_twice():
    """A convolution whose result two layers use, of which one is a max-pooling."""
    maps = layers.Conv2D(3, 5, activation="relu")(start := image())
    pools = [layers.MaxPooling2D(3)(maps), layers.AveragePooling2D(3)(maps)]
    return described(start, layers.Add()(pools))


def not_fusible():
    """Convolutions with a max-pooling after them that are not unpadded, dense or monotonic, and pools that overlap."""
    value = layers.Conv2D(2, 4, padding="same", activation="relu")(start := image())
    value = layers.Conv2D(3, 3, activation="gelu")(layers.MaxPooling2D(2)(value))
    value = layers.Conv2D(2, 3, dilation_rate=2)(layers.MaxPooling2D(2)(value))
    value = layers.Conv2D(2, 2, activation="relu")(layers.MaxPooling2D(2)(value))
    return described(start, layers.MaxPooling2D(3, strides=1)(value))


def both_models(network):
    """The network's own model and the one for training, with the same random weights, those of biases too."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in network.shapes.items()}
    models = keras_model(network), training_model(network)
    for model in models:
        set_weights(model, network, weights)
    return models


def kinds(model):
    return [type(layer).__name__ for layer in leaves(model)]


@pytest.mark.parametrize(
    ("make", "fused"),
    [
        (network_of, 2), (lambda: network_of("residual"), 0), (lambda: NETWORKS["a third convolution"], 3),
        (nested, 1), (used_twice, 0), (not_fusible, 0),
    ],
    ids=["cha2018", "residual", "a third convolution", "nested", "used twice", "not fusible"],
)  # fmt: skip
def test_has_the_weights_and_the_logits_of_the_networks_model(make, fused):
    plain, model = both_models(make())
    images = np.random.default_rng(1).random((3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), np.float32)
    assert [one.path for one in model.trainable_variables] == [one.path for one in plain.trainable_variables]
    assert not model.non_trainable_variables
    assert "Conv2D" not in kinds(model)
    assert kinds(model).count("Identity") == fused
    logits = jax.jit(lambda x: (plain(x, training=False), model(x, training=True)))(images)
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-5 * max(1, np.abs(logits[0]).max()))


def test_a_grouped_convolution_stays_that_of_keras():
    maps = layers.Conv2D(4, 3, groups=2)(layers.Conv2D(4, 9, strides=9)(start := image()))
    assert kinds(training_model(described(start, maps)))[:2] == ["ProductConv2D", "Conv2D"]


def test_dropout_multiplies_by_the_masks_in_the_order_of_the_network():
    network, rng = nested(), np.random.default_rng(2)
    plain, model = both_models(network)
    images = rng.random((3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), np.float32)
    masks = [rng.random((3, *one.shape)) < 0.6 for one in network.dropouts]
    assert [mask.shape for mask in masks] == [(3, 1, 1, 3), (3, 1, 36, 3)]

    def by_hand(value):
        block = plain.layers[1]
        value = block.layers[1](block.layers[0](value)) * masks[0] / 0.5
        for layer in plain.layers[3:]:
            value = layer(value if layer is not plain.layers[3] else value * masks[1] / 0.8)
        return value

    with dropout_masks(masks):
        found = jax.jit(model)(images)
    np.testing.assert_allclose(found, jax.jit(by_hand)(images), atol=1e-5)
    assert np.abs(model(images) - found).max() > 1e-3, "without masks nothing is dropped"


def test_a_convolution_as_large_as_the_image_stays_one():
    """As a product it would be a slice for each pixel of the kernel, which XLA compiles for many minutes."""
    value = layers.Flatten()(layers.Conv2D(2, IMAGE_SIZE_PX)(start := image()))
    network = describe("tests:network", {}, keras.Model(start, value))
    assert kinds(training_model(network)) == ["Conv2D", "Flatten"]


def pool_used_twice():
    """A pool after a convolution that could be fused with it, and again after one that could not."""
    pool = layers.MaxPooling2D(5)
    value = pool(layers.Conv2D(3, 5, activation="relu")(start := image()))
    return described(start, pool(layers.Conv2D(3, 3, padding="same")(value)))


def test_a_pool_that_is_used_elsewhere_too_stays():
    own, ours = both_models(network := pool_used_twice())
    images = np.random.default_rng(1).random((2, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), np.float32)
    np.testing.assert_allclose(np.asarray(ours(images)), np.asarray(own(images)), atol=1e-4)
    assert kinds(ours).count("MaxPooling2D") == 1
    checked_training_model(dataclasses.replace(network, name="mine:net"))


def test_a_users_network_that_would_be_trained_wrongly_is_refused(monkeypatch):
    other = network_of("residual", blocks=1, filters=4)
    monkeypatch.setattr("components.train.training_model.training_model", lambda _: keras_model(other))
    monkeypatch.setattr("components.train.training_model.set_weights", lambda *_: None)
    checked_training_model(other)
    network = dataclasses.replace(network_of(), name="mine:net")
    model = keras_model(network)
    model.get_layer("output").bias.assign([1.0, 0.0])
    monkeypatch.setattr("components.train.training_model.keras_model", lambda _: model)
    with pytest.raises(TrainingError, match="would be trained wrongly") as caught:
        checked_training_model(network)
    assert caught.value.code == "NETWORK_DIFFERS"
