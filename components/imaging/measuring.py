"""Measures one structure on its CT planes, chooses the plane, and cuts the crop."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.imaging.candidate import Candidate
from components.imaging.contour_planes import MATCH_LEVELS, ResolvedPlane, count_planes, resolve_contours, weakest_match
from components.imaging.crop import ImageDefinition, bounding_box_centre_mm, cut_crop
from components.imaging.ct import CtPlane, CtSeries
from components.imaging.geometry import (
    ShapeMeasures,
    even_odd_mask,
    longest_diameter_mm,
    measure_shape,
    overlaps,
)
from components.imaging.outlines import MIN_AREA_MM2, tidy
from components.imaging.pixels import check_air, check_tissue, read_hu
from components.imaging.plan import Plan
from components.imaging.rtstruct import Roi
from components.imaging.scan_lines import bounded_work
from components.imaging.stack import check_lesion

#: Planes count as tied where their distances from the centroid, or areas, differ by less than this, mm or mm2.
TIE_TOLERANCE = 1e-6
#: Pixels by which a contour may lie outside its slice; the outer half of the border pixels takes up half a pixel.
OUTSIDE_TOLERANCE_PX = 1.0


def measure(plan: Plan, roi: Roi, settings: PreprocessSettings, definition: ImageDefinition) -> Candidate:
    """A structure's measurements and crop, and every refusal except by size."""
    try:
        with bounded_work():
            return _measure(plan, roi, settings, definition)
    except TumourError as error:
        return Candidate(roi_name=roi.name, roi_number=roi.number, planes=count_planes(roi)).refused(error)


def _measure(plan: Plan, roi: Roi, settings: PreprocessSettings, definition: ImageDefinition) -> Candidate:
    candidate = Candidate(roi_name=roi.name, roi_number=roi.number, planes=count_planes(roi))
    for note in roi.notes:
        candidate = candidate.warned(*note)
    if roi.problem:
        return candidate.refused(roi.problem)
    try:
        planes, notes = tidy(resolve_contours(roi, plan.series), _usual_step_mm(plan.series))
    except TumourError as error:
        return candidate.refused(error)
    for note in notes:
        candidate = candidate.warned(*note)
    shapes = [measure_shape(plane.contours_xy_mm) for plane in planes]
    if not any(shape.area_mm2 >= MIN_AREA_MM2 for shape in shapes):  # a line can have a tiny area by rounding
        hint = "Draw the GTV in the planning system, and export the RTSTRUCT again; or name another structure by roi."
        return candidate.refused(TumourError("ROI_EMPTY", "the GTV's contours enclose no area", hint))
    crossed = sum(overlaps(p.contours_xy_mm, s.area_mm2) for p, s in zip(planes, shapes, strict=True))
    if crossed:
        message = f"contours cross on {crossed} of {len(planes)} planes; the area follows the even-odd rule"
        candidate = candidate.warned("CONTOURS_CROSS", message)
    chosen = choose_plane(planes, shapes, definition.slice_rule)
    candidate = _measured(candidate, planes, planes[chosen], shapes[chosen])
    for problem in _problems(plan, planes, planes[chosen], settings):
        candidate = candidate.refused(problem)
    return _cut(candidate, plan, planes[chosen].plane, definition)


def _usual_step_mm(series: CtSeries) -> float:
    z = np.array([plane.z_mm for plane in series.planes])
    return float(np.median(np.diff(z))) if len(z) > 1 else 0.0


def choose_plane(planes: Sequence[ResolvedPlane], shapes: Sequence[ShapeMeasures], rule: str) -> int:
    """Index of the plane nearest the volume centroid, or of largest area; ties go by the other rule, then to low z."""
    z = np.array([plane.plane.z_mm for plane in planes])
    areas = np.array([shape.area_mm2 for shape in shapes])
    half = np.diff(z) / 2
    thickness = np.append(half, half[-1]) + np.insert(half, 0, half[0]) if half.size else np.ones(1)
    centroid = float(z @ (areas * thickness) / (areas @ thickness))
    distance = np.where(areas > 0, np.abs(z - centroid), np.inf)
    near, large = np.round(distance / TIE_TOLERANCE), -np.round(areas / TIE_TOLERANCE)
    keys = (z, large, near) if rule == "centre" else (z, near, large)
    return int(np.lexsort(keys)[0])


def _measured(
    candidate: Candidate, planes: Sequence[ResolvedPlane], chosen: ResolvedPlane, shape: ShapeMeasures
) -> Candidate:
    return dataclasses.replace(
        candidate,
        planes=len(planes),
        slice_sop_instance_uid=chosen.plane.sop_instance_uid,
        z_mm=chosen.plane.z_mm,
        area_mm2=shape.area_mm2,
        centroid_lps_mm=(*shape.centroid_xy_mm, chosen.plane.z_mm),
        width_mm=shape.width_mm,
        height_mm=shape.height_mm,
        longest_diameter_mm=max(longest_diameter_mm(plane.contours_xy_mm) for plane in planes),
        match_level=weakest_match([plane.match_level for plane in planes]),
        pixel_spacing_mm=chosen.plane.spacing_mm,
        contours_xy_mm=chosen.contours_xy_mm,
    )


def _problems(
    plan: Plan, planes: Sequence[ResolvedPlane], chosen: ResolvedPlane, settings: PreprocessSettings
) -> list[TumourError]:
    """Reasons to refuse a GTV although its contours were matched to CT planes."""
    errors = []
    level = weakest_match([plane.match_level for plane in planes])
    if MATCH_LEVELS.index(level) > MATCH_LEVELS.index(settings.lowest_match_level):
        message = "the contours do not reference their CT slices, which the study requires"
        hint = "Export the RTSTRUCT with references to the CT slices, or allow plane: preprocess.lowest_match_level."
        errors.append(TumourError("MATCH_LEVEL_TOO_LOW", message, hint))
    try:
        check_lesion(plan.series, planes[0].plane.z_mm, planes[-1].plane.z_mm)
    except TumourError as error:
        errors.append(error)
    pixels = chosen.plane.geometry.to_pixel(np.concatenate(chosen.contours_xy_mm))
    limit = np.array(chosen.plane.shape) - 1 + OUTSIDE_TOLERANCE_PX
    if (pixels < -OUTSIDE_TOLERANCE_PX).any() or (pixels > limit).any():
        hint = "Check that the RTSTRUCT was drawn on this CT series, and export both again."
        errors.append(TumourError("OUTSIDE_IMAGE", "the GTV reaches beyond the CT slice", hint))
    return errors


def _cut(candidate: Candidate, plan: Plan, plane: CtPlane, definition: ImageDefinition) -> Candidate:
    """The candidate with the HU inside its contours, how the slice was scanned, and its crop."""
    try:
        ct_slice = read_hu(plan.source, plane)
    except TumourError as error:
        return candidate.refused(error)
    inside = ct_slice.hu[even_odd_mask(candidate.contours_xy_mm, plane.geometry, plane.shape)].astype(np.float64)
    try:
        check_air(ct_slice)
        check_tissue(inside)
    except TumourError as error:
        candidate = candidate.refused(error)
    centre = bounding_box_centre_mm(candidate.contours_xy_mm)
    return dataclasses.replace(
        candidate,
        **dataclasses.asdict(ct_slice.facts),
        hu_mean=float(inside.mean()) if inside.size else None,
        hu_sd=float(inside.std()) if inside.size else None,
        crop=cut_crop(ct_slice.hu, plane.geometry, centre, definition),
    )
