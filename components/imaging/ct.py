"""Planning CT: the planes of each series, sorted by position. ``stack`` checks that they form a complete stack."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from components.common.errors import TumourError
from components.common.limits import MAX_COORDINATE_MM, MAX_FRAMES, MAX_SIDE_PX, MAX_SPACING_MM, MIN_SPACING_MM
from components.imaging.attributes import numbers, text
from components.imaging.elements import Header
from components.imaging.geometry import SliceGeometry
from components.imaging.pydicom_errors import damaged, dicom_errors
from components.imaging.structure import too_large

#: Multi-frame objects: Enhanced CT, and legacy converted CT, which archives make of single slices (PS3.3 A.70).
MULTI_FRAME_CT_IMAGES = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

#: Range of direction cosines, with a margin for rounding.
COSINES = (-1.01, 1.01)
#: PhotometricInterpretation of a CT (PS3.3 C.8.2.1.1.2); some exports leave it out.
GREY = ("MONOCHROME1", "MONOCHROME2", "")
#: Supported BitsAllocated: DICOM requires 16 for a CT, but converters write the others.
BITS = ("8", "16", "32")
#: Stands for the frame in a reference that gives none, as to a single-frame object (PS3.3 10.3).
NO_FRAME = -1

#: A contour's reference to a plane: a SOPInstanceUID, and a frame from 0 or ``NO_FRAME``.
PlaneReference = tuple[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class CtPlane:
    """One axial image: the object and frame that hold its pixels, and their position (LPS mm).

    Parameters
    ----------
    references
        All references by which a contour may name it, including the slice that it was converted from.
    instance_number
        None where the header has none, and for frames of a multi-frame object.
    copies
        Names of other objects with the same SOPInstanceUID and position.
    """

    name: str
    frame: int
    sop_instance_uid: str
    position_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    references: tuple[PlaneReference, ...] = ()
    instance_number: int | None = None
    copies: tuple[str, ...] = ()

    @property
    def z_mm(self) -> float:
        """Position along the body's long axis, LPS mm."""
        return self.position_mm[2]

    @property
    def geometry(self) -> SliceGeometry:
        """Positions of the plane's pixels in x and y (DICOM PS3.3 C.7.6.2.1.1)."""
        x, y, rows, cols = self.position_mm[0], self.position_mm[1], *self.spacing_mm
        o = self.orientation
        return SliceGeometry((x, y), (o[0] * cols, o[1] * cols), (o[3] * rows, o[4] * rows))


@dataclasses.dataclass(frozen=True, slots=True)
class CtSeries:
    """The planes of one series, from low to high z; ``problem`` where the geometry of an object is unusable."""

    series_instance_uid: str
    frame_of_reference_uid: str
    planes: tuple[CtPlane, ...]
    problem: TumourError | None = None

    def planes_by_reference(self) -> Mapping[PlaneReference, CtPlane]:
        """The plane for each reference that a contour may use; references that several planes share are left out."""
        counts = Counter(name for plane in self.planes for name in plane.references)
        return {name: plane for plane in self.planes for name in plane.references if counts[name] == 1}


def is_ct(header: Header) -> bool:
    """Whether a header belongs to a CT image other than a localizer."""
    return text(header, "SOPClassUID") in (CTImageStorage, *MULTI_FRAME_CT_IMAGES) and not is_localizer(header)


def is_localizer(header: Header) -> bool:
    """Whether a header belongs to a localizer (scout view)."""
    return "LOCALIZER" in text(header, "ImageType").upper()


def is_multi_frame(header: Header | Dataset) -> bool:
    """Whether positions are stored per frame, in the functional groups after the main header."""
    return text(header, "SOPClassUID") in MULTI_FRAME_CT_IMAGES


def planes_of(name: str, header: Header) -> list[CtPlane]:
    """The planes in one CT object, at least one; ``DICOM_DAMAGED`` where its geometry is missing or not numeric.

    Parameters
    ----------
    name
        The object's name in its source.
    header
        Its header; for a multi-frame object with all functional groups.
    """
    uid = text(header, "SOPInstanceUID")
    if not is_multi_frame(header):
        plane = _plane(name, 0, header, header, header, header)
        return [
            dataclasses.replace(
                plane, references=_with_and_without_frame(uid), instance_number=_instance_number(header)
            )
        ]
    with dicom_errors():
        shared = (header.items("SharedFunctionalGroupsSequence") or [Header({})])[0]
        frames = header.items("PerFrameFunctionalGroupsSequence")
    if len(frames) > MAX_FRAMES:
        raise too_large(f"more than {MAX_FRAMES} frames")
    if not frames:
        raise damaged("PerFrameFunctionalGroupsSequence is missing or empty")
    planes = []
    for index, frame in enumerate(frames):
        with dicom_errors():
            position, orientation, measures = (
                (frame.items(keyword) or shared.items(keyword))[0]
                for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
            )
            own = _with_and_without_frame(uid) if len(frames) == 1 else ((uid, index),)
            references = (*own, *_converted_from(frame))
        plane = _plane(name, index, header, position, orientation, measures)
        planes.append(dataclasses.replace(plane, references=references))
    return planes


