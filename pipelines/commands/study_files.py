"""A study packed for the predictor: of a folder or zip only what its answer needs, under names that say nothing.

A planning CT of 300 slices takes some 70 MiB packed, a tumour lies on twenty of them. Which slices are needed is not
argued but tried: what preprocessing says of the slices chosen must be what it says of all, else all are sent.
"""

import dataclasses
import io
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
from components.imaging.candidate import Candidate
from components.imaging.ct import is_ct
from components.imaging.dicom_io import numbers, read_headers, text
from components.imaging.elements import Header
from components.imaging.gtv import find_gtvs
from components.imaging.missing_object import ending_of
from components.imaging.rtstruct import is_rtstruct

MIB = 2**20
#: Slices sent beyond a tumour's own on both sides: more than those by which missing slices are told.
MARGIN_SLICES = 6

#: Reads the first so many bytes of a file, or all of it for -1.
ReadHead = Callable[[int], bytes]
#: A file's name, its size in bytes, and how it is read.
File = tuple[str, int, ReadHead]


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a study, and of which predictor.

    Parameters
    ----------
    roi, rtstruct_uid
        The GTV and the RTSTRUCT wanted; "" leaves the choice to the predictor.
    settings
        The predictor's; None where it does not tell them, and the whole study is sent.
    most
        Bytes of its largest body; None where it does not tell them.
    """

    roi: str = ""
    rtstruct_uid: str = ""
    settings: PreprocessSettings | None = None
    most: int | None = None


class StudyFiles(Source):
    """Files under neutral names, in their order: names of folders and files are often patients'."""

    def __init__(self, files: dict[str, tuple[int, ReadHead]]) -> None:
        self._files = files

    @classmethod
    def numbered(cls, files: Sequence[File]) -> "StudyFiles":
        """Files under numbers; of a name only an ending stays that says why a study is not read, such as ``.zip``."""
        return cls(
            {f"{at:05d}{ending_of(name) or '.dcm'}": (size, read) for at, (name, size, read) in enumerate(files)}
        )

    def only(self, names: Sequence[str]) -> "StudyFiles":
        """Some of the files, in the order of all."""
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
        Where the study lies. A zip that cannot be read here, or another file, is sent as it is: the predictor says what
        is wrong with it.
    wanted
        What is asked; None packs everything.

    Raises
    ------
    InputError
        ``STUDY_MISSING``, ``STUDY_EMPTY``, ``BODY_TOO_LARGE``, or what is wrong with a study too large to send whole.
    """
    wanted = wanted or Wanted()
    require_study(path)
    try:
        files = StudyFiles.numbered(_zipped(path) if path.is_file() else _below(path))
    except InputError:  # not a zip, or a damaged or locked one
        return _checked(_read_file(path, -1), wanted)
    if not files.list():
        raise InputError("STUDY_EMPTY", f"{path} holds no file", "Name the folder of the CT slices and the RTSTRUCT.")
    return _pack_needed(files, wanted)


def require_study(path: Path) -> None:
    """``STUDY_MISSING`` where nothing lies at ``path``."""
    if not path.exists():
        raise InputError("STUDY_MISSING", f"there is no file or folder {path}")


def _pack_needed(files: StudyFiles, wanted: Wanted) -> bytes:
    """What is needed; or all files, of which the predictor then says what is wrong, if they are not too large."""
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

    All files where they would be answered otherwise, or where the predictor's settings are not known. Raises what
    ``find_gtvs`` raises of the study.
    """
    if wanted.settings is None:
        return files
    told = partial(find_gtvs, prefix="", settings=wanted.settings, roi=wanted.roi, rtstruct_uid=wanted.rtstruct_uid)
    candidates = told(files)
    some = files.only(_names(files, candidates))
    try:
        same = [one.to_dict() for one in told(some)] == [one.to_dict() for one in candidates]
    except SrsError:
        same = False
    return some if same else files


def _names(files: StudyFiles, candidates: Sequence[Candidate]) -> list[str]:
    """RTSTRUCTs, CT objects that are no single slice, and of each series the slices within reach of a candidate's."""
    kept, stacks = _sorted(files)
    for candidate in candidates:
        reach = candidate.planes + MARGIN_SLICES  # its slice is one of its planes
        for stack in stacks:
            for at, (_, _, uid) in enumerate(stack):
                if uid == candidate.slice_sop_instance_uid:
                    kept += [name for _, name, _ in stack[max(0, at - reach) : at + reach + 1]]
    return kept


def _sorted(files: StudyFiles) -> tuple[list[str], list[list[tuple[float, str, str]]]]:
    """Names kept in any case; and of each series z in mm, name and SOPInstanceUID of its slices, from low to high z."""
    kept: list[str] = []
    stacks: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    names = [entry.name for entry in files.list()]
    for name, header in zip(names, read_headers(files, names), strict=True):
        if not isinstance(header, Header):
            continue
        if is_rtstruct(header):
            kept.append(name)
        elif is_ct(header):
            try:
                z = numbers(header, "ImagePositionPatient", 3)[2]
            except InputError:  # told per frame, or damaged
                kept.append(name)
            else:
                stacks[text(header, "SeriesInstanceUID")].append((z, name, text(header, "SOPInstanceUID")))
    return kept, [sorted(stack) for stack in stacks.values()]


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
    """The zip; it is given up as soon as it is larger than the predictor's largest body."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry in files.list():
            archive.writestr(entry.name, files.read(entry.name))
            if wanted.most is not None and buffer.tell() > wanted.most:
                raise _too_large(f"the {len(files.list())} files to send take more than", wanted)
    return _checked(buffer.getvalue(), wanted)


def _checked(packed: bytes, wanted: Wanted) -> bytes:
    if wanted.most is not None and len(packed) > wanted.most:
        raise _too_large(f"packed, the study takes {len(packed) / MIB:.1f} MiB, more than", wanted)
    return packed


def _too_large(found: str, wanted: Wanted) -> InputError:
    message = f"{found} the {(wanted.most or 0) / MIB:g} MiB that the predictor takes at once"
    return InputError("BODY_TOO_LARGE", message, how_to_send_less(wanted.roi))


def how_to_send_less(roi: str) -> str:
    """What a user can do about a study that is too large."""
    less = "" if roi else "Name one GTV by --roi: then only its slices are sent. "
    return f"{less}Or leave other series out, or start the predictor with a larger --max-binary-mb."
