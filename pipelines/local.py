"""Runs the pipelines on this machine: the same definitions, through ``kfp.local``, one process a task.

``kfp.local`` streams every task's output to the terminal and names only the task when one fails. Here each
task's output goes to a file, its progress lines to a ``Display``, and a failure is told in its own words.
"""

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from kfp import dsl, local
from kfp.local import logging_utils, subprocess_task_handler
from kfp.local.orchestrator import enhanced_dag_orchestrator

from components.common.artifacts import read_json, write_json
from components.common.errors import InputError, SrsError, StorageError
from components.common.steps import parse_progress

TAIL_LINES = 12  # of a task's log, shown where it failed without words of its own


class Display(Protocol):
    """Shows a run's steps to a person."""

    def begin(self, step: str) -> None:
        """A task of ``step`` started."""

    def advance(self, step: str, task: str, done: int, total: int, note: str) -> None:
        """A task of ``step`` is at ``done`` of ``total``."""

    def end(self, step: str, *, failed: bool) -> None:
        """A task of ``step`` ended."""


class StepFailed(SrsError):
    """A step ended with an error; ``log`` is the file that holds its output."""

    def __init__(self, step: str, cause: SrsError, log: Path) -> None:
        super().__init__(cause.code, f"step {step} failed: {cause.safe_message}", cause.hint)
        self.exit_code = cause.exit_code
        self.log = log


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """The folder that everything a run writes lies under."""

    path: Path

    @property
    def mlflow_uri(self) -> str:
        """Tracking URI: the caller's ``MLFLOW_TRACKING_URI``, else SQLite under this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.path / 'mlflow' / 'mlflow.db'}"

    @property
    def members(self) -> Path:
        """The member store of local runs."""
        return self.path / "members"

    @classmethod
    def open(cls, path: Path) -> "Home":
        """Makes the folder, or says why it cannot be written.

        Raises
        ------
        InputError
            ``OUTPUT_UNWRITABLE``.
        """
        folder = path.resolve()
        try:
            (folder / "mlflow").mkdir(parents=True, exist_ok=True)
            probe = folder / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                "OUTPUT_UNWRITABLE", f"the folder {path} cannot be written: {error.strerror}", "Name another by --home."
            ) from None
        return cls(folder)


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A finished local run: where each artifact lies.

    Parameters
    ----------
    folder
        ``runs/<name>``: ``run.json`` and ``logs/``.
    artifacts
        Artifact name to folder, or to the folders of all packs for ``members``.
    steps
        Steps that ran; one that is not named was taken from KFP's cache.
    seconds
        Wall time.
    """

    folder: Path
    artifacts: dict[str, list[str]]
    steps: list[str]
    seconds: float

    def path(self, artifact: str) -> Path:
        """The one folder of an artifact."""
        return Path(self.artifacts[artifact][0])

    def paths(self, artifact: str) -> list[Path]:
        """All folders of an artifact."""
        return [Path(path) for path in self.artifacts[artifact]]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """A run recorded earlier.

        Raises
        ------
        InputError
            ``RUN_UNKNOWN``.
        """
        if not (folder / "run.json").is_file():
            raise InputError("RUN_UNKNOWN", f"{folder} holds no finished run", "`srs run` and `make demo` make one.")
        return cls(folder=folder, **read_json(folder / "run.json"))


def run_pipeline(
    pipeline: dsl.base_component.BaseComponent,
    arguments: Mapping[str, Any],
    home: Home,
    display: Display,
    *,
    parallelism: int = 2,
    workers: int = 1,
) -> Run:
    """Runs a pipeline to its end.

    Parameters
    ----------
    pipeline
        As defined for the cluster.
    arguments
        Its parameters.
    home
        Where artifacts, logs, MLflow and caches lie.
    display
        Told of every step.
    parallelism
        Tasks of a loop that run at a time.
    workers
        Threads of a training task.

    Raises
    ------
    StepFailed
        With the reason in words and the log's path.
    """
    folder = _new_folder(home.path, pipeline.pipeline_spec.pipeline_info.name)
    tasks = _Tasks(folder / "logs", display)
    started = time.monotonic()
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(home.path / "pipeline"),
        raise_on_error=True,
        enable_caching=True,
    )
    with _environment(home, workers), _quiet_kfp(tasks, parallelism):
        try:
            pipeline(**arguments)
        except Exception as error:
            raise tasks.failure() or StorageError(
                "PIPELINE_STOPPED", f"kfp stopped with a {type(error).__name__}", f"See {folder / 'logs' / 'kfp.log'}."
            ) from None
    steps = sorted(tasks.steps)
    run = Run(folder, tasks.artifacts, steps, round(time.monotonic() - started, 1))
    write_json(folder / "run.json", {"artifacts": run.artifacts, "steps": steps, "seconds": run.seconds})
    return run


