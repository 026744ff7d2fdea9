"""Outlines as they were meant: what was written twice counts once, and a stray mark is no part of the tumour."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from components.common.errors import TumourError
from components.common.limits import MAX_POINTS
from components.imaging.contour_planes import ResolvedPlane
from components.imaging.contours import Note
from components.imaging.geometry import Points, bounding_box_mm, even_odd_moments, shoelace_mm2
from components.imaging.scan_lines import spend

#: Mean distance between two rounds of one contour up to which they are one outline, mm: above what rounding to 0.1 mm
#: or leaving out every other point does.
TWICE_TOLERANCE_MM = 0.1
#: The same between two contours, and the part of the larger one's area by which they may differ: above what shifting or
#: smoothing an outline does before it is written again; a pixel's half, so below the wall of any shell that is drawn.
AGAIN_TOLERANCE_MM, AGAIN_PART = 0.4, 0.15
#: Pairs of like outlines of a GTV that are compared, and their points; more are a hostile file. Copies alone, however
#: many, have no more than twice the points that a GTV may have.
MAX_COMPARISONS, MAX_COMPARED_POINTS = 1_000, 3 * MAX_POINTS
#: Times that a contour may come back to its first point; more are no export's doing.
MAX_ROUNDS = 16
#: A stray mark is at most this many pixels of the CT or this many mm2, whichever is more, ...
STRAY_PIXELS, STRAY_AREA_MM2 = 2.0, 1.0
#: ... and this part of the GTV's largest outline, so that a small GTV keeps its parts, ...
STRAY_PART = 0.03
#: ... and this far from every larger outline, mm or steps between the CT's planes, so that a pointed end is kept.
STRAY_DISTANCE_MM, STRAY_STEPS = 5.0, 2.5
#: Area from which an outline encloses anything, mm2: a pixel of the sharpest CT (0.2 mm).
NOTHING_MM2 = 0.04
#: Crossings that take as long as looking at one outline or one pair.
STEP = 200


@dataclasses.dataclass(frozen=True, slots=True)
class _Mark:
    """An outline: the index of its plane, its points, its box, its area, and its distance from larger ones."""

    plane: int
    points: Points
    box_mm: tuple[Points, Points]
    area_mm2: float
    distance_mm: float = np.inf


@dataclasses.dataclass(slots=True)
class _Comparisons:
    """What may still be compared of a GTV."""

    pairs: int = MAX_COMPARISONS
    points: int = MAX_COMPARED_POINTS

    def again(self, one: Points, other: Points) -> bool:
        """Whether two contours are one outline that was written again, perhaps moved or smoothed a little."""
        part = AGAIN_PART * max(abs(shoelace_mm2(one)), abs(shoelace_mm2(other)))
        return self.same(one, other, AGAIN_TOLERANCE_MM, part)

    def same(self, one: Points, other: Points, mm: float = TWICE_TOLERANCE_MM, mm2: float = np.inf) -> bool:
        """Whether what lies in one outline and not in the other is no more than a thread along it."""
        spend(20 * STEP)
        self.pairs, self.points = self.pairs - 1, self.points - len(one) - len(other)
        if min(self.pairs, self.points) < 0:
            raise TumourError("CONTOURS_TOO_MANY", "the GTV has more outlines over each other than can be compared")
        length = float(np.hypot(*(one - np.roll(one, -1, axis=0)).T).sum())
        return even_odd_moments([one, other])[0] <= min(mm * length, mm2)


def tidy(planes: Sequence[ResolvedPlane], step_mm: float) -> tuple[list[ResolvedPlane], list[Note]]:
    """Planes without doubled outlines and stray marks, and what was left out.

    Parameters
    ----------
    planes
        From low to high z, as ``resolve_contours`` gives them.
    step_mm
        Usual distance of the CT's planes.

    Raises
    ------
    TumourError
        ``CONTOURS_TOO_MANY``: more like outlines than can be compared.
    """
    left = _Comparisons()
    rounds = [tuple(_once_round(contour, left) for contour in plane.contours_xy_mm) for plane in planes]
    single = [
        dataclasses.replace(plane, contours_xy_mm=once(found, left))
        for plane, found in zip(planes, rounds, strict=True)
    ]
    twice = sum(_written_again(*found) for found in zip(planes, rounds, single, strict=True))
    notes = [Note("CONTOUR_TWICE", f"outlines written again, and counted once: {twice}")] if twice else []
    left_out = _stray_marks(single, max(STRAY_DISTANCE_MM, STRAY_STEPS * step_mm))
    points = {id(mark.points) for mark in left_out}
    kept = [
        dataclasses.replace(plane, contours_xy_mm=tuple(c for c in plane.contours_xy_mm if id(c) not in points))
        for plane in single
    ]
    notes += _notes(left_out)
    return [plane for plane in kept if plane.contours_xy_mm], notes


def _written_again(plane: ResolvedPlane, rounds: Sequence[Points], single: ResolvedPlane) -> int:
    """Outlines that went round more than once, and those that were left out as copies."""
    longer = sum(len(one) < len(whole) for whole, one in zip(plane.contours_xy_mm, rounds, strict=True))
    return longer + len(rounds) - len(single.contours_xy_mm)


def _notes(left_out: Sequence[_Mark]) -> list[Note]:
    stray = [mark for mark in left_out if mark.area_mm2 >= NOTHING_MM2]
    notes = []
    if stray:
        size, far = max(mark.area_mm2 for mark in stray), min(mark.distance_mm for mark in stray)
        marks = "1 stray mark" if len(stray) == 1 else f"{len(stray)} stray marks"
        words = f"{marks} of at most {size:.2g} mm2, at least {far:.0f} mm from the rest of the GTV: left out"
        notes.append(Note("STRAY_CONTOUR", words))
    if nothing := len(left_out) - len(stray):
        notes.append(Note("STRAY_CONTOUR", f"contours that enclose less than a pixel: {nothing} left out"))
    return notes


def once(contours: Sequence[Points], left: _Comparisons | None = None) -> tuple[Points, ...]:
    """The contours of a plane, each outline once: by its course, not by where its points lie or begin.

    Nobody draws a hole as large as its outline, and the even-odd rule would let the two cancel. A hole that is written
    twice is one hole for the same reason.
    """
    left = left or _Comparisons()
    kept: list[Points] = []
    boxes = np.empty((len(contours), 4))
    for contour in contours:
        box = np.concatenate(bounding_box_mm([contour]))
        like = [kept[i] for i in np.flatnonzero(np.abs(boxes[: len(kept)] - box).max(axis=1) <= 4 * AGAIN_TOLERANCE_MM)]
        if not any(left.again(other, contour) for other in like):
            boxes[len(kept)] = box
            kept.append(contour)
    return tuple(kept)


def _once_round(contour: Points, left: _Comparisons) -> Points:
    """A contour that goes round its outline several times, or there and back, gone round once: it cancels itself."""
    if np.ptp(contour, axis=0).max() <= 4 * TWICE_TOLERANCE_MM:
        return contour  # too small to tell
    half = len(contour) // 2
    if half >= 3 and np.abs(contour[:half] - contour[::-1][:half]).max() <= TWICE_TOLERANCE_MM:
        return contour[:half] if _closes(contour[:half]) else contour
    for first, *others in _divisions(contour):
        if all(_alike(first, other) and left.same(first, other) for other in others):
            return first
    return contour


def _closes(points: Points) -> bool:
    """Whether a line ends where it began, but for a step as long as its others: it is an outline, and no thread."""
    return bool(np.hypot(*(points[0] - points[-1])) <= np.hypot(*np.diff(points, axis=0).T).max() + TWICE_TOLERANCE_MM)


def _divisions(contour: Points) -> Iterator[list[Points]]:
    """A contour divided where it comes back to its first point, which a keyhole does within each round, too."""
    near = np.hypot(*(contour - contour[0]).T) <= TWICE_TOLERANCE_MM
    returns = np.flatnonzero(near[1:] & ~near[:-1]) + 1
    inner = returns[:-1] if near[-1] else returns  # the last only closes it
    if len(inner) < MAX_ROUNDS:
        for each in range(1, (len(inner) + 1) // 2 + 1):
            if (len(inner) + 1) % each == 0:
                yield np.split(contour, inner[each - 1 :: each])


def _alike(one: Points, other: Points) -> bool:
    boxes = np.abs(np.subtract(bounding_box_mm([one]), bounding_box_mm([other])))
    return bool(boxes.max() <= 4 * TWICE_TOLERANCE_MM)


def _stray_marks(planes: Sequence[ResolvedPlane], far_mm: float) -> list[_Mark]:
    """Outlines too small to be a part of the tumour and too far from it, and those that enclose nothing."""
    rows, columns = planes[0].plane.spacing_mm
    sizes = [[abs(shoelace_mm2(contour)) for contour in plane.contours_xy_mm] for plane in planes]
    largest = max(max(found) for found in sizes)
    limit = min(max(STRAY_PIXELS * rows * columns, STRAY_AREA_MM2), STRAY_PART * largest)
    marks: list[_Mark] = []
    bodies: list[_Mark] = []
    for index, (plane, found) in enumerate(zip(planes, sizes, strict=True)):
        for contour, size in zip(plane.contours_xy_mm, found, strict=True):
            area = size if size > limit else even_odd_moments([contour])[0]  # a crossing outline has more than it seems
            (marks if area <= limit else bodies).append(_Mark(index, contour, bounding_box_mm([contour]), area))
    if not bodies:
        return []
    heights = np.array([plane.plane.z_mm for plane in planes])
    measured = [dataclasses.replace(mark, distance_mm=_distance(mark, bodies, heights, far_mm)) for mark in marks]
    return [mark for mark in measured if mark.distance_mm > far_mm or mark.area_mm2 < NOTHING_MM2]


def _distance(mark: _Mark, bodies: Sequence[_Mark], heights: Points, far_mm: float) -> float:
    """From a mark's middle to the nearest larger outline, mm: 0 within its box; beyond ``far_mm`` to the box."""
    middle = mark.points.mean(axis=0)
    found = []
    for body in bodies:
        low, high = body.box_mm
        aside = float(np.hypot(*np.maximum(0, np.maximum(low - middle, middle - high))))
        spend(STEP)
        if 0 < aside <= far_mm:  # the box's corner may be nearer than the outline
            spend(len(body.points))
            aside = _distance_to_outline(middle, body.points)
        found.append(float(np.hypot(aside, heights[body.plane] - heights[mark.plane])))
    return min(found)


def _distance_to_outline(point: Points, contour: Points) -> float:
    along = np.roll(contour, -1, axis=0) - contour
    length2 = np.maximum((along**2).sum(axis=1), 1e-12)
    part = np.clip(((point - contour) * along).sum(axis=1) / length2, 0, 1)
    return float(np.hypot(*(contour + part[:, None] * along - point).T).min())
