"""Selects the CT series and the RTSTRUCT of a patient's folder that belong together, and refuses ambiguous folders."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from components.common.errors import TumourError
from components.common.store.base import Entry, Source
from components.imaging.attributes import text
from components.imaging.ct import CtSeries, gather_series, is_ct, is_localizer, is_multi_frame
from components.imaging.dicom_io import PIXEL_GROUP, read_headers, read_rtstruct
from components.imaging.elements import Header
from components.imaging.missing_object import missing_object_error
from components.imaging.rtstruct import RoiLabel, Rtstruct, fingerprint, is_rtstruct, parse_rtstruct
from components.imaging.stack import check_series


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """The DICOM objects below one prefix, sorted by kind.

    Parameters
    ----------
    source
        Source that holds them.
    cts
        Name and header of each CT object.
    rtstructs
        SOPInstanceUID of each RTSTRUCT with its content, or the error of reading it.
    others
        Headers of all other objects and of each RTSTRUCT file, which are read only for the identity audit.
    damaged
        Number of DICOM files whose header cannot be read.
    files
        Names of files that are not DICOM.
    too_large
        The error for a file that is too large to be read; reported where an object is missing, as it may be that one.
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
        """All headers that were read."""
        yield from (header for _, header in self.cts)
        yield from (rtstruct for _, rtstruct in self.rtstructs if isinstance(rtstruct, Header))
        yield from self.others


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A CT series and the RTSTRUCT drawn on it."""

    source: Source
    series: CtSeries
    rtstruct: Rtstruct


def read_folder(source: Source, prefix: str) -> Folder:
    """The headers of all DICOM files below ``prefix`` and its RTSTRUCTs; other files are ignored."""
    return read_entries(source, list_folder(source, prefix))


def list_folder(source: Source, prefix: str) -> list[Entry]:
    """The files below ``prefix``; ``DICOM_MISSING`` where there is none."""
    entries = source.list(prefix)
    if not entries:
        hint = "The table's column dicom names folders beside the table; links to folders inside one are not followed."
        raise TumourError("DICOM_MISSING", "there is no file in the DICOM folder", hint)
    return entries


def read_entries(source: Source, entries: Sequence[Entry]) -> Folder:
    """The headers of the DICOM files among ``entries``, and the RTSTRUCTs."""
    names = [entry.name for entry in entries if entry.size]
    headers = {name: _identified(header) for name, header in zip(names, read_headers(source, names), strict=True)}
    known = {name: header for name, header in headers.items() if isinstance(header, Header)}
    others = [header for header in known.values() if not is_ct(header) and not is_rtstruct(header)]
    frames = [name for name, header in known.items() if is_ct(header) and is_multi_frame(header)]
    for name, whole in zip(frames, read_headers(source, frames, PIXEL_GROUP - 1), strict=True):
        headers[name] = whole
        if isinstance(whole, Header):
            known[name] = whole
        else:  # its slices are unusable, but its header is still needed for the identity audit
            others.append(known.pop(name))
    rtstructs: dict[str, list[str]] = defaultdict(list)
    for name, header in known.items():
        if is_rtstruct(header):
            rtstructs[text(header, "SOPInstanceUID")].append(name)
            others.append(header)  # of every copy, for the identity audit
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


def _identified(header: Header | TumourError | None) -> Header | TumourError | None:
    """A header, or the error where its kind or UIDs cannot be decoded."""
    try:
        if isinstance(header, Header):
            is_ct(header)
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
                text(header, keyword)
    except TumourError as error:
        return error
    return header


def _one_of_copies(source: Source, names: Sequence[str]) -> Header | TumourError:
    """The RTSTRUCT in files with one SOPInstanceUID: copies in any encoding are one, different content is an error."""
    results = [_rtstruct(source, name) for name in names]
    readable = [one for one in results if isinstance(one, Header)]
    if len(readable) > 1 and len({_content(header) for header in readable}) > 1:
        hint = "Keep only the intended file in the folder, or export it again under its own SOPInstanceUID."
        message = f"{len(readable)} RTSTRUCT files have one SOPInstanceUID, but not the same content"
        return TumourError("RTSTRUCT_CONFLICT", message, hint)
    return readable[0] if readable else results[0]


def _content(header: Header) -> str:
    try:
        return fingerprint(header)
    except TumourError as error:
        return error.code


def _rtstruct(source: Source, name: str) -> Header | TumourError:
    try:
        return read_rtstruct(source, name)
    except TumourError as error:
        return error


def open_plan(folder: Folder, wanted: Callable[[RoiLabel], bool], rtstruct_uid: str = "") -> Plan:
    """The RTSTRUCT and its CT series.

    Parameters
    ----------
    folder
        A patient's folder.
    wanted
        Whether to read a structure with the given label.
    rtstruct_uid
        SOPInstanceUID of the RTSTRUCT to use where there are several; "" where there is one.

    Raises
    ------
    TumourError
        ``NO_RTSTRUCT``, ``RTSTRUCT_AMBIGUOUS``, ``RTSTRUCT_CONFLICT``, ``NO_CT``, ``LOCALIZERS_ONLY``,
        ``CT_AMBIGUOUS``, ``CT_MISMATCH``, ``DICOM_DAMAGED`` and the codes of ``check_series``.
    """
    rtstruct = parse_rtstruct(_choose_rtstruct(folder, rtstruct_uid), wanted)
    if not folder.cts and any(is_localizer(header) for header in folder.others):
        raise TumourError(
            "LOCALIZERS_ONLY", "all CT images in the DICOM folder are localizers", "Give the planning CT."
        )
    if not folder.cts:
        raise _missing(folder, "NO_CT", "there is no CT in the DICOM folder")
    series = _choose_series(gather_series(folder.cts), rtstruct)
    check_series(series)
    return Plan(folder.source, series, rtstruct)


def _choose_rtstruct(folder: Folder, rtstruct_uid: str) -> Header:
    hint = "Set rtstruct_uid to the SOPInstanceUID of one of them; `srs inspect` lists them."
    chosen = [rtstruct for uid, rtstruct in folder.rtstructs if rtstruct_uid.strip() in ("", uid)]
    if not chosen and folder.rtstructs:
        count = len(folder.rtstructs)
        which = f"names none of the {count} RTSTRUCTs" if count > 1 else "does not name the only RTSTRUCT"
        message = f"rtstruct_uid {which} in the DICOM folder"
        raise TumourError("NO_RTSTRUCT", message, hint)
    if not chosen:
        raise _missing(folder, "NO_RTSTRUCT", "there is no RTSTRUCT in the DICOM folder")
    if len(chosen) > 1:
        raise TumourError("RTSTRUCT_AMBIGUOUS", f"there are {len(chosen)} RTSTRUCTs in the DICOM folder", hint)
    if isinstance(chosen[0], TumourError):
        raise chosen[0]
    return chosen[0]


def _missing(folder: Folder, code: str, message: str) -> TumourError:
    return folder.too_large or missing_object_error(code, message, list(folder.headers), folder.files, folder.damaged)


def _choose_series(series: Sequence[CtSeries], rtstruct: Rtstruct) -> CtSeries:
    """The series that the RTSTRUCT references, else that its contours reference, else of its frame of reference.

    Where a rule matches several series, the next one decides among them.
    """
    drawn_on = {contour.sop_instance_uid for roi in rtstruct.rois for contour in roi.contours}
    named = [one for one in series if any(plane.sop_instance_uid in drawn_on for plane in one.planes)]
    referenced = [one for one in series if one.series_instance_uid in rtstruct.series_instance_uids]
    if named and referenced and not any(one in named for one in referenced):
        message = "the RTSTRUCT references one CT series, but its contours reference slices of another"
        raise TumourError("CT_AMBIGUOUS", message, "Keep only the series that it was drawn on in the folder.")
    converted = [one for one in series if any(uid in drawn_on for plane in one.planes for uid, _ in plane.references)]
    framed = [one for one in series if one.frame_of_reference_uid in rtstruct.frame_of_reference_uids]
    candidates: Sequence[CtSeries] = ()
    for matching in (referenced, named, converted, framed):
        candidates = [one for one in matching if not candidates or one in candidates] or candidates
        if len(candidates) == 1:
            return candidates[0]
    if candidates:
        hint = "Keep only the series that it was drawn on in the folder."
        raise TumourError("CT_AMBIGUOUS", f"the RTSTRUCT matches {len(candidates)} CT series", hint)
    for one in series:
        check_series(one)
    raise TumourError(
        "CT_MISMATCH", "the RTSTRUCT was drawn on none of the CT series", "Give the series that it was drawn on."
    )
