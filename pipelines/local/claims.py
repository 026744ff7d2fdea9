"""Tracks the processes that use a home, and cleans up after those that were killed.

Each process locks a folder of its own in the home's ``tmp``; the system releases the lock however the process ends.
Process ids would not do, since they are reused. Runs that share a home can therefore tell which others still run.
"""

import atexit
import contextlib
import dataclasses
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.common.errors import SrsError
from components.common.files import read_json, write_json

#: Only folders with this prefix are removed from ``tmp``, which may hold files of the user's own.
PREFIX = "srs-"
LOCK, NOTE = "lock", "run.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """A process's folder for temporary files; removed when it exits, or by ``sweep`` after it was killed."""

    folder: Path
    _lock: int
    _owner: int

    @classmethod
    def take(cls, home: Path) -> "Claim":
        """A new claim on a home; raises ``OSError`` if the home cannot be written."""
        with _exclusive(home):
            return cls._on(Path(tempfile.mkdtemp(prefix=PREFIX, dir=home / "tmp")))

    @classmethod
    def without_home(cls) -> "Claim":
        """A claim of a process that uses no home: its folder is among the system's temporary files."""
        return cls._on(Path(tempfile.mkdtemp(prefix=PREFIX)))

    @classmethod
    def _on(cls, folder: Path) -> "Claim":
        claim = cls(folder, os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), os.getpid())
        fcntl.flock(claim._lock, fcntl.LOCK_EX)
        atexit.register(claim.release)
        return claim

    def note(self, **facts: Any) -> None:
        """Records what ``sweep`` needs to close this process's run in MLflow if it is killed."""
        write_json(self.folder / NOTE, facts)

    def forget(self) -> None:
        """Removes the record: the run has ended and needs no closing."""
        (self.folder / NOTE).unlink(missing_ok=True)

    def outlive_exec(self) -> None:
        """Passes the claim on to the program that replaces this process by ``exec``."""
        os.set_inheritable(self._lock, True)

    def release(self) -> None:
        """Removes the folder, unless it holds a note: ``sweep`` must still close that run in MLflow."""
        if os.getpid() == self._owner and not (self.folder / NOTE).exists():
            shutil.rmtree(self.folder, ignore_errors=True)


def sweep(home: Path, close: Callable[[dict[str, Any]], None]) -> None:
    """Removes what killed processes left in ``tmp``; ``close`` first gets the note of each that had a run.

    If ``close`` raises an ``SrsError`` (MLflow does not answer), the folder stays for the next sweep.
    """
    with _exclusive(home):
        for folder in _dead(home):
            with contextlib.suppress(SrsError):
                if facts := _note_of(folder):
                    close(facts)
                shutil.rmtree(folder, ignore_errors=True)


def others_alive(home: Path) -> bool:
    """Whether a process holds a claim on the home."""
    with _exclusive(home):
        dead = set(_dead(home))
        return any(folder not in dead for folder in _claimed(home))


def _claimed(home: Path) -> list[Path]:
    return sorted(folder for folder in (home / "tmp").glob(f"{PREFIX}*") if (folder / LOCK).is_file())


def _dead(home: Path) -> Iterator[Path]:
    """Claims whose process is gone; each is locked while the caller handles it."""
    for folder in _claimed(home):
        with (folder / LOCK).open("r+b") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder


def _note_of(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(read_json(folder / NOTE))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    """Only one process at a time makes or sweeps claims, so none finds a folder before its lock is held."""
    with (home / "tmp" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
