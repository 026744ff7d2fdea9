"""The interface of object stores: a folder, a bucket, a zip or a mapping in memory, all read by name.

Names are relative to the store's root, with forward slashes. A ``Source`` is read-only; a ``Store`` is also writable.
Each implementation translates the errors of its disk, server or zip into this platform's errors, whose messages never
name an object, since folders are often named after patients.
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
        """All objects below ``prefix`` ("" is the root), sorted by name; the list may be empty."""

    def read(self, name: str) -> bytes:
        """The whole object."""

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes, fewer where the object is shorter."""

    def map_heads(self, make: Callable[[bytes], Made], names: Sequence[str], size: int) -> Sequence[Made]:
        """The results of ``make`` for the first ``size`` bytes of each object; the bytes themselves are discarded."""
        return [make(self.read_head(name, size)) for name in names]

    def resolve(self, name: str) -> str:
        """The actual name of the folder or object that ``name`` refers to, ignoring case and Unicode form.

        ``name`` itself where it exists, or where no other name or more than one matches.
        """
        return name

    def identity(self, name: str) -> Hashable:
        """A key that is equal for two names exactly where both are the same folder or object, links followed."""
        return id(self), name

    def path_or_content(self, name: str) -> Path | bytes:
        """A file's path where the object is one on this machine, else the whole object."""
        return self.read(name)


class Store(Source, Protocol):
    """Objects that can also be written and removed, each atomically, so that readers need no lock."""

    def write(self, name: str, content: bytes) -> None:
        """Writes the object atomically, replacing any former one."""

    def remove(self, name: str) -> None:
        """Removes the object if it exists."""


def map_concurrently(make: Callable[[str], Made], names: Sequence[str], at_once: int) -> Sequence[Made]:
    """The results of ``make`` for each name, in their order, by ``at_once`` threads, which mostly wait for I/O."""
    made: dict[int, Made] = {}
    waiting = iter(enumerate(names))  # shared: each thread takes the next one as soon as it is free

    def take() -> None:
        for index, name in waiting:
            made[index] = make(name)

    with ThreadPoolExecutor(at_once) as pool:
        for job in [pool.submit(take) for _ in range(min(at_once, len(names)))]:
            job.result()
    return [made[index] for index in range(len(names))]
