import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from skimage.draw import polygon2mask
from skimage.measure import points_in_poly

from components.imaging.geometry import (
    CROSSINGS_PER_EDGE,
    SCAN_LINES,
    SliceGeometry,
    _bands,
    even_odd_mask,
    longest_diameter_mm,
    measure_shape,
    overlaps,
)
from components.imaging.scan_lines import count_crossings, edges_of
from tests.components.imaging.slices import in_mm

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


def test_measures_far_from_the_origin_stay_precise():
    shape = measure_shape([moved(9e4, -9e4)])
    assert shape.area_mm2 == pytest.approx(100, rel=1e-9)
    assert shape.centroid_xy_mm == pytest.approx((90005, -89995))


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(3, 40))
def test_mask_agrees_with_another_implementation(seed, corners):
    rng = np.random.default_rng(seed)
    polygon = rng.uniform(-3, 33, (corners, 2))
    mask = even_odd_mask([polygon], UNIT, (30, 30))
    rows, cols = np.indices((30, 30))
    expected = points_in_poly(np.column_stack([cols.ravel(), rows.ravel()]), polygon).reshape(30, 30)
    assert (mask == expected).all()


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(3, 12))
def test_area_agrees_with_the_pixels_of_a_fine_mask(seed, corners):
    polygon = np.random.default_rng(seed).uniform(0, 30, (corners, 2))
    fine = SliceGeometry((0.025, 0.025), (0.05, 0.0), (0.0, 0.05))
    mask = even_odd_mask([polygon], fine, (600, 600))
    shape = measure_shape([polygon])
    assert shape.area_mm2 == pytest.approx(mask.sum() * 0.0025, abs=1.5)


steps = st.floats(0.2, 3).flatmap(lambda size: st.sampled_from([size, -size]))


@settings(max_examples=50)
@given(steps, steps, st.floats(-500, 500), st.floats(-500, 500), st.booleans(), st.integers(0, 2**31))
def test_pixels_and_millimetres_are_inverse(row, column, x, y, swapped, seed):
    axes = ((0.0, column), (row, 0.0)) if swapped else ((column, 0.0), (0.0, row))
    geometry = SliceGeometry((x, y), *axes)
    points = np.random.default_rng(seed).uniform(-400, 400, (5, 2))
    assert in_mm(geometry, geometry.to_pixel(points)) == pytest.approx(points)
    assert geometry.to_pixel(np.array([[x, y]])) == pytest.approx(np.zeros((1, 2)))


def along_pixels(mask, repeat):
    """Outlines as planning systems trace voxels: corners of pixel edges, each side cut into ``repeat`` steps."""
    edges = {}
    for row, column in np.argwhere(mask):
        corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            if edges.pop((end, start), None) is None:
                edges[start, end] = True
    following = dict(edges)
    start = next(iter(following))[0]
    path, steps = [start], dict(following.keys())
    while steps[path[-1]] != start:
        path.append(steps[path[-1]])
    corners = np.array(path, dtype=float)[:, ::-1]
    part = np.linspace(0, 1, repeat, endpoint=False)[None, :, None]
    return (corners[:, None] + part * (np.roll(corners, -1, axis=0) - corners)[:, None]).reshape(-1, 2)


def test_dense_outlines_along_voxel_edges_are_measured_exactly():
    rows, columns = np.indices((80, 80))
    mask = np.hypot(rows - 40, columns - 41) < 30
    outline = along_pixels(mask, 25)
    assert len(outline) > 5_000
    shape = measure_shape([outline])
    assert shape.area_mm2 == pytest.approx(mask.sum())
    assert shape.centroid_xy_mm == pytest.approx((np.argwhere(mask).mean(axis=0) + 0.5)[::-1])
    assert (even_odd_mask([outline - 0.5], UNIT, (80, 80)) == mask).all()
    assert not overlaps([outline])


def test_many_islands_side_by_side_are_measured_exactly():
    islands = [SQUARE * 0.1 + [3.0 * column, 3.0 * row] for row in range(20) for column in range(20)]
    assert measure_shape(islands).area_mm2 == pytest.approx(400)
    assert not overlaps(islands)


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(257, 900), st.sampled_from(["disc", "square", "circle", "thin"]))
def test_longest_diameter_of_many_points_agrees_with_all_distances(seed, count, kind):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    points = {
        "disc": rng.normal(0, 8, (count, 2)),
        "square": rng.uniform(0, 10, (count, 2)).round(1),
        "circle": 9 * np.column_stack([np.cos(angle), np.sin(angle)]),
        "thin": rng.uniform(0, 1, (count, 2)) * [30, 1e-3],
    }[kind]
    assert longest_diameter_mm([points]) == pytest.approx(cdist(points, points).max(), rel=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_area_of_several_outlines_agrees_with_another_implementation(seed, count):
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    outlines = [rng.uniform(10, 50, 2) + rng.uniform(2, 9) * circle for _ in range(count)]
    mask = np.zeros((600, 600), dtype=bool)
    for outline in outlines:
        mask ^= polygon2mask(mask.shape, outline[:, ::-1] * 10)
    assert measure_shape(outlines).area_mm2 == pytest.approx(mask.sum() / 100, rel=0.02, abs=0.5)


def test_the_work_on_a_folded_outline_is_bounded_by_its_number_of_points():
    rng = np.random.default_rng(0)
    folded = rng.uniform(0, 30, (3_000, 2))
    starts, ends = edges_of([folded])
    bands = _bands(starts, ends)
    assert count_crossings(starts, ends, bands) <= 1.1 * CROSSINGS_PER_EDGE * (len(folded) + SCAN_LINES)
    assert count_crossings(starts, ends, np.unique(folded[:, 1])) > 10 * CROSSINGS_PER_EDGE * len(folded)
    assert 0 < measure_shape([folded]).area_mm2 < 900
