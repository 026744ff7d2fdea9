"""A process that trains members on one device: what ``processes`` starts for each GPU or core."""

import os
import signal
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

from components.common.artifacts.members import Member
from components.common.environment import KERAS_BACKEND
from components.common.errors import SrsError, TrainingError, one_line
from components.train.jobs import Data, Stopped
from components.train.lanes import Resumed, train_in_lanes
from components.train.protocol import ValidationCheck, Verdict
from components.train.training import State

#: Variable that names the GPUs that a process may use, in the order of their numbers.
VISIBLE = "CUDA_VISIBLE_DEVICES"
#: Variables that keep XLA in JAX, and TensorFlow with its XLA, on one thread of a CPU.
ONE_THREAD = {"NPROC": "1", "PJRT_NPROC": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
#: What a parent sends to a child that shall save its states and end.
STOP = "stop"


class Device(NamedTuple):
    """The engine, and the number of the GPU that a process trains on; None for one core of the CPU."""

    engine: str
    gpu: int | None


class Share(NamedTuple):
    """What a process has to know before it asks for its first member.

    Parameters
    ----------
    lanes
        Most members that it can be given at a time.
    rows
        Largest number of validation tumours of a member.
    state_uri
        Folder beside which compiled programs are stored.
    """

    data: Data
    lanes: int
    rows: int
    state_uri: str


class _Parent:
    """The parent, as a child sees it: it gives members, and takes what the lanes tell."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def jobs(self) -> Iterator[Resumed]:
        """Members as the lanes take them; raises ``Stopped`` where the parent stops instead."""
        while True:
            self._connection.send(("next",))
            answer = self._connection.recv()
            if answer is None:
                return
            if answer == STOP:
                raise Stopped
            yield answer

    def checked(self, check: ValidationCheck, verdict: Verdict) -> None:
        self._connection.send(("checked", check, verdict))

    def save(self, key: str, state: State) -> None:
        self._connection.send(("save", key, state))

    def finished(self, key: str, member: Member) -> None:
        self._connection.send(("finished", key, member))

    def stopping(self) -> bool:
        return self._connection.poll()


def train_share(connection: Connection, device: Device, share: Share) -> None:
    """The child's main function: trains members on its device until the parent has no more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to stop
        signal.signal(number, signal.SIG_IGN)
    try:
        choose_device(device)
        from components.train.programs import open_program
        from components.train.xla_cache import compilation_cache

        if device.engine == "jax":
            compilation_cache(share.state_uri)
        on_gpu, parent = device.gpu is not None, _Parent(connection)
        program = open_program(device.engine, share.data, lanes=share.lanes, on_gpu=on_gpu, rows=share.rows)
        train_in_lanes(share.data, parent.jobs(), share.rows, program, parent)
        connection.send(("done",))
    except Stopped:
        pass
    except (EOFError, BrokenPipeError, ConnectionResetError):
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
    """Sets the environment of this process for its engine and device, before Keras, JAX or TensorFlow are imported.

    Raises
    ------
    TrainingError
        ``NO_GPU`` where the variable that names the GPUs of this process names too few.
    """
    os.environ[KERAS_BACKEND] = os.environ["KERAS_BACKEND"] = device.engine  # TensorFlow imports Keras by itself
    if device.gpu is None:
        os.environ |= {"JAX_PLATFORMS": "cpu", VISIBLE: "-1", **ONE_THREAD}
        return
    os.environ[VISIBLE] = _granted(device.gpu)
    os.environ["JAX_PLATFORMS"] = "cuda"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def _granted(number: int) -> str:
    """CUDA's name of a GPU, by its number among those that this process may use: a number or a UUID."""
    if (names := os.environ.get(VISIBLE)) is None:
        return str(number)
    granted = [name.strip() for name in names.split(",") if name.strip()]
    if number >= len(granted):
        message = f"{number + 1} GPUs are needed, but {VISIBLE} names {len(granted)} ({names!r})"
        raise TrainingError("NO_GPU", message, "Request fewer GPUs, or correct the variable.")
    return granted[number]
