"""Logs a pipeline run to MLflow as a tree of runs: a parent, one run per ensemble, one run per member.

Every call finds the runs of an earlier attempt by their tags, and gives metrics the start time of their run, so that a
retried task duplicates neither runs nor metric values.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from mlflow.entities import Metric, Run

from components.common import tracking_store as store
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.layout import LAYOUT
from components.common.artifacts.members import Member
from components.common.artifacts.splits import Splits, TrackedRuns, member_id
from components.common.experiments import joined_experiment, require_experiment
from components.common.mlflow_client import client, require_server, tracking_uri
from components.common.settings import StudySettings
from components.common.tags import DATASET_DIGEST, GROUP, SPLIT_DIGEST, SYNTHETIC
from components.common.tracking_store import PackProgress, flatten, prepare_store

__all__ = [
    "ATTEMPT",
    "PackProgress",
    "client",
    "close_tree",
    "evaluations_of",
    "find_tree",
    "flatten",
    "log_evaluation",
    "log_members",
    "member_runs",
    "note_failure",
    "open_tree",
    "prepare_store",
    "require_experiment",
    "require_server",
    "tracking_uri",
]

#: Tag that identifies the tree of one pipeline run; the caller chooses its value.
ATTEMPT = "srs.attempt"
#: Tags of the digests of a group's evaluation set, and of a run's evaluation.
EVALUATION_SET, EVALUATION_DIGEST = "srs.evaluation_set", "srs.evaluation_digest"
#: Tag with the reason why a run failed.
FAILURE = "srs.failure"
#: Characters stored of it; MLflow refuses tags above 8000.
LONGEST_REASON = 5000
#: Types of files in an evaluation's folder that are logged to the parent run.
SHOWN_SUFFIXES = (".html", ".md", ".csv", ".json")
#: Columns of Table III that identify a row.
MEMBER_COLUMNS = ("group", "index", "member", "network")


def open_tree(
    experiment: str,
    settings: StudySettings,
    dataset: Dataset,
    splits: Splits,
    *,
    attempt: str,
    run_name: str = "",
    tags: Mapping[str, str] | None = None,
) -> TrackedRuns:
    """Finds or creates the parent run and one run per group; returns the value of ``Splits.tracking``.

    Where KFP's MLflow plugin gives its own run to the tasks (``MLFLOW_RUN_ID``), the parent becomes a child of that
    run, in its experiment; nothing is logged to the plugin's run itself.

    Parameters
    ----------
    experiment
        Name of the MLflow experiment; created if there is none.
    settings
        Logged as params ``srs.<step>.<name>``.
    dataset
        Logged as the parent's input: schema, size and digest.
    splits
        The run's splits, which name the groups.
    attempt
        An id of this pipeline run that a retry repeats, e.g. KFP's.
    run_name
        Name of the parent run; by default composed of study and seed.
    tags
        More tags of the parent.
    """
    prepare_store()
    with store.store_lock("tree"):
        outer = os.environ.get("MLFLOW_RUN_ID")
        experiment_id = joined_experiment(outer) if outer else store.experiment_id(experiment)
        name = run_name or f"{settings.study} seed {settings.seed}"
        joined = {"mlflow.parentRunId": outer} if outer else {}
        parent = store.find_or_create(experiment_id, name, _parent_key(attempt), joined)
        _describe(parent, settings, dataset, splits, tags or {})
        groups = {group: _open_group(parent, group, splits) for group in splits.groups}
    return TrackedRuns(experiment_id, parent.info.run_id, groups)


def _describe(parent: Run, settings: StudySettings, dataset: Dataset, splits: Splits, tags: Mapping[str, str]) -> None:
    facts = {
        DATASET_DIGEST: dataset.digest,
        SPLIT_DIGEST: splits.digest,
        SYNTHETIC: str(dataset.synthetic).lower(),
        "srs.split_unit": splits.unit,
        "srs.shared_patients": splits.shared_patients,
    }
    params = {f"srs.{name}": value for name, value in flatten(dataclasses.asdict(settings)).items()}
    store.log(parent, [], params, {**tags, **facts})
    client().log_inputs(parent.info.run_id, [store.cohort_input(settings.study, dataset)])


def _open_group(parent: Run, group: str, splits: Splits) -> str:
    key = {"srs.parent": parent.info.run_id, "srs.role": "ensemble", GROUP: group}
    nested = {"mlflow.parentRunId": parent.info.run_id}
    run = store.find_or_create(parent.info.experiment_id, f"ensemble {group}", key, nested)
    members = splits.of_group(group)
    sizes = {"srs.members": len(members), "srs.evaluation_tumours": len(members[0].evaluation)}
    store.log(run, [], sizes, {SPLIT_DIGEST: splits.digest, EVALUATION_SET: splits.evaluation_sets[group]})
    return str(run.info.run_id)


def log_members(tracking: TrackedRuns, members: Sequence[Member], dataset: Dataset) -> dict[str, str]:
    """Finds or creates each member's run, logs its whole history and ends it; returns run ids by member name."""
    return {member.id: _log_member(tracking, member, dataset) for member in members}


