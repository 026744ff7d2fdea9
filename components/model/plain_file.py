"""Reads one regular file of a bundle's folder, up to a limit of bytes; refuses links, pipes and devices."""

import os
import stat
from pathlib import Path

from components.common.errors import BundleError

_EXPORT_AGAIN = "Fetch or export the bundle again."


def damaged(what: str) -> BundleError:
    """``BUNDLE_DAMAGED``: a bundle that is not as it was written."""
    return BundleError("BUNDLE_DAMAGED", what, _EXPORT_AGAIN)


def read_plain_file(folder: Path, name: str, most: int) -> bytes:
    """The bytes of ``name`` in ``folder``; the folder itself may be reached through a link, as a mounted volume is.

    Raises
    ------
    BundleError
        ``BUNDLE_DAMAGED`` where it is missing or not a regular file; ``BUNDLE_TOO_LARGE`` above ``most`` bytes.
    """
    path = folder / name
    try:
        if path.parent != folder and path.parent.is_symlink():
            raise OSError
        # Without O_NONBLOCK, opening a pipe of this name would block.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError
            content = file.read(most + 1)
    except OSError:
        raise damaged(f"{name} is missing, a symbolic link or not a regular file") from None
    if len(content) > most:
        raise BundleError("BUNDLE_TOO_LARGE", f"{name} has more than the {most:,} bytes allowed", _EXPORT_AGAIN)
    return content
