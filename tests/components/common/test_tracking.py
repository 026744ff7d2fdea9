"""Tracking against a real SQLite store."""

import dataclasses
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from components.common import tracking, tracking_store
from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.members import Member
from components.common.artifacts.splits import MemberSplit, Splits, TrackedRuns
from components.common.errors import InputError, RegistryError
from components.common.settings import StudySettings, TrainSettings
from tests.components.common.member_facts import made_facts
from tests.components.evaluate.golden_metrics import golden_dict, golden_metrics

ATTEMPT = "attempt-1"


@pytest.fixture(autouse=True)
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    (tmp_path / "mlflow").mkdir()
    shutil.copyfile(empty_store, tmp_path / "mlflow" / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    table = pd.DataFrame({name: [f"{name}-{i}" for i in range(6)] for name in TUMOUR_COLUMNS})
    table["label"] = [0, 1, 0, 1, 0, 1]
    table["kps"] = [90.0, np.nan, 80.0, 70.0, 90.0, 100.0]
    crops = np.zeros((6, 151, 151), np.float32)
    return Dataset(crops, table, Flow(6, 6, (), 6, 6), {"version": 1}, True, "d" * 64)


def split_of(group: str, index: int) -> MemberSplit:
    return MemberSplit(group, index, ("t0", "t1"), ("t2", "t3"), ("t4", "t5"))


@pytest.fixture(scope="module")
def splits() -> Splits:
    members = tuple(split_of(group, index) for group in "AB" for index in (1, 2))
    return Splits(members, "patient", 0, {"asked": [1, 1]}, digest="s" * 64)


def member_of(split: MemberSplit, looks: int = 4, **facts: Any) -> Member:
    history = pd.DataFrame(
        {
            "attempt": [0, 0] + [1] * (looks - 2),
            "step": [10, 20, *range(10, 10 * (looks - 1), 10)],
            "training_loss": 0.5,
            "validation_loss": [np.nan] + [0.6] * (looks - 1),
            "validation_accuracy": 0.75,
        }
    )
    known = made_facts(key=f"key-{split.id}", **facts)
    return Member(split, {}, history, np.zeros(6, np.float32), known)


def open_(dataset: Dataset, splits: Splits) -> TrackedRuns:
    return tracking.open_tree("srs", StudySettings(), dataset, splits, attempt=ATTEMPT, run_name="run 1")


def runs_of(tree: TrackedRuns) -> list[Any]:
    return list(MlflowClient(tracking.tracking_uri()).search_runs([tree.experiment_id], max_results=1000))


def run_of(run_id: str) -> Any:
    return MlflowClient(tracking.tracking_uri()).get_run(run_id)


def evaluation_of() -> Evaluation:
    rows = [{"group": g, "member": m, "auc": 0.61, "p": float("nan")} for g in "AB" for m in ("1", "2", "ensemble")]
    return Evaluation(pd.DataFrame({"tumour": ["t0"]}), pd.DataFrame(rows), golden_metrics(), "e" * 64)


TYPED = [
    "localhost:5000",
    "http://[half",
    "http://host:port",
    "http://host:99999",
    "http://a b",
    "http:///x",
    "foo://bar",
]


@pytest.mark.parametrize(
    "uri", ["", "mlruns", "./mlruns", "sqlite:///mlflow.db", "file:///tmp/mlruns", "http://", *TYPED]
)
def test_refuses_a_store_without_absolute_address(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError) as caught:
        tracking.tracking_uri()
    assert caught.value.code == "TRACKING_URI"


def test_a_run_is_one_parent_its_groups_and_its_members(store: Path, dataset: Dataset, splits: Splits) -> None:
    tree = open_(dataset, splits)
    members = [member_of(split) for split in splits.members]
    logged = tracking.log_members(tree, members, dataset)
    tracking.close_tree(tree, "FINISHED")
    runs = runs_of(tree)
    assert len(runs) == 1 + 2 + 4
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert run_of(logged["A-01"]).data.tags["mlflow.parentRunId"] == tree.groups["A"]
    assert run_of(tree.groups["A"]).data.tags["mlflow.parentRunId"] == tree.parent
    assert tracking.member_runs(tree) == logged
    assert {path.name for path in store.iterdir()} == {"mlflow"}  # nothing beside the store, whatever the directory


def test_the_parent_holds_settings_digests_and_the_cohort(dataset: Dataset, splits: Splits) -> None:
    parent = run_of(open_(dataset, splits).parent)
    assert parent.data.params["srs.train.learning_rate"] == str(TrainSettings().learning_rate)
    assert all(name.startswith("srs.") for name in parent.data.params)
    assert parent.data.tags["srs.split_digest"] == splits.digest
    assert parent.data.tags["srs.synthetic"] == "true"
    assert parent.inputs.dataset_inputs[0].dataset.digest == dataset.digest[:36]


def test_a_retry_duplicates_nothing(store: Path, dataset: Dataset, splits: Splits) -> None:
    for _ in range(2):
        tree = open_(dataset, splits)
        logged = tracking.log_members(tree, [member_of(splits.members[0])], dataset)
        tracking.log_evaluation(tree, evaluation_of(), store / "mlflow")
    assert len(runs_of(tree)) == 1 + 2 + 1
    assert len(run_of(tree.parent).inputs.dataset_inputs) == 1
    client = MlflowClient(tracking.tracking_uri())
    assert len(client.get_metric_history(logged["A-01"], "validation_accuracy")) == 4
    assert len(client.get_metric_history(tree.groups["A"], "evaluation/auc")) == 1


def test_a_task_killed_while_it_logged_ends_with_the_same_points(
    dataset: Dataset, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, member = open_(dataset, splits), member_of(splits.members[0], looks=900)
    real, calls = MlflowClient.log_batch, []

    def dies_in_the_second_batch(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", dies_in_the_second_batch)
    with pytest.raises(KeyboardInterrupt):
        tracking.log_members(tree, [member], dataset)
    monkeypatch.setattr(MlflowClient, "log_batch", real)
    logged = tracking.log_members(tree, [member], dataset)
    history = MlflowClient(tracking.tracking_uri()).get_metric_history(logged["A-01"], "training_loss")
    assert len(history) == 900
    assert len(runs_of(tree)) == 1 + 2 + 1


def test_steps_continue_over_a_restart_and_nan_is_omitted(dataset: Dataset, splits: Splits) -> None:
    logged = tracking.log_members(open_(dataset, splits), [member_of(splits.members[0])], dataset)
    client = MlflowClient(tracking.tracking_uri())
    steps = {name: [m.step for m in client.get_metric_history(logged["A-01"], name)] for name in HISTORY}
    assert steps == {"training_loss": [10, 20, 30, 40], "validation_loss": [20, 30, 40]}


HISTORY = ("training_loss", "validation_loss")


def test_a_reused_member_is_tagged(dataset: Dataset, splits: Splits) -> None:
    member = member_of(splits.members[0], reused=True)
    logged = tracking.log_members(open_(dataset, splits), [member], dataset)
    assert run_of(logged["A-01"]).data.tags["reused_from"] == "key-A-01"


def test_evaluation_reaches_members_ensembles_and_parent(store: Path, dataset: Dataset, splits: Splits) -> None:
    tree = open_(dataset, splits)
    logged = tracking.log_members(tree, [member_of(split) for split in splits.members], dataset)
    (store / "report.html").write_text("<p>report</p>")
    (store / "model_card.md").write_text("card")
    tracking.log_evaluation(tree, evaluation_of(), store)
    member = run_of(logged["B-02"]).data.metrics
    assert member["evaluation/auc"] == 0.61
    assert "evaluation/p" not in member
    # Names and values are the paths and the finite numbers of metrics.json.
    figures = golden_dict()
    groups = figures.pop("groups")
    assert run_of(tree.groups["B"]).data.metrics == tracking_store.finite(tracking.flatten(groups["B"], "/"))
    assert run_of(tree.parent).data.metrics == tracking_store.finite(tracking.flatten(figures, "/"))
    assert {"evaluation/vote/auc", "development/auc"} <= set(run_of(tree.groups["A"]).data.metrics)
    artifacts = MlflowClient(tracking.tracking_uri()).list_artifacts(tree.parent, "evaluation")
    assert {item.path for item in artifacts} == {"evaluation/report.html", "evaluation/model_card.md"}


def test_uses_of_the_same_evaluation_sets_are_counted(store: Path, dataset: Dataset, splits: Splits) -> None:
    first = open_(dataset, splits)
    assert tracking.evaluations_of(first, splits) == 1
    (store / "report.html").write_text("<p>report</p>")
    tracking.log_evaluation(first, evaluation_of(), store)
    assert tracking.evaluations_of(first, splits) == 1
    again = tracking.open_tree("srs", StudySettings(), dataset, splits, attempt="another")
    assert tracking.evaluations_of(again, splits) == 2
    others = [dataclasses.replace(split, evaluation=split.evaluation[:-1]) for split in splits.members]
    elsewhere = dataclasses.replace(splits, members=tuple(others))
    assert tracking.evaluations_of(again, elsewhere) == 1
    only_a = dataclasses.replace(splits, members=tuple(split for split in splits.members if split.group == "A"))
    assert tracking.evaluations_of(again, only_a) == 2, "group A is the same, though there are fewer groups"


def test_a_failed_run_is_found_and_closed_with_its_reason(dataset: Dataset, splits: Splits) -> None:
    tree = open_(dataset, splits)
    tracking.log_members(tree, [member_of(splits.members[0])], dataset)
    assert tracking.find_tree("srs", "another") is None
    assert tracking.find_tree("another", ATTEMPT) is None
    reopened = tracking.find_tree("srs", ATTEMPT)
    assert reopened == tree
    tracking.close_tree(reopened, "FAILED", "members A-02 diverged")
    status = {run.info.run_name: run.info.status for run in runs_of(tree)}
    assert status == {"run 1": "FAILED", "ensemble A": "FAILED", "ensemble B": "FAILED", "member A-01": "FINISHED"}
    assert run_of(tree.parent).data.tags["srs.failure"] == "members A-02 diverged"


def test_joins_the_run_of_kfps_plugin(
    store: Path, dataset: Dataset, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.prepare_store()
    client = MlflowClient(tracking.tracking_uri())
    experiment = client.create_experiment("kfp", artifact_location=(store / "a").as_uri())
    outer = client.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", outer)
    tree = open_(dataset, splits)
    assert tree.experiment_id == experiment
    assert run_of(tree.parent).data.tags["mlflow.parentRunId"] == outer
    tracking.close_tree(tree, "FINISHED")
    assert run_of(outer).info.status == "RUNNING"
    assert run_of(outer).data.params == {}


def test_progress_is_logged_at_most_every_ten_seconds_and_at_the_end(dataset: Dataset, splits: Splits) -> None:
    tree, now = open_(dataset, splits), [0.0]
    progress = tracking.PackProgress(tree, "0-4", clock=lambda: now[0])
    for done, now[0] in enumerate((0.0, 5.0, 10.0, 15.0, 16.0)):
        progress(done, 4, "restarts 1")
    client = MlflowClient(tracking.tracking_uri())
    assert [m.step for m in client.get_metric_history(tree.parent, "pack/0-4/members_done")] == [0, 2, 4]
    assert run_of(tree.parent).data.tags["srs.pack/0-4"] == "4 of 4 members. restarts 1"


def test_progress_survives_a_failing_store(dataset: Dataset, splits: Splits) -> None:
    tracking.PackProgress(dataclasses.replace(open_(dataset, splits), parent="0" * 32), "0")(1, 2)


def test_the_reason_that_a_step_logged_is_kept(dataset: Dataset, splits: Splits) -> None:
    tree = open_(dataset, splits)
    tracking.note_failure(tree, "member A-02 diverged")
    assert run_of(tree.parent).info.status == "RUNNING"
    tracking.close_tree(tree, "FAILED", "train failed")
    assert run_of(tree.parent).data.tags["srs.failure"] == "member A-02 diverged"
    assert run_of(tree.groups["A"]).data.tags["srs.failure"] == "train failed"


def test_reports_missing_objects_without_mlflows_text() -> None:
    with pytest.raises(RegistryError) as caught:
        tracking.close_tree(TrackedRuns("77", "0" * 32), "FINISHED")
    assert (caught.value.code, caught.value.safe_message) == ("MLFLOW_NOT_FOUND", f"run {'0' * 32} does not exist")


def test_a_deleted_experiment_is_reported_with_a_remedy(dataset: Dataset, splits: Splits) -> None:
    tree = open_(dataset, splits)
    MlflowClient(tracking.tracking_uri()).delete_experiment(tree.experiment_id)
    for asked in (lambda: tracking.require_experiment("srs"), lambda: open_(dataset, splits)):
        with pytest.raises(InputError, match="the MLflow experiment srs was deleted") as caught:
            asked()
        assert caught.value.code == "EXPERIMENT_DELETED"
        assert f"mlflow experiments restore --experiment-id {tree.experiment_id}" in caught.value.hint
        assert "--experiment" in caught.value.hint
    tracking.require_experiment("another")
    MlflowClient(tracking.tracking_uri()).restore_experiment(tree.experiment_id)
    tracking.require_experiment("srs")


def test_an_experiment_deleted_during_a_run_is_reported(dataset: Dataset, splits: Splits) -> None:
    tree = open_(dataset, splits)
    MlflowClient(tracking.tracking_uri()).delete_experiment(tree.experiment_id)
    with pytest.raises(RegistryError) as caught:
        tracking.log_members(tree, [member_of(splits.members[0])], dataset)
    assert caught.value.code == "MLFLOW_DELETED"


def test_the_experiment_of_kfps_plugin_is_checked_too(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient(tracking.tracking_uri())
    experiment = client.create_experiment("kfp", artifact_location=(store / "a").as_uri())
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(experiment).info.run_id)
    client.delete_experiment(experiment)
    with pytest.raises(InputError, match="the MLflow experiment kfp was deleted"):
        tracking.require_experiment("srs")


def _prepare(uri: str) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    tracking.prepare_store()


def test_processes_may_open_a_new_store_together(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/new/mlflow.db")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_prepare, [tracking.tracking_uri()] * 2)
    assert MlflowClient(tracking.tracking_uri()).search_experiments()
