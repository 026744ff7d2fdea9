"""Runs the pipelines on this machine through ``kfp.local``, with one process per task."""

import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp import dsl, local

from components.common.defaults import PIPELINE
from components.common.disk import disk_error
from components.common.environment import PSEUDONYM_KEY_FILE, WORKERS
from components.common.errors import InputError, StorageError
from components.common.files import read_json, write_json
from pipelines.local.home import SOURCES, Home
from pipelines.local.task_cache import checked_cache
from pipelines.local.tasks import Display, Tasks, quiet_kfp, stopping

#: File in a run's folder that records the finished run.
RECORD = "run.json"
#: Folder in a run's folder with the logs of its tasks.
LOGS = "logs"
#: Folder of a home that KFP writes artifacts to.
ARTIFACTS = "pipeline"
#: The exit task, which closes the run in MLflow.
CLOSING = "close-run"
_NAME_IT = f"Give the folder that `srs run` prints after `run:`; it is in the home and holds {RECORD}."
_AGAIN = "Run the study again: crops and members are reused from the home."


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A finished local run, with the paths of its artifacts.

    Parameters
    ----------
    folder
        ``runs/<name>``: ``run.json`` and ``logs/``.
    artifacts
        Paths by the name of the artifact: one folder, or for ``members`` the folders of all packs.
    steps
        Steps that ran; the results of all others came from KFP's cache.
    seconds
        Wall time, seconds.
    """

    folder: Path
    artifacts: dict[str, list[str]]
    steps: list[str]
    seconds: float

    def path(self, artifact: str) -> Path:
        """The only folder of an artifact; raises what ``paths`` raises."""
        return self.paths(artifact)[0]

    def paths(self, artifact: str) -> list[Path]:
        """All folders of an artifact.

        Raises
        ------
        InputError
            ``RUN_UNKNOWN`` if this is not a run of srs-response, ``RUN_DAMAGED`` if a folder is missing.
        """
        paths = self.artifacts.get(artifact)
        if not paths:
            message = f"the run in {self.folder} has no {artifact}: it is not a run of the pipeline srs-response"
            raise InputError("RUN_UNKNOWN", message, _NAME_IT)
        for path in paths:
            if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists, False for a name that no file can have
                message = f"the {artifact} of the run in {self.folder} is not at {path}"
                hint = f"A run can only be read in the home in which it was made. {_AGAIN}"
                raise InputError("RUN_DAMAGED", message, hint)
        return [Path(path) for path in paths]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Reads a recorded run; its artifacts are sought in the home that now contains its folder.

        Raises
        ------
        InputError
            ``RUN_UNKNOWN`` or ``RUN_DAMAGED``.
        """
        if not (folder / RECORD).is_file():
            stopped = (folder / LOGS).is_dir()
            hint = "It was stopped; run the same command again to continue." if stopped else _NAME_IT
            raise InputError("RUN_UNKNOWN", f"{folder} holds no finished run", hint)
        home = folder.resolve().parent
        try:
            record = read_json(folder / RECORD)
            artifacts = {name: [_above(home, path) for path in paths] for name, paths in record["artifacts"].items()}
            return cls(folder, artifacts, record["steps"], record["seconds"])
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError("RUN_DAMAGED", f"{folder / RECORD} is damaged", _AGAIN) from None

    def write(self) -> None:
        """Records the run in its folder, with artifact paths relative to the home, which may be moved."""
        home = self.folder.parent
        artifacts = {name: [_below(home, path) for path in paths] for name, paths in self.artifacts.items()}
        write_json(self.folder / RECORD, {"artifacts": artifacts, "steps": self.steps, "seconds": self.seconds})


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
        The pipeline, defined as for the cluster.
    arguments
        Its parameters.
    home
        The home for artifacts, logs, MLflow and caches.
    display
        Gets the progress of every step.
    parallelism
        Number of tasks of a loop that run at a time.
    workers
        Number of threads of a training task.

    Raises
    ------
    StepFailed
        With the reason and the path of the log.
    Stopped
        After SIGINT or SIGTERM; all tasks have ended.
    """
    folder = _new_folder(home.path, pipeline.pipeline_spec.pipeline_info.name)
    tasks = Tasks(folder / LOGS, display, home.claim.note)
    started = time.monotonic()
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(home.path / ARTIFACTS),
        workspace_root=tempfile.mkdtemp(prefix="kfp-", dir=home.claim.folder),
        raise_on_error=True,
        enable_caching=True,
    )
    with _environment(home, workers), checked_cache(), quiet_kfp(tasks, parallelism), stopping(tasks):
        try:
            pipeline(**arguments)
        except Exception as error:
            if CLOSING in tasks.done:
                home.claim.forget()
            log = folder / "logs" / "kfp.log"
            stopped = StorageError("PIPELINE_STOPPED", f"kfp stopped with a {type(error).__name__}", f"See {log}.")
            raise tasks.failure() or disk_error(error) or stopped from None
    steps = sorted(tasks.steps)
    run = Run(folder, tasks.artifacts, steps, round(time.monotonic() - started, 1))
    run.write()
    home.claim.forget()
    return run


def latest(home: Home, pipeline: str = PIPELINE) -> Run:
    """The newest finished run of a pipeline."""
    finished = sorted(home.path.glob(f"{pipeline}-*/{RECORD}"))
    if not finished:
        raise InputError("RUN_UNKNOWN", f"no finished run under {home.path}", "`srs run` or `make demo` makes one.")
    return Run.read(finished[-1].parent)


@contextlib.contextmanager
def _environment(home: Home, workers: int) -> Iterator[None]:
    """Sets the environment of the tasks' processes, and restores it afterwards."""
    before = dict(os.environ)
    os.environ.update(home.environment)
    os.environ[WORKERS] = str(workers)
    os.environ.setdefault(PSEUDONYM_KEY_FILE, str(home.path / "pseudonym.key"))
    os.environ.setdefault("PYTHONPATH", str(SOURCES))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _below(home: Path, path: str) -> str:
    """A path relative to the home; a path outside it is unchanged."""
    return os.path.relpath(path, home) if path.startswith(f"{home}/") else path


def _above(home: Path, path: str) -> str:
    """The path of an artifact in the home; former releases recorded the absolute path at which it was made."""
    return str(home / ARTIFACTS / path.rpartition(f"/{ARTIFACTS}/")[2] if Path(path).is_absolute() else home / path)


def _new_folder(home: Path, name: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = home / f"{name}-{stamp}{suffix}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise StorageError("OUTPUT_UNWRITABLE", f"no free run folder under {home}")
