"""A patient's folder: which CT series and which RTSTRUCT belong together, decided once, refused when unclear."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from components.common.errors import TumourError
from components.common.store.base import Entry, Source
from components.imaging.beside import absent
from components.imaging.ct import CtSeries, gather_series, is_ct, is_localizer, is_multi_frame
from components.imaging.dicom_io import PIXEL_GROUP, read_all, read_headers, text
from components.imaging.elements import Header
from components.imaging.rtstruct import RoiLabel, Rtstruct, fingerprint, is_rtstruct, parse_rtstruct
from components.imaging.stack import check_series


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """The DICOM objects below one prefix, sorted by kind.

    Parameters
    ----------
    source
        Where they lie.
    cts
        Name and header of each CT object.
    rtstructs
        SOPInstanceUID of each RTSTRUCT, and all of it or why it cannot be read.
    others
        Headers of what is neither, and of each RTSTRUCT file: read, so that its identity is known, and passed over.
    damaged
        DICOM files whose header cannot be read.
    files
        Names of what is no DICOM file.
    too_large
        Why, where one is too large to be read: it may be the one that is missing.
    """

    source: Source
    cts: tuple[tuple[str, Header], ...]
    rtstructs: tuple[tuple[str, Header | TumourError], ...]
    others: tuple[Header, ...]
    damaged: int
    files: tuple[str, ...] = ()
    too_large: TumourError | None = None

    @property
    def headers(self) -> Iterator[Header]:
        """All that was read."""
        yield from (header for _, header in self.cts)
        yield from (found for _, found in self.rtstructs if isinstance(found, Header))
        yield from self.others


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A CT series and the RTSTRUCT drawn on it."""

    source: Source
    series: CtSeries
    rtstruct: Rtstruct


def read_folder(source: Source, prefix: str) -> Folder:
    """The headers of all DICOM files below ``prefix`` and its RTSTRUCTs; other files are passed over."""
    return read_entries(source, list_folder(source, prefix))


def list_folder(source: Source, prefix: str) -> list[Entry]:
    """The files below ``prefix``; ``DICOM_MISSING`` where there is none."""
    entries = source.list(prefix)
    if not entries:
        hint = "The table's column dicom names folders beside the table; links to folders inside one are not followed."
        raise TumourError("DICOM_MISSING", "there is no file in the DICOM folder", hint)
    return entries


def read_entries(source: Source, entries: Sequence[Entry]) -> Folder:
    """The headers of DICOM files and the RTSTRUCTs among them."""
    names = [entry.name for entry in entries if entry.size]
    headers = {name: _placed(header) for name, header in zip(names, read_headers(source, names), strict=True)}
    known = {name: header for name, header in headers.items() if isinstance(header, Header)}
    others = [header for header in known.values() if not is_ct(header) and not is_rtstruct(header)]
    frames = [name for name, header in known.items() if is_ct(header) and is_multi_frame(header)]
    for name, whole in zip(frames, read_headers(source, frames, PIXEL_GROUP - 1), strict=True):
        headers[name] = whole
        if isinstance(whole, Header):
            known[name] = whole
        else:  # no slice of it can be placed, but its identity is known
            others.append(known.pop(name))
    rtstructs: dict[str, list[str]] = defaultdict(list)
    for name, header in known.items():
        if is_rtstruct(header):
            rtstructs[text(header, "SOPInstanceUID")].append(name)
            others.append(header)  # of each copy, since its identity is read
    return Folder(
        source,
        cts=tuple((name, header) for name, header in known.items() if is_ct(header)),
        rtstructs=tuple((uid, _one_of_copies(source, names)) for uid, names in rtstructs.items()),
        others=tuple(others),
        damaged=sum(isinstance(header, TumourError) for header in headers.values()),
        files=tuple(name for name, header in headers.items() if header is None),
        too_large=_too_large(headers.values()),
    )


def _too_large(headers: Iterable[Header | TumourError | None]) -> TumourError | None:
    errors = (one for one in headers if isinstance(one, TumourError))
    return next((error for error in errors if error.code == "DICOM_TOO_LARGE"), None)


def _placed(header: Header | TumourError | None) -> Header | TumourError | None:
    """A header, or the damage that keeps it from saying what it is of: the file may be none that is needed."""
    try:
        if isinstance(header, Header):
            is_ct(header)
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
                text(header, keyword)
    except TumourError as error:
        return error
    return header


