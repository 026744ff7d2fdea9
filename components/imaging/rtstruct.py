"""Reads an RTSTRUCT: its structures, each with its contours or a problem, and the images that it references."""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from pydicom.uid import RTStructureSetStorage

from components.common.errors import TumourError
from components.imaging.attributes import text
from components.imaging.contours import ClosedContours, Contour, ContourBudget, Note, contour_numbers, read_contours
from components.imaging.elements import Header
from components.imaging.pydicom_errors import dicom_errors
from components.imaging.structure import CONTOUR_DATA


@dataclasses.dataclass(frozen=True, slots=True)
class RoiLabel:
    """ROINumber ("" where it has none), ROIName, RTROIInterpretedType and number of contours of a structure."""

    number: str
    name: str
    interpreted_type: str = ""
    contours: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Roi:
    """A structure with its closed contours, or with the ``problem`` for which it cannot be used."""

    label: RoiLabel
    frame_of_reference_uid: str
    closed: ClosedContours

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
        """The closed contours."""
        return self.closed.contours

    @property
    def notes(self) -> tuple[Note, ...]:
        """Warnings about the contours."""
        return self.closed.notes

    @property
    def problem(self) -> TumourError | None:
        """The reason why the structure cannot be used, if any."""
        return self.closed.problem

    @property
    def is_empty(self) -> bool:
        """Whether it has no outline, so that it cannot be a tumour. A damaged structure is not empty."""
        return self.problem is not None and self.problem.code in ("ROI_EMPTY", "ROI_NOT_CLOSED")


@dataclasses.dataclass(frozen=True, slots=True)
class Rtstruct:
    """One RT structure set: its references, the requested structures, and the labels of all structures."""

    sop_instance_uid: str
    frame_of_reference_uids: tuple[str, ...]
    series_instance_uids: tuple[str, ...]
    rois: tuple[Roi, ...]
    labels: tuple[RoiLabel, ...] = ()


def is_rtstruct(header: Header) -> bool:
    """Whether a header belongs to an RT structure set."""
    return bool(text(header, "SOPClassUID") == RTStructureSetStorage)


def parse_rtstruct(header: Header, wanted: Callable[[RoiLabel], bool]) -> Rtstruct:
    """The structures of an RTSTRUCT that are ``wanted``; ``DICOM_DAMAGED`` where the list of them is unreadable."""
    with dicom_errors():
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
    budget = ContourBudget()
    rois = [
        Roi(
            label, _text_or_empty(item, "ReferencedFrameOfReferenceUID"), _contours_of(label, numbers, contours, budget)
        )
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
    """The labels of all structures of an RTSTRUCT, without reading contours; raises as ``parse_rtstruct``."""
    return list(parse_rtstruct(header, lambda _: False).labels)


def fingerprint(header: Header) -> str:
    """SHA-256 of structures, contours and references, independent of the encoding; raises as ``parse_rtstruct``."""
    digest = hashlib.sha256()
    with dicom_errors():
        contours = _contours_by_number(header)
        whole = parse_rtstruct(header, lambda _: False)
        digest.update(repr((whole.series_instance_uids, whole.frame_of_reference_uids)).encode())
        listed = zip(whole.labels, header.items("StructureSetROISequence"), strict=True)
        for structure in sorted(
            repr((label, _text_or_empty(item, "ReferencedFrameOfReferenceUID"))) for label, item in listed
        ):
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
    return repr((_text_or_empty(item, "ContourGeometricType"), images)).encode() + numbers


def _contours_of(
    label: RoiLabel, numbers: Mapping[str, int], contours: Mapping[str, Sequence[Header]], budget: ContourBudget
) -> ClosedContours:
    """The contours of a structure, which are found by its number; no other structure may have the same."""
    if not label.number or numbers[label.number] > 1:
        return ClosedContours(problem=_unassigned("the GTV has no ROINumber, or shares it with another structure"))
    if not label.contours and any(contours.get("", ())):
        message = "the GTV has no contour, but the RTSTRUCT has contours without a ReferencedROINumber"
        return ClosedContours(problem=_unassigned(message))
    return read_contours(contours.get(label.number, ()), budget)


def _unassigned(problem: str) -> TumourError:
    message = f"contours cannot be assigned to their structure: {problem}"
    return TumourError("ROI_NUMBER", message, "Export the RTSTRUCT again.")


def _contours_by_number(header: Header) -> dict[str, list[Header]]:
    """The contours for each ReferencedROINumber; under "" those of items without a number."""
    contours: dict[str, list[Header]] = defaultdict(list)
    for item in header.items("ROIContourSequence"):
        contours[_number(item, "ReferencedROINumber")] += item.items("ContourSequence")
    return dict(contours)


def _interpreted_types(header: Header) -> dict[str, str]:
    """RTROIInterpretedType by ROINumber; GTV where several observations of a structure differ."""
    types: dict[str, str] = {}
    try:
        with dicom_errors():
            observations = header.items("RTROIObservationsSequence")
    except TumourError as error:
        if error.code == "DICOM_TOO_LARGE":
            raise
        return types  # structures can be used without a type
    for item in observations:
        number, kind = _number(item, "ReferencedROINumber"), _text_or_empty(item, "RTROIInterpretedType")
        if types.get(number) != "GTV":
            types[number] = kind.upper()
    return types


def _labels(
    listed: Sequence[Header], contours: Mapping[str, Sequence[Header]], types: Mapping[str, str]
) -> list[RoiLabel]:
    numbers = [_number(item, "ROINumber") for item in listed]
    return [
        RoiLabel(
            number,
            _text_or_empty(item, "ROIName"),
            types.get(number, "") if number else "",
            len(contours.get(number, ())),
        )
        for item, number in zip(listed, numbers, strict=True)
    ]


def _number(item: Header, keyword: str) -> str:
    """A structure's number, "" where it is missing or unreadable, so that one bad item does not affect the others."""
    try:
        return str(int(_text_or_empty(item, keyword)))
    except ValueError:
        return ""


def _text_or_empty(item: Header, keyword: str) -> str:
    """An attribute as text, "" where it is absent or unreadable."""
    try:
        return text(item, keyword)
    except TumourError:
        return ""
