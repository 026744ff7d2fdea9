"""Translates the errors of a local disk into this platform's; ``bucket.py`` does so for an S3 server."""

from collections.abc import Iterator
from contextlib import contextmanager

from components.common.disk import disk_error
from components.common.errors import InputError, StorageError


@contextmanager
def missing_object() -> Iterator[None]:
    """Raises ``OBJECT_MISSING`` for an object that does not exist."""
    try:
        yield
    except (KeyError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
        hint = "Check the paths in the cohort table, and that nothing was moved meanwhile."
        raise InputError("OBJECT_MISSING", "a requested file does not exist", hint) from None


@contextmanager
def disk_errors(action: str = "read") -> Iterator[None]:
    """Raises ``STORAGE_FULL``, ``STORAGE_READONLY`` or ``STORAGE_UNREADABLE``, whose messages name no file."""
    try:
        yield
    except OSError as error:
        unreadable = StorageError("STORAGE_UNREADABLE", f"a file could not be {action} ({error.strerror})")
        raise disk_error(error) or unreadable from None
