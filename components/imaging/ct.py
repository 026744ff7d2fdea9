"""Planning CT: the planes of each series in their order; ``stack`` refuses those that are not one whole stack."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from pydicom.dataset import Dataset

from components.common.errors import TumourError
from components.common.limits import MAX_COORDINATE_MM, MAX_FRAMES, MAX_SIDE_PX, MAX_SPACING_MM, MIN_SPACING_MM
from components.imaging.dicom_io import damage_in_words, damaged, numbers, text
from components.imaging.elements import Header
from components.imaging.geometry import SliceGeometry
from components.imaging.structure import too_large

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
#: Objects of many frames: Enhanced CT, and what archives make of single slices (PS3.3 A.70).
MULTI_FRAME_CT_IMAGES = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")

#: Direction cosines, and rounding.
COSINES = (-1.01, 1.01)
#: PhotometricInterpretation of a CT (PS3.3 C.8.2.1.1.2); some exports leave it out.
GREY = ("MONOCHROME1", "MONOCHROME2", "")
#: BitsAllocated of values that are read; DICOM has 16 for a CT, and converters write the others.
BITS = ("8", "16", "32")
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
    """The planes in one CT object, at least one; ``DICOM_DAMAGED`` where geometry is absent or no number.

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
        shared = (header.items("SharedFunctionalGroupsSequence") or [Header({})])[0]
        frames = header.items("PerFrameFunctionalGroupsSequence")
    if len(frames) > MAX_FRAMES:
        raise too_large(f"more than {MAX_FRAMES} frames")
    if not frames:
        raise damaged("PerFrameFunctionalGroupsSequence has no frame")
    planes = []
    for index, frame in enumerate(frames):
        with damage_in_words():
            position, orientation, measures = (
                (frame.items(keyword) or shared.items(keyword))[0]
                for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
            )
            own = _both(uid) if len(frames) == 1 else ((uid, index),)
            references = (*own, *_converted_from(frame))
        plane = _plane(name, index, header, position, orientation, measures)
        planes.append(dataclasses.replace(plane, references=references))
    return planes


def check_image(image: Header | Dataset) -> None:
    """Whether an image's attributes say that it holds one grey value a pixel, before a pixel is decoded.

    Raises
    ------
    TumourError
        ``NOT_HU`` for colours, ``DICOM_DAMAGED`` for several frames in an object of one, or odd BitsAllocated.
    """
    grey, samples = (text(image, keyword) for keyword in ("PhotometricInterpretation", "SamplesPerPixel"))
    if grey not in GREY or samples not in ("1", ""):
        words = "the CT's pixels are colours: a CT slice is MONOCHROME2 with one sample a pixel"
        raise TumourError("NOT_HU", words, "Give the original CT images, not screenshots or derived maps.")
    if text(image, "BitsAllocated") not in BITS:
        raise damaged(f"BitsAllocated is none of {', '.join(BITS)}")
    if not is_multi_frame(image) and text(image, "NumberOfFrames") not in ("", "0", "1"):
        raise damaged("NumberOfFrames is not 1 in a CT image of one frame")


def _both(uid: str) -> tuple[PlaneName, ...]:
    """An object of one frame may be named with that frame or without."""
    return ((uid, NO_FRAME), (uid, 0)) if uid else ()


def _converted_from(frame: Header) -> tuple[PlaneName, ...]:
    """The slice that a frame was made of, which an older RTSTRUCT still names (PS3.3 C.7.6.16.2.22)."""
    found: list[PlaneName] = []
    for source in frame.items("ConversionSourceAttributesSequence"):
        uid, number = (text(source, f"Referenced{part}") for part in ("SOPInstanceUID", "FrameNumber"))
        found += [(uid, int(number) - 1)] if number else _both(uid)
    return tuple(found)


def _instance_number(header: Header) -> int | None:
    try:
        return int(numbers(header, "InstanceNumber", 1)[0])
    except TumourError:
        return None


def _plane(name: str, frame: int, header: Header, at: Header, towards: Header, measures: Header) -> CtPlane:
    rows, cols = (int(numbers(header, keyword, 1, (2, MAX_SIDE_PX))[0]) for keyword in ("Rows", "Columns"))
    x, y, z = numbers(at, "ImagePositionPatient", 3, (-MAX_COORDINATE_MM, MAX_COORDINATE_MM))
    row_mm, column_mm = numbers(measures, "PixelSpacing", 2, (MIN_SPACING_MM, MAX_SPACING_MM))
    return CtPlane(
        name=name,
        frame=frame,
        sop_instance_uid=text(header, "SOPInstanceUID"),
        position_mm=(x, y, z),
        orientation=numbers(towards, "ImageOrientationPatient", 6, COSINES),
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
