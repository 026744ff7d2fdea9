"""Percentile ranks of a crop among those that a bundle was trained on."""

import numpy as np

from components.model.crop_statistics import percentile_ranks, percentiles_over


def test_a_rank_is_interpolated_between_the_percentiles():
    known = {"0": 10.0, "1": 11.0, "5": 12.0, "25": 20.0, "50": 30.0, "75": 40.0, "95": 48.0, "99": 49.0, "100": 50.0}
    levels = np.array([5.0, 10.0, 15.0, 30.0, 50.0, 60.0], np.float32)
    crops = np.repeat(levels, 151 * 151).reshape(-1, 151, 151)
    means, deviations = percentile_ranks(crops, {"mean_hu": known, "sd_hu": known})
    np.testing.assert_allclose(means, [-1, 0, 12.5, 50, 100, 101])
    assert (deviations == -1).all()  # flat crops: below all that were seen


def test_the_training_crops_are_within_their_own_range():
    crops = np.random.default_rng(1).normal(40, 30, (50, 151, 151)).astype(np.float32)
    stored = percentiles_over(crops)
    assert set(stored) == {"mean_hu", "sd_hu"}
    assert list(stored["mean_hu"]) == ["0", "1", "5", "25", "50", "75", "95", "99", "100"]
    ranks = percentile_ranks(crops, stored)
    assert ranks.shape == (2, 50)
    assert ranks.min() >= 0
    assert ranks.max() <= 100
    np.testing.assert_allclose(np.median(ranks, axis=1), 50, atol=2)
