"""Runs the pipelines on this machine: the same definitions, through ``kfp.local``, one process a task."""

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp import dsl, local

from components.common.errors import InputError, StorageError
from components.common.files import read_json, write_json
from pipelines.tasks import Display, Tasks, quiet_kfp, stopping


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """The folder that everything a run writes lies under."""

    path: Path

    @property
    def mlflow_uri(self) -> str:
        """Tracking URI: the caller's ``MLFLOW_TRACKING_URI``, else SQLite under this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.path / 'mlflow' / 'mlflow.db'}"

    @property
    def environment(self) -> dict[str, str]:
        """What libraries must find in their environment, before they are imported, to write nowhere else."""
        return {
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "ORT_DISABLE_TELEMETRY": "1",
            "MPLCONFIGDIR": str(self.path / "cache" / "matplotlib"),
            "KERAS_HOME": str(self.path / "cache" / "keras"),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "TMPDIR": str(self.path / "tmp"),
        }

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
            for name in ("mlflow", "tmp"):
                (folder / name).mkdir(parents=True, exist_ok=True)
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
    Stopped
        After SIGINT or SIGTERM; all tasks have ended.
    """
    folder = _new_folder(home.path, pipeline.pipeline_spec.pipeline_info.name)
    tasks = Tasks(folder / "logs", display)
    started = time.monotonic()
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(home.path / "pipeline"),
        raise_on_error=True,
        enable_caching=True,
    )
    with _environment(home, workers, folder / "tmp"), quiet_kfp(tasks, parallelism), stopping(tasks):
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


@contextlib.contextmanager
def _environment(home: Home, workers: int, scratch: Path) -> Iterator[None]:
    """What the tasks' processes find in their environment, put back afterwards."""
    before = dict(os.environ)
    scratch.mkdir()
    os.environ["TMPDIR"] = str(scratch)  # kfp leaves each task's code there
    os.environ.update(home.environment)
    os.environ["SRS_WORKERS"] = str(workers)
    os.environ.setdefault("SRS_PSEUDONYM_KEY_FILE", str(home.path / "pseudonym.key"))
    os.environ.setdefault("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent.parent)]))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(scratch, ignore_errors=True)


def _new_folder(home: Path, name: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = home / f"{name}-{stamp}{suffix}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise StorageError("OUTPUT_UNWRITABLE", f"no free run folder under {home}")
