"""Convolutions as products against Keras' own layers: values and gradients."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.model.keras_backend import keras
from components.train.products import convolve, convolve_and_pool, phase_of

SIZES = st.integers(1, 5)
EVERY = settings(max_examples=6, derandomize=True)


def arrays(seed, side, kernel, channels, filters):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((2, side, side + 3, channels), np.float32)
    return images, rng.standard_normal((*kernel, channels, filters), np.float32)


def agree(ours, reference, images, kernel):
    """The same values, and the same gradients of a weighted sum of them, to float32 rounding."""
    shape = jax.eval_shape(reference, images, kernel).shape
    weights = np.random.default_rng(0).standard_normal(shape, np.float32)

    def weighted_sum(way, images, kernel):
        values = way(images, kernel)
        return (values * weights).sum(), values

    def both(images, kernel):  # compiled at once, which is faster than operation by operation
        return [
            jax.value_and_grad(functools.partial(weighted_sum, way), (0, 1), has_aux=True)(images, kernel)
            for way in (ours, reference)
        ]

    with jax.default_matmul_precision("highest"):
        found, expected = jax.jit(both)(images, kernel)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * max(1, abs(other).max()))


@EVERY
@given(
    st.integers(0, 9), st.integers(9, 17), st.tuples(SIZES, SIZES), SIZES, SIZES, st.integers(1, 3),
    st.integers(1, 2), st.sampled_from(["valid", "same"]),
)  # fmt: skip
def test_convolution_equals_keras(seed, side, kernel_size, channels, filters, stride, dilation, padding):
    if stride > 1:
        dilation = 1  # Keras allows only one of them
    images, kernel = arrays(seed, side, kernel_size, channels, filters)
    given_sizes = {"strides": (stride, stride), "padding": padding}

    def plain(images, kernel):
        return keras.ops.conv(images, kernel, dilation_rate=dilation, **given_sizes)

    agree(lambda x, k: convolve(x, k, dilation=(dilation, dilation), **given_sizes), plain, images, kernel)


@EVERY
@given(
    st.integers(0, 9), st.integers(14, 31), st.tuples(SIZES, SIZES), st.integers(1, 3), st.integers(1, 17),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
)  # fmt: skip
def test_convolution_and_pooling_equal_keras(seed, side, kernel_size, channels, filters, pool):
    images, kernel = arrays(seed, side, kernel_size, channels, filters)

    def plain(images, kernel):
        return keras.ops.max_pool(keras.ops.conv(images, kernel), pool, pool)

    agree(lambda x, k: convolve_and_pool(x, k, pool), plain, images, kernel)


@pytest.mark.parametrize("pool", [3, 4, 6, 12])
def test_pooling_at_every_phase_equals_keras(pool, monkeypatch):
    images, kernel = arrays(pool, 41, (5, 4), 2, 3)
    expected = keras.ops.max_pool(keras.ops.conv(images, kernel), pool, pool)
    for phase in (phase for phase in range(1, pool + 1) if pool % phase == 0):
        monkeypatch.setattr("components.train.products.phase_of", lambda *_, phase=phase: phase)
        found = jax.jit(lambda images, kernel: convolve_and_pool(images, kernel, (pool, pool)))(images, kernel)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_few_filters_are_computed_at_several_positions_in_one_row():
    assert phase_of((7, 7), 8, (8, 8)) == 4
    assert phase_of((3, 3), 256, (8, 8)) == 1
    assert phase_of((7, 7), 1, (6, 9)) == 3, "it divides both sides of the pool"


def test_gradient_is_divided_among_equal_maxima():
    """Rows alternate, so that the windows at every position sum to the same, half of them of each kind of row."""
    images, kernel = np.zeros((2, 25, 24, 1), np.float32), np.ones((2, 1, 1, 2), np.float32)
    images[:, ::2] = 1
    gradient = jax.jit(jax.grad(lambda k: convolve_and_pool(images, k, (4, 4)).sum()))(kernel)
    pools = 2 * 6 * 6
    np.testing.assert_allclose(gradient, pools / 2)
