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
import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NoReturn

from components.common.errors import SrsError
from components.common.limits import MAX_CONTAINED_BYTES

#: What a call takes and gives: JSON values, and bytes.
Buffer = bytes | bytearray
Message = tuple[dict[str, Any], list[bytes]]
Function = Callable[[dict[str, Any], list[bytes]], Message]

#: A child that waits instead of working is ended after this many times its processor time, in seconds on the clock.
CLOCK_FACTOR = 10
#: Seconds after which a worker itself is given up, beyond the time that its child had.
WORKER_SECONDS = 5.0
#: Exit code of a child that has answered: a library may end its process by any other, 0 among them.
ANSWERED = 42
#: Variables that a worker needs of this process's environment.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "SYSTEMROOT")


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What a call may take: seconds of processor time, and bytes beyond what the worker has."""

    seconds: float
    memory_bytes: int


class Stopped(Exception):
    """A call that was ended: ``reason`` is ``time``, ``memory`` or ``crash``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Failed(Exception):
    """A call that raised what was not foreseen; ``kind`` and ``places`` are the exception's type and lines of code."""

    def __init__(self, kind: str, places: Sequence[str]) -> None:
        super().__init__(kind)
        self.kind, self.places = kind, tuple(places)


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
    if _is_contained:
        return _call_inside(function, head, parts, budget)
    return _workers.call(function, head, parts, budget)


def warm_up(function: Function, count: int) -> None:
    """Starts ``count`` workers, and has each import what ``function`` needs."""
    _workers.warm_up(function, count)


def close() -> None:
    """Ends all workers at once; a call that waits for one raises ``Stopped``, and a later one starts another."""
    _workers.close()


# --- the process that asks ------------------------------------------------------------------------------------------


class _Worker:
    """A process that forks a child for each call."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", f"from {__name__} import _main; _main()", str(theirs.fileno())]
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
        _send(self._line, {"call": name, "head": head, "budget": dataclasses.astuple(budget)}, parts)
        if not self._line.poll(CLOCK_FACTOR * budget.seconds + WORKER_SECONDS):
            raise EOFError
        return _receive(self._line)

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
        except (OSError, EOFError, ValueError):
            self._drop(worker)
            raise Stopped("crash") from None
        except BaseException:  # such as a KeyboardInterrupt amid an answer
            self._drop(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        return _answer(told, found)

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


def _answer(told: dict[str, Any], parts: list[bytes]) -> Message:
    """A reply, or what it says that was raised."""
    if "stopped" in told:
        raise Stopped(told["stopped"])
    if "failed" in told:
        raise Failed(told["failed"], told["places"])
    if "error" in told:
        raise SrsError.from_line(told["error"]) or Failed("SrsError", ())
    return told["head"], parts


# --- the worker and its children ------------------------------------------------------------------------------------

_is_contained = False
#: Seconds of a processor that this process and its children may take, where it is a contained call.
_seconds = 0.0


def _main() -> None:
    """A worker's life: until the process that asks closes the line."""
    global _is_contained
    _is_contained = True
    line = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked, parts = _receive(line)
            module, _, name = asked["call"].partition(":")
            room = importlib.import_module(module)  # before the fork, so that it is imported once
            if not name:
                _send(line, {"head": {}}, ())
                continue
            child = _fork(line, getattr(room, name), asked["head"], parts, Budget(*asked["budget"]))
            del parts
            _, status, _ = os.wait4(child, 0)
            if reason := _reason(status):
                _send(line, {"stopped": reason}, ())


def _call_inside(function: Function, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
    """A call within a contained one: its child's time is taken off what is left of this one's."""
    receiving, sending = Pipe(duplex=False)
    with receiving:
        with sending:
            bounded = Budget(min(budget.seconds, _seconds_left()), budget.memory_bytes)
            child = _fork(sending, function, head, [bytes(part) for part in parts], bounded)
        try:
            told, found = _receive(receiving)
        except EOFError:
            told, found = {}, []
        _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_PROF, _seconds_left())
    reason = _reason(status)
    return _answer({"stopped": reason} if reason else told, found)


def _seconds_left() -> float:
    """Of this contained call, by the clocks of its processor and its children's; without any left it ends here.

    The timer itself is no clock: each time that it is set it gives a tick of the system more.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    left = _seconds - time.process_time() - children.ru_utime - children.ru_stime
    if left <= 0:
        os.kill(os.getpid(), signal.SIGPROF)
    return left


def _fork(line: Connection, function: Function, head: dict[str, Any], parts: list[bytes], budget: Budget) -> int:
    """Starts a child that answers on ``line``; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        _work(line, function, head, parts, budget)
    finally:
        os._exit(1)


def _work(line: Connection, function: Function, head: dict[str, Any], parts: list[bytes], budget: Budget) -> NoReturn:
    told: dict[str, Any]
    found: Sequence[bytes] = ()
    try:
        _bound(budget)
        given, found = function(head, parts)
        told = {"head": given}
    except MemoryError:
        told = {"stopped": "memory"}
    except SrsError as error:
        told = {"error": error.to_line()}
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
        told = {"failed": type(error).__name__, "places": places}
    for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):  # an answer is sent whole
        signal.setitimer(timer, 0)
    _send(line, told, found)
    os._exit(ANSWERED)


def _bound(budget: Budget) -> None:
    """Bounds this process: the timers' signals end it, whatever code is running."""
    global _seconds
    _seconds = budget.seconds
    signal.setitimer(signal.ITIMER_PROF, budget.seconds)
    signal.setitimer(signal.ITIMER_REAL, CLOCK_FACTOR * budget.seconds)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    if sys.platform == "linux":  # macOS bounds no address space
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        bound = min(has + budget.memory_bytes, *(n for n in resource.getrlimit(resource.RLIMIT_AS) if n > 0), 2**62)
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _reason(status: int) -> str:
    """Why a child ended without an answer, by its wait status; "" where it has answered."""
    if os.WIFEXITED(status):
        return "" if os.WEXITSTATUS(status) == ANSWERED else "crash"
    # The system kills by SIGKILL where memory is short.
    known = {signal.SIGPROF: "time", signal.SIGALRM: "time", signal.SIGKILL: "memory"}
    return known.get(signal.Signals(os.WTERMSIG(status)), "crash")


# --- the line -------------------------------------------------------------------------------------------------------


def _send(line: Connection, head: dict[str, Any], parts: Sequence[Buffer]) -> None:
    line.send_bytes(json.dumps([head, len(parts)]).encode())
    for part in parts:
        line.send_bytes(part)


def _receive(line: Connection) -> Message:
    head, count = json.loads(line.recv_bytes(MAX_CONTAINED_BYTES))
    return head, [line.recv_bytes(MAX_CONTAINED_BYTES) for _ in range(count)]
