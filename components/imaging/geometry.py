"""Measures contours in axial planes, in LPS millimetres (x to the left, y to the posterior) and (row, column) pixels.

The contours of one plane form one shape by the even-odd rule: a contour inside another is a hole.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

from components.imaging.scan_lines import Indices, count_crossings, crossings, edges_of
from components.imaging.scan_lines import Points as Points

#: Scan lines across a shape besides those through its vertices. Their number only matters where contours cross.
SCAN_LINES = 64
#: Crossings of scan lines per edge above which lines are left out: up to 16 islands side by side are measured exactly,
#: and a shape that folds thousands of times less exactly but in bounded time.
CROSSINGS_PER_EDGE = 32
#: Largest number of points for which all pairwise distances are computed at once.
FEW_POINTS = 256
#: Fraction of the area by which crossings must change it for contours to count as overlapping.
OVERLAP_FRACTION = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class SliceGeometry:
    """Positions of the pixels of an axial slice (x and y components of DICOM PS3.3 C.7.6.2.1.1).

    Parameters
    ----------
    origin_xy_mm
        LPS x, y of the centre of pixel [0, 0].
    column_step_xy_mm
        LPS step when the column index grows by 1.
    row_step_xy_mm
        LPS step when the row index grows by 1.
    """

    origin_xy_mm: tuple[float, float]
    column_step_xy_mm: tuple[float, float]
    row_step_xy_mm: tuple[float, float]

    def to_pixel(self, points_xy_mm: Points) -> Points:
        """[k, 2] LPS x, y in mm -> [k, 2] row, column; whole numbers are pixel centres."""
        offset = np.asarray(points_xy_mm, dtype=np.float64) - np.asarray(self.origin_xy_mm)
        return np.asarray(np.linalg.solve(self._matrix(), offset.T).T)

    def _matrix(self) -> Points:
        """Columns: the LPS steps of row and column index."""
        return np.array([self.row_step_xy_mm, self.column_step_xy_mm], dtype=np.float64).T


@dataclasses.dataclass(frozen=True, slots=True)
class ShapeMeasures:
    """Area, centroid and extents of contours in one plane, mm and LPS."""

    area_mm2: float
    centroid_xy_mm: tuple[float, float]
    width_mm: float
    height_mm: float


def measure_shape(contours: Sequence[Points]) -> ShapeMeasures:
    """Even-odd area and its centroid, and the extents along x and y.

    Parameters
    ----------
    contours
        [k, 2] LPS x, y in mm, each closed by a line from its last point to its first.
    """
    area, centroid = even_odd_moments(contours)
    low, high = bounding_box_mm(contours)
    return ShapeMeasures(area, centroid, float(high[0] - low[0]), float(high[1] - low[1]))


def bounding_box_mm(contours: Sequence[Points]) -> tuple[Points, Points]:
    """Smallest and largest x, y of all contours, each [2] mm."""
    points = np.concatenate([np.asarray(c, dtype=np.float64) for c in contours])
    return points.min(axis=0), points.max(axis=0)


def even_odd_moments(contours: Sequence[Points]) -> tuple[float, tuple[float, float]]:
    """Area in mm2 and centroid in mm of an even-odd shape; the mean of the points where the area is 0.

    Between two scan lines through vertices the shape consists of trapezoids (where contours do not cross), so two Gauss
    points integrate area and first moments exactly.
    """
    points = np.concatenate([np.asarray(c, dtype=np.float64) for c in contours])
    shift = points.mean(axis=0)
    starts, ends = edges_of([np.asarray(c) - shift for c in contours])
    bands = _bands(starts, ends)
    half, middle = np.diff(bands) / 2, (bands[1:] + bands[:-1]) / 2
    lines = np.column_stack([middle - half / np.sqrt(3), middle + half / np.sqrt(3)]).ravel()
    lengths, moments = _line_integrals(starts, ends, lines)
    weights = np.repeat(half, 2)
    area = float(lengths @ weights)
    if area <= 0:
        return 0.0, (float(shift[0]), float(shift[1]))
    x, y = float(moments @ weights) / area, float((lengths * lines) @ weights) / area
    return area, (x + float(shift[0]), y + float(shift[1]))


def _bands(starts: Points, ends: Points) -> Points:
    """The y values between which a shape is integrated: vertices and evenly spaced ones, within the work limit."""
    low, high = float(starts[:, 1].min()), float(starts[:, 1].max())
    bands = np.unique(np.concatenate([starts[:, 1], np.linspace(low, high, SCAN_LINES)]))
    fraction = CROSSINGS_PER_EDGE * (len(starts) + SCAN_LINES) / max(1, count_crossings(starts, ends, bands))
    return bands if fraction >= 1 else np.linspace(low, high, max(SCAN_LINES, int(len(bands) * fraction)))


def even_odd_mask(contours: Sequence[Points], geometry: SliceGeometry, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """[rows, cols]: True for pixels whose centre is inside by the even-odd rule.

    Parameters
    ----------
    contours
        [k, 2] LPS x, y in mm.
    geometry, shape
        Pixel positions, and rows and columns, of the slice.
    """
    starts, ends = edges_of([geometry.to_pixel(contour)[:, ::-1] for contour in contours])
    turns = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    for row, column in crossings(starts, ends, np.arange(shape[0], dtype=np.float64)):
        np.add.at(turns, (row, np.clip(np.ceil(column), 0, shape[1]).astype(np.intp)), 1)
    return np.asarray(np.cumsum(turns[:, :-1], axis=1) % 2 == 1)


def longest_diameter_mm(contours: Sequence[Points]) -> float:
    """Largest distance between two points of the contours of one plane, mm."""
    points = np.unique(np.concatenate([np.asarray(c, dtype=np.float64) for c in contours]), axis=0)
    if len(points) <= FEW_POINTS:
        return float(cdist(points, points).max(initial=0))
    try:
        return _hull_diameter(points[ConvexHull(points).vertices])
    except QhullError:  # all points on one line: its ends are farthest from any point
        end = points[np.argmax(np.hypot(*(points - points[0]).T))]
        return float(np.hypot(*(points - end).T).max())


def _hull_diameter(hull: Points) -> float:
    """Largest distance of two corners of a convex polygon ([k, 2], counter-clockwise).

    Rotating calipers: the two corners lie on parallel supporting lines. When one line is rotated onto an edge, the
    other touches the corner at which the direction of the edges passes the opposite direction.
    """
    following = np.roll(hull, -1, axis=0)
    edges = following - hull
    turned = np.unwrap(np.arctan2(edges[:, 1], edges[:, 0]))
    opposite = np.searchsorted(np.concatenate([turned, turned + 2 * np.pi]), turned + np.pi)
    distances = [
        np.hypot(*(ends - hull[(opposite + step) % len(hull)]).T).max()
        for ends in (hull, following)
        for step in (-1, 0, 1)  # the neighbours as well, for parallel edges and rounding
    ]
    return float(max(distances))


def overlaps(contours: Sequence[Points], area_mm2: float | None = None) -> bool:
    """Whether a contour crosses itself or another one; a contour wholly inside another one does not cross it.

    Parameters
    ----------
    contours
        Contours of one plane, as for ``measure_shape``.
    area_mm2
        Their even-odd area where it is known.
    """
    inside = _inside_others(contours)
    signed = sum((-1.0) ** int(n) * abs(shoelace_mm2(contour)) for n, contour in zip(inside, contours, strict=True))
    area = even_odd_moments(contours)[0] if area_mm2 is None else area_mm2
    return abs(signed - area) > OVERLAP_FRACTION * max(area, 1e-9)


def _inside_others(contours: Sequence[Points]) -> Indices:
    """Per contour, the number of edges of the other ones to the right of its first point: even means outside them."""
    points = np.array([np.asarray(contour)[0] for contour in contours])
    order = np.argsort(points[:, 1])
    crossed = np.zeros(len(points), dtype=np.intp)
    for line, x in crossings(*edges_of(contours), points[order, 1]):
        crossed[order] += np.bincount(line[x > points[order[line], 0]], minlength=len(points))
    own = [np.sum(_right_of(*edges_of([contour]), point)) for contour, point in zip(contours, points, strict=True)]
    return crossed - np.array(own, dtype=np.intp)


def shoelace_mm2(contour: Points) -> float:
    """Signed area of one contour, mm2; equals the even-odd area where it does not cross itself."""
    x, y = (np.asarray(contour) - np.mean(contour, axis=0)).T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def _right_of(starts: Points, ends: Points, point: Points) -> NDArray[np.bool_]:
    """Which of the edges that cross the point's horizontal do so to its right; an even number means it is outside."""
    hit = (starts[:, 1] <= point[1]) != (ends[:, 1] <= point[1])
    (x0, y0), (x1, y1) = starts[hit].T, ends[hit].T
    return np.asarray(x0 + (point[1] - y0) * (x1 - x0) / (y1 - y0) > point[0])


def _line_integrals(starts: Points, ends: Points, lines: Points) -> tuple[Points, Points]:
    """Per scan line: the length inside the shape, and the integral of x over it."""
    lengths, moments = np.zeros(len(lines)), np.zeros(len(lines))
    width = 2 * float(np.abs(starts[:, 0]).max()) + 1  # sorting by x + line * width then sorts the x of each line
    for line, x in crossings(starts, ends, lines):
        order = np.argsort(x + line * width)
        line, x = line[order], x[order]
        sign = np.where(np.arange(len(x)) % 2 == 1, 1.0, -1.0)  # an even number per line, so each line starts with -1
        lengths += np.bincount(line, sign * x, len(lines))
        moments += np.bincount(line, sign * x**2 / 2, len(lines))
    return lengths, moments
