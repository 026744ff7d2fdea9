"""Trains members in child processes, one for each device, by programs of JAX or TensorFlow.

A process has one Keras backend and one device, chosen before it imports Keras. It tells its parent of every validation
check, saved state and finished member; the parent alone writes to the member store. A process whose parent is gone ends
at its next validation check.
"""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from components.common.artifacts.members import Member
from components.common.environment import KERAS_BACKEND
from components.common.errors import SrsError, TrainingError, one_line
from components.common.steps import ends_on_sigterm
from components.train.jobs import PROGRESS_EVERY_S, Data, Job, Stopped, Tally
from components.train.lanes import Resumed, train_in_lanes
from components.train.member_store import MemberStore, State
from components.train.protocol import ValidationCheck, Verdict

#: Variable that names the GPUs that a process may use, in the order of their numbers.
VISIBLE = "CUDA_VISIBLE_DEVICES"
#: Seconds that processes have to save their states after they were told to stop; then they are killed.
STOP_SECONDS = 60.0
OUT_OF_MEMORY = "Signal 9 often means that memory ran out: train fewer members per task, or give the task more memory."


class Device(NamedTuple):
    """The engine, and the number of the GPU that a process trains on; None for the CPU."""

    engine: str
    gpu: int | None


class _Child(NamedTuple):
    process: BaseProcess
    connection: Connection


def train_in_processes(
    engine: str,
    data: Data,
    jobs: Sequence[Job],
    store: MemberStore | None,
    tally: Tally,
    *,
    gpus: int = 0,
    state_uri: str = "",
) -> list[Member]:
    """Trains ``jobs`` on ``gpus`` GPUs, or on the CPU; on a failure or SIGTERM all states are saved.

    Compiled programs are stored beside the members in ``state_uri``, if that is a folder.

    Raises
    ------
    TrainingError
        ``LOSS_NOT_FINITE``, ``NO_GPU``, or ``ENGINE_FAILED`` where a process ended without a word.
    """
    devices = devices_of(engine, gpus)
    resumed = [Resumed(job, store.get_state(job.key) if store else None) for job in jobs]
    shares = [resumed[number :: len(devices)] for number in range(len(devices))]
    members: list[Member] = []
    children: list[_Child] = []
    with ends_on_sigterm():
        try:
            for device, share in zip(devices, shares, strict=True):
                if share:
                    children.append(_start(device, data, share, state_uri))
            _receive(children, members, store, tally)
        except BaseException:
            _stop(children, members, store, tally)
            raise
        finally:
            _end(children)
    return members


def devices_of(engine: str, gpus: int) -> list[Device]:
    """The devices of a pack, each for a process of its own."""
    return [Device(engine, number) for number in range(gpus)] or [Device(engine, None)]


def _start(device: Device, data: Data, share: Sequence[Resumed], state_uri: str) -> _Child:
    context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks of this process
    ours, theirs = context.Pipe()
    process = context.Process(target=train_share, args=(theirs, device, data, share, state_uri), daemon=True)
    process.start()
    theirs.close()
    return _Child(process, ours)


def _receive(children: Sequence[_Child], members: list[Member], store: MemberStore | None, tally: Tally) -> None:
    """Takes what the children tell until all have finished their share."""
    working, reported = {child.connection: child for child in children}, time.monotonic()
    while working:
        finished: list[Member] = []
        for child in [working[one] for one in _ready(working, PROGRESS_EVERY_S)]:
            kind, *content = _told(child)
            if kind == "done":
                del working[child.connection]
            elif kind == "failed":
                raise SrsError.from_line(content[0]) or TrainingError("ENGINE_FAILED", content[0])
            elif kind == "checked":
                tally.record(*content)
            else:
                finished += _stored(kind, content, members, store)
        if finished or time.monotonic() - reported >= PROGRESS_EVERY_S:
            tally.add_finished(finished)
            reported = time.monotonic()


def _told(child: _Child) -> tuple[Any, ...]:
    try:
        return child.connection.recv()  # type: ignore[no-any-return]
    except EOFError:
        child.process.join()
        code = child.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        message = f"a training process {how}, without an error message; its output is in the log of this step"
        raise TrainingError("ENGINE_FAILED", message, OUT_OF_MEMORY if code == -signal.SIGKILL else "") from None


def _stored(kind: str, content: list[Any], members: list[Member], store: MemberStore | None) -> list[Member]:
    key, value = content
    if kind == "save":
        if store:
            store.put_state(key, value)
        return []
    if store:
        store.put(key, value)
    members.append(value)
    return [value]


def _stop(children: Sequence[_Child], members: list[Member], store: MemberStore | None, tally: Tally) -> None:
    """Tells all children to stop, and stores the states that they send before they do."""
    working = {child.connection for child in children}
    for child in children:
        try:
            child.connection.send("stop")
        except OSError:
            working.discard(child.connection)
    while working and (ready := _ready(working, STOP_SECONDS)):
        for connection in ready:
            try:
                kind, *content = connection.recv()
            except (EOFError, OSError):
                working.discard(connection)
                continue
            if kind in ("save", "finished"):
                tally.add_finished(_stored(kind, content, members, store))


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


class _ToParent:
    """Sends what the lanes tell to the parent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def checked(self, check: ValidationCheck, verdict: Verdict) -> None:
        self._connection.send(("checked", check, verdict))

    def save(self, key: str, state: State) -> None:
        self._connection.send(("save", key, state))

    def finished(self, key: str, member: Member) -> None:
        self._connection.send(("finished", key, member))

    def stopping(self) -> bool:
        return self._connection.poll()


def train_share(connection: Connection, device: Device, data: Data, share: Sequence[Resumed], state_uri: str) -> None:
    """The child's main function: trains its share of the members on its device."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to stop
        signal.signal(number, signal.SIG_IGN)
    choose_device(device)
    try:
        from components.train.programs import open_program
        from components.train.xla_cache import compilation_cache

        if device.engine == "jax":
            compilation_cache(state_uri)
        rows, on_gpu = max(len(resumed.job.split.validation) for resumed in share), device.gpu is not None
        program = open_program(device.engine, data, lanes=len(share), on_gpu=on_gpu, rows=rows)
        train_in_lanes(data, share, program, _ToParent(connection))
        connection.send(("done",))
    except Stopped:
        pass
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    except SrsError as error:
        connection.send(("failed", error.to_line()))
    except Exception as error:
        traceback.print_exc()  # to the log of the step
        message = f"a training process failed: {type(error).__name__}: {one_line(error)}"
        connection.send(
            ("failed", TrainingError("ENGINE_FAILED", message, "The log of this step holds more.").to_line())
        )


def choose_device(device: Device) -> None:
    """Sets the environment of this process for its engine and device, before Keras, JAX or TensorFlow are imported."""
    os.environ[KERAS_BACKEND] = os.environ["KERAS_BACKEND"] = device.engine  # TensorFlow imports Keras by itself
    if device.gpu is None:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ[VISIBLE] = "-1"
        return
    visible = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    os.environ[VISIBLE] = visible[device.gpu] if device.gpu < len(visible) else str(device.gpu)
    os.environ["JAX_PLATFORMS"] = "cuda"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