def _log_member(tracking: TrackedRuns, member: Member, dataset: Dataset) -> str:
    facts, split = member.facts, member.split
    key = {"srs.parent": tracking.parent, "srs.role": "member", "srs.member": member.id}
    nested = {"mlflow.parentRunId": tracking.groups[split.group], GROUP: split.group}
    start_ms = store.now_ms() - (0 if facts.reused else int(1000 * facts.seconds))
    run = store.find_or_create(tracking.experiment_id, f"member {member.id}", key, nested, start_ms)
    if run.data.tags.get("srs.logged") != facts.key:
        params = {"srs.seed": facts.seed, "srs.index": split.index, SPLIT_DIGEST: split.digest}
        params |= {
            f"srs.{role}_tumours": len(getattr(split, role)) for role in ("training", "validation", "evaluation")
        }
        tags = {f"srs.{name}": str(getattr(facts, name)).lower() for name in ("restarts", "flagged", "determinism")}
        tags |= {DATASET_DIGEST: dataset.digest, "srs.logged": facts.key}
        tags |= {"reused_from": facts.key} if facts.reused else {}
        figures = {name: getattr(facts, name) for name in ("restarts", "accepted_step", "seconds")}
        figures["accepted_validation_accuracy"] = facts.validation_accuracy
        store.log(run, [*_history(member.history, run), *store.points(figures, run)], params, tags)
    if run.info.status == "RUNNING":
        client().set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def _history(history: pd.DataFrame, run: Run) -> list[Metric]:
    """A member's validation checks; a restart continues the count of steps."""
    ends = history.groupby("attempt", sort=False).step.max()
    begins = dict(zip(ends.index, ends.cumsum() - ends, strict=True))
    rows = history.assign(step=history.step + history.attempt.map(begins)).to_dict("records")
    return [point for row in rows for point in store.points(row, run, int(row.pop("step")))]


def log_evaluation(tracking: TrackedRuns, evaluation: Evaluation, folder: Path) -> None:
    """Logs the metrics of parent, ensembles and members, and the report's files to the parent.

    Parameters
    ----------
    tracking
        From ``open_tree``.
    evaluation
        The metrics of a group are logged to its ensemble's run, all others to the parent. A row of ``table_iii`` is
        logged to the run of the member that it names.
    folder
        The evaluation's folder: its pages and tables become artifacts under ``evaluation/``.
    """
    metrics = evaluation.metrics.to_dict()
    for group, figures in metrics.pop("groups").items():
        _log_figures(tracking.groups[group], figures)
    runs = member_runs(tracking)
    for row in evaluation.table_iii.to_dict("records"):
        run_id = runs.get(_member_of(row))
        if run_id is not None:
            _log_figures(run_id, {"evaluation": {k: v for k, v in row.items() if k not in MEMBER_COLUMNS}})
    _log_figures(tracking.parent, metrics, {EVALUATION_DIGEST: evaluation.digest})
    for path in sorted(folder.iterdir()):
        if path.suffix in SHOWN_SUFFIXES and path.name != LAYOUT:
            client().log_artifact(tracking.parent, str(path), "evaluation")


