"""All patches of ``kfp.local`` and all uses of its private names; kfp offers no public hooks for these.

``tests/pipelines/test_kfp_contracts.py`` has one test for each of them: if a new kfp breaks one, the test names the
feature of ours that fails. kfp is pinned to one version in pyproject.toml; run that test after pinning another.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp.local import cache, logging_utils, subprocess_task_handler
from kfp.local.orchestrator import enhanced_dag_orchestrator

#: Runs a task's command with further environment variables; returns the exit code.
RunProcess = Callable[[list[str], dict[str, str] | None], int]


@contextlib.contextmanager
def tasks_run_by(run: RunProcess) -> Iterator[None]:
    """Runs each task's command by ``run``: kfp itself prints the output and gives no reason when a task fails."""
    with _replaced(subprocess_task_handler, "run_local_subprocess", run):
        yield


@contextlib.contextmanager
def print_left_alone() -> Iterator[None]:
    """Keeps ``print`` as it is: kfp wraps it once more for every task that runs at the same time."""
    with _replaced(logging_utils, "indented_print", contextlib.nullcontext):
        yield


@contextlib.contextmanager
def loops_of(parallelism: int) -> Iterator[None]:
    """Runs ``parallelism`` tasks of a loop at a time: kfp runs two, whatever its argument."""
    executor = enhanced_dag_orchestrator.ParallelExecutor
    make = executor.__init__

    def make_wider(self: Any, max_workers: int | None = None) -> None:
        make(self, max_workers)
        self.conservative_max = self.max_workers = max(1, parallelism)

    with _replaced(executor, "__init__", make_wider):
        yield


@contextlib.contextmanager
def cached_by(kind: type["OutputCache"]) -> Iterator[None]:
    """Caches tasks' outputs by a subclass of ``OutputCache`` in place of kfp's own ``LocalCache``."""
    with _replaced(cache, "LocalCache", kind):
        cache.reset_local_cache_singleton()
        try:
            yield
        finally:
            cache.reset_local_cache_singleton()


class OutputCache(cache.LocalCache):  # type: ignore[misc]
    """kfp's cache, with one JSON file per entry, and public names for what a subclass needs."""

    @property
    def lock(self) -> threading.Lock:
        """Held while an entry is written."""
        return self._lock  # type: ignore[no-any-return]

    def path(self, key: str) -> Path:
        """File of the entry ``key``."""
        return Path(self._entry_path(key))

    def to_json(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """A task's outputs, including artifacts, as JSON values."""
        return dict(self._serialize_outputs(outputs))

    def from_json(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Inverse of ``to_json``; raises if an artifact's path does not exist."""
        return dict(self._deserialize_outputs(values))

    @staticmethod
    def is_artifact(value: Mapping[str, Any]) -> bool:
        """Whether an object within ``to_json``'s values is an artifact, which then has a ``uri``."""
        return cache._ARTIFACT_MARKER in value


def task_of(command: list[str]) -> tuple[str, dict[str, Any]]:
    """Name of a task's component, and the executor's input, parsed from the command that kfp runs."""
    return _option(command, "--function_to_execute"), json.loads(_option(command, "--executor_input"))


def _option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@contextlib.contextmanager
def _replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)
