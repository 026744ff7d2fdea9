"""Finds or creates MLflow experiments, and refuses deleted ones."""

import os
from typing import Any

from components.common.errors import InputError
from components.common.mlflow_client import client, store_folder
from components.common.mlflow_errors import EXISTS, Ignoring


def require_experiment(name: str) -> None:
    """Refuses a deleted experiment, to which no runs can be logged, before hours of work are spent.

    Raises
    ------
    InputError
        ``EXPERIMENT_DELETED``.
    """
    outer = os.environ.get("MLFLOW_RUN_ID")
    if outer:
        joined_experiment(outer)
    else:
        _existing(name)


def joined_experiment(run_id: str) -> str:
    """The experiment of the run that KFP's MLflow plugin provides; raises as ``require_experiment``."""
    return _usable(client().get_experiment(client().get_run(run_id).info.experiment_id))


def experiment_id(name: str) -> str:
    """Finds or creates an experiment. With a SQLite store, its artifacts lie beside the store's file.

    Raises ``EXPERIMENT_DELETED`` as ``require_experiment``.
    """
    if existing := _existing(name):
        return existing
    folder = store_folder()
    location = None if folder is None else (folder / "artifacts").as_uri()
    with Ignoring(EXISTS):  # another process was faster
        return str(client().create_experiment(name, artifact_location=location))
    return _existing(name)


def _existing(name: str) -> str:
    """The id of an experiment, "" where there is none yet.

    Raises
    ------
    InputError
        ``EXPERIMENT_DELETED``: MLflow keeps a deleted experiment under its name, but accepts no run for it.
    """
    experiment = client().get_experiment_by_name(name)
    return "" if experiment is None else _usable(experiment)


def _usable(experiment: Any) -> str:
    """The id of an experiment; ``EXPERIMENT_DELETED`` where runs can no longer be written to it."""
    if experiment.lifecycle_stage == "deleted":
        hint = (
            f"Restore it: `mlflow experiments restore --experiment-id {experiment.experiment_id}`"
            " (with MLFLOW_TRACKING_URI set), or name another experiment: --experiment, or the parameter experiment."
        )
        raise InputError("EXPERIMENT_DELETED", f"the MLflow experiment {experiment.name} was deleted", hint)
    return str(experiment.experiment_id)
