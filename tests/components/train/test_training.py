import dataclasses

import numpy as np
import pytest

from components.common.artifacts.splits import MemberSplit
from components.common.settings import TrainSettings
from components.train.training import AttemptSampler, class_weights

SPLIT = MemberSplit("A", 1, (), (), ())
TRAINING = np.arange(10, 23, dtype=np.int32)


def sampler(settings, orientations=1, **other):
    rows = TRAINING[:, None] + 100 * np.arange(orientations, dtype=np.int32)
    return AttemptSampler(SPLIT, rows, settings, **{"seed": 1, "attempt": 1, **other})


def test_every_epoch_shows_every_tumour_once_in_a_new_order():
    rows = sampler(TrainSettings(batch_size=13)).batches(0, 3)
    assert all(sorted(epoch) == list(TRAINING) for epoch in rows)
    assert len({tuple(epoch) for epoch in rows}) == 3


@pytest.mark.parametrize("first", [0, 1, 4, 7])
def test_samples_are_functions_of_the_step(first):
    settings = TrainSettings(batch_size=5)
    whole, part = sampler(settings, 4), sampler(settings, 4)
    np.testing.assert_array_equal(whole.batches(0, 9)[first:], part.batches(first, 9 - first))
    np.testing.assert_array_equal(whole.dropout_masks(0, 9)[first:], part.dropout_masks(first, 9 - first))


@pytest.mark.parametrize("other", [{"seed": 2}, {"attempt": 2}])
def test_another_seed_or_attempt_gives_other_samples(other):
    one, another = sampler(TrainSettings()), sampler(TrainSettings(), **other)
    assert (one.batches(0, 2) != another.batches(0, 2)).any()
    assert (one.weights()["conv_1_kernel"] != another.weights()["conv_1_kernel"]).any()
    assert (one.dropout_masks(0, 1)[0] != another.dropout_masks(0, 1)[0]).any()


def test_each_tumour_is_eventually_shown_in_all_orientations():
    rows = sampler(TrainSettings(batch_size=13), orientations=8).batches(0, 200)
    assert all(sorted(epoch % 100) == list(TRAINING) for epoch in rows)
    shown = np.bincount(rows.ravel() // 100, minlength=8)
    assert abs(shown / rows.size - 1 / 8).max() < 0.02


def test_dropout_preserves_the_mean():
    (mask,) = sampler(TrainSettings(dropout=0.5, batch_size=100)).dropout_masks(0, 1)
    assert set(np.unique(mask)) == {0, 2}
    assert abs(mask.mean() - 1) < 0.05
    assert sampler(TrainSettings(dropout=0)).dropout_masks(0, 2) == [None, None]


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels, settings = np.array([0] * 40 + [1] * 25), TrainSettings(class_weights="balanced")
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    np.testing.assert_allclose(class_weights(labels, settings), expected, rtol=1e-6)
    np.testing.assert_array_equal(class_weights(labels, dataclasses.replace(settings, class_weights="none")), [1, 1])
