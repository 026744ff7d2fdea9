"""Crops of one scan are distinguished from crops of two, on phantoms with similar heads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import shift

from components.common.settings import PreprocessSettings
from components.phantom.phantom import write_cohort
from components.preprocess.cohort import preprocess_cohort
from components.preprocess.similarity import near_identical


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """The crops of twenty phantom patients."""
    table = write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", seed=11, tumours=24, patients=20)
    return np.array(preprocess_cohort(str(table), PreprocessSettings(), b"key").crops)


def test_crops_of_different_scans_or_positions_are_different(crops):
    assert near_identical(crops) == []


EXPORTS = {
    "copied": lambda crop: crop,
    "noisy": lambda crop: crop + np.random.default_rng(1).normal(0, 4, crop.shape),  # a lossy compression
    "rounded": lambda crop: np.round(crop / 4) * 4,
    "moved by 1.1 mm": lambda crop: shift(crop, (4, -4), order=1, mode="nearest"),  # as by another contour
    "moved by half a pixel of a CT": lambda crop: shift(crop, (1, 3), order=1, mode="nearest"),
    "clipped": lambda crop: np.clip(crop, -100, 300),
    "recalibrated": lambda crop: crop * 1.02 + 3,
}


@pytest.mark.parametrize("change", EXPORTS.values(), ids=EXPORTS)
def test_a_crop_is_found_again_after_another_export(crops, change):
    again = np.stack([change(crop) for crop in crops]).astype(np.float32)
    pairs = near_identical(np.concatenate([crops, again]))
    assert set(pairs) == {(index, index + len(crops)) for index in range(len(crops))}


@settings(max_examples=25)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=14))
def test_pairs_are_exactly_the_repeats(chosen):
    rng = np.random.default_rng(0)
    scans = rng.normal(30, 8, (12, 151, 151)).astype(np.float32).repeat(2, 1).repeat(2, 2)[:, :151, :151]
    wanted = {(i, j) for j, b in enumerate(chosen) for i, a in enumerate(chosen[:j]) if a == b}
    assert set(near_identical(scans[chosen])) == wanted


def test_flat_and_empty_crops_are_alike_only_where_they_are_equal():
    crops = np.stack([np.full((151, 151), value, np.float32) for value in (0, 30, 30, -1000, 1500)])
    assert near_identical(crops) == [(1, 2)]
    assert near_identical(crops[:0]) == []
