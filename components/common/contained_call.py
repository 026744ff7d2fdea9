"""The worker's side of a contained call: a process that forks a child for each, and the child that bounds itself.

``contained`` starts the workers, and says what all of this is for.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import resource
import signal
import sys
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
#: Exit code of a child that has answered: a library may end its process by any other, 0 among them.
ANSWERED = 42


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


_is_contained = False
#: Seconds of a processor that this process and its children may take, where it is a contained call.
_seconds = 0.0


def is_contained() -> bool:
    """Whether this process is a worker, or the child of one."""
    return _is_contained


def main() -> None:
    """A worker's life: until the process that asks closes the line."""
    global _is_contained
    _is_contained = True
    line = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked, parts = receive(line)
            module, _, name = asked["call"].partition(":")
            room = importlib.import_module(module)  # before the fork, so that it is imported once
            if not name:
                send(line, {"head": {}}, ())
                continue
            child = _fork(line, getattr(room, name), asked["head"], parts, Budget(*asked["budget"]))
            del parts
            _, status, _ = os.wait4(child, 0)
            if reason := _reason(status):
                send(line, {"stopped": reason}, ())


def call_inside(function: Function, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
    """A call within a contained one: its child's time is taken off what is left of this one's."""
    receiving, sending = Pipe(duplex=False)
    with receiving:
        with sending:
            bounded = Budget(min(budget.seconds, _seconds_left()), budget.memory_bytes)
            child = _fork(sending, function, head, [bytes(part) for part in parts], bounded)
        try:
            told, found = receive(receiving)
        except EOFError:
            told, found = {}, []
        _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_PROF, _seconds_left())
    reason = _reason(status)
    return answer_of({"stopped": reason} if reason else told, found)


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
    send(line, told, found)
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


def send(line: Connection, head: dict[str, Any], parts: Sequence[Buffer]) -> None:
    """Sends JSON values and bytes."""
    line.send_bytes(json.dumps([head, len(parts)]).encode())
    for part in parts:
        line.send_bytes(part)


def receive(line: Connection) -> Message:
    """What ``send`` sent, each part within its bound; ``ValueError`` where it is something else."""
    head, count = json.loads(line.recv_bytes(MAX_CONTAINED_BYTES))
    return head, [line.recv_bytes(MAX_CONTAINED_BYTES) for _ in range(count)]


def answer_of(told: dict[str, Any], parts: list[bytes]) -> Message:
    """A reply, or what it says that was raised."""
    if "stopped" in told:
        raise Stopped(told["stopped"])
    if "failed" in told:
        raise Failed(told["failed"], told["places"])
    if "error" in told:
        raise SrsError.from_line(told["error"]) or Failed("SrsError", ())
    return told["head"], parts
