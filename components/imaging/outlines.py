"""Cleans the outlines of a GTV: counts duplicate outlines once, and leaves out stray marks far from the tumour."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from components.common.errors import TumourError
from components.common.limits import MAX_POINTS
from components.imaging.contour_planes import ResolvedPlane
from components.imaging.contours import Note
from components.imaging.geometry import Points, bounding_box_mm, even_odd_moments, shoelace_mm2
from components.imaging.scan_lines import spend

#: Largest mean distance between two rounds of one contour that repeat one outline, mm: above the effect of rounding to
#: 0.1 mm or of leaving out every other point.
ROUND_TOLERANCE_MM = 0.1
#: The same for two contours, and the fraction of the larger area by which they may differ: above the effect of shifting
#: or smoothing an outline before it is written again; half a pixel, so below the wall of any shell that is drawn.
COPY_TOLERANCE_MM, COPY_AREA_FRACTION = 0.4, 0.15
#: Largest number of pairs of similar outlines that are compared for a GTV, and of their points; more indicate a hostile
#: file. Genuine copies, however many, have at most twice the points that a GTV may have.
MAX_COMPARISONS, MAX_COMPARED_POINTS = 1_000, 3 * MAX_POINTS
#: Largest number of times that a contour may return to its first point; no export writes more.
MAX_ROUNDS = 16
#: A stray mark has at most this area, in pixels of the CT or in mm2, whichever is larger, ...
STRAY_PIXELS, STRAY_AREA_MM2 = 2.0, 1.0
#: ... at most this fraction of the area of the GTV's largest outline, so that a small GTV loses nothing, ...
STRAY_AREA_FRACTION = 0.03
#: ... and at least this distance from every larger outline, mm or CT plane steps, so that a pointed end is kept.
STRAY_DISTANCE_MM, STRAY_STEPS = 5.0, 2.5
#: Smallest area of an outline that is not ignored, mm2: one pixel of the finest CT (0.2 mm).
MIN_AREA_MM2 = 0.04
#: Work on one outline, in crossings that take the same time.
OUTLINE_WORK = 200


@dataclasses.dataclass(frozen=True, slots=True)
class _Mark:
    """An outline: index of its plane, points, bounding box, area, and distance from the nearest larger outline."""

    plane: int
    points: Points
    box_mm: tuple[Points, Points]
    area_mm2: float
    distance_mm: float = np.inf


@dataclasses.dataclass(slots=True)
class _Comparisons:
    """Pairs and points of a GTV's outlines that may still be compared."""

    pairs: int = MAX_COMPARISONS
    points: int = MAX_COMPARED_POINTS

    def is_copy(self, one: Points, other: Points) -> bool:
        """Whether two contours are copies of one outline, perhaps slightly shifted or smoothed."""
        area_mm2 = COPY_AREA_FRACTION * max(abs(shoelace_mm2(one)), abs(shoelace_mm2(other)))
        return self.is_same(one, other, COPY_TOLERANCE_MM, area_mm2)

    def is_same(self, one: Points, other: Points, mm: float = ROUND_TOLERANCE_MM, mm2: float = np.inf) -> bool:
        """Whether the symmetric difference of two outlines is at most ``mm`` wide on average, and at most ``mm2``."""
        spend(20 * OUTLINE_WORK)
        self.pairs, self.points = self.pairs - 1, self.points - len(one) - len(other)
        if min(self.pairs, self.points) < 0:
            raise TumourError(
                "CONTOURS_TOO_MANY",
                "the GTV has more outlines on top of each other than can be compared",
                "Delete the duplicate outlines in the planning system, and export the RTSTRUCT again.",
            )
        length = float(np.hypot(*(one - np.roll(one, -1, axis=0)).T).sum())
        return even_odd_moments([one, other])[0] <= min(mm * length, mm2)


