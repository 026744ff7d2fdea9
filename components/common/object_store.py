"""Objects kept between attempts, in a folder (or PVC) or ``s3://bucket/prefix``: whole or not at all.

A reader never needs a lock, and two writers of one name write the same. A sealed object is a plain zip whose comment is
the SHA-256 of its files, so that damage reads as absence.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from components.common.disk import disk_error, write_whole
from components.common.errors import InputError, StorageError
from components.common.s3 import bucket_and_prefix, read_object, s3_client

#: All entries carry this time, so that the same files are one sequence of bytes.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Objects(Protocol):
    """Whole objects by name."""

    def read(self, name: str) -> bytes | None:
        """The object, or None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Puts the object in place whole, over any former one."""

    def remove(self, name: str) -> None:
        """Removes the object where there is one."""


class FolderObjects:
    """Objects as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """The object, or None where there is none."""
        with _storage_errors():
            path = self._root / name
            return path.read_bytes() if path.is_file() else None

    def write(self, name: str, content: bytes) -> None:
        """Writes under a temporary name, flushes to disk, then moves into place."""
        path = self._root / name
        with _storage_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content, mode=0o600, durable=True)  # crops of patients, and hours of training

    def remove(self, name: str) -> None:
        """Removes the object where there is one."""
        with _storage_errors():
            (self._root / name).unlink(missing_ok=True)


class BucketObjects:
    """Objects below a prefix of an S3 bucket: S3 itself shows an object whole or not at all."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix.strip("/")

    def read(self, name: str) -> bytes | None:
        """The object, or None where there is none."""
        from minio.error import S3Error

        with _storage_errors():
            try:
                return read_object(self._client, self._bucket, self._at(name))
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise

    def write(self, name: str, content: bytes) -> None:
        """Puts the object in place whole."""
        with _storage_errors():
            self._client.put_object(self._bucket, self._at(name), io.BytesIO(content), len(content))

    def remove(self, name: str) -> None:
        """Removes the object where there is one."""
        with _storage_errors():
            self._client.remove_object(self._bucket, self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._prefix}/{name}".lstrip("/")


def open_objects(state_uri: str) -> Objects:
    """The objects at a folder (made where it is missing) or ``s3://bucket/prefix``.

    Raises
    ------
    InputError
        ``STATE_URI_UNKNOWN``: neither of the two; ``S3_SETTINGS``: no server or credentials in the environment.
    StorageError
        ``STORE_UNREACHABLE``: the folder cannot be made.
    """
    if state_uri.startswith("s3://"):
        return BucketObjects(s3_client(), *bucket_and_prefix(state_uri))
    root = state_uri.removeprefix("file://")
    if not root or re.match(r"[a-z0-9+.-]{2,}:", root, re.IGNORECASE):
        raise InputError("STATE_URI_UNKNOWN", "the store is a folder or s3://bucket/prefix")
    with _storage_errors():
        Path(root).mkdir(parents=True, exist_ok=True)
    return FolderObjects(Path(root))


def seal(files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files``, the same bytes for the same files, that carries their digest as its comment."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), files[name])
        archive.comment = _digest(files).encode()
    return buffer.getvalue()


def unseal(content: bytes | None) -> dict[str, bytes] | None:
    """The files of a sealed zip, or None where there is none or it is not what was written."""
    if content is None:
        return None
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
def _storage_errors() -> Iterator[None]:
    """A failing disk or server in words, without names of paths or hosts."""
    import urllib3.exceptions
    from minio.error import MinioException

    try:
        yield
    except (OSError, urllib3.exceptions.HTTPError, MinioException) as error:
        if told := disk_error(error):
            raise told from None
        what = str(getattr(error, "code", "")) or type(error).__name__
        hint = "Look at the folder's rights and space, or at the S3 server, its bucket and the credentials."
        raise StorageError("STORE_UNREACHABLE", f"the store failed with {what}", hint) from None
    except ValueError:  # the minio client, of a name that S3 does not allow
        raise InputError("STATE_URI_UNKNOWN", "S3 has no such bucket names", "Use s3://bucket/prefix.") from None