def latest(home: Home, pipeline: str = "srs-response") -> Run:
    """The newest finished run of a pipeline."""
    finished = sorted(home.path.glob(f"{pipeline}-*/run.json"))
    if not finished:
        raise InputError("RUN_UNKNOWN", f"no finished run under {home.path}", "`srs run` and `make demo` make one.")
    return Run.read(finished[-1].parent)


class _Tasks:
    """Runs the tasks' processes for ``kfp.local`` and keeps what they say."""

    def __init__(self, logs: Path, display: Display) -> None:
        logs.mkdir(parents=True)
        self.logs = logs
        self.display = display
        self.artifacts: dict[str, list[str]] = {}
        self.steps: set[str] = set()
        self._failed: list[StepFailed] = []
        self._lock = threading.Lock()
        self._count = 0

    def run(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        """Takes the place of ``kfp.local``'s ``run_local_subprocess``; returns the exit code."""
        step = _option(full_command, "--function_to_execute").replace("_", "-")
        with self._lock:
            self._count += 1
            log = self.logs / f"{self._count:02d}-{step}.log"
            self.steps.add(step)
        self.display.begin(step)
        error, code = self._watch(step, full_command, {**os.environ, **(env_vars or {})}, log)
        with self._lock:
            if code:
                self._failed.append(StepFailed(step, error or _unexplained(log), log))
            else:
                self._keep(json.loads(_option(full_command, "--executor_input")))
        self.display.end(step, failed=bool(code))
        return code

    def failure(self) -> StepFailed | None:
        """The first failure, if any."""
        return self._failed[0] if self._failed else None

    def _watch(self, step: str, command: list[str], env: dict[str, str], log: Path) -> tuple[SrsError | None, int]:
        error = None
        with (
            log.open("w") as file,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                if progress := parse_progress(line):
                    self.display.advance(step, log.stem, *progress)
                error = SrsError.from_line(line) or error
            return error, process.wait()

    def _keep(self, executor_input: Mapping[str, Any]) -> None:
        for side in ("inputs", "outputs"):
            for name, value in executor_input.get(side, {}).get("artifacts", {}).items():
                known = self.artifacts.setdefault(name, [])
                known += [artifact["uri"] for artifact in value["artifacts"] if artifact["uri"] not in known]


@contextlib.contextmanager
def _environment(home: Home, workers: int) -> Iterator[None]:
    """What the tasks' processes find in their environment, put back afterwards."""
    before = dict(os.environ)
    os.environ["MLFLOW_TRACKING_URI"] = home.mlflow_uri
    os.environ["SRS_WORKERS"] = str(workers)
    os.environ.setdefault("SRS_PSEUDONYM_KEY_FILE", str(home.path / "pseudonym.key"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent.parent)]))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _quiet_kfp(tasks: _Tasks, parallelism: int) -> Iterator[None]:
    """Hands tasks' processes to ``tasks`` and kfp's own chatter to ``kfp.log``.

    kfp offers no hook for either. It also runs two tasks of a loop at a time whatever it is asked, and wraps
    ``print`` once more for each task; all is put back at the end.
    """
    before = (subprocess_task_handler.run_local_subprocess, logging_utils.indented_print)
    make_executor = enhanced_dag_orchestrator.ParallelExecutor.__init__
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def executor(self: Any, max_workers: int | None = None) -> None:
        make_executor(self, max_workers)
        self.conservative_max = self.max_workers = max(1, parallelism)

    subprocess_task_handler.run_local_subprocess = tasks.run
    logging_utils.indented_print = contextlib.nullcontext
    enhanced_dag_orchestrator.ParallelExecutor.__init__ = executor
    try:
        with (
            (tasks.logs / "kfp.log").open("w") as file,
            contextlib.redirect_stdout(file),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # that limits of pods have no effect here, once a task
            yield
    finally:
        subprocess_task_handler.run_local_subprocess, logging_utils.indented_print = before
        enhanced_dag_orchestrator.ParallelExecutor.__init__ = make_executor
        root.handlers[:], root.level = handlers, level


def _new_folder(home: Path, name: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = home / f"{name}-{stamp}{suffix}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise StorageError("OUTPUT_UNWRITABLE", f"no free run folder under {home}")


def _option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def _unexplained(log: Path) -> SrsError:
    tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return SrsError("STEP_STOPPED", "its process ended without a reason; its last lines:\n  " + "\n  ".join(tail))
