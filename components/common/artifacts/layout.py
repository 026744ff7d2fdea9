"""The folders that one step hands to the next, with a fixed layout and a digest of every file.

Every folder holds ``layout.json`` with its kind, its version, the SHA-256 of each file and one digest of
all of these. Tables are CSV, arrays ``.npy``, the rest JSON; nothing is pickled.
"""

from pathlib import Path
from typing import ClassVar

from components.common.errors import InputError
from components.common.files import digest_of, digest_of_file, read_json, write_json

#: File with the kind, the version and the digests of a folder.
LAYOUT = "layout.json"
RUN_AGAIN = (
    "Run the study again, by the same `srs run` or `srs submit`: finished members are reused from the member store (on "
    "a cluster, if the parameter state_uri is given)."
)


class Layout:
    """A folder of known files. Subclasses name their layout (kind, version) and write their own files."""

    layout: ClassVar[tuple[str, int]]

    @classmethod
    def _seal(cls, folder: Path) -> str:
        """Writes ``layout.json`` with the digests of all files of ``folder``; returns the folder's digest."""
        files = {path.relative_to(folder).as_posix(): digest_of_file(path) for path in _files(folder)}
        digest = digest_of(files)
        write_json(folder / LAYOUT, {"kind": cls.layout[0], "version": cls.layout[1], "digest": digest, "files": files})
        return digest

    @classmethod
    def _open(cls, folder: Path) -> str:
        """Verifies kind, version and every file's digest; returns the folder's digest."""
        path = folder / LAYOUT
        kind, version = cls.layout
        if not path.is_file():
            raise InputError("ARTIFACT_MISSING", f"no {kind} in this folder: {LAYOUT} is missing", RUN_AGAIN)
        try:
            layout = read_json(path)
            files, digest, actual = dict(layout["files"]), str(layout["digest"]), (layout["kind"], layout["version"])
        except (ValueError, TypeError, KeyError):
            raise InputError("ARTIFACT_DAMAGED", f"{kind}: {LAYOUT} cannot be read", RUN_AGAIN) from None
        if actual != cls.layout:
            message = f"expected {kind} version {version}, found {actual[0]} version {actual[1]}"
            raise InputError("ARTIFACT_UNKNOWN", message, RUN_AGAIN)
        if digest != digest_of(files):
            raise InputError("ARTIFACT_DAMAGED", f"{kind}: {LAYOUT} was changed", RUN_AGAIN)
        for name, expected in files.items():
            if not (folder / name).is_file() or digest_of_file(folder / name) != expected:
                raise InputError("ARTIFACT_DAMAGED", f"{kind}: {name} is missing or was changed", RUN_AGAIN)
        return digest


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LAYOUT)
