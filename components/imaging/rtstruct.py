"""RTSTRUCT: its structures, each with its own contours or its own problem, and what it was drawn on."""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from components.common.errors import TumourError
from components.imaging.contours import Contour, Drawn, Note, Room, contour_numbers, read_contours
from components.imaging.dicom_io import damage_in_words, text
from components.imaging.elements import Header
from components.imaging.structure import CONTOUR_DATA

RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclasses.dataclass(frozen=True, slots=True)
class RoiLabel:
    """What a structure is called: ROINumber ("" where it has none), ROIName, RTROIInterpretedType, and its contours."""

    number: str
    name: str
    interpreted_type: str = ""
    contours: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Roi:
    """A structure with its closed contours, or ``problem``: why it cannot be used."""

    label: RoiLabel
    frame_of_reference_uid: str
    drawn: Drawn

    @property
    def number(self) -> str:
        """ROINumber."""
        return self.label.number

    @property
    def name(self) -> str:
        """ROIName."""
        return self.label.name

    @property
    def contours(self) -> tuple[Contour, ...]:
        """The closed ones."""
        return self.drawn.contours

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was odd about the contours."""
        return self.drawn.notes

    @property
    def problem(self) -> TumourError | None:
        """Why it cannot be used."""
        return self.drawn.problem

    @property
    def is_empty(self) -> bool:
        """Whether it has no outline at all, so that it can be no tumour; a damaged one can."""
        return self.problem is not None and self.problem.code in ("ROI_EMPTY", "ROI_NOT_CLOSED")


@dataclasses.dataclass(frozen=True, slots=True)
class Rtstruct:
    """One RT structure set: what it refers to, the structures wanted, and what all are called."""

    sop_instance_uid: str
    frame_of_reference_uids: tuple[str, ...]
    series_instance_uids: tuple[str, ...]
    rois: tuple[Roi, ...]
    labels: tuple[RoiLabel, ...] = ()


def is_rtstruct(header: Header) -> bool:
    """Whether a header is of an RT structure set."""
    return text(header, "SOPClassUID") == RTSTRUCT_STORAGE


def parse_rtstruct(header: Header, wanted: Callable[[RoiLabel], bool]) -> Rtstruct:
    """The structures of an RTSTRUCT that are ``wanted``; ``DICOM_DAMAGED`` where it has no readable list of them."""
    with damage_in_words():
        listed = header.items("StructureSetROISequence")
        contours = _contours_by_number(header)
        references = header.items("ReferencedFrameOfReferenceSequence")
        series = [
            text(one, "SeriesInstanceUID")
            for reference in references
            for study in reference.items("RTReferencedStudySequence")
            for one in study.items("RTReferencedSeriesSequence")
        ]
    labels = _labels(listed, contours, _interpreted_types(header))
    numbers = Counter(label.number for label in labels)
    room = Room()
    rois = [
        Roi(label, _said(item, "ReferencedFrameOfReferenceUID"), _drawn(label, numbers, contours, room))
        for item, label in zip(listed, labels, strict=True)
        if wanted(label)
    ]
    frames = {text(reference, "FrameOfReferenceUID") for reference in references}
    frames |= {text(header, "FrameOfReferenceUID")} | {roi.frame_of_reference_uid for roi in rois}
    uid = text(header, "SOPInstanceUID")
    return Rtstruct(
        uid, tuple(sorted(frames - {""})), tuple(dict.fromkeys(filter(None, series))), tuple(rois), tuple(labels)
    )


def structure_labels(header: Header) -> list[RoiLabel]:
    """What all structures of an RTSTRUCT are called, without reading a contour; raises as ``parse_rtstruct``."""
    return list(parse_rtstruct(header, lambda _: False).labels)


def fingerprint(header: Header) -> str:
    """SHA-256 of structures, contours and what they were drawn on, however encoded; raises as ``parse_rtstruct``."""
    digest = hashlib.sha256()
    with damage_in_words():
        contours = _contours_by_number(header)
        whole = parse_rtstruct(header, lambda _: False)
        digest.update(repr((whole.series_instance_uids, whole.frame_of_reference_uids)).encode())
        listed = zip(whole.labels, header.items("StructureSetROISequence"), strict=True)
        for structure in sorted(repr((label, _said(item, "ReferencedFrameOfReferenceUID"))) for label, item in listed):
            digest.update(structure.encode())
        for number, items in sorted(contours.items()):
            digest.update(repr((number, len(items))).encode())
            for item in items:
                digest.update(_contour_content(item))
    return digest.hexdigest()


def _contour_content(item: Header) -> bytes:
    images = [text(image, "ReferencedSOPInstanceUID") for image in item.items("ContourImageSequence")]
    try:
        numbers = contour_numbers(item).tobytes()
    except TumourError:
        numbers = bytes(item.elements[CONTOUR_DATA][1])
    return repr((_said(item, "ContourGeometricType"), images)).encode() + numbers


def _drawn(label: RoiLabel, numbers: Mapping[str, int], contours: Mapping[str, Sequence[Header]], room: Room) -> Drawn:
    """The contours of a structure, found by its number, which must be its own."""
    if not label.number or numbers[label.number] > 1:
        words = "the GTV has no ROINumber of its own, which ties contours to their structure"
        return Drawn(problem=TumourError("ROI_NUMBER", words, "Export the RTSTRUCT again."))
    if not label.contours and any(contours.get("", ())):
        words = "the GTV has no contour, but the RTSTRUCT has contours that do not say whose they are"
        return Drawn(problem=TumourError("ROI_NUMBER", words, "Export the RTSTRUCT again."))
    return read_contours(contours.get(label.number, ()), room)


def _contours_by_number(header: Header) -> dict[str, list[Header]]:
    """The contours of each ReferencedROINumber; under "" those of items that name none."""
    found: dict[str, list[Header]] = defaultdict(list)
    for item in header.items("ROIContourSequence"):
        found[_number(item, "ReferencedROINumber")] += item.items("ContourSequence")
    return dict(found)


def _interpreted_types(header: Header) -> dict[str, str]:
    """RTROIInterpretedType by ROINumber; GTV where several observations of a structure differ."""
    found: dict[str, str] = {}
    try:
        with damage_in_words():
            observations = header.items("RTROIObservationsSequence")
    except TumourError as error:
        if error.code == "DICOM_TOO_LARGE":
            raise
        return found  # the types are no more than a help
    for item in observations:
        number, kind = _number(item, "ReferencedROINumber"), _said(item, "RTROIInterpretedType")
        if found.get(number) != "GTV":
            found[number] = kind.upper()
    return found


def _labels(
    listed: Sequence[Header], contours: Mapping[str, Sequence[Header]], types: Mapping[str, str]
) -> list[RoiLabel]:
    numbers = [_number(item, "ROINumber") for item in listed]
    return [
        RoiLabel(number, _said(item, "ROIName"), types.get(number, "") if number else "", len(contours.get(number, ())))
        for item, number in zip(listed, numbers, strict=True)
    ]


def _number(item: Header, keyword: str) -> str:
    """A structure's number, "" where it is absent or none: one bad item does not lose the others."""
    try:
        return str(int(_said(item, keyword)))
    except ValueError:
        return ""


def _said(item: Header, keyword: str) -> str:
    """An attribute as text, "" where it is absent or cannot be read."""
    try:
        return text(item, keyword)
    except TumourError:
        return ""
