"""The worker's side of a contained call: it forks a child for each call, and the child limits itself.

``contained`` starts the workers and explains their purpose.
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

#: Arguments and result of a call: JSON values, and bytes.
Buffer = bytes | bytearray
Message = tuple[dict[str, Any], list[bytes]]
Function = Callable[[dict[str, Any], list[bytes]], Message]

#: Limit of a child's wall-clock time, as a multiple of its processor time: ends a child that waits instead of working.
CLOCK_FACTOR = 10
#: Exit code of a child that has sent its reply: a library may end the process with any other code, including 0.
ANSWERED = 42


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a call: seconds of processor time, and bytes of memory beyond those that the worker has."""

    seconds: float
    memory_bytes: int


class Stopped(Exception):
    """A call whose process was ended; ``reason`` is ``time``, ``memory`` or ``crash``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Failed(Exception):
    """A call that raised an unexpected exception; ``kind`` is its type, ``frames`` the innermost ``file:line``."""

    def __init__(self, kind: str, frames: Sequence[str]) -> None:
        super().__init__(kind)
        self.kind, self.frames = kind, tuple(frames)


_is_contained = False
#: Processor time that this process and its children may take, in seconds, where it is a contained call.
_seconds = 0.0


def is_contained() -> bool:
    """Whether this process is a worker or a worker's child."""
    return _is_contained


def main() -> None:
    """Runs a worker until its parent process closes the connection."""
    global _is_contained
    _is_contained = True
    line = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, OSError):
        while True:
            request, parts = receive(line)
            module_name, _, name = request["call"].partition(":")
            module = importlib.import_module(module_name)  # before the fork, so that it is imported once
            if not name:
                send(line, {"head": {}}, ())
                continue
            child = _fork(line, getattr(module, name), request["head"], parts, Budget(*request["budget"]))
            del parts
            _, status, _ = os.wait4(child, 0)
            if reason := _reason(status):
                send(line, {"stopped": reason}, ())


def call_inside(function: Function, head: dict[str, Any], parts: Sequence[Buffer], budget: Budget) -> Message:
    """A call within a contained one: its child's time is deducted from this one's remaining time."""
    receiving, sending = Pipe(duplex=False)
    with receiving:
        with sending:
            bounded = Budget(min(budget.seconds, _seconds_left()), budget.memory_bytes)
            child = _fork(sending, function, head, [bytes(part) for part in parts], bounded)
        try:
            reply, reply_parts = receive(receiving)
        except EOFError:
            reply, reply_parts = {}, []
        _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_PROF, _seconds_left())
    reason = _reason(status)
    return result_of({"stopped": reason} if reason else reply, reply_parts)


def _seconds_left() -> float:
    """Remaining processor time of this contained call and its children; with none left, the process ends here.

    The timer cannot be read instead: each time that it is set it allows another tick of the system.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    left = _seconds - time.process_time() - children.ru_utime - children.ru_stime
    if left <= 0:
        os.kill(os.getpid(), signal.SIGPROF)
    return left


def _fork(line: Connection, function: Function, head: dict[str, Any], parts: list[bytes], budget: Budget) -> int:
    """Starts a child that replies on ``line``; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        _work(line, function, head, parts, budget)
    finally:
        os._exit(1)


def _work(line: Connection, function: Function, head: dict[str, Any], parts: list[bytes], budget: Budget) -> NoReturn:
    reply: dict[str, Any]
    reply_parts: Sequence[bytes] = ()
    try:
        _limit(budget)
        result, reply_parts = function(head, parts)
        reply = {"head": result}
    except MemoryError:
        reply = {"stopped": "memory"}
    except SrsError as error:
        reply = {"error": error.to_line()}
    except Exception as error:
        innermost = traceback.extract_tb(error.__traceback__)[-6:]
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in innermost]
        reply = {"failed": type(error).__name__, "frames": frames}
    for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):  # so that the reply is sent whole
        signal.setitimer(timer, 0)
    send(line, reply, reply_parts)
    os._exit(ANSWERED)


def _limit(budget: Budget) -> None:
    """Limits this process: the timers' signals end it, whatever code is running."""
    global _seconds
    _seconds = budget.seconds
    signal.setitimer(signal.ITIMER_PROF, budget.seconds)
    signal.setitimer(signal.ITIMER_REAL, CLOCK_FACTOR * budget.seconds)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    if sys.platform == "linux":  # macOS cannot limit the address space
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = min(used + budget.memory_bytes, *(n for n in resource.getrlimit(resource.RLIMIT_AS) if n > 0), 2**62)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _reason(status: int) -> str:
    """Why a child ended without a reply, by its wait status; "" where it has sent one."""
    if os.WIFEXITED(status):
        return "" if os.WEXITSTATUS(status) == ANSWERED else "crash"
    # Where memory is short, the system kills with SIGKILL.
    known = {signal.SIGPROF: "time", signal.SIGALRM: "time", signal.SIGKILL: "memory"}
    return known.get(signal.Signals(os.WTERMSIG(status)), "crash")


def send(line: Connection, head: dict[str, Any], parts: Sequence[Buffer]) -> None:
    """Sends JSON values and bytes."""
    line.send_bytes(json.dumps([head, len(parts)]).encode())
    for part in parts:
        line.send_bytes(part)


def receive(line: Connection) -> Message:
    """Receives what ``send`` sent, each part within its size limit; ``ValueError`` where it is something else."""
    head, count = json.loads(line.recv_bytes(MAX_CONTAINED_BYTES))
    return head, [line.recv_bytes(MAX_CONTAINED_BYTES) for _ in range(count)]


def result_of(reply: dict[str, Any], parts: list[bytes]) -> Message:
    """The result that a reply holds; raises the exception that it reports instead."""
    if "stopped" in reply:
        raise Stopped(reply["stopped"])
    if "failed" in reply:
        raise Failed(reply["failed"], reply["frames"])
    if "error" in reply:
        raise SrsError.from_line(reply["error"]) or Failed("SrsError", ())
    return reply["head"], parts
