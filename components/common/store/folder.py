"""A local folder as a store."""

import errno
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from components.common.disk import write_whole
from components.common.store.base import Entry, Made, Store, map_concurrently
from components.common.store.errors import disk_errors, missing_object
from components.common.store.names import children, clean_name, folded

#: System errors for a broken link, and for a file that was deleted while its folder was read.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
#: Files read concurrently.
FILES_AT_ONCE = 8


class FolderStore(Store):
    """Files below a local folder."""

    def __init__(self, path: Path | str) -> None:
        self._root = Path(path)

    def resolve(self, name: str) -> str:
        """The name as the folder has it, ignoring case and Unicode form: macOS writes another form than the table's."""
        resolved = ""
        for part in name.split("/") if not (self._root / name).exists() else []:
            beside = children(self._root / resolved)
            similar = [part] if part in beside else [other for other in beside if folded(other) == folded(part)]
            if len(similar) != 1:
                return name
            resolved = f"{resolved}/{similar[0]}".lstrip("/")
        return resolved or name

    def identity(self, name: str) -> Hashable:
        """Device and inode of the folder or file, which all links to it share; its path where it does not exist."""
        path = self._root / name
        try:
            stat = path.stat()
        except (OSError, ValueError):
            return str(path.absolute())
        return stat.st_dev, stat.st_ino

    def path_or_content(self, name: str) -> Path:
        """The file's path."""
        return self._root / clean_name(name)

    def list(self, prefix: str) -> list[Entry]:
        """All files below ``prefix``."""
        name = clean_name(prefix)
        top = self._root / name
        with disk_errors():
            return sorted(self._walk(str(top), name)) if top.is_dir() else []

    def _walk(self, top: str, name: str) -> Iterator[Entry]:
        with os.scandir(top) as items:
            for item in items:
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
        with disk_errors(), missing_object():
            return (self._root / clean_name(name)).read_bytes()

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes."""
        with disk_errors(), missing_object(), (self._root / clean_name(name)).open("rb") as file:
            return file.read(size)

    def map_heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> Sequence[Made]:
        """The results of ``make`` for the first ``size`` bytes of each file, several read concurrently."""
        return map_concurrently(lambda name: make(self.read_head(name, size)), names, FILES_AT_ONCE)

    def write(self, name: str, content: bytes) -> None:
        """Writes the file atomically and durably; only its owner may read it."""
        path = self._root / clean_name(name)
        with disk_errors("written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content, mode=0o600, durable=True)  # crops of patients, and hours of training

    def remove(self, name: str) -> None:
        """Removes the file if it exists."""
        with disk_errors("removed"):
            (self._root / clean_name(name)).unlink(missing_ok=True)
