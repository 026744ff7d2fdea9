"""All that this project replaces in ``kfp.local``, or reads of its private names, since kfp offers no hook there.

``tests/pipelines/test_kfp_contracts.py`` holds what is relied on, one test a name: where kfp moves, it says which
feature of ours breaks. kfp is pinned to one version in pyproject.toml; after a new one is pinned, run that test.
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
    """Hands each task's command to ``run``: kfp itself prints the output and says no reason where a task fails."""
    with _replaced(subprocess_task_handler, "run_local_subprocess", run):
        yield


@contextlib.contextmanager
def print_left_alone() -> Iterator[None]:
    """Keeps ``print`` as it is: kfp wraps it once more for every task that runs at the same time."""
    with _replaced(logging_utils, "indented_print", contextlib.nullcontext):
        yield


@contextlib.contextmanager
def loops_of(parallelism: int) -> Iterator[None]:
    """Runs ``parallelism`` tasks of a loop at a time: kfp runs two, whatever it is asked for."""
    executor = enhanced_dag_orchestrator.ParallelExecutor
    make = executor.__init__

    def make_wider(self: Any, max_workers: int | None = None) -> None:
        make(self, max_workers)
        self.conservative_max = self.max_workers = max(1, parallelism)

    with _replaced(executor, "__init__", make_wider):
        yield


@contextlib.contextmanager
def cached_by(kind: type["OutputCache"]) -> Iterator[None]:
    """Has tasks' outputs cached by a ``kind`` of ``OutputCache`` in place of kfp's own ``LocalCache``."""
    with _replaced(cache, "LocalCache", kind):
        cache.reset_local_cache_singleton()
        try:
            yield
        finally:
            cache.reset_local_cache_singleton()


class OutputCache(cache.LocalCache):  # type: ignore[misc]
    """kfp's cache, one JSON file an entry, with public names for what a cache of another form needs."""

    @property
    def lock(self) -> threading.Lock:
        """Held while an entry is written."""
        return self._lock  # type: ignore[no-any-return]

    def path(self, key: str) -> Path:
        """File of the entry ``key``."""
        return Path(self._entry_path(key))

    def to_json(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """A task's outputs, artifacts among them, as JSON holds them."""
        return dict(self._serialize_outputs(outputs))

    def from_json(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs that ``to_json`` was given; raises where an artifact's path does not exist."""
        return dict(self._deserialize_outputs(values))

    @staticmethod
    def is_artifact(value: Mapping[str, Any]) -> bool:
        """Whether an object within ``to_json``'s values is an artifact, whose place is its ``uri``."""
        return cache._ARTIFACT_MARKER in value


def task_of(command: list[str]) -> tuple[str, dict[str, Any]]:
    """Name of a task's component, and the executor's input, as they stand in the command that kfp runs."""
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
