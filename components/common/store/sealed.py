"""Sets of files that are stored between attempts, in a folder (or PVC) or in ``s3://bucket/prefix``.

Each set is one object, a plain zip whose comment is the SHA-256 of its files, so that a damaged set is treated as a
missing one. Readers need no lock, and two writers of one name write the same content.
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

#: Time stamp of all entries, so that the same files always give the same bytes.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class SealedStore:
    """Sets of files by name; every method raises ``StorageError`` ``STORE_UNREACHABLE`` or ``STORAGE_FULL``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str) -> dict[str, bytes] | None:
        """The files, or None where there are none or they are damaged."""
        with _state_errors():
            try:
                content = self._store.read(name)
            except InputError as error:
                if error.code != "OBJECT_MISSING" or _reason(error) == "NoSuchBucket":
                    raise
                return None
        return unseal(content)

    def put(self, name: str, files: Mapping[str, bytes]) -> None:
        """Writes the files atomically, replacing any former ones."""
        with _state_errors():
            self._store.write(name, seal(files))

    def remove(self, name: str) -> None:
        """Removes the files if they exist."""
        with _state_errors():
            self._store.remove(name)


def open_sealed(state_uri: str) -> SealedStore:
    """The store in a folder (created if it is missing) or at ``s3://bucket/prefix``.

    Raises
    ------
    InputError
        ``STATE_URI_UNKNOWN``: ``state_uri`` is neither; ``S3_SETTINGS``: the environment lacks server or credentials.
    StorageError
        ``STORE_UNREACHABLE``: the folder cannot be created.
    """
    if state_uri.startswith("s3://"):
        return SealedStore(BucketStore(*bucket_and_prefix(state_uri)))
    root = state_uri.removeprefix("file://")
    if not root or re.match(r"[a-z0-9+.-]{2,}:", root, re.IGNORECASE):
        raise InputError("STATE_URI_UNKNOWN", "state_uri must be a folder or s3://bucket/prefix")
    with _state_errors(), disk_errors("created"):
        Path(root).mkdir(parents=True, exist_ok=True)
    return SealedStore(FolderStore(root))


def seal(files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files`` with their digest as its comment; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), files[name])
        archive.comment = _digest(files).encode()
    return buffer.getvalue()


def unseal(content: bytes) -> dict[str, bytes] | None:
    """The files of a sealed zip, or None where it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
            return files if archive.comment.decode() == _digest(files) else None
    except Exception:  # of zipfile, or of any decompressor that a flipped bit may select
        return None


def _digest(files: Mapping[str, bytes]) -> str:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()} {name}" for name in sorted(files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def _state_errors() -> Iterator[None]:
    """Translates a store's errors, so that they point the user to ``state_uri`` and not to the cohort."""
    try:
        yield
    except SrsError as error:
        if error.code in ("STORAGE_FULL", "STORAGE_READONLY"):
            raise
        if error.code == "SOURCE_UNKNOWN":
            raise InputError(
                "STATE_URI_UNKNOWN", "S3 does not allow this name of a bucket", "Use s3://bucket/prefix."
            ) from None
        hint = "Check the folder's permissions and free space, or the S3 server, its bucket and the credentials."
        reason = _reason(error)
        raise StorageError("STORE_UNREACHABLE", f"the store failed with {reason}", hint) from None


def _reason(error: SrsError) -> str:
    """The code or type of the original exception of the disk or S3 client; neither names an object."""
    cause = error.__context__
    return str(getattr(cause, "code", "")) or type(cause).__name__
