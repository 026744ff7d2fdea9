"""Cleaning of outlines: duplicates, stray marks, and dense outlines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.contour_planes import ResolvedPlane
from components.imaging.ct import CtPlane
from components.imaging.geometry import SliceGeometry, even_odd_mask, measure_shape
from components.imaging.gtv import find_gtvs
from components.imaging.outlines import tidy, without_copies
from tests.components.studies import circle

SETTINGS = PreprocessSettings()
UNIT = SliceGeometry((-32.0, -32.0), (1.0, 0.0), (0.0, 1.0))
RING = (circle(9), circle(4, x=1))


def one(study):
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    return candidate


def written_again(contour, kind, rng):
    """The same outline in the form of another export."""
    points = np.roll(contour, int(rng.integers(len(contour))), axis=0)
    return {
        "exact": contour,
        "from another point": points,
        "the other way": points[::-1],
        "rounded": np.round(points, 2),
        "with more points": np.repeat(points, 2, axis=0)[: 2 * len(points)],
        "closed by its first point": np.vstack([points, points[:1]]),
    }[kind]


KINDS = ("exact", "from another point", "the other way", "rounded", "with more points", "closed by its first point")


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from(KINDS), st.integers(1, 3))
def test_a_copy_of_an_outline_changes_no_measure(seed, kind, times):
    rng = np.random.default_rng(seed)
    shapes = [circle(9, *rng.uniform(-5, 5, 2), points=40), circle(3, *rng.uniform(-3, 3, 2)), circle(2, x=20)]
    again = [written_again(shapes[int(rng.integers(3))], kind, rng) for _ in range(times)]
    kept = without_copies([*shapes, *again])
    assert len(kept) == 3
    before, after = measure_shape(shapes), measure_shape(kept)
    assert after.area_mm2 == pytest.approx(before.area_mm2)
    assert after.centroid_xy_mm == pytest.approx(before.centroid_xy_mm)
    assert (even_odd_mask(kept, UNIT, (64, 64)) == even_odd_mask(shapes, UNIT, (64, 64))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_doubled_middle_slices_do_not_cancel(make_study, kind):
    rng = np.random.default_rng(3)
    planes = {z: [circle(8)] for z in (1.5, 3.0, 4.5, 6.0, 7.5)}
    doubled = planes | {4.5: [circle(8), written_again(circle(8), kind, rng)]}
    plain, candidate = one(make_study({"GTV": planes})), one(make_study({"GTV": doubled}))
    assert (candidate.z_mm, candidate.planes) == (plain.z_mm, plain.planes) == (4.5, 5)
    assert candidate.area_mm2 == pytest.approx(plain.area_mm2, rel=1e-3)
    assert candidate.warnings == ("CONTOUR_TWICE",)
    assert "counted once: 1" in candidate.message


def closed(outline):
    return np.vstack([outline, outline[:1]])


KEYHOLE = np.vstack([closed(circle(9)), circle(4)[::-1], circle(4)[-1:]])


@pytest.mark.parametrize(
    "rounds",
    [
        lambda one: [one, one],
        lambda one: [closed(one), one],
        lambda one: [closed(one), closed(one)],
        lambda one: [one] * 4,
        lambda one: [one, np.round(one, 2)],
        lambda one: [one, one[::2]],
        lambda one: [one, one[::-1]],
        lambda one: [closed(one), one[::-1]],
    ],
)
@pytest.mark.parametrize("outline", [circle(8), circle(8, points=600), KEYHOLE])
def test_a_contour_that_goes_round_more_than_once_does_not_cancel_itself(make_study, rounds, outline):
    plain = one(make_study({"GTV": {1.5: [circle(8)], 3.0: [outline], 4.5: [circle(8)]}}))
    again = one(make_study({"GTV": {1.5: [circle(8)], 3.0: [np.vstack(rounds(outline))], 4.5: [circle(8)]}}))
    assert again.z_mm == plain.z_mm == 3.0
    assert again.area_mm2 == pytest.approx(plain.area_mm2, rel=0.01)
    assert (again.crop == plain.crop).all()
    assert again.warnings == ("CONTOUR_TWICE",)


def test_a_line_that_goes_there_and_back_encloses_nothing(make_study):
    line = np.column_stack([np.linspace(0, 18, 20), np.linspace(0, 7, 20)])
    arc = circle(8)[:15]
    for thread in (line, arc):
        there_and_back = np.vstack([thread, thread[::-1]])
        assert one(make_study({"GTV": {3.0: [there_and_back]}})).code == "ROI_EMPTY"


def test_rings_keyholes_and_thin_walls_are_not_changed(make_study):
    ring = one(make_study({"GTV": {3.0: list(RING)}}))
    assert ring.area_mm2 == pytest.approx((81 - 16) * np.pi, rel=0.01)
    doubled_hole = one(make_study({"GTV": {3.0: [*RING, RING[1]]}}))
    assert doubled_hole.area_mm2 == pytest.approx(ring.area_mm2)
    outer, inner = circle(9), circle(4)[::-1]
    keyhole = np.vstack([outer, outer[:1], inner, inner[:1]])
    assert one(make_study({"GTV": {3.0: [keyhole]}})).area_mm2 == pytest.approx((81 - 16) * np.pi, rel=0.01)
    assert len(without_copies([circle(9), circle(8.5)])) == 2
    assert ring.warnings == ()


@pytest.mark.parametrize("again", [circle(9) + 0.2, circle(8.7), circle(9, y=0.3), circle(9.2)])
def test_a_shifted_or_smoothed_copy_of_an_outline_counts_once(make_study, again):
    """Two outlines half a pixel apart would leave only a thin rim, so that another slice would be cut."""
    planes = {z: [circle(9)] for z in (1.5, 3.0, 4.5)}
    plain = one(make_study({"GTV": planes}))
    candidate = one(make_study({"GTV": planes | {3.0: [circle(9), again]}}))
    assert (candidate.area_mm2, candidate.z_mm) == (plain.area_mm2, plain.z_mm)
    assert candidate.warnings == ("CONTOUR_TWICE",)


def test_more_similar_outlines_than_can_be_compared_are_refused(make_study):
    rng = np.random.default_rng(1)
    outlines = []
    for _ in range(60):  # similar bounding boxes, but different outlines
        outline = rng.uniform(-5, 5, (12, 2))
        outline[:4] = [[-5, -5], [5, -5], [5, 5], [-5, 5]]
        outlines.append(outline)
    assert one(make_study({"GTV": {3.0: outlines}})).code == "CONTOURS_TOO_MANY"


def test_the_limit_of_similar_outlines_holds_for_the_whole_gtv(make_study):
    """With a separate limit for each plane, the planes of one file could take minutes together."""
    rng = np.random.default_rng(1)
    corners = np.array([[-5, -5], [5, -5], [5, 5], [-5, 5]])
    planes = {1.5 * k: [np.vstack([corners, rng.uniform(-5, 5, (8, 2))]) for _ in range(25)] for k in range(9)}
    assert one(make_study({"GTV": planes})).code == "CONTOURS_TOO_MANY"
    angle = np.linspace(0, 2 * np.pi, 6000)
    radii = [3 + 2 * np.sin(5 * angle + phase) for phase in rng.uniform(0, 2 * np.pi, 20)]
    dense = {3.0: [np.vstack([corners, np.column_stack([r * np.cos(angle), r * np.sin(angle)])]) for r in radii]}
    study = make_study({"GTV": dense})
    with pytest.warns(UserWarning, match="exceeds the size of 64 kByte"):
        files = study.files()
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert candidate.code == "CONTOURS_TOO_MANY"


# --- stray marks ---

LESION = {z: [circle(8)] for z in (1.5, 3.0, 4.5, 6.0)}


@pytest.mark.parametrize(
    ("z", "mark"),
    [
        (3.0, circle(0.15, x=-22)),  # an accidental click
        (4.5, circle(0.5, x=0, y=20)),  # nearly a pixel
        (12.0, circle(0.3)),  # above the lesion
        (12.0, circle(0.3, x=15)),
    ],
)
def test_a_stray_mark_changes_nothing_and_is_reported(make_study, z, mark):
    plain = one(make_study({"GTV": LESION}))
    candidate = one(make_study({"GTV": LESION | {z: [*LESION.get(z, []), mark]}}))
    same = ("planes", "z_mm", "area_mm2", "width_mm", "height_mm", "longest_diameter_mm", "centroid_lps_mm")
    assert [getattr(candidate, name) for name in same] == [getattr(plain, name) for name in same]
    assert (candidate.crop == plain.crop).all()
    assert (candidate.status, candidate.warnings) == ("ok", ("STRAY_CONTOUR",))
    assert "1 stray mark" in candidate.message


@pytest.mark.parametrize(
    ("z", "part"),
    [
        (3.0, circle(1.5, x=-16)),  # a satellite of 3 mm
        (3.0, circle(0.4, x=9)),  # small, but beside the lesion
        (7.5, circle(0.3)),  # the lesion's tip
        (3.0, circle(0.4, x=1)),  # a pin hole
    ],
)
def test_a_small_part_of_the_gtv_is_kept(make_study, z, part):
    candidate = one(make_study({"GTV": LESION | {z: [*LESION.get(z, []), part]}}))
    assert candidate.warnings == ()
    assert candidate.planes == (5 if z == 7.5 else 4)


def test_outlines_without_area_do_not_extend_the_gtv(make_study):
    thread = np.array([[0.0, 0], [25, 0], [12, 0]])
    candidate = one(make_study({"GTV": LESION | {3.0: [circle(8), thread]}}))
    assert candidate.width_mm == pytest.approx(16, abs=0.01)
    assert candidate.warnings == ("STRAY_CONTOUR",)


@settings(max_examples=25)
@given(st.floats(0, 2 * np.pi), st.floats(15, 28), st.floats(0.05, 0.5))
def test_stray_marks_are_left_out_at_any_position(angle, distance, radius):
    plane = CtPlane("", 0, "", (-32.0, -32.0, 0.0), (1, 0, 0, 0, 1, 0), (1.0, 1.0), (64, 64), 0.0)
    mark = circle(radius, distance * np.cos(angle), distance * np.sin(angle))
    (kept,), notes = tidy([ResolvedPlane(plane, (circle(8), mark), "uid")], 1.0)
    assert len(kept.contours_xy_mm) == 1
    assert [note.code for note in notes] == ["STRAY_CONTOUR"]
