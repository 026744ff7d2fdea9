"""A zip as a source."""

from pathlib import Path
from zipfile import ZipInfo

from components.common.errors import InputError
from components.common.limits import ZIP_MAX_BYTES, ZIP_MAX_ENTRIES
from components.common.store.base import Entry, Source
from components.common.store.errors import missing_object
from components.common.store.names import clean_name, is_below, resolve_name, with_slashes
from components.common.store.zip_reading import ZipReader


class ZipSource(Source):
    """Files in a zip, read directly from it: nothing is unpacked to disk.

    Raises
    ------
    InputError
        Those of ``ZipReader``, ``PATH_OUTSIDE`` (a name that leaves it, see ``clean_name``), ``ZIP_DUPLICATE`` (the
        same name twice). Backslashes count as slashes: .NET and PowerShell 5 wrote them, against the specification.
    """

    def __init__(
        self, data: Path | str | bytes, *, max_entries: int = ZIP_MAX_ENTRIES, max_bytes: int = ZIP_MAX_BYTES
    ) -> None:
        with missing_object():
            self._zip = ZipReader(data, max_entries, max_bytes)
        infos = [info for info in self._zip.infos if not with_slashes(info.filename).endswith("/")]
        self._infos = {clean_name(with_slashes(info.filename)): info for info in infos}
        if len(self._infos) != len(infos):
            raise InputError("ZIP_DUPLICATE", "the zip contains the same name twice", "Zip the folder again.")

    def resolve(self, name: str) -> str:
        """The name in the zip, ignoring case and Unicode form."""
        return resolve_name(name, self._infos)

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
        with missing_object():
            return self._infos[clean_name(name)]