def _one_of_copies(source: Source, names: Sequence[str]) -> Header | TumourError:
    """The RTSTRUCT in files of one SOPInstanceUID: copies are one, however they are encoded; other contents are not."""
    found = [_rtstruct(source, name) for name in names]
    read = [one for one in found if isinstance(one, Header)]
    if len(read) > 1 and len({_content(header) for header in read}) > 1:
        hint = "Leave the one that is meant in the folder, or export it again under its own SOPInstanceUID."
        words = f"{len(read)} RTSTRUCT files have one SOPInstanceUID, but not the same content"
        return TumourError("RTSTRUCT_CONFLICT", words, hint)
    return read[0] if read else found[0]


def _content(header: Header) -> str:
    try:
        return fingerprint(header)
    except TumourError as error:
        return error.code


def _rtstruct(source: Source, name: str) -> Header | TumourError:
    try:
        return read_all(source, name)
    except TumourError as error:
        return error


def open_plan(folder: Folder, wanted: Callable[[RoiLabel], bool], rtstruct_uid: str = "") -> Plan:
    """The RTSTRUCT and its CT series.

    Parameters
    ----------
    folder
        Headers of a patient.
    wanted
        Which structures to read.
    rtstruct_uid
        SOPInstanceUID that decides among several RTSTRUCTs; "" where there is one.

    Raises
    ------
    TumourError
        ``NO_RTSTRUCT``, ``RTSTRUCT_AMBIGUOUS``, ``RTSTRUCT_CONFLICT``, ``NO_CT``, ``LOCALIZERS_ONLY``,
        ``CT_AMBIGUOUS``, ``CT_MISMATCH``,
        ``DICOM_DAMAGED`` and those of ``check_series``.
    """
    rtstruct = parse_rtstruct(_choose_rtstruct(folder, rtstruct_uid), wanted)
    if not folder.cts and any(is_localizer(header) for header in folder.others):
        raise TumourError(
            "LOCALIZERS_ONLY", "all CT images in the DICOM folder are localizers", "Give the planning CT."
        )
    if not folder.cts:
        raise _absent(folder, "NO_CT", "there is no CT in the DICOM folder")
    series = _choose_series(gather_series(folder.cts), rtstruct)
    check_series(series)
    return Plan(folder.source, series, rtstruct)


def _choose_rtstruct(folder: Folder, rtstruct_uid: str) -> Header:
    hint = "Give rtstruct_uid the SOPInstanceUID of one; `srs inspect` lists them."
    found = [found for uid, found in folder.rtstructs if rtstruct_uid.strip() in ("", uid)]
    if not found and folder.rtstructs:
        words = f"rtstruct_uid names none of the {len(folder.rtstructs)} RTSTRUCTs in the DICOM folder"
        raise TumourError("NO_RTSTRUCT", words, hint)
    if not found:
        raise _absent(folder, "NO_RTSTRUCT", "an RTSTRUCT is not in the DICOM folder")
    if len(found) > 1:
        raise TumourError("RTSTRUCT_AMBIGUOUS", f"there are {len(found)} RTSTRUCTs in the DICOM folder", hint)
    if isinstance(found[0], TumourError):
        raise found[0]
    return found[0]


def _absent(folder: Folder, code: str, message: str) -> TumourError:
    return folder.too_large or absent(code, message, list(folder.headers), folder.files, folder.damaged)


def _choose_series(series: Sequence[CtSeries], rtstruct: Rtstruct) -> CtSeries:
    """By the RTSTRUCT's own reference, then by the slices its contours name, then by its frame of reference.

    A rule that fits several series leaves the choice among them to the next.
    """
    drawn_on = {contour.sop_instance_uid for roi in rtstruct.rois for contour in roi.contours}
    named = [one for one in series if any(plane.sop_instance_uid in drawn_on for plane in one.planes)]
    referenced = [one for one in series if one.series_instance_uid in rtstruct.series_instance_uids]
    if named and referenced and not any(one in named for one in referenced):
        words = "the RTSTRUCT refers to one CT series, but its contours name slices of another"
        raise TumourError("CT_AMBIGUOUS", words, "Leave the series it was drawn on.")
    converted = [one for one in series if any(uid in drawn_on for plane in one.planes for uid, _ in plane.references)]
    framed = [one for one in series if one.frame_of_reference_uid in rtstruct.frame_of_reference_uids]
    left: Sequence[CtSeries] = ()
    for found in (referenced, named, converted, framed):
        left = [one for one in found if not left or one in left] or left
        if len(left) == 1:
            return left[0]
    if left:
        raise TumourError("CT_AMBIGUOUS", f"the RTSTRUCT fits {len(left)} CT series", "Leave the one it was drawn on.")
    for one in series:
        check_series(one)
    raise TumourError(
        "CT_MISMATCH", "the RTSTRUCT was drawn on none of the CT series", "Give the series it was drawn on."
    )
