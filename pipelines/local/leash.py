"""Kills a task's processes when its parent ends, however the parent ends."""

import contextlib
import os
from collections.abc import Iterator

#: Runs a command in a process group that is killed when the other end of its stdin is closed: by the parent after the
#: command has ended, or by the system when the parent dies. A second shell in the group waits for that.
#: (Linux's signal on a parent's death would reach KFP's shell, but not the Python process below it.)
LEASH = (
    "sh",
    "-c",
    'exec 3<&0; (trap "" INT TERM HUP; read _ <&3; kill -KILL 0) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null',
    "leash",
)


@contextlib.contextmanager
def lifeline() -> Iterator[int]:
    """Read end of a pipe, for ``LEASH``; only this process has the write end, which is closed at the block's end."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(write)
        os.close(read)
