"""Axial planes and contours: LPS millimetres (x to the patient's left, y to the back) and (row, column) pixels.

Several contours of one plane are one shape by the even-odd rule: a contour inside another is a hole.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

Points = NDArray[np.float64]

#: Scan lines across a shape, beside those through its vertices: only where contours cross does their number matter.
SCAN_LINES = 64
#: Vertices at different heights beyond which even scan lines alone are fine enough.
MAX_SCAN_LINES = 2048
#: Scan lines times edges worked on at once: bounds the memory, 8 bytes each.
SCAN_BLOCK = 2_000_000
#: Hull points whose distances to all others are held at once.
HULL_BLOCK = 256
#: Part of the area by which crossing contours must change it to be called overlapping.
OVERLAP_PART = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class SliceGeometry:
    """Where the pixels of an axial slice lie (DICOM PS3.3 C.7.6.2.1.1, x and y parts).

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

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Distance of neighbouring rows, and of neighbouring columns."""
        return float(np.hypot(*self.row_step_xy_mm)), float(np.hypot(*self.column_step_xy_mm))

    def to_pixel(self, points_xy_mm: Points) -> Points:
        """[k, 2] LPS x, y in mm -> [k, 2] row, column; whole numbers are pixel centres."""
        offset = np.asarray(points_xy_mm, dtype=np.float64) - np.asarray(self.origin_xy_mm)
        return np.asarray(np.linalg.solve(self._matrix(), offset.T).T)

    def to_mm(self, points_px: Points) -> Points:
        """[k, 2] row, column -> [k, 2] LPS x, y in mm."""
        return np.asarray(np.asarray(points_px, dtype=np.float64) @ self._matrix().T + np.asarray(self.origin_xy_mm))

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
    """Smallest and largest x, y of all contours."""
    points = np.concatenate([np.asarray(c, dtype=np.float64) for c in contours])
    return points.min(axis=0), points.max(axis=0)


def even_odd_moments(contours: Sequence[Points]) -> tuple[float, tuple[float, float]]:
    """Area in mm2 and centroid in mm of an even-odd shape; the mean of the points where the area is 0.

    Between two scan lines through vertices the shape is made of trapezoids (where contours do not cross), so two
    Gauss points integrate area and first moments exactly.
    """
    points = np.concatenate([np.asarray(c, dtype=np.float64) for c in contours])
    shift = points.mean(axis=0)
    starts, ends = _edges([np.asarray(c) - shift for c in contours])
    low, high = float(starts[:, 1].min()), float(starts[:, 1].max())
    bands = np.unique(np.concatenate([starts[:, 1], np.linspace(low, high, SCAN_LINES)]))
    bands = bands if len(bands) <= MAX_SCAN_LINES else np.linspace(low, high, MAX_SCAN_LINES)
    half, middle = np.diff(bands) / 2, (bands[1:] + bands[:-1]) / 2
    lines = np.concatenate([middle - half / np.sqrt(3), middle + half / np.sqrt(3)])
    lengths, moments = _line_integrals(starts, ends, lines)
    weights = np.tile(half, 2)
    area = float(lengths @ weights)
    if area <= 0:
        return 0.0, (float(shift[0]), float(shift[1]))
    x, y = float(moments @ weights) / area, float((lengths * lines) @ weights) / area
    return area, (x + float(shift[0]), y + float(shift[1]))


def even_odd_mask(contours: Sequence[Points], geometry: SliceGeometry, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """[rows, cols]: True for pixels whose centre is inside by the even-odd rule.

    Parameters
    ----------
    contours
        [k, 2] LPS x, y in mm.
    geometry, shape
        The slice.
    """
    starts, ends = _edges([geometry.to_pixel(contour) for contour in contours])
    mask = np.zeros(shape, dtype=np.bool_)
    first = max(0, int(np.ceil(starts[:, 0].min())))
    last = min(shape[0] - 1, int(np.floor(starts[:, 0].max())))
    for row in range(first, last + 1):
        crossings = np.sort(_crossings(starts[:, ::-1], ends[:, ::-1], float(row)))
        mask[row] = np.searchsorted(crossings, np.arange(shape[1]), side="right") % 2 == 1
    return mask


def longest_diameter_mm(contours: Sequence[Points]) -> float:
    """Largest distance between two points of the contours of one plane, mm."""
    points = np.unique(np.concatenate([np.asarray(c, dtype=np.float64) for c in contours]), axis=0)
    if len(points) <= HULL_BLOCK:
        return float(cdist(points, points).max(initial=0))
    try:
        hull = points[ConvexHull(points).vertices]
        return max(float(cdist(hull[i : i + HULL_BLOCK], hull).max()) for i in range(0, len(hull), HULL_BLOCK))
    except QhullError:  # all points on one line: its ends are farthest from any point
        end = points[np.argmax(np.hypot(*(points - points[0]).T))]
        return float(np.hypot(*(points - end).T).max())


def overlaps(contours: Sequence[Points]) -> bool:
    """Whether a contour crosses itself or another (lying inside another whole is no crossing)."""
    signed = 0.0
    for index, contour in enumerate(contours):
        others = [other for k, other in enumerate(contours) if k != index]
        depth = sum(_contains(other, np.asarray(contour)[0]) for other in others)
        signed += (-1.0) ** depth * abs(_shoelace(np.asarray(contour)))
    area = even_odd_moments(contours)[0]
    return abs(signed - area) > OVERLAP_PART * max(area, 1e-9)


def _shoelace(contour: Points) -> float:
    x, y = (contour - contour.mean(axis=0)).T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def _contains(contour: Points, point: Points) -> bool:
    starts, ends = _edges([contour])
    return int(np.sum(_crossings(starts, ends, float(point[1])) > point[0])) % 2 == 1


def _edges(contours: Sequence[Points]) -> tuple[Points, Points]:
    """Starts and ends of all edges, each contour closed."""
    arrays = [np.asarray(contour, dtype=np.float64) for contour in contours]
    return np.concatenate(arrays), np.concatenate([np.roll(array, -1, axis=0) for array in arrays])


def _crossings(starts: Points, ends: Points, y: float) -> Points:
    """X where edges cross the line at ``y``; an edge owns its lower end, not its upper one."""
    hit = (starts[:, 1] <= y) != (ends[:, 1] <= y)
    (x0, y0), (x1, y1) = starts[hit].T, ends[hit].T
    return np.asarray(x0 + (y - y0) * (x1 - x0) / (y1 - y0))


def _line_integrals(starts: Points, ends: Points, lines: Points) -> tuple[Points, Points]:
    """Per scan line: inside length, and integral of x over it."""
    lengths, moments = np.empty(len(lines)), np.empty(len(lines))
    block = max(1, SCAN_BLOCK // len(starts))
    slope = (ends[:, 0] - starts[:, 0]) / np.where(ends[:, 1] == starts[:, 1], np.inf, ends[:, 1] - starts[:, 1])
    for first in range(0, len(lines), block):
        y = lines[first : first + block, None]
        hit = (starts[:, 1] <= y) != (ends[:, 1] <= y)
        x = np.sort(np.where(hit, starts[:, 0] + (y - starts[:, 1]) * slope, np.inf), axis=1)
        sign = np.where(np.arange(x.shape[1]) % 2 == 1, 1.0, -1.0)
        x = np.where(np.isfinite(x), x, 0.0)
        lengths[first : first + block] = x @ sign
        moments[first : first + block] = (x**2 / 2) @ sign
    return lengths, moments
