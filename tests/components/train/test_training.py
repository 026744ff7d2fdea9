import dataclasses

import numpy as np
import pytest

from components.common.artifacts.splits import MemberSplit
from components.common.settings import TrainSettings
from components.train.training import AttemptSampler, class_weights
from tests.components.networks import network_of

SPLIT = MemberSplit("A", 1, (), (), ())
TRAINING = np.arange(10, 23, dtype=np.int32)


NETWORK = network_of(dense_1=4)


def sampler(settings, orientations=1, network=NETWORK, **other):
    rows = TRAINING[:, None] + 100 * np.arange(orientations, dtype=np.int32)
    return AttemptSampler(network, SPLIT, rows, settings, **{"seed": 1, "attempt": 1, **other})


def test_every_epoch_shows_every_tumour_once_in_a_new_order():
    rows = sampler(TrainSettings(batch_size=13)).batches(0, 3)
    assert all(sorted(epoch) == list(TRAINING) for epoch in rows)
    assert len({tuple(epoch) for epoch in rows}) == 3


@pytest.mark.parametrize("first", [0, 1, 4, 7])
def test_samples_are_functions_of_the_step(first):
    settings = TrainSettings(batch_size=5)
    whole, part = sampler(settings, 4), sampler(settings, 4)
    np.testing.assert_array_equal(whole.batches(0, 9)[first:], part.batches(first, 9 - first))
    np.testing.assert_array_equal(whole.kept(0, 9)[0][first:], part.kept(first, 9 - first)[0])


@pytest.mark.parametrize("other", [{"seed": 2}, {"attempt": 2}])
def test_another_seed_or_attempt_gives_other_samples(other):
    one, another = sampler(TrainSettings()), sampler(TrainSettings(), **other)
    assert (one.batches(0, 2) != another.batches(0, 2)).any()
    assert (one.weights()["conv_1_kernel"] != another.weights()["conv_1_kernel"]).any()
    assert (one.kept(0, 1)[0] != another.kept(0, 1)[0]).any()


def test_each_tumour_is_eventually_shown_in_all_orientations():
    rows = sampler(TrainSettings(batch_size=13), orientations=8).batches(0, 200)
    assert all(sorted(epoch % 100) == list(TRAINING) for epoch in rows)
    shown = np.bincount(rows.ravel() // 100, minlength=8)
    assert abs(shown / rows.size - 1 / 8).max() < 0.02


def test_dropout_keeps_what_its_rate_leaves():
    (kept,) = sampler(TrainSettings(batch_size=100), network=network_of(dropout=0.4)).kept(0, 1)
    assert kept.shape == (1, 100, 4, 4, 16)
    assert abs(kept.mean() - 0.6) < 0.01
    assert sampler(TrainSettings(), network=network_of(dropout=0)).kept(0, 2) == []


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels, settings = np.array([0] * 40 + [1] * 25), TrainSettings(class_weights="balanced")
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    np.testing.assert_allclose(class_weights(labels, settings), expected, rtol=1e-6)
    np.testing.assert_array_equal(class_weights(labels, dataclasses.replace(settings, class_weights="none")), [1, 1])
