"""Which processes use a home, and what those that were killed left behind.

Each process holds a folder of the home's ``tmp`` by a lock that the system takes from it however it ends. A process id
would not do: it may be another process's by now. Two runs on one home so know of each other that they live.
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

#: Folders below ``tmp`` that are ours to remove; a home may be a folder with a ``tmp`` of the user's own.
PREFIX = "srs-"
LOCK, NOTE = "lock", "run.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """A living process's folder for temporary files; gone with the process, or swept once that was killed."""

    folder: Path
    _lock: int
    _owner: int

    @classmethod
    def take(cls, home: Path) -> "Claim":
        """A new claim on a home; raises ``OSError`` where it cannot be written."""
        with _turn(home):
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home / "tmp"))
            claim = cls(folder, os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), os.getpid())
            fcntl.flock(claim._lock, fcntl.LOCK_EX)
        atexit.register(claim.release)
        return claim

    def note(self, **facts: Any) -> None:
        """Keeps what must be known of this process's run if it is killed."""
        write_json(self.folder / NOTE, facts)

    def forget(self) -> None:
        """The run ended in order: nothing is left to close."""
        (self.folder / NOTE).unlink(missing_ok=True)

    def outlive_exec(self) -> None:
        """Hands the claim to the program that takes this process's place."""
        os.set_inheritable(self._lock, True)

    def release(self) -> None:
        """Removes the folder; one with a note stays for ``sweep``, since MLflow was not told of that run's end."""
        if os.getpid() == self._owner and not (self.folder / NOTE).exists():
            shutil.rmtree(self.folder, ignore_errors=True)


def sweep(home: Path, close: Callable[[dict[str, Any]], None]) -> None:
    """Removes what killed processes left in ``tmp``; ``close`` is first told the note of each that had a run.

    Where ``close`` raises an ``SrsError`` (MLflow does not answer), the note stays for the next time.
    """
    with _turn(home):
        for folder in _dead(home):
            with contextlib.suppress(SrsError):
                if facts := _note_of(folder):
                    close(facts)
                shutil.rmtree(folder, ignore_errors=True)


def others_alive(home: Path) -> bool:
    """Whether a process holds a claim on the home."""
    with _turn(home):
        dead = set(_dead(home))
        return any(folder not in dead for folder in _claimed(home))


def _claimed(home: Path) -> list[Path]:
    return sorted(folder for folder in (home / "tmp").glob(f"{PREFIX}*") if (folder / LOCK).is_file())


def _dead(home: Path) -> Iterator[Path]:
    """Claims whose process is gone; each is held while the caller looks at it."""
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
def _turn(home: Path) -> Iterator[None]:
    """One process at a time makes or sweeps claims: a folder is never seen before its lock is held."""
    with (home / "tmp" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
