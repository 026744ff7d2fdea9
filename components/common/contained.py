"""Work on bytes from outside in processes of their own, which the kernel ends at their bounds of time and memory.

A library that decodes a hostile picture may loop without end, take all memory or die by a signal, and nothing within
its process can stop that. So a worker, a process beside this one, forks a child for each call. The child bounds itself
and works; the worker tells how it ended. Nothing outlives a call, and a worker that dies is replaced.

Names of functions, JSON and bytes go over the line: what a child says is never unpickled. A worker inherits no secret:
its environment has none, and a child writes no file and leaves no core dump.
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
    answer_of,
    call_inside,
    is_contained,
    main,
    receive,
    send,
)

__all__ = ["Budget", "Failed", "Message", "Stopped", "call", "close", "warm_up"]

#: Seconds after which a worker itself is given up, beyond the time that its child had.
WORKER_SECONDS = 5.0
#: Variables that a worker needs of this process's environment.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "SYSTEMROOT")


def call(function: Function, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
    """What ``function(head, parts)`` gives, worked out in a child process.

    Parameters
    ----------
    function
        Of the top level of a module.
    head, parts
        What it is given: JSON values, and bytes.
    budget
        Within a contained call, what is left of the outer budget bounds the inner one, too.

    Raises
    ------
    Stopped, Failed
        How the child ended.
    SrsError
        As ``function`` raises it.
    """
    if is_contained():
        return call_inside(function, head, parts, budget)
    return _workers.call(function, head, parts, budget)


def warm_up(function: Function, count: int) -> None:
    """Starts ``count`` workers, and has each import what ``function`` needs."""
    _workers.warm_up(function, count)


def close() -> None:
    """Ends all workers at once; a call that waits for one raises ``Stopped``, and a later one starts another."""
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
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        self._line = Connection(ours.detach())
        self._ending = threading.Lock()

    def ask(self, name: str, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
        """One call; raises ``OSError``, ``EOFError`` or ``ValueError`` where the worker is gone or talks nonsense."""
        send(self._line, {"call": name, "head": head, "budget": dataclasses.astuple(budget)}, parts)
        if not self._line.poll(CLOCK_FACTOR * budget.seconds + WORKER_SECONDS):
            raise EOFError
        return receive(self._line)

    def end(self) -> None:
        """Ends it and its child; whoever waits for it, too, since its end of the line is closed with it."""
        with self._ending:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended already
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


class _Workers:
    """The workers of this process: one is started where all are asked, so there are no more than threads that ask."""

    def __init__(self) -> None:
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def call(self, function: Function, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
        """As the module's ``call``."""
        worker = self._take()
        try:
            told, found = worker.ask(f"{function.__module__}:{function.__qualname__}", head, parts, budget)
        except (OSError, EOFError, ValueError, TypeError):
            self._drop(worker)
            raise Stopped("crash") from None
        except BaseException:  # such as a KeyboardInterrupt amid an answer
            self._drop(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        return answer_of(told, found)

    def warm_up(self, function: Function, count: int) -> None:
        """As the module's ``warm_up``."""
        workers = [self._take() for _ in range(count)]
        for worker in workers:
            worker.ask(f"{function.__module__}:", {}, (), Budget(60, 0))
        with self._lock:
            self._idle += workers

    def close(self) -> None:
        """Ends all."""
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
    """Of a worker: where Python finds modules, and no threads of BLAS, which a fork would not survive."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    paths = [path or str(Path.cwd()) for path in sys.path]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
