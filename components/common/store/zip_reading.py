"""Opens and unpacks untrusted zips within limits; no size that a zip states is trusted.

``zipfile`` creates an object for every entry before they can be counted, unpacks more than the stated size before it
truncates an entry there, does not report that, and accepts entries that share compressed bytes. All four are checked
here.
"""

import copy
import io
import struct
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.common.errors import InputError, SrsError
from components.common.limits import (
    MIB,
    ZIP_ALWAYS_BYTES,
    ZIP_MAX_ENTRY_BYTES,
    ZIP_MAX_NAME_BYTES,
    ZIP_MAX_RATIO,
    ZIP_MAX_READS,
)

#: Supported compression methods: those that every program writes. Others can state 100 bytes and unpack gigabytes.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Bytes that are unpacked at a time.
PIECE_BYTES = MIB
#: Signature of an entry of the directory, its lengths, their offset, and the size of its fixed part (APPNOTE 4.3.12).
_ENTRY, _LENGTHS, _LENGTHS_AT, _ENTRY_BYTES = b"PK\1\2", struct.Struct("<HHH"), 28, 46
#: Size of the header before an entry's compressed bytes, without its name (APPNOTE 4.3.7).
_HEADER_BYTES = 30
#: Bytes at the end of the file in which ``zipfile`` searches for the directory's location (APPNOTE 4.3.16).
_END_BYTES = 2**16 + 22


class ZipReader:
    """The entries of a zip, checked; ``unpack`` gives their bytes.

    Parameters
    ----------
    data
        The zip, or its path.
    max_entries, max_bytes
        Largest number of entries, including folders and empty files, and of bytes that all of them may unpack to.

    Raises
    ------
    InputError
        ``ZIP_DAMAGED``, ``ZIP_ENCRYPTED``, ``ZIP_METHOD``, ``ZIP_TOO_LARGE``.
    FileNotFoundError, IsADirectoryError
        There is no such file.
    """

    def __init__(self, data: Path | str | bytes, max_entries: int, max_bytes: int) -> None:
        self._left, self._max_bytes = ZIP_MAX_READS * max_bytes, max_bytes
        self._last: tuple[zipfile.ZipInfo | None, bytes] = (None, b"")
        with zip_errors():
            file = _Directory(io.BytesIO(data) if isinstance(data, bytes) else io.FileIO(data), max_entries)
            weakref.finalize(self, file.close)
            self._zip = zipfile.ZipFile(file)
            file.max_entries = None
            self.infos: Sequence[zipfile.ZipInfo] = self._zip.infolist()
            _check_overlaps(self.infos, file.seek(0, io.SEEK_END))
        _check_kinds(self.infos)
        _check_sizes(self.infos, max_bytes)

    def unpack(self, info: zipfile.ZipInfo, size: int = -1) -> bytes:
        """The first ``size`` bytes of an entry, or all; ``ZIP_DAMAGED``, ``ZIP_TOO_LARGE`` (read too often)."""
        last_info, data = self._last
        if last_info is not info:
            data = self._unpack(info, size)
            if size < 0:  # cached, since all tumours in a multi-frame object are cut from one file
                self._last = info, data
        return data if size < 0 else data[:size]

    def _unpack(self, info: zipfile.ZipInfo, size: int) -> bytes:
        longer = copy.copy(info)
        longer.file_size += 1  # zipfile stops there, so one more byte shows that an entry is longer
        most = longer.file_size if size < 0 else min(size, longer.file_size)
        if min(most, info.file_size) > self._left:
            raise too_large(f"at most {ZIP_MAX_READS * self._max_bytes / MIB:,g} MiB read from it in all")
        with zip_errors():
            data = _pieces(self._zip, longer, most)
        self._left -= len(data)
        if len(data) > info.file_size or len(data) < min(most, info.file_size):
            raise damaged("the size of a file in it is not the stated one")
        return data


