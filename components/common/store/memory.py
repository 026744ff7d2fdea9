"""A mapping in memory as a store."""

import zlib
from collections.abc import Mapping

from components.common.store.base import Entry, Store
from components.common.store.errors import missing_object
from components.common.store.names import clean_name, is_below, resolve_name


class MemoryStore(Store):
    """Objects given as name -> bytes."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self._objects = {clean_name(name): data for name, data in objects.items()}

    def resolve(self, name: str) -> str:
        """The name that is stored, ignoring case and Unicode form."""
        return resolve_name(name, self._objects)

    def list(self, prefix: str) -> list[Entry]:
        """All objects below ``prefix``."""
        return sorted(Entry(n, len(d), f"{zlib.crc32(d):08x}") for n, d in self._objects.items() if is_below(n, prefix))

    def read(self, name: str) -> bytes:
        """The whole object."""
        with missing_object():
            return self._objects[clean_name(name)]

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes."""
        return self.read(name)[:size]

    def write(self, name: str, content: bytes) -> None:
        """Stores the object."""
        self._objects[clean_name(name)] = content

    def remove(self, name: str) -> None:
        """Removes the object if it exists."""
        self._objects.pop(clean_name(name), None)
