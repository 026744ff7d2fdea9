"""RTSTRUCT: GTVs found by name, and each contour tied to its CT plane or refused."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from pydicom.dataset import Dataset

from components.common.errors import InputError, TumourError
from components.preprocess.ct import NO_FRAME, CtPlane, CtSeries
from components.preprocess.dicom_io import damage_in_words, text
from components.preprocess.elements import Header
from components.preprocess.geometry import Points

RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"

#: GTV, then parts that number or describe it: GTV, GTV1, GTV_2, GTV a, GTV_Mass_CT. Not GTV+3mm, GTV-PTV, PTV.
GTV_NAME = (
    r"GTV(?:\d{1,3}[A-Z]?|[A-Z]|MASS)?"
    r"(?:[ _.-]+(?:\d{1,3}[A-Z]?|[A-Z]\d{0,3}|MASS|TUMOU?R|LESION|MET|BM|BRAIN|CT|MRI?|LEFT|RIGHT|LT|RT))*"
)
#: Distance of a contour from a CT plane up to which it lies in it, mm: above rounding, below half a thin slice.
PLANE_TOLERANCE_MM = 0.3
#: Contour types that enclose an area (PS3.3 C.8.8.6.3); the others are points and lines.
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
#: Most contours and points of one GTV: many times a real one's, and few enough to be measured in seconds.
MAX_CONTOURS, MAX_POINTS = 500, 50_000
#: The ladder of ties between contour and CT plane, best first.
RUNGS = ("uid", "plane")


@dataclasses.dataclass(frozen=True, slots=True)
class Contour:
    """A closed polygon: [k, 3] LPS mm, and the SOPInstanceUID it says it lies on ("" where it says none)."""

    points_mm: Points
    sop_instance_uid: str
    frame: int


@dataclasses.dataclass(frozen=True, slots=True)
class Roi:
    """A structure with its closed contours; ``skipped`` is the code why it has none, or ""."""

    number: str
    name: str
    frame_of_reference_uid: str
    contours: tuple[Contour, ...]
    skipped: str = ""

    @property
    def planes(self) -> int:
        """Distinct contour planes."""
        heights = np.sort([contour.points_mm[0, 2] for contour in self.contours])
        return int(np.sum(np.diff(heights) > PLANE_TOLERANCE_MM)) + 1 if len(heights) else 0


@dataclasses.dataclass(frozen=True, slots=True)
class Rtstruct:
    """One RT structure set: what it refers to, and its structures."""

    sop_instance_uid: str
    frame_of_reference_uids: tuple[str, ...]
    series_instance_uids: tuple[str, ...]
    rois: tuple[Roi, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ResolvedPlane:
    """A CT plane with the contours that lie in it ([k, 2] LPS x, y in mm) and their weakest rung."""

    plane: CtPlane
    contours_xy_mm: tuple[Points, ...]
    rung: str


def is_rtstruct(header: Header) -> bool:
    """Whether a header is of an RT structure set."""
    return text(header, "SOPClassUID") == RTSTRUCT_STORAGE


def is_gtv_name(name: str, pattern: str = "") -> bool:
    """Whether a structure's name is a GTV's, whatever its case.

    Parameters
    ----------
    name
        ROIName.
    pattern
        Regular expression for the whole name; "" is ``GTV_NAME``. ``ROI_PATTERN`` where it is none.
    """
    try:
        return re.fullmatch(pattern or GTV_NAME, name.strip(), re.IGNORECASE) is not None
    except re.error:
        raise InputError("ROI_PATTERN", "roi_pattern is not a regular expression") from None


def parse_rtstruct(header: Header, wanted: Callable[[str], bool]) -> Rtstruct:
    """The structures of an RTSTRUCT whose names are ``wanted``; ``DICOM_DAMAGED`` where it cannot be read."""
    with damage_in_words():
        dataset = header.dataset
        contours = {str(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or ()}
        named = [item for item in dataset.get("StructureSetROISequence") or () if wanted(text(item, "ROIName"))]
        rois = [_roi(item, contours) for item in named]
        references = list(dataset.get("ReferencedFrameOfReferenceSequence") or ())
        series = [
            text(one, "SeriesInstanceUID")
            for reference in references
            for study in reference.get("RTReferencedStudySequence") or ()
            for one in study.get("RTReferencedSeriesSequence") or ()
        ]
        frames = {text(reference, "FrameOfReferenceUID") for reference in references}
        frames |= {text(dataset, "FrameOfReferenceUID")} | {roi.frame_of_reference_uid for roi in rois}
    uid = text(dataset, "SOPInstanceUID")
    return Rtstruct(uid, tuple(sorted(frames - {""})), tuple(dict.fromkeys(filter(None, series))), tuple(rois))


def _roi(item: Dataset, contours: dict[str, Dataset]) -> Roi:
    number, name = str(item.ROINumber), text(item, "ROIName")
    frame = text(item, "ReferencedFrameOfReferenceUID")
    listed = list((contours[number].get("ContourSequence") if number in contours else None) or ())
    closed = tuple(_contour(c) for c in listed if text(c, "ContourGeometricType").upper() in CLOSED)
    closed = tuple(contour for contour in closed if len(contour.points_mm) >= 3)
    skipped = "" if closed else "ROI_NOT_CLOSED" if listed else "ROI_EMPTY"
    return Roi(number, name, frame, closed, skipped)


def _contour(item: Dataset) -> Contour:
    raw = item.get_item("ContourData")
    data = (raw.value or b"") if raw is not None else b""
    # text as stored, since a DSfloat object for every number takes a second for a usual structure set
    parts = data.decode("ascii").strip(" \0").split("\\") if isinstance(data, bytes) else data
    points = np.array([float(v) for v in parts if v != ""], dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(points).all() or np.abs(points).max(initial=0) > 1e5:
        raise ValueError
    image = (item.get("ContourImageSequence") or [Dataset()])[0]
    frame = int(text(image, "ReferencedFrameNumber") or NO_FRAME + 1) - 1
    return Contour(points, text(image, "ReferencedSOPInstanceUID"), frame)


def resolve_contours(roi: Roi, series: CtSeries) -> list[ResolvedPlane]:
    """Every contour of a structure tied to its CT plane, from low to high z.

    The ladder: (a) ``uid``, its SOPInstanceUID is in the series; (b) ``plane``, the same FrameOfReferenceUID and
    exactly one CT plane within ``PLANE_TOLERANCE_MM``; (c) refused, never clipped.

    Raises
    ------
    TumourError
        ``CONTOURS_TOO_MANY``, ``CONTOUR_NOT_PLANAR``, ``CONTOUR_OFF_PLANE`` (the slice it names is elsewhere),
        ``FRAME_OF_REFERENCE``, ``CONTOUR_WITHOUT_SLICE``, ``DUPLICATE_SLICE``.
    """
    if len(roi.contours) > MAX_CONTOURS or sum(len(c.points_mm) for c in roi.contours) > MAX_POINTS:
        raise TumourError("CONTOURS_TOO_MANY", "the GTV has more contours or points than any tumour needs")
    by_uid = series.planes_by_reference()
    z = np.array([plane.z_mm for plane in series.planes])
    groups: dict[CtPlane, list[tuple[Points, str]]] = defaultdict(list)
    for contour in roi.contours:
        heights = contour.points_mm[:, 2]
        if np.ptp(heights) > PLANE_TOLERANCE_MM:
            raise TumourError("CONTOUR_NOT_PLANAR", "a contour of the GTV does not lie in one axial plane")
        height = float(np.median(heights))
        plane, rung = by_uid.get((contour.sop_instance_uid, contour.frame)), "uid"
        if plane is None:
            plane, rung = _plane_at(height, series, z, roi), "plane"
        elif abs(plane.z_mm - height) > PLANE_TOLERANCE_MM:
            raise TumourError("CONTOUR_OFF_PLANE", "a contour lies elsewhere than the CT slice that it names")
        groups[plane].append((contour.points_mm[:, :2], rung))
    return [
        ResolvedPlane(plane, tuple(xy for xy, _ in found), weakest_rung([rung for _, rung in found]))
        for plane, found in sorted(groups.items(), key=lambda item: item[0].z_mm)
    ]


def _plane_at(height: float, series: CtSeries, z: Points, roi: Roi) -> CtPlane:
    if roi.frame_of_reference_uid and roi.frame_of_reference_uid != series.frame_of_reference_uid:
        raise TumourError("FRAME_OF_REFERENCE", "the GTV was drawn in another frame of reference than the CT's")
    near = np.flatnonzero(np.abs(z - height) <= PLANE_TOLERANCE_MM)
    if not near.size:
        hint = "Give the whole CT series that the RTSTRUCT was drawn on."
        raise TumourError("CONTOUR_WITHOUT_SLICE", "a contour of the GTV lies where the CT has no slice", hint)
    if near.size > 1:
        raise TumourError("DUPLICATE_SLICE", "a contour of the GTV lies on more than one CT slice")
    return series.planes[int(near[0])]


def weakest_rung(rungs: Sequence[str]) -> str:
    """The lowest of the ladder among ``rungs``."""
    return max(rungs, key=RUNGS.index)
