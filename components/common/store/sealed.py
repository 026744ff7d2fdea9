"""Files kept between attempts, in a folder (or PVC) or ``s3://bucket/prefix``: whole or not at all.

Each set of files is one object, a plain zip whose comment is the SHA-256 of its files, so that damage reads as absence.
A reader never needs a lock, and two writers of one name write the same.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.common.errors import InputError, SrsError, StorageError
from components.common.store.base import Store
from components.common.store.bucket import BucketStore, bucket_and_prefix
from components.common.store.errors import disk_errors
from components.common.store.folder import FolderStore

#: All entries carry this time, so that the same files are one sequence of bytes.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class SealedStore:
    """Sets of files by name; every method raises ``StorageError`` ``STORE_UNREACHABLE`` or ``STORAGE_FULL``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str) -> dict[str, bytes] | None:
        """The files, or None where there are none or they are not what was written."""
        with _kept_errors():
            try:
                content = self._store.read(name)
            except InputError as error:
                if error.code != "OBJECT_MISSING" or _reason(error) == "NoSuchBucket":
                    raise
                return None
        return unseal(content)

    def put(self, name: str, files: Mapping[str, bytes]) -> None:
        """Puts the files in place, all or none, over any former ones."""
        with _kept_errors():
            self._store.write(name, seal(files))

    def remove(self, name: str) -> None:
        """Removes the files where there are any."""
        with _kept_errors():
            self._store.remove(name)


def open_sealed(state_uri: str) -> SealedStore:
    """The files kept at a folder (made where it is missing) or ``s3://bucket/prefix``.

    Raises
    ------
    InputError
        ``STATE_URI_UNKNOWN``: neither of the two; ``S3_SETTINGS``: no server or credentials in the environment.
    StorageError
        ``STORE_UNREACHABLE``: the folder cannot be made.
    """
    if state_uri.startswith("s3://"):
        return SealedStore(BucketStore(*bucket_and_prefix(state_uri)))
    root = state_uri.removeprefix("file://")
    if not root or re.match(r"[a-z0-9+.-]{2,}:", root, re.IGNORECASE):
        raise InputError("STATE_URI_UNKNOWN", "the store is a folder or s3://bucket/prefix")
    with _kept_errors(), disk_errors("made"):
        Path(root).mkdir(parents=True, exist_ok=True)
    return SealedStore(FolderStore(root))


def seal(files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files``, the same bytes for the same files, that carries their digest as its comment."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), files[name])
        archive.comment = _digest(files).encode()
    return buffer.getvalue()


def unseal(content: bytes) -> dict[str, bytes] | None:
    """The files of a sealed zip, or None where it is not what was written."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
            return files if archive.comment.decode() == _digest(files) else None
    except Exception:  # whatever zipfile, or a decompressor that a flipped bit names, says of damaged bytes
        return None


def _digest(files: Mapping[str, bytes]) -> str:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()} {name}" for name in sorted(files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def _kept_errors() -> Iterator[None]:
    """A store's errors as those of ``state_uri``: whoever reads them must be led to it, not to the cohort."""
    try:
        yield
    except SrsError as error:
        if error.code in ("STORAGE_FULL", "STORAGE_READONLY"):
            raise
        if error.code == "SOURCE_UNKNOWN":
            raise InputError("STATE_URI_UNKNOWN", "S3 has no such bucket names", "Use s3://bucket/prefix.") from None
        hint = "Look at the folder's rights and space, or at the S3 server, its bucket and the credentials."
        reason = _reason(error)
        raise StorageError("STORE_UNREACHABLE", f"the store failed with {reason}", hint) from None


def _reason(error: SrsError) -> str:
    """What the disk or the S3 client raised before it was translated: its code or its kind, which name no object."""
    cause = error.__context__
    return str(getattr(cause, "code", "")) or type(cause).__name__
