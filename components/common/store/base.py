"""What a store of objects is: a folder, a bucket, a zip or a mapping in memory, all read by name.

Names are relative to the store's root, with forward slashes. A ``Source`` is read only; a ``Store`` is written too.
Whatever a disk, a server or a zip answers is translated at one place of its kind into this platform's errors, which
never hold a name of an object, since folders are often called by patients.
"""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One object: its name, size in bytes, and a stamp that changes when its content does (ETag, mtime, CRC)."""

    name: str
    size: int
    stamp: str


class Source(Protocol):
    """Objects that can be listed below a folder-like prefix and read whole or from the start.

    Every method raises ``InputError`` ``PATH_OUTSIDE`` for a name that leaves the root, ``read`` and ``read_head``
    ``OBJECT_MISSING``, and all of them ``StorageError`` where the disk or the server fails.
    """

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

    def path_or_content(self, name: str) -> Path | bytes:
        """A file's path where the object is one on this machine, else the whole object."""
        return self.read(name)


class Store(Source, Protocol):
    """Objects that can be written and removed too; a reader sees each whole or not at all, and needs no lock."""

    def write(self, name: str, content: bytes) -> None:
        """Puts the object in place whole, over any former one."""

    def remove(self, name: str) -> None:
        """Removes the object where there is one."""


def map_side_by_side(made_of: Callable[[str], Made], names: Sequence[str], at_once: int) -> Sequence[Made]:
    """What is made of each name, in their order, by ``at_once`` threads: they wait far longer than Python works."""
    made: dict[int, Made] = {}
    waiting = iter(enumerate(names))  # shared: each thread takes the next one as soon as it is free

    def take() -> None:
        for index, name in waiting:
            made[index] = made_of(name)

    with ThreadPoolExecutor(at_once) as pool:
        for job in [pool.submit(take) for _ in range(min(at_once, len(names)))]:
            job.result()
    return [made[index] for index in range(len(names))]
