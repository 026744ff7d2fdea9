"""The engine's arithmetic against the plain Keras network: same loss, same gradients, same answers."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.train.arithmetic import Arithmetic, cut_windows, logits, loss_and_gradients
from components.train.network import features, initial_weights, keras_model, reference_probabilities, set_weights

#: Sums of some 10^5 float32 products taken in another order differ by this much of their size.
ROUNDING = 2e-5


def keras_loss_and_gradients(settings, weights, crops, labels, keep):
    """By the reference model, with ``keep`` in the place of its drop-out layer."""
    model = keras_model(settings)
    set_weights(model, weights)
    with tf.GradientTape() as tape:
        maps = tf.constant(crops)
        for layer in model.layers:
            maps = maps * keep if layer.name == "dropout" else layer(maps)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, maps))
    return loss.numpy(), [gradient.numpy() for gradient in tape.gradient(loss, model.trainable_variables)]


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_gradients_equal_keras(settings_at_random, cohort, seed):
    settings, rng = settings_at_random(seed), np.random.default_rng(seed)
    rows = rng.permutation(len(cohort[1]))[: settings.batch_size]
    crops, labels = cohort[0][rows], cohort[1][rows]
    weights = initial_weights(settings, rng)
    keep = (rng.random((len(rows), features(settings))) < 0.7).astype(np.float32) / np.float32(0.7)
    tensors = tuple(tf.constant(array) for array in weights.values())
    loss, gradients = loss_and_gradients(tensors, cut_windows(crops, settings), labels, keep, settings)
    expected_loss, expected = keras_loss_and_gradients(settings, weights, crops, labels, keep)
    np.testing.assert_allclose(loss, expected_loss, rtol=ROUNDING)
    for name, gradient, reference in zip(weights, gradients, expected, strict=True):
        scale = max(np.abs(reference).max(), 1e-3)
        np.testing.assert_allclose(gradient / scale, reference / scale, atol=20 * ROUNDING, err_msg=name)


@pytest.mark.parametrize("seed", range(6, 10))
def test_answers_equal_keras(settings_at_random, cohort, seed):
    settings = settings_at_random(seed)
    weights = initial_weights(settings, np.random.default_rng(seed))
    tensors = tuple(tf.constant(array) for array in weights.values())
    outputs = logits(tensors, cut_windows(cohort[0], settings), None, settings)
    expected = reference_probabilities(weights, cohort[0], settings)
    np.testing.assert_allclose(tf.nn.softmax(outputs)[:, 1], expected, atol=ROUNDING)


def test_gradient_is_exact_where_phases_tie(tiny, cohort):
    crops = np.where(cohort[0] > 40, np.float32(3000), np.float32(-1000))[:4]  # saturated: flat ground everywhere
    labels, keep = cohort[1][:4], np.ones((4, features(tiny)), np.float32)
    weights = initial_weights(tiny, np.random.default_rng(3))
    tensors = tuple(tf.constant(array) for array in weights.values())
    _, gradients = loss_and_gradients(tensors, cut_windows(crops, tiny), labels, keep, tiny)
    _, expected = keras_loss_and_gradients(tiny, weights, crops, labels, keep)
    np.testing.assert_allclose(gradients[0], expected[0], atol=20 * ROUNDING * np.abs(expected[0]).max())


def test_a_step_is_sgd_with_momentum(tiny, cohort):
    settings = dataclasses.replace(tiny, dropout=0.0)
    arithmetic = Arithmetic(cohort[0], cohort[1], settings)
    weights = tuple(tf.constant(array) for array in initial_weights(settings, np.random.default_rng(2)).values())
    velocity = tuple(tf.ones_like(tensor) for tensor in weights)
    batch = np.arange(6, dtype=np.int32)
    after, moved, loss = arithmetic.train(weights, velocity, batch[None], np.zeros((1, 2), np.int64))
    expected_loss, gradients = loss_and_gradients(weights, arithmetic._of(batch), cohort[1][:6], None, settings)
    np.testing.assert_allclose(loss, expected_loss, rtol=ROUNDING)
    for old, new, speed, gradient in zip(weights, after, moved, gradients, strict=True):
        expected = settings.momentum - settings.learning_rate * gradient
        np.testing.assert_allclose(speed, expected, atol=ROUNDING)
        np.testing.assert_allclose(new, old + expected, atol=ROUNDING)


def test_dropout_keeps_the_mean_and_follows_its_key(tiny, cohort):
    settings = dataclasses.replace(tiny, dropout=0.5, batch_size=400)
    arithmetic = Arithmetic(cohort[0][:2], cohort[1][:2], settings)
    first, again, other = (arithmetic._keep(tf.constant(key, tf.int64)).numpy() for key in ([9, 1], [9, 1], [9, 2]))
    assert set(np.unique(first)) == {0, 2}
    assert abs(first.mean() - 1) < 0.05
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
