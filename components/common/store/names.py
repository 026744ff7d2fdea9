"""Names of objects below the root of a source: what leaves it is refused, what means the same is found."""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from components.common.errors import InputError

#: A drive of Windows; there alone a colon names one, or a stream of a file, whatever follows it.
DRIVE = re.compile(".*:" if os.name == "nt" else "[A-Za-z]:(/|$)")


def clean_name(name: str) -> str:
    """A name without leading ``./`` or trailing ``/``; ``PATH_OUTSIDE`` where it would leave its root.

    On some system or other it would: ``..`` between slashes, backslashes or colons, or a beginning of a slash, of a
    backslash or of a drive's letter. Whatever else it holds belongs to the name: a backslash too, which ``slashed``
    takes for a separator.
    """
    clean = "/".join(part for part in PurePosixPath(name).parts if part != "/")
    if name.startswith("/") or "\0" in name or _leaves(slashed(name)) or _leaves(slashed(clean)):
        raise InputError("PATH_OUTSIDE", "a name in the source leaves its folder", "Use names below the source only.")
    return clean


def _leaves(name: str) -> bool:
    return ".." in re.split("[/:]", name) or name.startswith("/") or DRIVE.match(name) is not None


def slashed(name: str) -> str:
    """A name of Windows with the separators of all others."""
    return name.replace("\\", "/")


def is_below(name: str, prefix: str) -> bool:
    """Whether an object lies below a folder-like prefix; "" is the root."""
    prefix = clean_name(prefix)
    return not prefix or name.startswith(f"{prefix}/")


def folded(name: str) -> str:
    """What names of one folder share on systems that ignore case and on those that write Unicode decomposed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())


def children(folder: Path) -> list[str]:
    """The names in a folder; none where it cannot be read."""
    with contextlib.suppress(OSError):
        return [path.name for path in folder.iterdir()]
    return []


def meant(name: str, names: Iterable[str]) -> str:
    """``name``, or the one part of ``names`` that differs from it by case and Unicode form only."""
    depth = name.count("/") + 1
    tops = {"/".join(other.split("/")[:depth]) for other in names}
    similar = [name] if name in tops else [top for top in tops if folded(top) == folded(name)]
    return similar[0] if len(similar) == 1 else name
