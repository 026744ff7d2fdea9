"""Objects read by name: what a source is, and the three that need no server: a mapping, a folder, a zip.

Names are relative to the source's root, with forward slashes. Messages never hold a name of an object, since
folders are often called by patients.
"""

import dataclasses
import errno
import os
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zipfile import ZipInfo

from components.common.errors import InputError, StorageError
from components.common.limits import ZIP_MAX_BYTES, ZIP_MAX_ENTRIES
from components.common.names import children, clean_name, folded, is_below, meant, slashed
from components.common.zip_reading import ZipReader

Made = TypeVar("Made")

#: What the system says of a link that leads nowhere, and of what was deleted while its folder was read.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
#: Files read side by side: reading waits for the disk far longer than for Python.
FILES_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One object: its name, size in bytes, and a stamp that changes when its content does (ETag, mtime, CRC)."""

    name: str
    size: int
    stamp: str


class Source(Protocol):
    """Objects that can be listed below a folder-like prefix and read whole or from the start."""

    def list(self, prefix: str) -> list[Entry]:
        """All objects below ``prefix`` ("" is the root), sorted by name; none is no error."""

    def read(self, name: str) -> bytes:
        """The whole object."""

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes, fewer where the object is shorter."""

    def map_heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> Sequence[Made]:
        """What ``make`` makes of the first ``size`` bytes of each, which are not kept."""
        return [make(self.read_head(name, size)) for name in names]

    def resolve(self, name: str) -> str:
        """The name of the folder or object that a person means by ``name``, whatever its case and Unicode form.

        ``name`` itself where it is there, or where none or several others are meant.
        """
        return name

    def identity(self, name: str) -> Hashable:
        """What two names of one folder or object share, links followed: equal for them, different for any other."""
        return id(self), name

    def open_zip(self, name: str) -> "ZipSource":
        """The objects in a zip that is itself an object here."""
        return ZipSource(self.read(name))


class MemorySource(Source):
    """Objects given as name -> bytes."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self._objects = {clean_name(name): data for name, data in objects.items()}

    def resolve(self, name: str) -> str:
        """The name that is meant."""
        return meant(name, self._objects)

    def list(self, prefix: str) -> list[Entry]:
        """All objects below ``prefix``."""
        return sorted(Entry(n, len(d), f"{zlib.crc32(d):08x}") for n, d in self._objects.items() if is_below(n, prefix))

    def read(self, name: str) -> bytes:
        """The whole object."""
        with missing_in_words():
            return self._objects[clean_name(name)]

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes."""
        return self.read(name)[:size]


class FolderSource(Source):
    """Files below a local folder."""

    def __init__(self, path: Path | str) -> None:
        self._root = Path(path)

    def resolve(self, name: str) -> str:
        """The name that is meant: a folder that a Mac wrote has another Unicode form than the table."""
        found = ""
        for part in name.split("/") if not (self._root / name).exists() else []:
            beside = children(self._root / found)
            similar = [part] if part in beside else [other for other in beside if folded(other) == folded(part)]
            if len(similar) != 1:
                return name
            found = f"{found}/{similar[0]}".lstrip("/")
        return found or name

    def identity(self, name: str) -> Hashable:
        """Device and number of the folder or file, which every link to it has; its path where there is none."""
        path = self._root / name
        try:
            stat = path.stat()
        except (OSError, ValueError):
            return str(path.absolute())
        return stat.st_dev, stat.st_ino

    def open_zip(self, name: str) -> "ZipSource":
        """The objects in a zip of the folder, read where it lies."""
        return ZipSource(self._root / clean_name(name))

    def list(self, prefix: str) -> list[Entry]:
        """All files below ``prefix``."""
        name = clean_name(prefix)
        top = self._root / name
        with disk_in_words():
            return sorted(self._walk(str(top), name)) if top.is_dir() else []

    def _walk(self, top: str, name: str) -> Iterator[Entry]:
        with os.scandir(top) as found:
            for item in found:
                below = f"{name}/{item.name}".lstrip("/")
                try:
                    if item.is_dir(follow_symlinks=False):
                        yield from self._walk(item.path, below)
                    elif item.is_file():
                        stat = item.stat()
                        yield Entry(below, stat.st_size, str(stat.st_mtime_ns))
                except OSError as error:
                    if error.errno not in GONE:
                        raise

    def read(self, name: str) -> bytes:
        """The whole file."""
        with disk_in_words(), missing_in_words():
            return (self._root / clean_name(name)).read_bytes()

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes."""
        with disk_in_words(), missing_in_words(), (self._root / clean_name(name)).open("rb") as file:
            return file.read(size)

    def map_heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> Sequence[Made]:
        """What ``make`` makes of the first ``size`` bytes of each, several read side by side."""

        def some(first: int) -> list[Made]:
            return [make(self.read_head(name, size)) for name in names[first::FILES_AT_ONCE]]

        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            made: list[Any] = [None] * len(names)
            for first, part in enumerate(pool.map(some, range(FILES_AT_ONCE))):
                made[first::FILES_AT_ONCE] = part
            return made


class ZipSource(Source):
    """Files in a zip, read where they lie: nothing is unpacked to disk.

    Raises
    ------
    InputError
        Those of ``ZipReader``, ``PATH_OUTSIDE`` (names that leave it, see ``clean_name``), ``ZIP_DUPLICATE`` (one name
        twice). A backslash is a slash: .NET and PowerShell 5 wrote it, against the format.
    """

    def __init__(
        self, data: Path | str | bytes, *, max_entries: int = ZIP_MAX_ENTRIES, max_bytes: int = ZIP_MAX_BYTES
    ) -> None:
        with missing_in_words():
            self._zip = ZipReader(data, max_entries, max_bytes)
        infos = [info for info in self._zip.infos if not slashed(info.filename).endswith("/")]
        self._infos = {clean_name(slashed(info.filename)): info for info in infos}
        if len(self._infos) != len(infos):
            raise InputError("ZIP_DUPLICATE", "the zip holds one name twice")

    def resolve(self, name: str) -> str:
        """The name that is meant."""
        return meant(name, self._infos)

    def list(self, prefix: str) -> list[Entry]:
        """All files below ``prefix``."""
        chosen = ((name, info) for name, info in self._infos.items() if is_below(name, prefix))
        return sorted(Entry(name, info.file_size, f"{info.CRC:08x}") for name, info in chosen)

    def read(self, name: str) -> bytes:
        """The whole file."""
        return self._zip.unpack(self._info(name))

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes."""
        return self._zip.unpack(self._info(name), size)

    def _info(self, name: str) -> ZipInfo:
        with missing_in_words():
            return self._infos[clean_name(name)]


@contextmanager
def missing_in_words() -> Iterator[None]:
    """Words for an object that is not there."""
    try:
        yield
    except (KeyError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError("OBJECT_MISSING", "a file that was asked for is not there") from None


@contextmanager
def disk_in_words() -> Iterator[None]:
    """Words for what a disk answers; its own texts hold names of files."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise
    except OSError as error:
        raise StorageError("STORAGE_UNREADABLE", f"a file could not be read ({error.strerror})") from None
