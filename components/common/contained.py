"""Processes untrusted bytes in child processes that the kernel ends at their limits of time and memory.

A library that decodes a hostile image may loop forever, take all memory or die by a signal, and nothing within its
process can prevent that. So a worker process forks a child for each call. The child limits itself and runs the
function; the worker reports how it ended. Nothing outlives a call, and a worker that dies is replaced.

Only names of functions, JSON and bytes are exchanged: a child's reply is never unpickled. A worker inherits no secret:
its environment holds none, and a child writes no file and leaves no core dump.
"""

import atexit
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from components.common.contained_call import (
    CLOCK_FACTOR,
    Budget,
    Buffer,
    Failed,
    Function,
    Message,
    Stopped,
    call_inside,
    is_contained,
    main,
    receive,
    result_of,
    send,
)

__all__ = ["Budget", "Failed", "Message", "Stopped", "call", "close", "warm_up"]

#: Seconds to wait for a worker, beyond the time limit of its child, before the worker itself is killed.
WORKER_SECONDS = 5.0
#: Environment variables of this process that a worker needs.
INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "SYSTEMROOT")


def call(function: Function, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
    """The result of ``function(head, parts)``, computed in a child process.

    Parameters
    ----------
    function
        Defined at the top level of a module.
    head, parts
        Its arguments: JSON values, and bytes.
    budget
        Limits of the call. Within another contained call, the rest of the outer budget applies too.

    Raises
    ------
    Stopped, Failed
        The child exceeded a limit or crashed; the function raised an unexpected exception.
    SrsError
        Raised by ``function``.
    """
    if is_contained():
        return call_inside(function, head, parts, budget)
    return _workers.call(function, head, parts, budget)


def warm_up(function: Function, count: int) -> None:
    """Starts ``count`` workers, each of which imports the module of ``function``."""
    _workers.warm_up(function, count)


def close() -> None:
    """Ends all workers at once; calls in progress raise ``Stopped``, and a later call starts a new worker."""
    _workers.close()


class _Worker:
    """A process that forks a child for each call."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", f"from {main.__module__} import main; main()", str(theirs.fileno())]
            quiet = subprocess.DEVNULL  # what a codec prints may quote the file
            self._process = subprocess.Popen(
                command,
                stdin=quiet,
                stdout=quiet,
                stderr=quiet,
                env=_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for this process to handle
            )
        self._line = Connection(ours.detach())
        self._ending = threading.Lock()

    def request(self, name: str, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
        """One call; raises ``OSError``, ``EOFError`` or ``ValueError`` for a dead worker or an invalid reply."""
        send(self._line, {"call": name, "head": head, "budget": dataclasses.astuple(budget)}, parts)
        if not self._line.poll(CLOCK_FACTOR * budget.seconds + WORKER_SECONDS):
            raise EOFError
        return receive(self._line)

    def end(self) -> None:
        """Ends the worker and its child; a thread that waits for it wakes up, since the connection is closed."""
        with self._ending:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended already
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


class _Workers:
    """The workers of this process: a new one is started when all are busy, so there are at most as many as threads."""

    def __init__(self) -> None:
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def call(self, function: Function, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
        """As the module's ``call``."""
        worker = self._take()
        try:
            reply, reply_parts = worker.request(f"{function.__module__}:{function.__qualname__}", head, parts, budget)
        except (OSError, EOFError, ValueError, TypeError):
            self._drop(worker)
            raise Stopped("crash") from None
        except BaseException:  # such as a KeyboardInterrupt during a reply
            self._drop(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        return result_of(reply, reply_parts)

    def warm_up(self, function: Function, count: int) -> None:
        """As the module's ``warm_up``."""
        workers = [self._take() for _ in range(count)]
        for worker in workers:
            worker.request(f"{function.__module__}:", {}, (), Budget(60, 0))
        with self._lock:
            self._idle += workers

    def close(self) -> None:
        """Ends all workers."""
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.end()

    def _take(self) -> _Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        worker = _Worker()
        with self._lock:
            self._all.add(worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.end()


_workers = _Workers()
atexit.register(close)


def _environment() -> dict[str, str]:
    """A worker's environment: where Python finds modules, and no BLAS threads, which would not survive a fork."""
    inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    paths = [path or str(Path.cwd()) for path in sys.path]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
