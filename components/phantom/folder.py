"""Writes a phantom's folder atomically: into a temporary one beside it, which then replaces an earlier phantom."""

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
FIRST_TIME, TIME_SPAN = 1_420_070_400, 10**8  # s: file times are derived from the content, not from a clock


@contextmanager
def new_folder(out: Path, facts: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder that becomes ``out`` when the block succeeds, and is removed when it fails.

    Parameters
    ----------
    out
        Missing, empty, or an earlier phantom, which is replaced.
    facts
        The arguments of the phantom, stored in ``phantom.json``. All file times are derived from them, so that caches
        see a change only where another phantom is written.

    Raises
    ------
    InputError
        ``FOLDER_FOREIGN`` where ``out`` holds anything else, ``FOLDER_UNWRITABLE`` where it cannot be written.
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
    """Whether a folder is a phantom, and was made from ``facts`` if they are given."""
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
        message = "the folder for the phantom exists and holds other files"
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
