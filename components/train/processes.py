"""Trains members in child processes, one for each GPU or core, by programs of JAX or TensorFlow.

A process has one Keras backend and one device, chosen before it imports Keras. It asks its parent for the next member
when it has room for one, and tells it of every validation check, saved state and finished member; the parent alone
reads and writes the member store. A process whose parent is gone ends at its next validation check.

A process on CPU has one thread: several divide sums in a way that depends on their number, and one process with all
cores' threads trained a pack more slowly (10 members on two cores: 38 to 41 s, against 33 to 35 s).
"""

import dataclasses
import multiprocessing
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from components.common.artifacts.members import Member
from components.common.errors import SrsError, TrainingError
from components.common.processors import processors
from components.common.steps import ends_on_sigterm
from components.train.device_process import STOP, Device, Share, train_share
from components.train.jobs import PROGRESS_EVERY_S, Data, Job, Tally
from components.train.lanes import Resumed
from components.train.member_store import MemberStore

#: Seconds that processes have to save their states after they were told to stop; then they are killed.
STOP_SECONDS = 60.0
OUT_OF_MEMORY = (
    "Signal 9 often means that memory ran out: give the task more memory, or fewer cores, each of which has a process."
)


@dataclasses.dataclass(slots=True, eq=False)
class _Child:
    """A process; ``checked`` says whether it has made a validation check, and so has a state to save."""

    process: BaseProcess
    connection: Connection
    checked: bool = False


def train_in_processes(
    engine: str,
    data: Data,
    jobs: Sequence[Job],
    store: MemberStore | None,
    tally: Tally,
    *,
    gpus: int = 0,
    workers: int | None = None,
    state_uri: str = "",
) -> list[Member]:
    """Trains ``jobs`` on ``gpus`` GPUs, or else on ``workers`` cores; on a failure or SIGTERM all states are saved.

    Compiled programs are stored beside the members in ``state_uri``, if that is a folder.

    Raises
    ------
    TrainingError
        ``LOSS_NOT_FINITE``, ``NO_GPU``, or ``ENGINE_FAILED`` where a process ended without a word.
    """
    devices = devices_of(engine, gpus, workers or processors())[: len(jobs)]
    rows = max(len(job.split.validation) for job in jobs)
    share = Share(data, -(-len(jobs) // len(devices)), rows, state_uri)
    waiting = (Resumed(job, store.get_state(job.key) if store else None) for job in jobs)
    members: list[Member] = []
    children: list[_Child] = []
    with ends_on_sigterm():
        try:
            children.extend(_start(device, share) for device in devices)  # those that are started, if one cannot be
            _receive(children, waiting, members, store, tally)
        except BaseException:
            _stop(children, store)
            raise
        finally:
            _end(children)
    return members


def devices_of(engine: str, gpus: int, cores: int) -> list[Device]:
    """The devices of a pack, each for a process of its own."""
    return [Device(engine, number) for number in range(gpus)] or [Device(engine, None)] * cores


def _start(device: Device, share: Share) -> _Child:
    context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks of this process
    ours, theirs = context.Pipe()
    process = context.Process(target=train_share, args=(theirs, device, share), daemon=True)
    process.start()
    theirs.close()
    return _Child(process, ours)


def _receive(
    children: Sequence[_Child],
    waiting: Iterator[Resumed],
    members: list[Member],
    store: MemberStore | None,
    tally: Tally,
) -> None:
    """Gives the waiting members to the children, and takes what these tell until all are finished."""
    working, reported = {child.connection: child for child in children}, time.monotonic()
    while working:
        finished: list[Member] = []
        for child in [working[one] for one in _ready(working, PROGRESS_EVERY_S)]:
            kind, *content = _told(child)
            if kind == "done":
                del working[child.connection]
            elif kind == "next":
                _answer(child, next(waiting, None))
            elif kind == "failed":
                raise SrsError.from_line(content[0]) or TrainingError("ENGINE_FAILED", content[0])
            elif kind == "checked":
                child.checked = True
                tally.record(*content)
            else:
                finished += _stored(kind, content, members, store)
        if finished or time.monotonic() - reported >= PROGRESS_EVERY_S:
            tally.add_finished(finished)
            reported = time.monotonic()


def _told(child: _Child) -> tuple[Any, ...]:
    try:
        return child.connection.recv()  # type: ignore[no-any-return]
    except (EOFError, OSError):
        raise _ended(child) from None


def _answer(child: _Child, resumed: Resumed | None) -> None:
    try:
        child.connection.send(resumed)
    except OSError:
        raise _ended(child) from None


def _ended(child: _Child) -> TrainingError:
    child.process.join()
    code = child.process.exitcode or 0
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    message = f"a training process {how}, without an error message; its output is in the log of this step"
    return TrainingError("ENGINE_FAILED", message, OUT_OF_MEMORY if code == -signal.SIGKILL else "")


def _stored(kind: str, content: list[Any], members: list[Member], store: MemberStore | None) -> list[Member]:
    key, value = content
    if store:
        _store(kind, key, value, store)
    if kind == "save":
        return []
    members.append(value)
    return [value]


def _store(kind: str, key: str, value: Any, store: MemberStore) -> None:
    if kind == "save":
        store.put_state(key, value)
    else:
        store.put(key, value)


def _stop(children: Sequence[_Child], store: MemberStore | None) -> None:
    """Tells the children to stop, and stores what they send before they do; a later attempt reports it.

    One that has made no check yet may be compiling for long, and has nothing to save.
    """
    working, deadline = {child.connection for child in children if child.checked}, time.monotonic() + STOP_SECONDS
    for connection in list(working):
        try:
            connection.send(STOP)
        except OSError:
            working.discard(connection)
    while working and (ready := _ready(working, deadline - time.monotonic())):
        for connection in ready:
            try:
                kind, *content = connection.recv()
            except (EOFError, OSError):
                working.discard(connection)
                continue
            if kind in ("save", "finished") and store:
                key, value = content
                _store(kind, key, value, store)


def _ready(connections: Iterable[Connection], seconds: float) -> list[Connection]:
    """The connections that can be read or have ended, waiting up to ``seconds`` for the first."""
    return [one for one in wait(list(connections), seconds) if isinstance(one, Connection)]


def _end(children: Sequence[_Child]) -> None:
    for child in children:
        child.connection.close()
        child.process.join(1.0)
        if child.process.is_alive():
            child.process.kill()
            child.process.join()
