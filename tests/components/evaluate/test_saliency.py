"""Golden numbers: Keras's network with the same weights, and finite differences of one in plain numpy."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import special

from components.common.presets import resolve
from components.common.settings import TrainSettings
from components.evaluate.saliency import margin_gradient, most_confident, saliency_maps
from components.model.keras_backend import keras
from components.model.network import windowed
from tests.components.model.bundles import reference_margins
from tests.components.networks import drawn_weights, network_of, reference_probabilities, stacked

SIZES = {"filters_1": 2, "filters_2": 3, "kernel_1": 4, "kernel_2": 3, "pool_1": 5, "pool_2": 4}
SIZES |= {"dense_1": 6, "dense_2": 5}
TRAIN = TrainSettings()


@pytest.fixture(scope="module")
def network():
    return network_of(**SIZES)


@pytest.fixture(scope="module")
def case(network):
    rng = np.random.default_rng(3)
    return drawn_weights(network, rng), rng.normal(40, 50, (2, 151, 151)).astype(np.float32)


def test_gradient_equals_finite_differences_of_the_reference(network, case):
    weights, _ = case
    rng = np.random.default_rng(0)
    images = rng.uniform(0.1, 0.9, (2, 151, 151))
    _, gradient = margin_gradient(network)(weights, images.astype(np.float32))
    study = resolve("default", {"network": SIZES})

    def margins(moved):
        return reference_margins(weights, (moved - 0.5) * TRAIN.window_width_hu + TRAIN.window_level_hu, study)

    for _ in range(5):
        step = rng.normal(size=images.shape)
        slope = (margins(images + 1e-7 * step) - margins(images - 1e-7 * step)) / 2e-7
        assert np.allclose(slope, (gradient * step).sum(axis=(1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cha2018", "residual"])
def test_margin_gives_the_probabilities_of_the_keras_network(name, case):
    network = network_of(name, **(SIZES if name == "cha2018" else {"blocks": 2}))
    weights, crops = drawn_weights(network, np.random.default_rng(4)), case[1]
    margin, gradient = margin_gradient(network)(weights, windowed(crops, TRAIN))
    assert np.allclose(special.expit(margin), reference_probabilities(weights, crops, network), atol=1e-5)
    assert gradient.shape == crops.shape


def test_equal_maxima_share_a_gradient():
    """In an area that the CT window clips, all pixels of a pool are equal."""
    network = stacked(keras.layers.MaxPooling2D(15, name="pool"), keras.layers.Flatten())
    weights = network.initial_weights(np.random.default_rng(1))
    _, gradient = margin_gradient(network)(weights, np.zeros((1, 151, 151), np.float32))
    pools = gradient[0, :150, :150].reshape(10, 15, 10, 15)
    assert np.allclose(pools, pools[:, :1, :, :1])
    assert np.abs(pools).min() > 0
    assert not gradient[0, 150:].any()


def test_a_network_that_cannot_see_the_image_has_an_empty_map(study, case, network):
    # A first kernel of zeros but for a bias cannot see the image; a crop beyond the window has no slope to show.
    weights, crops = case
    member = dataclasses.replace(study[2].members[0], weights=weights)
    maps = saliency_maps([member, member], crops, network, TRAIN)
    assert maps.shape == crops.shape
    assert maps.max() == pytest.approx(1.0)
    assert maps.min() >= 0
    blind = dataclasses.replace(member, weights={**weights, "conv_1_kernel": 0 * weights["conv_1_kernel"]})
    assert saliency_maps([blind], crops, network, TRAIN).max() == 0


def test_most_confident_cases_are_the_farthest_from_the_cut_off_of_both_kinds():
    rows = pd.DataFrame(
        {"tumour": list("abcdef"), "label": [1, 1, 1, 0, 0, 0], "mean": [0.95, 0.6, 0.2, 0.85, 0.1, 0.45]}
    )
    cases = most_confident(rows, "mean", 0.5, each=2)
    assert list(cases["tumour"]) == ["a", "e", "d", "c"]
    assert cases["correct"].tolist() == [True, True, False, False]
