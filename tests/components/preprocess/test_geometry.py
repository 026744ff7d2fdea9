import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from components.preprocess.geometry import (
    SliceGeometry,
    even_odd_mask,
    longest_diameter_mm,
    measure_shape,
    overlaps,
)

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])


def moved(x, y):
    return SQUARE + np.array([x, y])


UNIT = SliceGeometry((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))


def test_area_and_centroid_of_a_ring_leave_out_the_hole():
    shape = measure_shape([SQUARE, SQUARE * 0.5 + 1])
    assert shape.area_mm2 == pytest.approx(75)
    assert shape.centroid_xy_mm == pytest.approx(((500 - 25 * 3.5) / 75,) * 2)
    assert (shape.width_mm, shape.height_mm) == (10, 10)


def test_islands_add_up_and_an_island_in_a_hole_counts():
    far = moved(100, 0)
    assert measure_shape([SQUARE, far]).area_mm2 == pytest.approx(200)
    nested = [SQUARE, SQUARE * 0.8 + 1, SQUARE * 0.2 + 4]
    assert measure_shape(nested).area_mm2 == pytest.approx(100 - 64 + 4)


def test_a_bow_tie_has_both_its_wings():
    bow_tie = np.array([[0.0, 0], [10, 10], [10, 0], [0, 10]])
    assert measure_shape([bow_tie]).area_mm2 == pytest.approx(50, rel=1e-3)
    assert overlaps([bow_tie])


def test_overlapping_contours_are_noticed_and_nested_ones_are_not():
    assert overlaps([SQUARE, moved(5, 5)])
    assert not overlaps([SQUARE, SQUARE * 0.5 + 1])
    assert not overlaps([SQUARE, moved(50, 0)])


def test_measures_of_a_shape_without_area():
    line = np.array([[1.0, 2], [3, 2], [5, 2]])
    shape = measure_shape([line])
    assert shape.area_mm2 == 0
    assert shape.centroid_xy_mm == (3, 2)
    assert longest_diameter_mm([line]) == 4
    assert longest_diameter_mm([np.ones((3, 2))]) == 0


def test_longest_diameter_spans_islands():
    assert longest_diameter_mm([SQUARE, moved(20, 0)]) == pytest.approx(np.hypot(30, 10))


def test_far_from_the_origin_nothing_is_lost():
    shape = measure_shape([moved(9e4, -9e4)])
    assert shape.area_mm2 == pytest.approx(100, rel=1e-9)
    assert shape.centroid_xy_mm == pytest.approx((90005, -89995))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.integers(3, 40))
def test_mask_agrees_with_another_implementation(seed, corners):
    rng = np.random.default_rng(seed)
    polygon = rng.uniform(-3, 33, (corners, 2))
    mask = even_odd_mask([polygon], UNIT, (30, 30))
    rows, cols = np.indices((30, 30))
    expected = points_in_poly(np.column_stack([cols.ravel(), rows.ravel()]), polygon).reshape(30, 30)
    assert (mask == expected).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.integers(3, 12))
def test_area_agrees_with_the_pixels_of_a_fine_mask(seed, corners):
    polygon = np.random.default_rng(seed).uniform(0, 30, (corners, 2))
    fine = SliceGeometry((0.025, 0.025), (0.05, 0.0), (0.0, 0.05))
    mask = even_odd_mask([polygon], fine, (600, 600))
    shape = measure_shape([polygon])
    assert shape.area_mm2 == pytest.approx(mask.sum() * 0.0025, abs=1.5)


steps = st.floats(0.2, 3).flatmap(lambda size: st.sampled_from([size, -size]))


@settings(deadline=None, max_examples=50)
@given(steps, steps, st.floats(-500, 500), st.floats(-500, 500), st.booleans(), st.integers(0, 2**31))
def test_pixels_and_millimetres_are_inverse(row, column, x, y, swapped, seed):
    axes = ((0.0, column), (row, 0.0)) if swapped else ((column, 0.0), (0.0, row))
    geometry = SliceGeometry((x, y), *axes)
    points = np.random.default_rng(seed).uniform(-400, 400, (5, 2))
    assert geometry.to_mm(geometry.to_pixel(points)) == pytest.approx(points)
    assert geometry.to_pixel(np.array([[x, y]])) == pytest.approx(np.zeros((1, 2)))
    assert geometry.pixel_spacing_mm == pytest.approx((abs(row), abs(column)))