def tidy(planes: Sequence[ResolvedPlane], step_mm: float) -> tuple[list[ResolvedPlane], list[Note]]:
    """The planes without duplicate outlines and stray marks, and a note on each kind of outline that was left out.

    Parameters
    ----------
    planes
        Planes from low to high z, as ``resolve_contours`` returns them.
    step_mm
        Median distance of the CT's planes.

    Raises
    ------
    TumourError
        ``CONTOURS_TOO_MANY``: more similar outlines than can be compared.
    """
    budget = _Comparisons()
    rounds = [tuple(_single_round(contour, budget) for contour in plane.contours_xy_mm) for plane in planes]
    single = [
        dataclasses.replace(plane, contours_xy_mm=without_copies(contours, budget))
        for plane, contours in zip(planes, rounds, strict=True)
    ]
    copies = sum(_count_copies(*each) for each in zip(planes, rounds, single, strict=True))
    notes = [Note("CONTOUR_TWICE", f"duplicate outlines, counted once: {copies}")] if copies else []
    left_out = _stray_marks(single, max(STRAY_DISTANCE_MM, STRAY_STEPS * step_mm))
    points = {id(mark.points) for mark in left_out}
    cleaned = [
        dataclasses.replace(plane, contours_xy_mm=tuple(c for c in plane.contours_xy_mm if id(c) not in points))
        for plane in single
    ]
    notes += _notes(left_out)
    return [plane for plane in cleaned if plane.contours_xy_mm], notes


def _count_copies(plane: ResolvedPlane, rounds: Sequence[Points], single: ResolvedPlane) -> int:
    """Number of contours that repeated their outline, and of those that were left out as copies of another."""
    longer = sum(len(one) < len(whole) for whole, one in zip(plane.contours_xy_mm, rounds, strict=True))
    return longer + len(rounds) - len(single.contours_xy_mm)


def _notes(left_out: Sequence[_Mark]) -> list[Note]:
    stray = [mark for mark in left_out if mark.area_mm2 >= MIN_AREA_MM2]
    notes = []
    if stray:
        size, far = max(mark.area_mm2 for mark in stray), min(mark.distance_mm for mark in stray)
        marks = "1 stray mark" if len(stray) == 1 else f"{len(stray)} stray marks"
        message = f"{marks} of at most {size:.2g} mm2, at least {far:.0f} mm from the rest of the GTV: left out"
        notes.append(Note("STRAY_CONTOUR", message))
    if tiny := len(left_out) - len(stray):
        notes.append(Note("STRAY_CONTOUR", f"contours that enclose less than a pixel: {tiny} left out"))
    return notes


def without_copies(contours: Sequence[Points], budget: _Comparisons | None = None) -> tuple[Points, ...]:
    """The contours of a plane, each outline once. Shapes are compared, so that points and starts may differ.

    By the even-odd rule an outline and its copy would cancel each other. Nobody draws a hole as large as the outline
    around it, so the second one is a copy. The same holds for a hole that is written twice.
    """
    budget = budget or _Comparisons()
    distinct: list[Points] = []
    boxes = np.empty((len(contours), 4))
    for contour in contours:
        box = np.concatenate(bounding_box_mm([contour]))
        is_similar = np.abs(boxes[: len(distinct)] - box).max(axis=1) <= 4 * COPY_TOLERANCE_MM
        if not any(budget.is_copy(distinct[i], contour) for i in np.flatnonzero(is_similar)):
            boxes[len(distinct)] = box
            distinct.append(contour)
    return tuple(distinct)


def _single_round(contour: Points, budget: _Comparisons) -> Points:
    """The first round of a contour that follows its outline several times, or forth and back, and so cancels itself."""
    if np.ptp(contour, axis=0).max() <= 4 * ROUND_TOLERANCE_MM:
        return contour  # too small to decide
    half = len(contour) // 2
    if half >= 3 and np.abs(contour[:half] - contour[::-1][:half]).max() <= ROUND_TOLERANCE_MM:
        return contour[:half] if _closes(contour[:half]) else contour
    for first, *others in _divisions(contour):
        if all(_has_same_box(first, other) and budget.is_same(first, other) for other in others):
            return first
    return contour


