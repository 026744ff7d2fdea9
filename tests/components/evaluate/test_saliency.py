"""Golden numbers: Keras's network with the same weights, and finite differences."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
from scipy import special

from components.common.settings import TrainSettings
from components.evaluate.saliency import margin_gradient, most_confident, saliency_maps
from components.model.network import initial_weights, windowed
from tests.components.networks import reference_probabilities

SMALL = TrainSettings(filters_1=2, filters_2=3, kernel_1=4, kernel_2=3, pool_1=5, pool_2=4, dense_1=6, dense_2=5)


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(3)
    weights = {n: w + 0.05 * rng.normal(size=w.shape) for n, w in initial_weights(SMALL, rng).items()}
    return {n: w.astype(np.float32) for n, w in weights.items()}, rng.normal(40, 50, (2, 151, 151)).astype(np.float32)


def test_gradient_equals_finite_differences(case):
    weights, crops = case
    images = windowed(crops, SMALL).astype(float)
    _, gradient = margin_gradient(weights, images, SMALL)
    rng = np.random.default_rng(0)
    for _ in range(5):
        step = rng.normal(size=images.shape)
        ahead, behind = (margin_gradient(weights, images + s * 1e-7 * step, SMALL)[0] for s in (1, -1))
        assert np.allclose((ahead - behind) / 2e-7, (gradient * step).sum(axis=(1, 2)), rtol=1e-4, atol=1e-6)


def test_margin_gives_the_probabilities_of_the_keras_network(case):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    weights, crops = case
    margin, _ = margin_gradient(weights, windowed(crops, SMALL).astype(float), SMALL)
    assert np.allclose(special.expit(margin), reference_probabilities(weights, crops, SMALL), atol=1e-5)


def test_a_network_that_cannot_see_the_image_has_an_empty_map(study, case):
    # A first kernel of zeros but for a bias cannot see the image; a crop beyond the window has no slope to show.
    weights, crops = case
    member = dataclasses.replace(study[2].members[0], weights=weights)
    maps = saliency_maps([member, member], crops, SMALL)
    assert maps.shape == crops.shape
    assert maps.max() == pytest.approx(1.0)
    assert maps.min() >= 0
    blind = dataclasses.replace(member, weights={**weights, "conv_1_kernel": 0 * weights["conv_1_kernel"]})
    assert saliency_maps([blind], crops, SMALL).max() == 0


def test_most_confident_cases_are_the_farthest_from_the_cut_off_of_both_kinds():
    rows = pd.DataFrame(
        {"tumour": list("abcdef"), "label": [1, 1, 1, 0, 0, 0], "mean": [0.95, 0.6, 0.2, 0.85, 0.1, 0.45]}
    )
    cases = most_confident(rows, "mean", 0.5, each=2)
    assert list(cases["tumour"]) == ["a", "e", "d", "c"]
    assert cases["correct"].tolist() == [True, True, False, False]
