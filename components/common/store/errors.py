"""What a disk answers, as this platform's errors; what an S3 server answers is translated in ``bucket.py``."""

from collections.abc import Iterator
from contextlib import contextmanager

from components.common.disk import disk_error
from components.common.errors import InputError, StorageError


@contextmanager
def missing_object() -> Iterator[None]:
    """``OBJECT_MISSING`` for an object that is not there."""
    try:
        yield
    except (KeyError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError("OBJECT_MISSING", "a file that was asked for is not there") from None


@contextmanager
def disk_errors(done: str = "read") -> Iterator[None]:
    """``STORAGE_FULL``, ``STORAGE_READONLY`` or ``STORAGE_UNREADABLE``; the system's own text holds names of files."""
    try:
        yield
    except OSError as error:
        unreadable = StorageError("STORAGE_UNREADABLE", f"a file could not be {done} ({error.strerror})")
        raise disk_error(error) or unreadable from None
