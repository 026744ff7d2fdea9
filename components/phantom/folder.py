"""A phantom's folder: written beside its place, moved there whole, and never over a folder that is something else."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from components.common.errors import InputError

MARK = "phantom.json"
KIND = "SYNTHETIC srs-response phantom"
FIRST_TIME, TIME_SPAN = 1_420_070_400, 10**8  # s: file times stand for the content, since no clock is read


@contextmanager
def new_folder(out: Path, facts: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder that becomes ``out`` when the block ends well, and goes away when it does not.

    Parameters
    ----------
    out
        Missing, empty, or an earlier phantom, which is replaced.
    facts
        What the phantom was made from; kept in ``phantom.json``. All file times are derived from it, so that the same
        phantom written again does not look changed, and another one does.

    Raises
    ------
    InputError
        ``FOLDER_FOREIGN`` where ``out`` holds anything else, ``FOLDER_UNWRITABLE`` where nothing can be made there.
    """
    out = out.absolute()
    _check_replaceable(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise _unwritable(error) from None
    try:
        made = scratch / "new"
        made.mkdir()
        yield made
        (made / MARK).write_text(json.dumps({"kind": KIND, **facts}, indent=1) + "\n")
        _set_times(made, facts)
        _replace(made, out, scratch / "old")
    except OSError as error:
        raise _unwritable(error) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def is_phantom(folder: Path, facts: Mapping[str, Any] | None = None) -> bool:
    """Whether a folder was written here, and from ``facts`` where they are given."""
    try:
        mark = json.loads((folder / MARK).read_text())
        return bool(mark["kind"] == KIND) and (facts is None or mark == {"kind": KIND, **facts})
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check_replaceable(out: Path) -> None:
    try:
        free = not out.exists() or (out.is_dir() and (not any(out.iterdir()) or is_phantom(out)))
    except OSError as error:
        raise _unwritable(error) from None
    if not free:
        message = "the folder for the phantom exists and holds something else"
        raise InputError("FOLDER_FOREIGN", message, "Name a new or an empty folder; nothing was changed.")


def _replace(made: Path, out: Path, old: Path) -> None:
    if out.exists():
        out.rename(old)
    try:
        made.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise


def _set_times(folder: Path, facts: Mapping[str, Any]) -> None:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()
    time = FIRST_TIME + int.from_bytes(digest[:8], "big") % TIME_SPAN
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (time, time))


def _unwritable(error: OSError) -> InputError:
    reason = (error.strerror or "the system refused").lower()
    return InputError("FOLDER_UNWRITABLE", f"the phantom cannot be written there: {reason}", "Name another folder.")
