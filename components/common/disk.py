"""What a full or read-only disk says, as a user's error: ``STORAGE_FULL`` and ``STORAGE_READONLY``."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from components.common.errors import StorageError

#: No space, a quota used up, or a file larger than its process may write.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: NumPy writes an array by C's functions and loses the reason: it says how many items fitted, or what came next.
NUMPY_FULL = ("requested and", "could not seek in file", "obtaining file position failed")


def disk_error(error: BaseException) -> StorageError | None:
    """``STORAGE_FULL`` or ``STORAGE_READONLY`` where that is what an ``OSError`` tells; else None.

    The message names no file: its name may be a patient's.
    """
    if not isinstance(error, OSError):
        return None
    if error.errno in FULL or (error.errno is None and any(text in str(error) for text in NUMPY_FULL)):
        return full()
    if error.errno == errno.EROFS:
        hint = "Mount it for writing, or name a folder on another disk: --home."
        return StorageError("STORAGE_READONLY", "the disk can only be read", hint)
    return None


def forbidden(error: OSError) -> StorageError | None:
    """``STORAGE_UNREADABLE`` where this user may not read or write a file; else None."""
    if not isinstance(error, PermissionError):
        return None
    hint = "A home is for the user alone who made it: run the command as that user."
    return StorageError("STORAGE_UNREADABLE", f"{error.filename} may not be used by this user", hint)


def full() -> StorageError:
    """``STORAGE_FULL``."""
    hint = "Free space (df shows it) or raise the quota, then run the same command again: it goes on where it stopped."
    return StorageError("STORAGE_FULL", "the disk is full, or a quota or file size limit is reached", hint)


def write_whole(path: Path, content: bytes, *, mode: int = 0o666, durable: bool = False) -> None:
    """Writes a file so that it is there whole or not at all, over any former one.

    ``mode`` is cut by the umask; a ``durable`` file outlives a loss of power.
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
