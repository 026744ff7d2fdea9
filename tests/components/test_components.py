"""Every KFP component called directly, one after the other, on a small phantom."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from kfp import dsl
from mlflow import MlflowClient

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.members import Members
from components.common.artifacts.promotion import Promotion
from components.common.artifacts.splits import Splits
from components.common.artifacts.validation import Validation
from components.evaluate.component import evaluate
from components.phantom.component import phantom
from components.preprocess.component import fingerprint, preprocess
from components.promote.component import promote
from components.split.component import close_run, split
from components.train.component import train
from components.validate.component import validate

SETTINGS = {
    "split": {"evaluation_responders": 5, "evaluation_non_responders": 5},
    "network": {"filters_1": 4, "filters_2": 4, "pool_1": 8, "dense_1": 8, "dense_2": 8},
    "train": {"max_steps": 40, "restart_step": 20, "patience_steps": 20},
    "evaluate": {"bootstrap": 100},
}  # fmt: skip
RESOURCES = {"gpu_type": "nvidia.com/gpu", "gpu_count": "0", "cpu": "1", "memory": "1G"}


class Outputs:
    """Output artifacts under a folder, as KFP hands them to a component: objects with a path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics: dict[str, float] = {}
        self.views: dict[str, dsl.ClassificationMetrics] = {}

    def __getitem__(self, name: str) -> SimpleNamespace:
        self.folder.mkdir(exist_ok=True)
        return SimpleNamespace(path=str(self.folder / name), log_metric=self.metrics.__setitem__)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Runs the components in the order of the pipeline, and returns the outputs of each by its name."""
    root = tmp_path_factory.mktemp("components")
    (root / "mlflow").mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")
        out = Outputs(root / "out")
        cohort = str(root / "cohort")
        phantom.python_func(cohort, 5, 36, 30, 1.0, 0.0, 1, 0.0, 0.0, out["phantom_summary"])
        plan = fingerprint.python_func(cohort, "default", 1, 2, 2, json.dumps(SETTINGS))
        preprocess.python_func(cohort, plan[0], plan[2], str(root / "state"), out["dataset"], out["preprocess_summary"])
        packs = split.python_func(
            out["dataset"], plan[1], "direct", "attempt-1", 3, out["splits"], out["split_summary"]
        )
        for pack in packs:
            train.python_func(
                out["dataset"], out["splits"], pack, "", **RESOURCES, members=out[pack], summary=out[f"{pack}_summary"]
            )
        gathered = [out[pack] for pack in packs]
        inputs = (out["dataset"], out["splits"], gathered)
        out.views = {name: dsl.ClassificationMetrics() for name in "abcde"}
        views = {f"group_{name}": view for name, view in out.views.items()}
        evaluate.python_func(*inputs, out["evaluation"], out["report"], out["metrics"], **views)
        version = promote.python_func(*inputs, out["evaluation"], "direct", out["promotion"], out["promote_summary"])
        close_run.python_func("attempt-1", "direct", SimpleNamespace(state="SUCCEEDED", error_message=None))
        yield SimpleNamespace(
            root=root, out=out, cohort=cohort, plan=plan, packs=packs, version=version, client=MlflowClient()
        )


def read(done, kind, name):
    return kind.read(Path(done.out[name].path))


@pytest.mark.parametrize("setting", ["momentum", "max_steps"])
def test_fingerprint_refuses_what_a_validation_does_not_use(done, capsys, setting):
    """Where a run was started in KFP's pages, nothing has looked at its parameters before.

    ``max_steps`` also contradicts ``restart_step``, of which the user of a validation has given none.
    """
    unused = json.dumps({"train": {setting: 0}})
    with pytest.raises(SystemExit):
        fingerprint.python_func(done.cohort, "default", 1, 0, 0, unused, for_validation=True)
    assert "SETTING_UNUSED" in capsys.readouterr().out


def test_fingerprint_returns_settings_and_a_digest_that_changes_with_a_file(done):
    again = fingerprint.python_func(done.cohort, "default", 1, 2, 2, json.dumps(SETTINGS))
    assert again == done.plan
    assert json.loads(again[1])["network"]["filters_1"] == 4
    other = fingerprint.python_func(done.cohort, "default", 2, 0, 0, "{}")
    assert (other[0], other[2]) == (again[0], again[2]), "what crops do not depend on must not invalidate their cache"
    next(Path(done.cohort).rglob("*.dcm")).touch()
    assert fingerprint.python_func(done.cohort, "default", 1, 2, 2, json.dumps(SETTINGS))[0] != again[0]


def test_preprocess_gives_a_dataset_without_identity(done):
    dataset = read(done, Dataset, "dataset")
    assert dataset.flow.used == len(dataset.crops) == 36
    assert dataset.synthetic is True
    table = Path(done.out["dataset"].path, "tumours.csv").read_text()
    with Path(done.cohort, "cohort.csv").open() as file:
        patients = [line.split(",")[1] for line in file.readlines()[1:]]
    assert not [patient for patient in patients if patient in table]


def test_split_gives_packs_over_all_members(done):
    splits = read(done, Splits, "splits")
    assert done.packs == ["1-3", "4-4"]
    assert [member.id for member in splits.members] == ["A-01", "A-02", "B-01", "B-02"]
    assert splits.shared_patients == 0


def test_train_gives_members_with_answers_for_every_tumour(done):
    members = Members.gather([Path(done.out[pack].path) for pack in done.packs], read(done, Splits, "splits"))
    assert all(len(member.probabilities) == 36 for member in members.members)


def test_evaluate_writes_table_iii_a_report_and_figures_for_the_ui(done):
    evaluation = read(done, Evaluation, "evaluation")
    assert len(evaluation.table_iii) == 4 + 2
    assert "SYNTHETIC" in Path(done.out["report"].path).read_text()
    assert set(done.out.metrics) == {"mean_auc", "mean_auc_lower_bound"}
    assert all(type(value) is float for value in done.out.metrics.values())


def test_evaluate_gives_the_ui_a_roc_and_a_confusion_matrix_of_each_group(done):
    views = {name: view.metadata for name, view in done.out.views.items()}
    assert [name for name, view in views.items() if view] == ["a", "b"], "two groups were drawn"
    json.dumps(views, allow_nan=False)
    assert len(views["a"]["confidenceMetrics"]) <= 200
    rows = views["b"]["confusionMatrix"]["rows"]
    assert [sum(row["row"]) for row in rows] == [5, 5]


def test_promote_registers_every_ensemble_and_returns_its_decision(done):
    promotion = read(done, Promotion, "promotion")
    assert sorted(promotion.versions) == ["A", "B", "study"]
    assert len(done.client.search_model_versions("name = 'direct'")) == 3
    assert done.version == (promotion.version if promotion.verdict == "promoted" else "")


def validated(done, seen):
    """The component on the cohort that group A's ensemble was developed on."""
    version, view = read(done, Promotion, "promotion").versions["A"], dsl.ClassificationMetrics()
    names = {"name": "", "seen": seen, "experiment": "validations", "attempt": "attempt-1"}
    outputs = (done.out[f"{seen}_validation"], done.out[f"{seen}_report"], done.out["metrics"], view)
    validate.python_func(done.out["dataset"], done.plan[1], "direct", version, *names.values(), *outputs)
    return view


