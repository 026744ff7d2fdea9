"""Planning CT: planes of a series in their order, and refusals with a code."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from pydicom.dataset import Dataset

from components.common.errors import TumourError
from components.preprocess.dicom_io import damage_in_words, numbers, text
from components.preprocess.elements import Header
from components.preprocess.geometry import SliceGeometry

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2.1"

#: Largest difference of direction cosines within a series, and of the normal from the body's long axis (0.3 degrees).
ORIENTATION_TOLERANCE = 0.005
#: Largest gantry tilt still taken for upright, degrees.
TILT_TOLERANCE_DEG = 0.5
#: Planes nearer than this are two images of one position, mm.
DUPLICATE_TOLERANCE_MM = 0.01
#: A step between planes longer than this many usual steps means that planes are missing.
GAP_FACTOR = 1.5
#: Most rows or columns of a slice; more is damage, and would take the memory that it says.
MAX_SIDE_PX = 4096
#: Planes beside a lesion that say what the usual step is.
NEIGHBOURS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class CtPlane:
    """One axial image: where its pixels are read (object, frame) and where they lie (LPS mm)."""

    name: str
    frame: int
    sop_instance_uid: str
    position_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    tilt_deg: float

    @property
    def z_mm(self) -> float:
        """Position along the body's long axis, LPS mm."""
        return self.position_mm[2]

    @property
    def geometry(self) -> SliceGeometry:
        """The plane's pixels in x and y. DICOM PS3.3 C.7.6.2.1.1."""
        x, y, rows, cols = self.position_mm[0], self.position_mm[1], *self.spacing_mm
        o = self.orientation
        return SliceGeometry((x, y), (o[0] * cols, o[1] * cols), (o[3] * rows, o[4] * rows))


@dataclasses.dataclass(frozen=True, slots=True)
class CtSeries:
    """The planes of one series, from low to high z; ``problem`` where one of its objects cannot be placed."""

    series_instance_uid: str
    frame_of_reference_uid: str
    planes: tuple[CtPlane, ...]
    problem: TumourError | None = None


def is_ct(header: Header) -> bool:
    """Whether a header is of a CT image that is no localizer."""
    return text(header, "SOPClassUID") in (CT_IMAGE, ENHANCED_CT_IMAGE) and not is_localizer(header)


def is_localizer(header: Header) -> bool:
    """Whether a header is of a scout view."""
    return "LOCALIZER" in text(header, "ImageType").upper()


def is_multi_frame(header: Header | Dataset) -> bool:
    """Whether positions are told per frame, beyond the header proper."""
    return text(header, "SOPClassUID") == ENHANCED_CT_IMAGE


def planes_of(name: str, header: Header) -> list[CtPlane]:
    """The planes in one CT object; ``DICOM_DAMAGED`` where geometry is absent or no number.

    Parameters
    ----------
    name
        The object's name in its source.
    header
        For a multi-frame object with all its functional groups.
    """
    if not is_multi_frame(header):
        return [_plane(name, 0, header, header, header, header)]
    with damage_in_words():
        shared = header.dataset.SharedFunctionalGroupsSequence[0]
        frames = list(header.dataset.PerFrameFunctionalGroupsSequence)
    planes = []
    for index, frame in enumerate(frames):
        with damage_in_words():
            position, orientation, measures = (
                (frame if keyword in frame else shared)[keyword].value[0]
                for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
            )
        planes.append(_plane(name, index, header, position, orientation, measures))
    return planes


