"""Ties a task to its parent: no process of it outlives the parent, however that ends."""

import contextlib
import os
from collections.abc import Iterator

#: Runs a command as the leader of a process group that is killed when its stdin's other end is closed: by a parent
#: that has waited for the command, or by the system, however the parent ended. A shell beside it waits for that.
#: (Linux's signal on a parent's death would reach KFP's shell, and not the Python below it.)
LEASH = (
    "sh",
    "-c",
    'exec 3<&0; (trap "" INT TERM HUP; read _ <&3; kill -KILL 0) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null',
    "leash",
)


@contextlib.contextmanager
def lifeline() -> Iterator[int]:
    """A pipe's reading end for ``LEASH``; the writing end is this process's alone, and closed at the block's end."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(write)
        os.close(read)
