import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.imaging.ct import CtPlane, CtSeries
from components.imaging.gtv import find_gtvs
from components.imaging.stack import check_lesion

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def series_of(zs, numbers=None):
    numbers = [None] * len(zs) if numbers is None else numbers
    planes = [
        CtPlane(str(z), 0, f"1.{i}", (0.0, 0.0, float(z)), AXIAL, (1.0, 1.0), (64, 64), instance_number=number)
        for i, (z, number) in enumerate(zip(zs, numbers, strict=True))
    ]
    return CtSeries("1.2", "1.3", tuple(planes))


def code(zs, numbers=None, low=None, high=None):
    try:
        check_lesion(series_of(zs, numbers), zs[0] if low is None else low, zs[-1] if high is None else high)
    except TumourError as error:
        return error.code
    return ""


#: Steps of a series: runs of one spacing, each of two steps or more, in tenths of a millimetre.
RUNS = st.lists(st.tuples(st.sampled_from([5, 6, 10, 12, 20, 25, 30, 50]), st.integers(2, 6)), min_size=1, max_size=4)


def positions(runs):
    steps = [step for step, count in runs for _ in range(count)]
    return [round(0.1 * z, 1) for z in itertools.accumulate(steps, initial=-300)]


@given(RUNS, st.sampled_from([None, 1, -1]))
def test_any_series_of_runs_of_constant_spacing_is_whole(runs, direction):
    zs = positions(runs)
    numbers = None if direction is None else [500 + direction * i for i in range(len(zs))]
    assert code(zs, numbers) == ""


@given(RUNS, st.integers(0, 99), st.sampled_from([1, -1]))
def test_any_slice_lost_between_others_is_missed_by_the_slices_numbers(runs, which, direction):
    """Except where the remaining step is no longer than its neighbours: 1, 0.5, 0.5, 1 mm become 1, 1, 1 mm."""
    zs, numbers = positions(runs), [500 + direction * i for i in range(sum(count for _, count in runs) + 1)]
    assume(len(zs) > 4)
    lost = 2 + which % (len(zs) - 4)
    del zs[lost], numbers[lost]
    before, step, after = np.diff(zs)[lost - 2 : lost + 1]
    assume(step > 1.5 * min(before, after))
    assert code(zs, numbers) == "MISSING_SLICE"


@given(st.sampled_from([5, 6, 10, 25, 30]), st.integers(6, 20), st.integers(0, 99), st.integers(1, 2))
def test_slices_lost_from_even_spacing_are_missed_without_numbers(step, count, which, lost):
    zs = [0.1 * step * i for i in range(count)]
    first = 1 + which % (count - 1 - lost)
    assert code(zs[:first] + zs[first + lost :]) == "MISSING_SLICE"


def test_every_second_slice_lost_for_a_while_is_missed_by_numbers():
    zs = np.delete(np.arange(12) * 1.5, [4, 6])
    assert code(zs, np.delete(np.arange(12), [4, 6]).tolist()) == "MISSING_SLICE"
    assert code(zs, range(10)) == ""


def test_a_skipped_number_alone_is_not_a_missing_slice():
    """Another object may have the number, or numbers may be unordered; the planes are evenly spaced."""
    zs = np.arange(8) * 2.0
    assert code(zs, [1, 2, 3, 5, 6, 7, 8, 9]) == ""
    assert code([0, 2, 4, 8, 12, 16], [1, 2, 3, 9, 5, 6]) == ""
    assert code([0, 2, 4, 8, 12, 16], [1, 2, 3, 3, 4, 5]) == ""


def test_slices_thinned_out_from_a_level_on_are_whole():
    """From one level to the end of the series, every second slice was exported, with its original number."""
    zs, numbers = [0, 2, 4, 6, 10, 14, 18, 22], [1, 2, 3, 4, 6, 8, 10, 12]
    assert code(zs, numbers) == ""


@pytest.mark.parametrize("zs", [[0.0], [0.0, 3.0], [0.0, 0.6, 1.3, 1.9, 2.5]])
def test_few_or_rounded_positions_are_whole(zs):
    assert code(zs) == ""


def test_slices_missing_outside_the_lesion_do_not_matter():
    zs = [0, 2, 4, 6, 8, 12, 14, 16]
    assert code(zs, low=2, high=8) == ""
    assert code(zs, low=2, high=12) == "MISSING_SLICE"


@pytest.mark.parametrize("z_change", [2.0, 6.0])
def test_spacing_that_changes_within_the_lesion_is_accepted(make_study, z_change):
    zs = [*np.arange(-4, z_change, 2.0), *np.arange(z_change, 21, 4.0)]
    drawn = {float(z): [8 * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])] for z in zs if -2 <= z <= 14}
    (candidate,) = find_gtvs(make_study({"GTV": drawn}, zs=zs).source(), "", PreprocessSettings())
    assert (candidate.status, candidate.code) == ("ok", "")


def test_the_slice_nearest_the_centroid_takes_changing_spacing_into_account(make_study):
    """Equal areas from z 0 to 12, weighted by half the distances to their neighbours: centroid 6.4, not 5.2."""
    zs = [-4, -2, 0, 2, 4, 8, 12, 16]
    drawn = {float(z): [8 * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])] for z in zs if 0 <= z <= 12}
    (candidate,) = find_gtvs(make_study({"GTV": drawn}, zs=zs).source(), "", PreprocessSettings())
    assert candidate.z_mm == 8