def _closes(points: Points) -> bool:
    """Whether a line ends within one step of its start, so that it is an outline and not an open line."""
    return bool(np.hypot(*(points[0] - points[-1])) <= np.hypot(*np.diff(points, axis=0).T).max() + ROUND_TOLERANCE_MM)


def _divisions(contour: Points) -> Iterator[list[Points]]:
    """Divisions of a contour into equal numbers of returns to its first point: a keyhole has several in each round."""
    near = np.hypot(*(contour - contour[0]).T) <= ROUND_TOLERANCE_MM
    returns = np.flatnonzero(near[1:] & ~near[:-1]) + 1
    inner = returns[:-1] if near[-1] else returns  # the last one only closes the contour
    if len(inner) < MAX_ROUNDS:
        for each in range(1, (len(inner) + 1) // 2 + 1):
            if (len(inner) + 1) % each == 0:
                yield np.split(contour, inner[each - 1 :: each])


def _has_same_box(one: Points, other: Points) -> bool:
    boxes = np.abs(np.subtract(bounding_box_mm([one]), bounding_box_mm([other])))
    return bool(boxes.max() <= 4 * ROUND_TOLERANCE_MM)


def _stray_marks(planes: Sequence[ResolvedPlane], far_mm: float) -> list[_Mark]:
    """Outlines that are too small and too far from the tumour to be a part of it, and those that enclose no area."""
    rows, columns = planes[0].plane.spacing_mm
    sizes = [[abs(shoelace_mm2(contour)) for contour in plane.contours_xy_mm] for plane in planes]
    largest = max(max(areas) for areas in sizes)
    limit = min(max(STRAY_PIXELS * rows * columns, STRAY_AREA_MM2), STRAY_AREA_FRACTION * largest)
    marks: list[_Mark] = []
    bodies: list[_Mark] = []
    for index, (plane, areas) in enumerate(zip(planes, sizes, strict=True)):
        for contour, size in zip(plane.contours_xy_mm, areas, strict=True):
            area = (
                size if size > limit else even_odd_moments([contour])[0]
            )  # the signed area of an outline that crosses itself is too small
            (marks if area <= limit else bodies).append(_Mark(index, contour, bounding_box_mm([contour]), area))
    if not bodies:
        return []
    heights = np.array([plane.plane.z_mm for plane in planes])
    measured = [dataclasses.replace(mark, distance_mm=_distance(mark, bodies, heights, far_mm)) for mark in marks]
    return [mark for mark in measured if mark.distance_mm > far_mm or mark.area_mm2 < MIN_AREA_MM2]


def _distance(mark: _Mark, bodies: Sequence[_Mark], heights: Points, far_mm: float) -> float:
    """Distance of a mark's centre from the nearest larger outline, mm.

    It is 0 in the plane of an outline within its bounding box. Beyond ``far_mm`` it is the distance from the box.
    """
    centre = mark.points.mean(axis=0)
    distances = []
    for body in bodies:
        low, high = body.box_mm
        aside = float(np.hypot(*np.maximum(0, np.maximum(low - centre, centre - high))))
        spend(OUTLINE_WORK)
        if 0 < aside <= far_mm:  # the box's corner may be nearer than the outline
            spend(len(body.points))
            aside = _distance_to_outline(centre, body.points)
        distances.append(float(np.hypot(aside, heights[body.plane] - heights[mark.plane])))
    return min(distances)


def _distance_to_outline(point: Points, contour: Points) -> float:
    along = np.roll(contour, -1, axis=0) - contour
    length2 = np.maximum((along**2).sum(axis=1), 1e-12)
    fraction = np.clip(((point - contour) * along).sum(axis=1) / length2, 0, 1)
    return float(np.hypot(*(contour + fraction[:, None] * along - point).T).min())
