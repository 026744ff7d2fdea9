"""Access to the MLflow store for ``tracking``: locks of its writers, and finding and logging runs by explicit id.

It uses no active run and no global state, so that steps of a pipeline may run side by side in one process.
"""

import contextlib
import fcntl
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.splits import TrackedRuns
from components.common.errors import RegistryError
from components.common.experiments import experiment_id as experiment_id
from components.common.files import safe_name
from components.common.mlflow_client import client as client
from components.common.mlflow_client import describe_table, store_folder
from components.common.mlflow_client import tracking_uri as tracking_uri
from components.common.mlflow_errors import EXISTS, NOT_FOUND, Ignoring
from components.common.tags import DATASET_DIGEST

#: MLflow refuses batches above 1000 metrics, 100 params, 100 tags or 1000 of all.
METRICS_PER_BATCH = 800
#: Registering and promoting on a server takes seconds; a process that holds the lease for longer has died.
LEASE_S = 60.0
#: Longest dataset digest that MLflow stores.
DATASET_DIGEST_LENGTH = 36
#: Shortest interval between two progress reports of a pack to MLflow, seconds.
PROGRESS_INTERVAL_S = 10.0
#: Characters logged of a pack's note.
LONGEST_NOTE = 200


@contextlib.contextmanager
def store_lock(name: str) -> Iterator[None]:
    """Holds a lock file beside a SQLite store against other processes of this machine; does nothing for a server."""
    folder = store_folder()
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare_store() -> None:
    """Creates the store's tables: several processes that open a new SQLite store at once break its migrations."""
    with store_lock("prepare"):
        client().search_experiments(max_results=1)
        client().search_registered_models(max_results=1)


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Lets one process at a time write a model's versions and aliases, by a lock file or, on a server, by a lease.

    The lease is a registered model whose name only one process can create; one older than ``LEASE_S`` is removed.
    """
    prepare_store()
    if store_folder() is not None:
        with store_lock(safe_name(name)):
            yield
        return
    lease, holder = f"{name}.lease", f"{os.getpid()}-{uuid.uuid4().hex}"
    _take(lease, holder)
    try:
        yield
    finally:
        with contextlib.suppress(RegistryError):
            if client().get_registered_model(lease).tags.get("holder") == holder:
                client().delete_registered_model(lease)


def _take(lease: str, holder: str) -> None:
    deadline = time.monotonic() + 2 * LEASE_S
    while time.monotonic() < deadline:
        tags = {"holder": holder, "until_ms": str(now_ms() + int(1000 * LEASE_S))}
        with Ignoring(EXISTS, NOT_FOUND):  # MLflow reads an existing lease, which may have been released meanwhile
            client().create_registered_model(lease, tags, "Held while a version is registered or promoted.")
            return
        with Ignoring(NOT_FOUND):  # it was just released
            if int(client().get_registered_model(lease).tags.get("until_ms", "0")) < now_ms():
                client().delete_registered_model(lease)
        time.sleep(0.2)
    raise RegistryError("REGISTRY_BUSY", "another promotion did not end in time", "Try again in a minute.")


def find_or_create(
    experiment: str, name: str, key: Mapping[str, str], tags: Mapping[str, str], start_ms: int | None = None
) -> Run:
    """The oldest run with the tags ``key``, or a new one that also has ``tags``."""
    return find([experiment], key) or client().create_run(experiment, start_ms, {**tags, **key}, name)


def find(experiments: list[str], key: Mapping[str, str]) -> Run | None:
    """The oldest run with the tags ``key``."""
    runs = client().search_runs(experiments, where(key), ViewType.ACTIVE_ONLY, 1, ["attributes.start_time ASC"])
    return runs[0] if runs else None


def find_all(experiment: str, key: Mapping[str, str]) -> list[Run]:
    """All runs with the tags ``key``, however many pages they fill."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client().search_runs([experiment], where(key), ViewType.ACTIVE_ONLY, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def where(key: Mapping[str, str]) -> str:
    """MLflow's filter for tags."""
    return " AND ".join(f"tags.`{name}` = '{value}'" for name, value in key.items())


def flatten(values: Mapping[Any, Any], separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined: ``{"train": {"seed": 1}}`` gives ``{"train.seed": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, separator, f"{prefix}{key}{separator}")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def finite(values: Mapping[Any, Any]) -> dict[str, float]:
    """The finite numbers among ``values``."""
    numbers = {str(k): float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


def points(values: Mapping[Any, Any], run: Run, step: int = 0) -> list[Metric]:
    """Finite numbers as metrics at the run's start: MLflow stores equal time, step and value only once."""
    return [Metric(key, value, run.info.start_time, step) for key, value in finite(values).items()]


def log(run: Run, metrics: Sequence[Metric], params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
    """Logs metrics in as few batches as MLflow allows, and last the tags, since one may mark the logging complete."""
    *early, last = [metrics[i : i + METRICS_PER_BATCH] for i in range(0, len(metrics), METRICS_PER_BATCH)] or [()]
    for chunk in early:
        client().log_batch(run.info.run_id, metrics=chunk)
    named = [Param(key, str(value)) for key, value in params.items()]
    client().log_batch(run.info.run_id, last, named, [RunTag(k, str(v)) for k, v in tags.items()])


def cohort_input(study: str, dataset: Dataset, context: str = "training") -> DatasetInput:
    """The tumour table as a run's input: MLflow stores its schema, size and digest; it holds pseudonyms only.

    ``context`` is what the run used it for, as MLflow shows it.
    """
    whole = dataset.tumours.select_dtypes("integer").columns
    table = dataset.tumours.astype(dict.fromkeys(whole, float))  # MLflow warns of integers, which cannot be missing
    source = CodeDatasetSource({DATASET_DIGEST: dataset.digest})
    logged = describe_table(table, source, "label", study, dataset.digest[:DATASET_DIGEST_LENGTH])
    return DatasetInput(LoggedDataset.from_dictionary(logged.to_dict()), [InputTag("mlflow.data.context", context)])


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return int(time.time() * 1000)


class PackProgress:
    """Logs a pack's progress to the parent run, at most every ``PROGRESS_INTERVAL_S`` seconds, and at its end.

    A store that does not respond must not end the training: such a point is skipped.
    """

    def __init__(self, tracking: TrackedRuns, pack: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_id = tracking.parent
        self._name, self._clock, self._next = f"pack/{safe_name(pack)}", clock, -math.inf

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Logs ``members_done``, and the note as a tag."""
        if self._clock() < self._next and done < total:
            return
        self._next = self._clock() + PROGRESS_INTERVAL_S
        point = Metric(f"{self._name}/members_done", float(done), now_ms(), done)
        tag = RunTag(f"srs.{self._name}", f"{done} of {total} members. {note}"[:LONGEST_NOTE])
        with contextlib.suppress(RegistryError):
            client().log_batch(self._run_id, [point], tags=[tag])
