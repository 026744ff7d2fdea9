"""Packs a study for the predictor: only the files that its answer depends on, under neutral names.

A planning CT of 300 slices takes some 70 MiB packed, and a tumour lies on about twenty of them. The choice of slices is
verified, not assumed: preprocessing must give the same result for the chosen slices as for all, else all are sent.
"""

import dataclasses
import io
import os
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from components.common.errors import InputError, SrsError
from components.common.settings import PreprocessSettings
from components.common.store.base import Entry, Source
from components.common.store.errors import disk_errors
from components.common.store.zip import ZipSource
from components.imaging.attributes import numbers, text
from components.imaging.candidate import Candidate
from components.imaging.ct import is_ct
from components.imaging.dicom_io import read_headers
from components.imaging.elements import Header
from components.imaging.gtv import find_gtvs
from components.imaging.missing_object import ending_of
from components.imaging.rtstruct import is_rtstruct

MIB = 2**20
#: Slices sent beyond a tumour's own on either side: more than the check for missing slices needs.
MARGIN_SLICES = 6
_NAME_ONE = "Name the folder of the CT slices and the RTSTRUCT, or a .zip of it."

#: Reads the given number of bytes from the start of a file, or the whole file for -1.
ReadHead = Callable[[int], bytes]
#: A file's name, its size in bytes, and the function that reads it.
File = tuple[str, int, ReadHead]


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is requested of which predictor.

    Parameters
    ----------
    roi, rtstruct_uid
        The GTV and the RTSTRUCT requested; "" leaves the choice to the predictor.
    settings
        The predictor's settings; None if it does not report them: the whole study is then sent.
    max_bytes
        Size of the largest body that it accepts; None if it does not report it.
    """

    roi: str = ""
    rtstruct_uid: str = ""
    settings: PreprocessSettings | None = None
    max_bytes: int | None = None


class StudyFiles(Source):
    """Files under neutral names, in their order: names of folders and files often contain patients' names."""

    def __init__(self, files: dict[str, tuple[int, ReadHead]]) -> None:
        self._files = files

    @classmethod
    def numbered(cls, files: Sequence[File]) -> "StudyFiles":
        """Files named by numbers; an ending such as ``.zip``, which shows why a study cannot be read, is preserved."""
        return cls(
            {f"{at:05d}{ending_of(name) or '.dcm'}": (size, read) for at, (name, size, read) in enumerate(files)}
        )

    def only(self, names: Sequence[str]) -> "StudyFiles":
        """The named files, in their present order."""
        return StudyFiles({name: file for name, file in self._files.items() if name in set(names)})

    def list(self, prefix: str = "") -> list[Entry]:  # noqa: ARG002
        """All files."""
        return [Entry(name, size, "") for name, (size, _) in self._files.items()]

    def read(self, name: str) -> bytes:
        """The whole file."""
        return self.read_head(name, -1)

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes."""
        return self._files[name][1](size)


def pack_study(path: Path, wanted: Wanted | None = None) -> bytes:
    """A folder of DICOM, or a ``.zip`` of one, as the bytes of a zip with neutral file names.

    Parameters
    ----------
    path
        The study. A zip that cannot be read here, or any other file, is sent as it is: the predictor reports what is
        wrong with it.
    wanted
        The request; None packs everything.

    Raises
    ------
    InputError
        ``STUDY_MISSING``, ``STUDY_EMPTY``, ``BODY_TOO_LARGE``, or the error of a faulty study too large to send whole.
    """
    wanted = wanted or Wanted()
    require_study(path)
    try:
        files = StudyFiles.numbered(_zipped(path) if path.is_file() else _below(path))
    except InputError:  # not a zip, or a damaged or locked one
        return _checked(_read_file(path, -1), wanted)
    if not files.list():
        raise InputError("STUDY_EMPTY", f"{path} holds no file", _NAME_ONE)
    return _pack_needed(files, wanted)


def require_study(path: Path) -> None:
    """Raises ``STUDY_MISSING`` if ``path`` does not exist, and ``STUDY_EMPTY`` if it is an empty file."""
    if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists, False for a name that no file can have
        raise InputError("STUDY_MISSING", f"there is no file or folder {path}", _NAME_ONE)
    if path.is_file() and not _read_file(path, 1):
        raise InputError("STUDY_EMPTY", f"{path} is empty", _NAME_ONE)


def _pack_needed(files: StudyFiles, wanted: Wanted) -> bytes:
    """The files needed; of a faulty study all files, if not too large, so that the predictor reports what is wrong."""
    refusal: SrsError | None = None
    try:
        files = needed(files, wanted)
    except SrsError as error:
        refusal = error
    try:
        return _packed(files, wanted)
    except InputError as error:
        raise refusal or error from None


def needed(files: StudyFiles, wanted: Wanted) -> StudyFiles:
    """The RTSTRUCTs and the slices in and around the GTVs: all that the predictor's answer depends on.

    All files if the selection would change the answer or the predictor's settings are unknown. Raises what
    ``find_gtvs`` raises.
    """
    if wanted.settings is None:
        return files
    find = partial(find_gtvs, prefix="", settings=wanted.settings, roi=wanted.roi, rtstruct_uid=wanted.rtstruct_uid)
    candidates = find(files)
    some = files.only(_names(files, candidates))
    try:
        same = [one.to_dict() for one in find(some)] == [one.to_dict() for one in candidates]
    except SrsError:
        same = False
    return some if same else files


def _names(files: StudyFiles, candidates: Sequence[Candidate]) -> list[str]:
    """RTSTRUCTs, CT objects that are not single slices, and the slices of each series near a candidate's slice."""
    always, stacks = _sorted(files)
    for candidate in candidates:
        reach = candidate.planes + MARGIN_SLICES  # its slice is one of its planes
        for stack in stacks:
            for at, (_, _, uid) in enumerate(stack):
                if uid == candidate.slice_sop_instance_uid:
                    always += [name for _, name, _ in stack[max(0, at - reach) : at + reach + 1]]
    return always