def _plane(
    name: str, frame: int, header: Header, at: Header | Dataset, towards: Header | Dataset, measures: Header | Dataset
) -> CtPlane:
    rows, cols = (int(numbers(header, keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    x, y, z = numbers(at, "ImagePositionPatient", 3)
    row_mm, column_mm = numbers(measures, "PixelSpacing", 2)
    tilt = numbers(header, "GantryDetectorTilt", 1)[0] if text(header, "GantryDetectorTilt") else 0.0
    if not (2 <= min(rows, cols) <= max(rows, cols) <= MAX_SIDE_PX) or min(row_mm, column_mm) <= 0:
        raise TumourError("DICOM_DAMAGED", "a CT slice has no pixels or no pixel spacing", "Export it again.")
    return CtPlane(
        name=name,
        frame=frame,
        sop_instance_uid=text(header, "SOPInstanceUID"),
        position_mm=(x, y, z),
        orientation=numbers(towards, "ImageOrientationPatient", 6),
        spacing_mm=(row_mm, column_mm),
        shape=(rows, cols),
        tilt_deg=tilt,
    )


def gather_series(objects: Iterable[tuple[str, Header]]) -> list[CtSeries]:
    """CT objects by SeriesInstanceUID, planes ordered along the body's axis; copies of one object count once.

    Parameters
    ----------
    objects
        Name in the source and header (multi-frame: with functional groups) of each CT object.
    """
    found: dict[str, dict[tuple[str, int], CtPlane]] = {}
    frames_of_reference: dict[str, str] = {}
    problems: dict[str, TumourError] = {}
    for name, header in objects:
        uid = text(header, "SeriesInstanceUID")
        frames_of_reference.setdefault(uid, text(header, "FrameOfReferenceUID"))
        planes = found.setdefault(uid, {})
        try:
            for plane in planes_of(name, header):
                planes.setdefault((plane.sop_instance_uid, plane.frame), plane)
        except TumourError as error:
            problems[uid] = error
    return [
        CtSeries(uid, frames_of_reference[uid], _in_order(planes.values()), problems.get(uid))
        for uid, planes in sorted(found.items())
    ]


def _in_order(planes: Iterable[CtPlane]) -> tuple[CtPlane, ...]:
    return tuple(sorted(planes, key=lambda plane: (plane.z_mm, plane.name)))


def check_series(series: CtSeries) -> None:
    """Refuses a series whose planes are not one upright stack.

    Raises
    ------
    TumourError
        ``DICOM_DAMAGED``, ``NO_FRAME_OF_REFERENCE``, ``MIXED_ORIENTATION``, ``OBLIQUE`` or ``GANTRY_TILT``.
    """
    if series.problem:
        raise series.problem
    if not series.frame_of_reference_uid:
        raise TumourError("NO_FRAME_OF_REFERENCE", "the CT has no FrameOfReferenceUID", "Export the series again.")
    directions = np.array([plane.orientation for plane in series.planes])
    if np.ptp(directions, axis=0).max() > ORIENTATION_TOLERANCE:
        raise TumourError("MIXED_ORIENTATION", "the planes of the CT series lie in different directions")
    row, column = directions[0, :3], directions[0, 3:]
    lengths = abs(np.linalg.norm(row) - 1) + abs(np.linalg.norm(column) - 1) + abs(float(row @ column))
    if lengths > ORIENTATION_TOLERANCE or max(abs(row[2]), abs(column[2])) > ORIENTATION_TOLERANCE:
        raise TumourError("OBLIQUE", "the CT planes are not axial", "Reformat the series to axial planes.")
    if max(abs(plane.tilt_deg) for plane in series.planes) > TILT_TOLERANCE_DEG:
        raise TumourError("GANTRY_TILT", "the CT was taken with a tilted gantry", "Reformat the series upright.")


def check_lesion(series: CtSeries, z_low_mm: float, z_high_mm: float) -> None:
    """Refuses doubled or missing planes between the first and the last plane of a lesion.

    Raises
    ------
    TumourError
        ``DUPLICATE_SLICE`` or ``MISSING_SLICE``.
    """
    z = np.array([plane.z_mm for plane in series.planes])
    first = int(np.searchsorted(z, z_low_mm - DUPLICATE_TOLERANCE_MM))
    last = int(np.searchsorted(z, z_high_mm + DUPLICATE_TOLERANCE_MM, side="right"))
    steps = np.diff(z[max(0, first - 1) : last + 1])
    if steps.size and steps[steps <= DUPLICATE_TOLERANCE_MM].size:
        raise TumourError("DUPLICATE_SLICE", "two CT slices share one position inside the lesion")
    usual = np.diff(z[max(0, first - NEIGHBOURS) : last + NEIGHBOURS])
    inside = np.diff(z[first:last])
    if inside.size and inside.max() > GAP_FACTOR * float(np.median(usual)):
        raise TumourError("MISSING_SLICE", "CT slices are missing inside the lesion", "Export the whole series.")
