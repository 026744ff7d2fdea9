"""Planning CT: the planes of each series in their order; ``stack`` refuses those that are not one whole stack."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from pydicom.dataset import Dataset

from components.common.errors import TumourError
from components.common.limits import MAX_SIDE_PX
from components.preprocess.dicom_io import damage_in_words, numbers, text
from components.preprocess.elements import Header
from components.preprocess.geometry import SliceGeometry

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
#: Objects of many frames: Enhanced CT, and what archives make of single slices (PS3.3 A.70).
MULTI_FRAME_CT_IMAGES = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")

#: Frame of a reference to a SOPInstanceUID that names none (PS3.3 10.3): the object has but one.
NO_FRAME = -1

#: What an RTSTRUCT's contour calls a plane: a SOPInstanceUID, and a frame from 0 on or ``NO_FRAME``.
PlaneName = tuple[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class CtPlane:
    """One axial image: where its pixels are read (object, frame) and where they lie (LPS mm).

    Parameters
    ----------
    references
        What a contour that lies on it may call it, the slice that it was converted from among them.
    instance_number
        None where it has none, as a frame.
    copies
        Other objects of the same SOPInstanceUID at the same place.
    """

    name: str
    frame: int
    sop_instance_uid: str
    position_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    references: tuple[PlaneName, ...] = ()
    instance_number: int | None = None
    copies: tuple[str, ...] = ()

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

    def planes_by_reference(self) -> Mapping[PlaneName, CtPlane]:
        """The plane of each name that a contour may give; a name that several planes share says nothing."""
        counts = Counter(name for plane in self.planes for name in plane.references)
        return {name: plane for plane in self.planes for name in plane.references if counts[name] == 1}


def is_ct(header: Header) -> bool:
    """Whether a header is of a CT image that is no localizer."""
    return text(header, "SOPClassUID") in (CT_IMAGE, *MULTI_FRAME_CT_IMAGES) and not is_localizer(header)


def is_localizer(header: Header) -> bool:
    """Whether a header is of a scout view."""
    return "LOCALIZER" in text(header, "ImageType").upper()


def is_multi_frame(header: Header | Dataset) -> bool:
    """Whether positions are told per frame, beyond the header proper."""
    return text(header, "SOPClassUID") in MULTI_FRAME_CT_IMAGES


def planes_of(name: str, header: Header) -> list[CtPlane]:
    """The planes in one CT object; ``DICOM_DAMAGED`` where geometry is absent or no number.

    Parameters
    ----------
    name
        The object's name in its source.
    header
        For a multi-frame object with all its functional groups.
    """
    uid = text(header, "SOPInstanceUID")
    if not is_multi_frame(header):
        plane = _plane(name, 0, header, header, header, header)
        return [dataclasses.replace(plane, references=_both(uid), instance_number=_instance_number(header))]
    with damage_in_words():
        shared = (header.dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        frames = list(header.dataset.PerFrameFunctionalGroupsSequence)
    planes = []
    for index, frame in enumerate(frames):
        with damage_in_words():
            position, orientation, measures = (
                (frame if keyword in frame else shared)[keyword].value[0]
                for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
            )
            own = _both(uid) if len(frames) == 1 else ((uid, index),)
            references = (*own, *_converted_from(frame))
        plane = _plane(name, index, header, position, orientation, measures)
        planes.append(dataclasses.replace(plane, references=references))
    return planes


def _both(uid: str) -> tuple[PlaneName, ...]:
    """An object of one frame may be named with that frame or without."""
    return ((uid, NO_FRAME), (uid, 0)) if uid else ()


def _converted_from(frame: Dataset) -> tuple[PlaneName, ...]:
    """The slice that a frame was made of, which an older RTSTRUCT still names (PS3.3 C.7.6.16.2.22)."""
    found: list[PlaneName] = []
    for source in frame.get("ConversionSourceAttributesSequence") or ():
        uid, number = (text(source, f"Referenced{part}") for part in ("SOPInstanceUID", "FrameNumber"))
        found += [(uid, int(number) - 1)] if number else _both(uid)
    return tuple(found)


def _instance_number(header: Header) -> int | None:
    try:
        return int(numbers(header, "InstanceNumber", 1)[0])
    except TumourError:
        return None


def _plane(
    name: str, frame: int, header: Header, at: Header | Dataset, towards: Header | Dataset, measures: Header | Dataset
) -> CtPlane:
    rows, cols = (int(numbers(header, keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    x, y, z = numbers(at, "ImagePositionPatient", 3)
    row_mm, column_mm = numbers(measures, "PixelSpacing", 2)
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
    )


def gather_series(objects: Iterable[tuple[str, Header]]) -> list[CtSeries]:
    """CT objects by SeriesInstanceUID, planes ordered along the body's axis; copies of one object count once.

    Objects of one SOPInstanceUID at different places are no copies, but slices whose UIDs were lost.

    Parameters
    ----------
    objects
        Name in the source and header (multi-frame: with functional groups) of each CT object.
    """
    found: dict[str, dict[CtPlane, CtPlane]] = {}
    frames_of_reference: dict[str, str] = {}
    problems: dict[str, TumourError] = {}
    for name, header in objects:
        uid = text(header, "SeriesInstanceUID")
        frames_of_reference.setdefault(uid, text(header, "FrameOfReferenceUID"))
        planes = found.setdefault(uid, {})
        try:
            for plane in planes_of(name, header):
                place = dataclasses.replace(plane, name="", instance_number=None)
                first = planes.setdefault(place, plane)
                if first is not plane:
                    planes[place] = dataclasses.replace(first, copies=(*first.copies, name))
        except TumourError as error:
            problems[uid] = error
    return [
        CtSeries(uid, frames_of_reference[uid], _in_order(planes.values()), problems.get(uid))
        for uid, planes in sorted(found.items())
    ]


def _in_order(planes: Iterable[CtPlane]) -> tuple[CtPlane, ...]:
    return tuple(sorted(planes, key=lambda plane: (plane.z_mm, plane.name)))