def test_validate_refuses_the_cohort_of_the_models_development(done, capsys):
    with pytest.raises(SystemExit):
        validated(done, "refuse")
    assert "PATIENTS_SEEN" in capsys.readouterr().out


def test_validate_without_the_patients_seen_repeats_the_groups_evaluation(done):
    """The tumours that are left are the group's evaluation set, predicted there by Keras and here by the bundle."""
    view = validated(done, "exclude")
    validation, evaluation = read(done, Validation, "exclude_validation"), read(done, Evaluation, "evaluation")
    rows = evaluation.scores[(evaluation.scores["group"] == "A") & (evaluation.scores["role"] == "evaluation")]
    assert sorted(validation.scores["tumour"]) == sorted(rows["tumour"])
    expected, measured = evaluation.metrics.groups["A"].evaluation, validation.metrics.performance
    assert measured.auc.auc == pytest.approx(expected.auc, abs=1e-9)
    assert measured.intervals.delong == expected.intervals.delong
    assert measured.rates.sensitivity == expected.sensitivity
    assert measured.raw.brier == pytest.approx(expected.calibration.brier, abs=1e-4)
    assert validation.metrics.model.development_auc == evaluation.metrics.mean_auc
    assert "SYNTHETIC" in Path(done.out["exclude_report"].path).read_text()
    assert len(view.metadata["confidenceMetrics"]) <= 200


def test_all_runs_are_finished_and_counted(done):
    experiment = done.client.get_experiment_by_name("direct").experiment_id
    runs = done.client.search_runs([experiment], max_results=100)
    assert len(runs) == 1 + 2 + 4
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_every_step_shows_a_labelled_summary(done):
    names = ["phantom_summary", "preprocess_summary", "split_summary", "1-3_summary", "promote_summary"]
    for name in names:
        page = Path(done.out[name].path).read_text()
        assert page.startswith("<!doctype html>"), name
        assert "SYNTHETIC" in page, name


def test_a_missing_gpu_is_reported_as_an_srs_error(done, capsys):
    wanted = {**RESOURCES, "gpu_count": "1"}
    with pytest.raises(SystemExit):
        train.python_func(
            done.out["dataset"], done.out["splits"], "1-3", "", **wanted, members=done.out["x"], summary=done.out["y"]
        )
    assert "GPU" in capsys.readouterr().out
