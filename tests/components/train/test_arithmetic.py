"""Training steps of the compiled loops against the plain Keras network: same loss, same gradients, same steps."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import softmax

from components.common.settings import TrainSettings
from components.model.keras_backend import keras
from components.model.keras_network import keras_model, set_weights
from components.model.network import as_vector, windowed
from components.train.arithmetic import Arithmetic, SgdState
from tests.components.networks import NETWORKS, network_of, reference_probabilities

#: Sums of some 10^5 float32 products taken in another order differ by this much of their size.
ROUNDING = 2e-5
EVEN = np.ones(2, np.float32)


def keras_loss_and_gradients(network, weights, crops, labels, kept, class_weights=EVEN):
    """By the Keras model, with a mask in the place of its dropout layer."""
    model = keras_model(network)

    def loss_of(values):
        scope = keras.StatelessScope(list(zip(model.trainable_variables, values, strict=True)))
        with scope:
            maps = windowed(crops, TrainSettings())[..., None]
            for layer in model.layers:
                maps = maps * kept / (1 - layer.rate) if layer.name == "dropout" else layer(maps)
            losses = keras.losses.sparse_categorical_crossentropy(labels, maps, from_logits=True)
        return (losses * class_weights[labels]).mean()

    return jax.jit(jax.value_and_grad(loss_of))([weights[name] for name in network.shapes])


def assert_equal_to_keras(network, crops, labels, rng, class_weights=EVEN):
    weights, rows = network.initial_weights(rng), np.arange(len(labels), dtype=np.int32)
    kept = [rng.random((len(rows), *layer.shape)) < 0.7 for layer in network.dropouts]
    arithmetic = Arithmetic(network, crops, labels, TrainSettings())
    loss, gradient = arithmetic.loss_and_gradient(as_vector(weights), rows, kept, class_weights)
    expected_loss, expected = keras_loss_and_gradients(network, weights, crops, labels, *(kept or [1.0]), class_weights)
    np.testing.assert_allclose(loss, expected_loss, rtol=ROUNDING)
    for (name, found), reference in zip(network.views(gradient).items(), expected, strict=True):
        scale = max(np.abs(reference).max(), 1e-3)
        np.testing.assert_allclose(found / scale, reference / scale, atol=20 * ROUNDING, err_msg=name)


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_gradients_equal_keras(network_at_random, cohort, seed):
    network, rng = network_at_random(seed), np.random.default_rng(seed)
    rows = rng.permutation(len(cohort[1]))[: rng.integers(1, 7)]
    assert_equal_to_keras(network, cohort[0][rows], cohort[1][rows], rng)


@pytest.mark.parametrize("layer", ["conv_1", "conv_2", "dense_1", "dense_2"])
def test_dropout_acts_on_the_same_layer_as_in_keras(tiny_network, cohort, layer):
    network = network_of(**{**tiny_network.settings, "dropout_after": layer})
    assert_equal_to_keras(network, cohort[0][:6], cohort[1][:6], np.random.default_rng(4))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_of_other_layers_trains_as_keras_does(cohort, network):
    assert_equal_to_keras(NETWORKS[network], cohort[0][:5], cohort[1][:5], np.random.default_rng(8))


def test_class_weights_are_those_of_keras(tiny_network, cohort):
    weights = np.array([0.6, 1.7], np.float32)
    assert_equal_to_keras(tiny_network, cohort[0][:5], cohort[1][:5], np.random.default_rng(5), weights)


def test_gradient_is_exact_where_values_of_a_pool_tie(tiny_network, cohort):
    crops = np.where(cohort[0] > 40, np.float32(3000), np.float32(-1000))[:4]  # saturated: flat ground everywhere
    assert_equal_to_keras(tiny_network, crops, cohort[1][:4], np.random.default_rng(3))


@pytest.mark.parametrize("seed", range(6, 10))
def test_answers_equal_keras(network_at_random, cohort, seed):
    network = network_at_random(seed)
    weights = network.initial_weights(np.random.default_rng(seed))
    arithmetic = Arithmetic(network, *cohort[:2], TrainSettings())
    outputs = arithmetic.answer(as_vector(weights), np.arange(len(cohort[1]), dtype=np.int32))
    expected = reference_probabilities(weights, cohort[0], network)
    np.testing.assert_allclose(softmax(outputs, axis=1)[:, 1], expected, atol=ROUNDING)


@pytest.mark.parametrize("extras", [{}, {"momentum": 0.0}, {"weight_decay": 0.5}, {"weight_average": 0.9}])
def test_steps_are_those_of_the_keras_optimizer(tiny_network, tiny, cohort, extras):
    network = network_of(**{**tiny_network.settings, "dropout": 0.0})
    settings = dataclasses.replace(tiny, learning_rate=0.03, **extras)
    model, weights = keras_model(network), network.initial_weights(np.random.default_rng(2))
    set_weights(model, network, weights)
    optimizer = keras.optimizers.SGD(
        settings.learning_rate,
        settings.momentum,
        weight_decay=settings.weight_decay or None,
        use_ema=bool(settings.weight_average),
        ema_momentum=settings.weight_average,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = windowed(cohort[0], settings)[..., None]
    batches = np.arange(18, dtype=np.int32).reshape(3, 6)
    for batch in batches:
        model.train_on_batch(images[batch], cohort[1][batch])
    optimizer.finalize_variable_values(model.trainable_variables)

    vector = as_vector(weights)
    trained, arithmetic = SgdState(vector, np.zeros_like(vector), vector), Arithmetic(network, *cohort[:2], settings)
    trained, _ = arithmetic.train(trained, 0, batches[:1], [], EVEN)
    trained, _ = arithmetic.train(trained, 1, batches[1:], [], EVEN)
    for (name, found), reference in zip(network.views(trained.average).items(), model.trainable_variables, strict=True):
        np.testing.assert_allclose(found, reference, atol=3 * ROUNDING, err_msg=name)


@pytest.mark.parametrize(("augmentation", "count"), [("none", 1), ("flips", 4), ("rotations", 4), ("both", 8)])
def test_further_rows_are_rotated_and_mirrored_crops(cohort, augmentation, count):
    # A network whose answers to the eight orientations differ, whatever layers the study's has.
    network, settings = NETWORKS["one convolution"], TrainSettings(augmentation=augmentation)
    patches = np.random.default_rng(7).uniform(0, 80, (2, 8, 8))
    crops = np.kron(patches, np.ones((19, 19)))[:, :151, :151].astype(np.float32)
    arithmetic = Arithmetic(network, crops, cohort[1][:2], settings)
    weights = network.initial_weights(np.random.default_rng(6))
    assert arithmetic.orientations == count
    turned = [np.rot90(mirrored, turns) for mirrored in (crops[1], crops[1, :, ::-1]) for turns in range(4)]
    chosen = {"none": [0], "flips": [0, 2, 4, 6], "rotations": [0, 1, 2, 3], "both": list(range(8))}[augmentation]
    expected = reference_probabilities(weights, np.stack(turned)[chosen], network)
    outputs = arithmetic.answer(as_vector(weights), 1 + 2 * np.arange(count, dtype=np.int32))
    answers = softmax(outputs, axis=1)[:, 1]
    assert answers[0] == pytest.approx(expected[0], abs=ROUNDING)
    assert (np.diff(np.sort(expected)) > 2 * ROUNDING).all()
    np.testing.assert_allclose(np.sort(answers), np.sort(expected), atol=ROUNDING)
