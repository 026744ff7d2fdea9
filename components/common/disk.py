"""Translates the errors of a full or read-only disk, and writes files atomically."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from components.common.errors import InputError, StorageError

#: No space, a quota used up, or a file larger than its process may write.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: NumPy writes arrays with C functions and loses the reason of a failure; these are the texts that it raises instead.
NUMPY_FULL = ("requested and", "could not seek in file", "obtaining file position failed")


def disk_error(error: BaseException) -> StorageError | None:
    """``STORAGE_FULL`` or ``STORAGE_READONLY`` where an ``OSError`` has that cause; else None.

    The message names no file, since a file may be named after a patient.
    """
    if not isinstance(error, OSError):
        return None
    if error.errno in FULL or (error.errno is None and any(text in str(error) for text in NUMPY_FULL)):
        return disk_full()
    if error.errno == errno.EROFS:
        hint = "Remount the disk as writable, or choose a folder on another disk with --home."
        return StorageError("STORAGE_READONLY", "the disk is read-only", hint)
    return None


def permission_denied(error: OSError) -> StorageError | None:
    """``STORAGE_UNREADABLE`` where this user may not read or write a file; else None."""
    if not isinstance(error, PermissionError):
        return None
    hint = "Only the user who created a home can use it: run the command as that user."
    return StorageError("STORAGE_UNREADABLE", f"this user has no permission to use {error.filename}", hint)


def path_refused(error: OSError) -> InputError | None:
    """``PATH_INVALID`` where the system cannot follow a path: too long, or links in a circle; else None."""
    if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
        return None
    message = f"a path of the command cannot be used: {os.strerror(error.errno).lower()}"
    return InputError("PATH_INVALID", message, "Name an existing file or folder, or a shorter new one.")


def require_text(path: str) -> None:
    """Raises ``PATH_INVALID`` where a path is not text in UTF-8, which artifacts and KFP cannot hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        message = f"the path {path.encode(errors='backslashreplace').decode()} is not text in UTF-8"
        raise InputError("PATH_INVALID", message, "Rename the folder.") from None


def disk_full() -> StorageError:
    """``STORAGE_FULL``."""
    hint = "Free space (see df) or raise the quota, then run the same command again: it continues where it stopped."
    return StorageError("STORAGE_FULL", "the disk is full, or a quota or file size limit is reached", hint)


def write_whole(path: Path, content: bytes, *, mode: int = 0o666, durable: bool = False) -> None:
    """Writes a file atomically, replacing any former one.

    The umask applies to ``mode``; a ``durable`` file survives a power failure.
    """
    temporary = path.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
