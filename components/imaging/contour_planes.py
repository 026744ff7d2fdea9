"""Matches each contour of a structure to its CT plane, or refuses the structure."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from components.common.errors import TumourError
from components.imaging.contours import SAME_PLANE_MM, Contour
from components.imaging.ct import CtPlane, CtSeries
from components.imaging.geometry import Points
from components.imaging.rtstruct import Roi

#: Largest distance between a contour and the CT plane that it lies in, mm: above rounding, below half a thin slice.
PLANE_TOLERANCE_MM = 0.3
#: Largest step between two neighbouring slices without one missing between them, in median steps of the CT.
BETWEEN_STEPS = 1.5
#: Match levels between contour and CT plane, best first.
MATCH_LEVELS = ("uid", "plane")


@dataclasses.dataclass(frozen=True, slots=True)
class ResolvedPlane:
    """A CT plane with the contours that lie in it ([k, 2] LPS x, y in mm) and their lowest match level."""

    plane: CtPlane
    contours_xy_mm: tuple[Points, ...]
    match_level: str


def count_planes(roi: Roi) -> int:
    """Number of distinct z positions of a structure's contours."""
    heights = np.sort([contour.z_mm for contour in roi.contours])
    return int(np.sum(np.diff(heights) > SAME_PLANE_MM)) + 1 if len(heights) else 0


def resolve_contours(roi: Roi, series: CtSeries) -> list[ResolvedPlane]:
    """The CT planes of a structure, each with its contours, from low to high z.

    Match levels: ``uid``, where the series has the SOPInstanceUID that the contour references; ``plane``, where the
    FrameOfReferenceUID is that of the CT and a plane lies within ``PLANE_TOLERANCE_MM``. A structure with any other
    contour is refused as a whole.

    Raises
    ------
    TumourError
        ``CONTOUR_NOT_PLANAR``, ``CONTOUR_OFF_PLANE`` (the referenced slice is elsewhere), ``FRAME_OF_REFERENCE``,
        ``CONTOUR_WITHOUT_SLICE``, ``DUPLICATE_SLICE``.
    """
    by_uid = series.planes_by_reference()
    z = np.array([plane.z_mm for plane in series.planes])
    groups: dict[CtPlane, list[tuple[Contour, str]]] = defaultdict(list)
    for contour in roi.contours:
        if np.ptp(contour.points_mm[:, 2]) > PLANE_TOLERANCE_MM:
            hint = "Draw the GTV on the axial slices, or convert it to axial contours, and export the RTSTRUCT again."
            raise TumourError("CONTOUR_NOT_PLANAR", "a contour of the GTV does not lie in one axial plane", hint)
        plane, level = by_uid.get((contour.sop_instance_uid, contour.frame)), "uid"
        if plane is None:
            plane, level = _plane_at(contour.z_mm, series, z, roi), "plane"
        elif abs(plane.z_mm - contour.z_mm) > PLANE_TOLERANCE_MM:
            hint = "Export the RTSTRUCT again, together with the CT series that it was drawn on."
            raise TumourError("CONTOUR_OFF_PLANE", "a contour does not lie on the CT slice that it references", hint)
        groups[plane].append((contour, level))
    return [_resolved(plane, matched) for plane, matched in sorted(groups.items(), key=lambda item: item[0].z_mm)]


def _resolved(plane: CtPlane, matched: Sequence[tuple[Contour, str]]) -> ResolvedPlane:
    """Contours at two z positions are not one shape: the even-odd rule would leave only the rim between them."""
    if np.ptp([contour.z_mm for contour, _ in matched]) > SAME_PLANE_MM:
        message = "contours at two z positions lie on one CT slice: the GTV was drawn on thinner slices than the CT has"
        raise TumourError("CONTOUR_WITHOUT_SLICE", message, "Give the CT series that the RTSTRUCT was drawn on.")
    outlines = tuple(contour.points_mm[:, :2] for contour, _ in matched)
    return ResolvedPlane(plane, outlines, weakest_match([level for _, level in matched]))


def _plane_at(height: float, series: CtSeries, z: Points, roi: Roi) -> CtPlane:
    """The nearest plane, provided that no other has the same position."""
    if roi.frame_of_reference_uid and roi.frame_of_reference_uid != series.frame_of_reference_uid:
        message = "the GTV was drawn in another frame of reference than the CT's"
        hint = (
            "It may be drawn on another image, such as an MR. Give a structure set that was copied to the planning CT."
        )
        raise TumourError("FRAME_OF_REFERENCE", message, hint)
    nearest = int(np.argmin(np.abs(z - height)))
    if abs(z[nearest] - height) > PLANE_TOLERANCE_MM:
        raise _without_slice(height, z)
    if np.sum(np.abs(z - z[nearest]) <= SAME_PLANE_MM) > 1:
        hint = "Keep only the CT series that the GTV was drawn on, each slice once."
        raise TumourError("DUPLICATE_SLICE", "a contour of the GTV lies on more than one CT slice", hint)
    return series.planes[nearest]


def _without_slice(height: float, z: Points) -> TumourError:
    """The error for a contour without a slice: between two neighbouring slices, or where slices are missing."""
    above = int(np.searchsorted(z, height))
    steps = np.diff(z)
    if 0 < above < len(z) and steps[above - 1] <= BETWEEN_STEPS * float(np.median(steps)):
        off = min(height - z[above - 1], z[above] - height)
        return TumourError(
            "CONTOUR_WITHOUT_SLICE",
            f"a contour of the GTV lies between two CT slices, {off:.2g} mm from the nearer one",
            "It may be drawn on another series, such as an MR. Give the RTSTRUCT that was drawn on the planning CT.",
        )
    hint = "Give the whole CT series that the RTSTRUCT was drawn on."
    return TumourError("CONTOUR_WITHOUT_SLICE", "a contour of the GTV lies where the CT has no slice", hint)


def weakest_match(levels: Sequence[str]) -> str:
    """The lowest match level among ``levels``."""
    return max(levels, key=MATCH_LEVELS.index)