def check_image(image: Header | Dataset) -> None:
    """Refuses an image that does not hold one grey value per pixel; checked before any pixel is decoded.

    Raises
    ------
    TumourError
        ``NOT_HU`` for colour images; ``DICOM_DAMAGED`` for several frames in a single-frame object, or an unsupported
        BitsAllocated.
    """
    grey, samples = (text(image, keyword) for keyword in ("PhotometricInterpretation", "SamplesPerPixel"))
    if grey not in GREY or samples not in ("1", ""):
        message = "the CT is a colour image: a CT slice is MONOCHROME2 with one sample per pixel"
        raise TumourError("NOT_HU", message, "Give the original CT images, not screenshots or derived maps.")
    if text(image, "BitsAllocated") not in BITS:
        raise damaged(f"BitsAllocated is none of {', '.join(BITS)}")
    if not is_multi_frame(image) and text(image, "NumberOfFrames") not in ("", "0", "1"):
        raise damaged("NumberOfFrames is not 1 in a single-frame CT image")


def _with_and_without_frame(uid: str) -> tuple[PlaneReference, ...]:
    """References to an object of one frame, which may be given with that frame or without."""
    return ((uid, NO_FRAME), (uid, 0)) if uid else ()


def _converted_from(frame: Header) -> tuple[PlaneReference, ...]:
    """References to the slice that a frame was converted from, which an older RTSTRUCT uses (PS3.3 C.7.6.16.2.22)."""
    references: list[PlaneReference] = []
    for source in frame.items("ConversionSourceAttributesSequence"):
        uid, number = (text(source, f"Referenced{part}") for part in ("SOPInstanceUID", "FrameNumber"))
        references += [(uid, int(number) - 1)] if number else _with_and_without_frame(uid)
    return tuple(references)


def _instance_number(header: Header) -> int | None:
    try:
        return int(numbers(header, "InstanceNumber", 1)[0])
    except TumourError:
        return None


def _plane(name: str, frame: int, header: Header, position: Header, orientation: Header, measures: Header) -> CtPlane:
    rows, cols = (int(numbers(header, keyword, 1, (2, MAX_SIDE_PX))[0]) for keyword in ("Rows", "Columns"))
    x, y, z = numbers(position, "ImagePositionPatient", 3, (-MAX_COORDINATE_MM, MAX_COORDINATE_MM))
    row_mm, column_mm = numbers(measures, "PixelSpacing", 2, (MIN_SPACING_MM, MAX_SPACING_MM))
    return CtPlane(
        name=name,
        frame=frame,
        sop_instance_uid=text(header, "SOPInstanceUID"),
        position_mm=(x, y, z),
        orientation=numbers(orientation, "ImageOrientationPatient", 6, COSINES),
        spacing_mm=(row_mm, column_mm),
        shape=(rows, cols),
    )


def gather_series(objects: Iterable[tuple[str, Header]]) -> list[CtSeries]:
    """CT objects grouped by SeriesInstanceUID, planes sorted along the body's axis; copies of an object count once.

    Objects that share a SOPInstanceUID but differ in position are not copies, but slices that lost their own UIDs.

    Parameters
    ----------
    objects
        Name in the source, and header, of each CT object (multi-frame: with all functional groups).
    """
    planes_of_series: dict[str, dict[CtPlane, CtPlane]] = {}
    frames_of_reference: dict[str, str] = {}
    problems: dict[str, TumourError] = {}
    for name, header in objects:
        uid = text(header, "SeriesInstanceUID")
        frames_of_reference.setdefault(uid, text(header, "FrameOfReferenceUID"))
        planes = planes_of_series.setdefault(uid, {})
        try:
            for plane in planes_of(name, header):
                key = dataclasses.replace(plane, name="", instance_number=None)
                first = planes.setdefault(key, plane)
                if first is not plane:
                    planes[key] = dataclasses.replace(first, copies=(*first.copies, name))
        except TumourError as error:
            problems[uid] = error
    return [
        CtSeries(uid, frames_of_reference[uid], _in_order(planes.values()), problems.get(uid))
        for uid, planes in sorted(planes_of_series.items())
    ]


def _in_order(planes: Iterable[CtPlane]) -> tuple[CtPlane, ...]:
    return tuple(sorted(planes, key=lambda plane: (plane.z_mm, plane.name)))