class _Directory(io.BufferedReader):
    """The file of a zip, which refuses to read a directory that is too large while the zip is opened."""

    def __init__(self, raw: io.RawIOBase | io.BytesIO, max_entries: int) -> None:
        super().__init__(raw)
        self.max_entries: int | None = max_entries

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads bytes; ``ZIP_TOO_LARGE`` where they are a directory with too many or too long entries."""
        if self.max_entries is None:
            return super().read(size)
        most = ZIP_MAX_ENTRY_BYTES * self.max_entries
        data = super().read(min(size, most + 1) if size is not None and size >= 0 else _END_BYTES)
        if data.startswith(_ENTRY):
            _check_directory(data, self.max_entries)
            if len(data) > most:
                raise too_large(f"at most {most:,} bytes of names and dates")
        return data


def _check_directory(directory: bytes, max_entries: int) -> None:
    at = count = 0
    while directory.startswith(_ENTRY, at):
        count += 1
        name, extra, comment = _LENGTHS.unpack_from(directory, at + _LENGTHS_AT)
        at += _ENTRY_BYTES + name + extra + comment
        if count > max_entries:
            raise too_large(f"at most {max_entries:,} files and folders")
        if name > ZIP_MAX_NAME_BYTES:
            raise too_large(f"names of at most {ZIP_MAX_NAME_BYTES:,} bytes")


def _check_overlaps(infos: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Refuses entries that share compressed bytes: they unpack to far more than the zip's size (Fifield, WOOT 2019)."""
    starts = sorted((info.header_offset, info.compress_size) for info in infos)
    ends_at = (start + _HEADER_BYTES + packed for start, packed in starts)
    if any(end > following for end, following in zip(ends_at, [*[s for s, _ in starts[1:]], size], strict=False)):
        raise damaged("files in it overlap each other or its end")


def _check_kinds(infos: Sequence[zipfile.ZipInfo]) -> None:
    if any(info.flag_bits & 1 for info in infos):
        raise InputError("ZIP_ENCRYPTED", "the zip is encrypted", "Give it without a password.")
    if any(info.compress_type not in METHODS for info in infos):
        hint = "Zip the folder with another program, or give the folder itself: Windows uses Deflate64 for large data."
        raise InputError("ZIP_METHOD", "only zips whose files are stored or compressed by Deflate can be read", hint)


def _check_sizes(infos: Sequence[zipfile.ZipInfo], max_bytes: int) -> None:
    """Checks the stated sizes, which are compared with the actual ones when the entries are read."""
    unpacked, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if unpacked > max_bytes:
        raise too_large(f"at most {max_bytes / MIB:,g} MiB when unpacked")
    if unpacked > max(ZIP_MAX_RATIO * packed, ZIP_ALWAYS_BYTES):
        raise too_large(f"at most {ZIP_MAX_RATIO} times its own size when unpacked")


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """At most ``most`` bytes, read in pieces, since zlib would hold a large file twice."""
    with archive.open(info) as file:
        first = file.read(min(PIECE_BYTES, most))
        if len(first) < PIECE_BYTES:
            return first
        joined = io.BytesIO()
        joined.write(first)
        while piece := file.read(min(PIECE_BYTES, most - joined.tell())):
            joined.write(piece)
    return joined.getvalue()


def too_large(limit: str) -> InputError:
    """``ZIP_TOO_LARGE``, naming the limit."""
    return InputError("ZIP_TOO_LARGE", f"a zip may have {limit}", "Include only the CT series and the RTSTRUCT.")


def damaged(reason: str) -> InputError:
    """``ZIP_DAMAGED`` with a reason."""
    return InputError("ZIP_DAMAGED", f"the zip is damaged: {reason}", "Zip the folder again.")


@contextmanager
def zip_errors() -> Iterator[None]:
    """Translates all exceptions of ``zipfile`` and ``zlib`` for damaged bytes, which share no base class."""
    try:
        yield
    except (SrsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, MemoryError):
        raise
    except Exception as error:
        wrong = isinstance(error, zipfile.BadZipFile) and "CRC" in str(error)
        raise damaged("the CRC-32 of a file in it is wrong" if wrong else "it cannot be read") from None
