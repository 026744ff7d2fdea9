"""Names of objects below the root of a source: refuses names that leave it, and resolves variants of a name."""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from components.common.errors import InputError

#: A Windows drive. On Windows itself any colon counts, since it names a drive or a stream of a file.
DRIVE = re.compile(".*:" if os.name == "nt" else "[A-Za-z]:(/|$)")


def clean_name(name: str) -> str:
    """A name without leading ``./`` or trailing ``/``; ``PATH_OUTSIDE`` where it could leave its root.

    Names are refused that leave the root on any system: with ``..`` between slashes, backslashes or colons, or with a
    slash, a backslash or a drive's letter at the start. All other characters belong to the name, backslashes too, which
    only ``with_slashes`` treats as separators.
    """
    clean = "/".join(part for part in PurePosixPath(name).parts if part != "/")
    if name.startswith("/") or "\0" in name or _leaves(with_slashes(name)) or _leaves(with_slashes(clean)):
        raise InputError(
            "PATH_OUTSIDE", "a name in the source points outside its folder", "Use names below the source."
        )
    return clean


def _leaves(name: str) -> bool:
    return ".." in re.split("[/:]", name) or name.startswith("/") or DRIVE.match(name) is not None


def with_slashes(name: str) -> str:
    """A Windows path with forward slashes."""
    return name.replace("\\", "/")


def is_below(name: str, prefix: str) -> bool:
    """Whether an object lies below a folder-like prefix; "" is the root."""
    prefix = clean_name(prefix)
    return not prefix or name.startswith(f"{prefix}/")


def folded(name: str) -> str:
    """The form in which names are compared, ignoring case and Unicode composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())


def children(folder: Path) -> list[str]:
    """The names in a folder; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        return [path.name for path in folder.iterdir()]
    return []


def resolve_name(name: str, names: Iterable[str]) -> str:
    """``name``, or the only folder or object of ``names`` that differs from it just in case or Unicode form."""
    depth = name.count("/") + 1
    tops = {"/".join(other.split("/")[:depth]) for other in names}
    similar = [name] if name in tops else [top for top in tops if folded(top) == folded(name)]
    return similar[0] if len(similar) == 1 else name