def _sorted(files: StudyFiles) -> tuple[list[str], list[list[tuple[float, str, str]]]]:
    """Names that are always sent; and for each series its slices by increasing z: z in mm, name and SOPInstanceUID."""
    always: list[str] = []
    stacks: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    names = [entry.name for entry in files.list()]
    for name, header in zip(names, read_headers(files, names), strict=True):
        if not isinstance(header, Header):
            continue
        if is_rtstruct(header):
            always.append(name)
        elif is_ct(header):
            try:
                z = numbers(header, "ImagePositionPatient", 3)[2]
            except InputError:  # positions are given per frame, or damaged
                always.append(name)
            else:
                stacks[text(header, "SeriesInstanceUID")].append((z, name, text(header, "SOPInstanceUID")))
    return always, [sorted(stack) for stack in stacks.values()]


def _zipped(path: Path) -> list[File]:
    zipped = ZipSource(path)
    return [(entry.name, entry.size, partial(zipped.read_head, entry.name)) for entry in zipped.list("")]


def _below(folder: Path) -> list[File]:
    with disk_errors():
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(path.name, path.stat().st_size, partial(_read_file, path)) for path in paths]


def _read_file(path: Path, size: int) -> bytes:
    with disk_errors(), path.open("rb") as file:
        return file.read(size)


def _packed(files: StudyFiles, wanted: Wanted) -> bytes:
    """The zip; refused as soon as it exceeds the largest body that the predictor accepts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in files.list():
            undated = zipfile.ZipInfo(entry.name)  # else each entry would hold the time of sending
            archive.writestr(undated, files.read(entry.name), zipfile.ZIP_DEFLATED, 1)
            if wanted.max_bytes is not None and buffer.tell() > wanted.max_bytes:
                raise _too_large(f"the {len(files.list())} files to send take more than", wanted)
    return _checked(buffer.getvalue(), wanted)


def _checked(packed: bytes, wanted: Wanted) -> bytes:
    if wanted.max_bytes is not None and len(packed) > wanted.max_bytes:
        raise _too_large(f"packed, the study takes {len(packed) / MIB:.1f} MiB, more than", wanted)
    return packed


def _too_large(size: str, wanted: Wanted) -> InputError:
    message = f"{size} the {(wanted.max_bytes or 0) / MIB:g} MiB that the predictor accepts"
    return InputError("BODY_TOO_LARGE", message, how_to_send_less(wanted.roi))


def how_to_send_less(roi: str) -> str:
    """Advice to a user whose study is too large."""
    less = "" if roi else "Name one GTV by --roi, so that only its slices are sent. "
    return f"{less}Or leave out other series, or start the predictor with a larger --max-binary-mb."
