"""Runs, logs and stops the tasks' processes for ``kfp.local``.

``kfp.local`` streams every task's output to the terminal and names only the task when one fails. Here each
task's output goes to a file, its progress lines to a ``Display``, and a failure is reported with the task's own error.
"""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from components.common.disk import disk_error
from components.common.errors import SrsError
from components.common.steps import parse_progress
from pipelines.local import kfp_patches
from pipelines.local.leash import LEASH, lifeline

#: Parameters that identify a run's tree of runs in MLflow.
TREE = {"attempt", "experiment"}
TAIL_LINES = 12  # of a task's log, shown if it failed without an error message


class Display(Protocol):
    """Shows the progress of a run's steps."""

    def begin(self, step: str) -> None:
        """A task of ``step`` started."""

    def advance(self, step: str, task: str, done: int, total: int, note: str) -> None:
        """A task of ``step`` is at ``done`` of ``total``."""

    def end(self, step: str, *, failed: bool) -> None:
        """A task of ``step`` ended."""

    def stopping(self) -> None:
        """The run is being stopped; the tasks that have begun will end soon, as failed."""


class StepFailed(SrsError):
    """A step ended with an error; ``log`` is the file that holds its output."""

    def __init__(self, step: str, cause: SrsError, log: Path) -> None:
        super().__init__(cause.code, f"step {step} failed: {cause.safe_message}", cause.hint)
        self.exit_code = cause.exit_code
        self.log = log


class Stopped(KeyboardInterrupt):
    """A person or the system stopped the run; ``parameters`` are those of the tasks that had started."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        self.parameters = parameters


class Tasks:
    """Runs the tasks' processes for ``kfp.local``, and records their artifacts, parameters and failures."""

    def __init__(self, logs: Path, display: Display, note_run: Callable[..., None] = lambda **_: None) -> None:
        logs.mkdir(parents=True)
        self.logs = logs
        self.display = display
        self.note_run = note_run
        self.artifacts: dict[str, list[str]] = {}
        self.parameters: dict[str, Any] = {}
        self.steps: set[str] = set()
        self.done: set[str] = set()
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopping = False
        self._failed: list[StepFailed] = []
        self._lock = threading.Lock()
        self._count = 0

    def run(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        """Replaces ``kfp.local``'s ``run_local_subprocess``; returns the exit code."""
        function, executor_input = kfp_patches.task_of(full_command)
        step = function.replace("_", "-")
        with self._lock:
            if self._stopping:
                return 1
            self._remember(executor_input.get("inputs", {}).get("parameterValues", {}))
            self._count += 1
            log = self.logs / f"{self._count:02d}-{step}.log"
            self.steps.add(step)
        self.display.begin(step)
        failed = True  # also where a signal ends it
        try:
            error, code = self._execute(step, full_command, {**os.environ, **(env_vars or {})}, log)
            failed = bool(code)
            with self._lock:
                if failed:
                    self._failed.append(StepFailed(step, error or _unexplained(log), log))
                else:
                    self.done.add(step)
                    self._record_artifacts(executor_input)
        finally:
            self.display.end(step, failed=failed)
        return code

    def failure(self) -> StepFailed | None:
        """The first failure, if any."""
        return self._failed[0] if self._failed else None

    def stop(self) -> None:
        """Stops every running task and prevents others from starting."""
        self._stopping = True
        for process in list(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    def _remember(self, parameters: Mapping[str, Any]) -> None:
        """Records a task's parameters, and notes the MLflow runs that it will open before it does."""
        self.parameters |= parameters
        if TREE & set(parameters) == TREE:
            self.note_run(**{name: parameters[name] for name in TREE})

    def _execute(self, *task: Any) -> tuple[SrsError | None, int]:
        """Calls ``_watch``; if the log does not fit on the disk, that is the task's error."""
        try:
            return self._watch(*task)
        except OSError as problem:
            if translated := disk_error(problem):
                return translated, 1
            raise

    def _watch(self, step: str, command: list[str], env: dict[str, str], log: Path) -> tuple[SrsError | None, int]:
        error = None
        with (
            log.open("w") as file,
            lifeline() as end,
            subprocess.Popen(
                [*LEASH, *command],
                stdin=end,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=env,
                start_new_session=True,
            ) as process,
        ):
            assert process.stdout is not None
            self._processes.add(process)
            if self._stopping:  # stopped after ``run`` checked the flag
                self.stop()
            try:
                for line in process.stdout:
                    file.write(line)
                    if progress := parse_progress(line):
                        self.display.advance(step, log.stem, *progress)
                    error = SrsError.from_line(line) or error
            finally:  # a task that gets SIGTERM saves or undoes its work, though its shell has ended
                file.writelines(process.stdout)
            code = process.wait()
        self._processes.discard(process)
        return error, code

    def _record_artifacts(self, executor_input: Mapping[str, Any]) -> None:
        for side in ("inputs", "outputs"):
            for name, value in executor_input.get(side, {}).get("artifacts", {}).items():
                known = self.artifacts.setdefault(name, [])
                known += [artifact["uri"] for artifact in value["artifacts"] if artifact["uri"] not in known]


@contextlib.contextmanager
def quiet_kfp(tasks: Tasks, parallelism: int) -> Iterator[None]:
    """Hands tasks' processes to ``tasks`` and writes kfp's own output to ``kfp.log``.

    At the end, kfp and the root logger, whose handlers kfp replaces for each task, are restored.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with (
            kfp_patches.tasks_run_by(tasks.run),
            kfp_patches.print_left_alone(),
            kfp_patches.loops_of(parallelism),
            (tasks.logs / "kfp.log").open("w") as file,
            contextlib.redirect_stdout(file),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # for each task, that limits of pods have no effect here
            yield
    finally:
        root.handlers[:], root.level = handlers, level


@contextlib.contextmanager
def stopping(tasks: Tasks) -> Iterator[None]:
    """Turns SIGINT and SIGTERM into ``Stopped``, after it has stopped the tasks."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        tasks.stop()
        tasks.display.stopping()
        raise Stopped(tasks.parameters)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unexplained(log: Path) -> SrsError:
    tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    message = f"its process ended without an error message; the last lines of its log:\n  {tail}"
    return SrsError("STEP_STOPPED", message, "If nothing there says why, memory may have run out: see dmesg.")
