"""Training steps on CPU and in TensorFlow against the plain Keras network: same loss, same gradients, same steps."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.model.network import (
    as_vector,
    dropout_shape,
    initial_weights,
    keras_model,
    set_weights,
    views,
)
from components.train.arithmetic import Arithmetic, SgdState
from components.train.gpu import GpuArithmetic
from tests.components.networks import NETWORKS, reference_probabilities

#: Sums of some 10^5 float32 products taken in another order differ by this much of their size.
ROUNDING = 2e-5
EVEN = np.ones(2, np.float32)


@pytest.fixture(params=["cpu", "tensorflow"])
def device(request):
    """Makes the arithmetic of a data set; that of GPUs runs here on TensorFlow's CPU device."""
    return Arithmetic if request.param == "cpu" else lambda *data: GpuArithmetic(*data, "CPU:0")


def keras_loss_and_gradients(settings, weights, crops, labels, mask, class_weights=EVEN):
    """By the reference model, with ``mask`` in the place of its drop-out layer."""
    model = keras_model(settings)
    set_weights(model, weights)
    with tf.GradientTape() as tape:
        maps = tf.constant(crops)
        for layer in model.layers:
            maps = maps * mask if layer.name == "dropout" else layer(maps)
        losses = keras.losses.sparse_categorical_crossentropy(labels, maps)
        loss = tf.reduce_mean(losses * class_weights[labels])
    return loss.numpy(), [gradient.numpy() for gradient in tape.gradient(loss, model.trainable_variables)]


def assert_equal_to_keras(device, settings, crops, labels, rng, class_weights=EVEN):
    weights = initial_weights(settings, rng)
    rows = np.arange(len(labels), dtype=np.int32)
    mask = (rng.random((len(rows), *dropout_shape(settings))) < 0.7).astype(np.float32) / np.float32(0.7)
    arithmetic = device(crops, labels, settings)
    vector = as_vector(weights) if isinstance(arithmetic, Arithmetic) else tf.constant(as_vector(weights))
    loss, gradient = arithmetic.loss_and_gradient(vector, rows, mask, class_weights)
    expected_loss, expected = keras_loss_and_gradients(settings, weights, crops, labels, mask, class_weights)
    np.testing.assert_allclose(loss, expected_loss, rtol=ROUNDING)
    for (name, found), reference in zip(views(np.array(gradient), settings).items(), expected, strict=True):
        scale = max(np.abs(reference).max(), 1e-3)
        np.testing.assert_allclose(found / scale, reference / scale, atol=20 * ROUNDING, err_msg=name)


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_gradients_equal_keras(device, settings_at_random, cohort, seed):
    settings, rng = settings_at_random(seed), np.random.default_rng(seed)
    rows = rng.permutation(len(cohort[1]))[: settings.batch_size]
    assert_equal_to_keras(device, settings, cohort[0][rows], cohort[1][rows], rng)


@pytest.mark.parametrize("layer", ["conv_1", "conv_2", "dense_1", "dense_2"])
def test_dropout_acts_on_the_same_layer_as_in_keras(device, tiny, cohort, layer):
    settings = dataclasses.replace(tiny, dropout_after=layer)
    assert_equal_to_keras(device, settings, cohort[0][:6], cohort[1][:6], np.random.default_rng(4))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_of_other_layers_trains_as_keras_does(device, cohort, network):
    settings = NETWORKS[network]
    assert_equal_to_keras(device, settings, cohort[0][:5], cohort[1][:5], np.random.default_rng(8))


def test_class_weights_are_those_of_keras(device, tiny, cohort):
    weights = np.array([0.6, 1.7], np.float32)
    assert_equal_to_keras(device, tiny, cohort[0][:5], cohort[1][:5], np.random.default_rng(5), weights)


def test_gradient_is_exact_where_values_of_a_pool_tie(device, tiny, cohort):
    crops = np.where(cohort[0] > 40, np.float32(3000), np.float32(-1000))[:4]  # saturated: flat ground everywhere
    assert_equal_to_keras(device, tiny, crops, cohort[1][:4], np.random.default_rng(3))


@pytest.mark.parametrize("seed", range(6, 10))
def test_answers_equal_keras(device, settings_at_random, cohort, seed):
    settings = settings_at_random(seed)
    weights = initial_weights(settings, np.random.default_rng(seed))
    outputs = device(*cohort[:2], settings).answer(as_vector(weights), np.arange(len(cohort[1]), dtype=np.int32))
    expected = reference_probabilities(weights, cohort[0], settings)
    np.testing.assert_allclose(tf.nn.softmax(outputs)[:, 1], expected, atol=ROUNDING)


@pytest.mark.parametrize("extras", [{}, {"momentum": 0.0}, {"weight_decay": 0.5}, {"weight_average": 0.9}])
def test_steps_are_those_of_the_keras_optimizer(device, tiny, cohort, extras):
    settings = dataclasses.replace(tiny, dropout=0.0, learning_rate=0.03, **extras)
    model, weights = keras_model(settings), initial_weights(settings, np.random.default_rng(2))
    set_weights(model, weights)
    optimizer = keras.optimizers.SGD(
        settings.learning_rate,
        settings.momentum,
        weight_decay=settings.weight_decay or None,
        use_ema=bool(settings.weight_average),
        ema_momentum=settings.weight_average,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    batches = np.arange(18, dtype=np.int32).reshape(3, 6)
    for batch in batches:
        model.train_on_batch(cohort[0][batch], cohort[1][batch])
    optimizer.finalize_variable_values(model.trainable_variables)

    vector = as_vector(weights)
    trained, arithmetic = SgdState(vector, np.zeros_like(vector), vector), device(*cohort[:2], settings)
    trained, _ = arithmetic.train(trained, 0, batches[:1], [None], EVEN)
    trained, _ = arithmetic.train(trained, 1, batches[1:], [None] * 2, EVEN)
    for (name, found), reference in zip(
        views(trained.average, settings).items(), model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(found, reference, atol=3 * ROUNDING, err_msg=name)


@pytest.mark.parametrize(("augmentation", "count"), [("none", 1), ("flips", 4), ("rotations", 4), ("both", 8)])
def test_further_rows_are_rotated_and_mirrored_crops(device, cohort, augmentation, count):
    # A network whose answers to the eight orientations differ, whatever layers the study's has.
    settings = dataclasses.replace(NETWORKS["one convolution"], augmentation=augmentation)
    patches = np.random.default_rng(7).uniform(0, 80, (2, 8, 8))
    crops = np.kron(patches, np.ones((19, 19)))[:, :151, :151].astype(np.float32)
    arithmetic, weights = device(crops, cohort[1][:2], settings), initial_weights(settings, np.random.default_rng(6))
    assert arithmetic.orientations == count
    turned = [np.rot90(mirrored, turns) for mirrored in (crops[1], crops[1, :, ::-1]) for turns in range(4)]
    chosen = {"none": [0], "flips": [0, 2, 4, 6], "rotations": [0, 1, 2, 3], "both": list(range(8))}[augmentation]
    expected = reference_probabilities(weights, np.stack(turned)[chosen], settings)
    outputs = arithmetic.answer(as_vector(weights), 1 + 2 * np.arange(count, dtype=np.int32))
    answers = tf.nn.softmax(outputs)[:, 1].numpy()
    assert answers[0] == pytest.approx(expected[0], abs=ROUNDING)
    assert (np.diff(np.sort(expected)) > 2 * ROUNDING).all()
    np.testing.assert_allclose(np.sort(answers), np.sort(expected), atol=ROUNDING)
