"""Each contour of a structure tied to its CT plane, or refused."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from components.common.errors import TumourError
from components.imaging.contours import SAME_PLANE_MM, Contour
from components.imaging.ct import CtPlane, CtSeries
from components.imaging.geometry import Points
from components.imaging.rtstruct import Roi

#: Distance of a contour from a CT plane up to which it lies in it, mm: above rounding, below half a thin slice.
PLANE_TOLERANCE_MM = 0.3
#: Usual steps of the CT up to which two neighbouring slices have none missing between them.
BETWEEN_STEPS = 1.5
#: Match levels between contour and CT plane, best first.
MATCH_LEVELS = ("uid", "plane")


@dataclasses.dataclass(frozen=True, slots=True)
class ResolvedPlane:
    """A CT plane with the contours that lie in it ([k, 2] LPS x, y in mm) and their weakest match level."""

    plane: CtPlane
    contours_xy_mm: tuple[Points, ...]
    match_level: str


def count_planes(roi: Roi) -> int:
    """Distinct heights of a structure's contours."""
    heights = np.sort([contour.z_mm for contour in roi.contours])
    return int(np.sum(np.diff(heights) > SAME_PLANE_MM)) + 1 if len(heights) else 0


def resolve_contours(roi: Roi, series: CtSeries) -> list[ResolvedPlane]:
    """Every contour of a structure tied to its CT plane, from low to high z.

    Match levels: (a) ``uid``, its SOPInstanceUID is in the series; (b) ``plane``, the same FrameOfReferenceUID and
    the nearest CT plane, within ``PLANE_TOLERANCE_MM``; (c) refused, never clipped.

    Raises
    ------
    TumourError
        ``CONTOUR_NOT_PLANAR``, ``CONTOUR_OFF_PLANE`` (the slice it names is elsewhere), ``FRAME_OF_REFERENCE``,
        ``CONTOUR_WITHOUT_SLICE``, ``DUPLICATE_SLICE``.
    """
    by_uid = series.planes_by_reference()
    z = np.array([plane.z_mm for plane in series.planes])
    groups: dict[CtPlane, list[tuple[Contour, str]]] = defaultdict(list)
    for contour in roi.contours:
        if np.ptp(contour.points_mm[:, 2]) > PLANE_TOLERANCE_MM:
            raise TumourError("CONTOUR_NOT_PLANAR", "a contour of the GTV does not lie in one axial plane")
        plane, level = by_uid.get((contour.sop_instance_uid, contour.frame)), "uid"
        if plane is None:
            plane, level = _plane_at(contour.z_mm, series, z, roi), "plane"
        elif abs(plane.z_mm - contour.z_mm) > PLANE_TOLERANCE_MM:
            raise TumourError("CONTOUR_OFF_PLANE", "a contour lies elsewhere than the CT slice that it names")
        groups[plane].append((contour, level))
    return [_resolved(plane, found) for plane, found in sorted(groups.items(), key=lambda item: item[0].z_mm)]


def _resolved(plane: CtPlane, found: Sequence[tuple[Contour, str]]) -> ResolvedPlane:
    """Contours of two heights are no one shape: by the even-odd rule, all but the rim between them would vanish."""
    if np.ptp([contour.z_mm for contour, _ in found]) > SAME_PLANE_MM:
        words = "contours of two heights lie on one CT slice: the GTV was drawn on thinner slices than the CT has"
        raise TumourError("CONTOUR_WITHOUT_SLICE", words, "Give the CT series that the RTSTRUCT was drawn on.")
    outlines = tuple(contour.points_mm[:, :2] for contour, _ in found)
    return ResolvedPlane(plane, outlines, weakest_match([level for _, level in found]))


def _plane_at(height: float, series: CtSeries, z: Points, roi: Roi) -> CtPlane:
    """The nearest plane, where no other stands at its place."""
    if roi.frame_of_reference_uid and roi.frame_of_reference_uid != series.frame_of_reference_uid:
        hint = (
            "It seems drawn on another image, such as an MR. Give a structure set that was copied to the planning CT."
        )
        words = "the GTV was drawn in another frame of reference than the CT's"
        raise TumourError("FRAME_OF_REFERENCE", words, hint)
    nearest = int(np.argmin(np.abs(z - height)))
    if abs(z[nearest] - height) > PLANE_TOLERANCE_MM:
        raise _without_slice(height, z)
    if np.sum(np.abs(z - z[nearest]) <= SAME_PLANE_MM) > 1:
        raise TumourError("DUPLICATE_SLICE", "a contour of the GTV lies on more than one CT slice")
    return series.planes[nearest]


def _without_slice(height: float, z: Points) -> TumourError:
    """Says whether the contour lies between neighbouring slices, or where slices are missing."""
    above = int(np.searchsorted(z, height))
    steps = np.diff(z)
    if 0 < above < len(z) and steps[above - 1] <= BETWEEN_STEPS * float(np.median(steps)):
        off = min(height - z[above - 1], z[above] - height)
        return TumourError(
            "CONTOUR_WITHOUT_SLICE",
            f"a contour of the GTV lies between two CT slices, {off:.2g} mm from the nearer one",
            "It seems drawn on another series, such as an MR. Give the RTSTRUCT that was drawn on the planning CT.",
        )
    hint = "Give the whole CT series that the RTSTRUCT was drawn on."
    return TumourError("CONTOUR_WITHOUT_SLICE", "a contour of the GTV lies where the CT has no slice", hint)


def weakest_match(levels: Sequence[str]) -> str:
    """The lowest match level among ``levels``."""
    return max(levels, key=MATCH_LEVELS.index)