def evaluations_of(tracking: TrackedRuns, splits: Splits) -> int:
    """How many runs of the experiment have used the evaluation set used most often, this run included.

    Whoever keeps what did best on the same evaluation sets has chosen by them, and their figures are then too good.
    """
    return 1 + max(_evaluated_before(tracking, digest) for digest in splits.evaluation_sets.values())


def _evaluated_before(tracking: TrackedRuns, evaluation_set: str) -> int:
    """In how many other runs a group with this evaluation set was evaluated."""
    groups = store.find_all(tracking.experiment_id, {EVALUATION_SET: evaluation_set, "srs.role": "ensemble"})
    others = {group.data.tags["srs.parent"] for group in groups if "evaluation/auc" in group.data.metrics}
    return len(others - {tracking.parent})


def _member_of(row: Mapping[Any, Any]) -> str:
    """The member that a row of Table III is about, by its number or name; "" for an ensemble's row."""
    for column in ("index", "network", "member"):
        value = str(row.get(column, "")).removesuffix(".0")
        if value:
            return member_id(str(row["group"]), int(value)) if value.isdigit() else value
    return ""


def _log_figures(run_id: str, figures: Mapping[Any, Any], tags: Mapping[str, str] | None = None) -> None:
    run = client().get_run(run_id)
    store.log(run, store.points(flatten(figures, "/"), run), {}, tags or {})


def member_runs(tracking: TrackedRuns) -> dict[str, str]:
    """Run id of every member that was logged, by the member's name."""
    tagged = {run.info.run_id: run.data.tags.get("srs.member") for run in _children(tracking)}
    return {member: run_id for run_id, member in tagged.items() if member}


def close_tree(tracking: TrackedRuns, status: Literal["FINISHED", "FAILED"], reason: str = "") -> None:
    """Ends every run of the tree that is still open; where ``status`` is FAILED each is tagged with the reason.

    A reason that a step has logged itself is kept: it is more precise than the pipeline's.
    """
    for run in [*_children(tracking), client().get_run(tracking.parent)]:
        if run.info.status == "RUNNING":
            if status == "FAILED":
                _note_failure(run, reason)
            client().set_terminated(run.info.run_id, status)


def note_failure(tracking: TrackedRuns, reason: str) -> None:
    """Tags the parent with the reason of a failed step; the run stays open, since a retry may succeed."""
    _note_failure(client().get_run(tracking.parent), reason)


def _note_failure(run: Run, reason: str) -> None:
    if FAILURE not in run.data.tags:
        client().set_tag(run.info.run_id, FAILURE, reason[:LONGEST_REASON])


def find_tree(experiment: str, attempt: str) -> TrackedRuns | None:
    """The tree of an attempt, for the exit handler, which has no artifacts of the run; None where none was opened."""
    outer = os.environ.get("MLFLOW_RUN_ID")
    owner = client().get_run(outer).info if outer else client().get_experiment_by_name(experiment)
    run = store.find([owner.experiment_id], _parent_key(attempt)) if owner else None
    if run is None:
        return None
    tracking = TrackedRuns(run.info.experiment_id, run.info.run_id)
    ensembles = [child for child in _children(tracking) if child.data.tags["srs.role"] == "ensemble"]
    groups = {child.data.tags[GROUP]: child.info.run_id for child in ensembles}
    return dataclasses.replace(tracking, groups=dict(sorted(groups.items())))


def _parent_key(attempt: str) -> dict[str, str]:
    return {ATTEMPT: attempt, "srs.role": "parent"}


def _children(tracking: TrackedRuns) -> list[Run]:
    """Ensembles' and members' runs, newest first."""
    return store.find_all(tracking.experiment_id, {"srs.parent": tracking.parent})
