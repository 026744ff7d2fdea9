"""The step on files: a registered bundle on a written dataset, with a real MLflow store."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from components.common import tracking_store
from components.common.artifacts.validation import SCORE_COLUMNS, Validation
from components.common.errors import InputError
from components.common.presets import resolve
from components.model.manifest import Manifest
from components.model.runtime import Ensemble
from components.promote import registry
from components.promote.validations import PREFIX, ValidatedOn, validations_in
from components.validate.few import by_class, is_few
from components.validate.step import Request, cohort_name, run
from tests.components.model.bundles import SETTINGS, make_dataset, make_members, write
from tests.components.validate.made import KEY, make_cohort

MODEL = "srs-response"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A folder with a store that has one version, and ``bundle``, its bundle."""
    root = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(1)
    dataset = dataclasses.replace(make_dataset(rng), pseudonym_key=KEY)
    members = make_members(dataset, SETTINGS, rng, 3)
    write(root / "bundle", members, dataset, SETTINGS, mean_auc_of_groups=0.7625)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        tracking_store.prepare_store()
        run_id = tracking_store.client().create_run(tracking_store.experiment_id("srs")).info.run_id
        uri = registry.log_bundle(run_id, root / "bundle", "ensemble-A")
        digest = Manifest.read(root / "bundle").digest
        version = registry.register(MODEL, uri, run_id, digest, {"srs.group": "A"}, "card")
        MlflowClient(f"sqlite:///{root / 'mlflow.db'}").set_registered_model_alias(MODEL, "champion", version)
    return root


@pytest.fixture(autouse=True)
def uri(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")


def request(attempt: str = "attempt-1", **changes: str) -> Request:
    settings = resolve("default", {"study": "elsewhere", "evaluate": {"bootstrap": 100}}).to_json()
    given = {"version": "champion", "name": "", "seen": "refuse", **changes}
    return Request(MODEL, settings=settings, experiment="validations", attempt=attempt, **given)


def validated(folder: Path, cohort, **changes: str):
    """Runs the step on a cohort; returns the validation and the folder."""
    cohort.write(folder / "dataset")
    outputs = str(folder / "validation"), str(folder / "page.html")
    view = run(str(folder / "dataset"), request(**changes), *outputs, lambda *_: None)
    return Validation.read(folder / "validation"), view


@pytest.fixture(scope="module")
def done(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
        validation, view = validated(folder, make_cohort())
    return folder, validation, view


def refused(folder: Path, cohort, **changes: str) -> InputError:
    with pytest.raises(InputError) as caught:
        validated(folder, cohort, **changes)
    assert caught.value.hint
    assert not (folder / "validation").exists(), "a refused validation leaves no result"
    return caught.value


def test_predictions_are_the_serving_runtimes(store, done):
    _, validation, _ = done
    answers = Ensemble.open(store / "bundle", threads=1).answer(make_cohort().crops)
    assert tuple(validation.scores.columns) == SCORE_COLUMNS
    assert validation.scores["mean"].tolist() == pytest.approx([one.probability for one in answers], abs=1e-6)
    probabilities = [one.calibrated_probability for one in answers]
    assert validation.scores["calibrated"].tolist() == pytest.approx(probabilities, abs=1e-6)


def test_metrics_name_the_model_the_cohort_and_the_estimate_of_development(done):
    _, validation, view = done
    metrics = validation.metrics
    assert (metrics.name, metrics.model.version, metrics.model.development_auc) == ("elsewhere", "1", 0.7625)
    assert (metrics.overlap.checked, metrics.overlap.tumours) == (True, 0)
    assert metrics.synthetic
    assert view.metrics["auc"] == metrics.performance.auc.auc
    assert len(view.curve[0]) == len(view.curve[2])


def test_a_changed_metric_is_noticed(done, tmp_path):
    folder, *_ = done
    copy = Path(shutil.copytree(folder / "validation", tmp_path / "copy"))
    (copy / "metrics.json").write_text((copy / "metrics.json").read_text().replace("0.7625", "0.9625"))
    with pytest.raises(InputError) as caught:
        Validation.read(copy)
    assert caught.value.code == "ARTIFACT_DAMAGED"


def test_the_run_in_mlflow_has_metrics_tags_and_the_report(store, done):
    _, validation, _ = done
    client = MlflowClient()
    experiment = client.get_experiment_by_name("validations").experiment_id
    (tracked,) = client.search_runs([experiment], "tags.`srs.attempt` = 'attempt-1'")
    assert tracked.info.status == "FINISHED"
    assert tracked.data.metrics["auc/auc"] == pytest.approx(validation.metrics.performance.auc.auc)
    assert tracked.data.metrics["rates/sensitivity"] == validation.metrics.performance.rates.sensitivity
    assert tracked.data.tags["srs.model_version"] == "1"
    assert tracked.data.tags["srs.dataset_digest"] == validation.metrics.dataset_digest
    assert tracked.data.tags["srs.synthetic"] == "true"
    files = {file.path for file in client.list_artifacts(tracked.info.run_id, "validation")}
    assert files == {f"validation/{name}" for name in ("metrics.json", "report.html", "scores.csv")}
    assert tracked.inputs.dataset_inputs[0].tags[0].value == "validation"


def test_the_version_keeps_the_result_in_short(done):
    _, validation, _ = done
    tags = registry.version_info(MODEL, "1").tags
    (key,) = [key for key in tags if key.startswith(PREFIX + validation.metrics.dataset_digest[:12])]
    assert len(tags[key]) < registry.LONGEST_TEXT
    (short,) = [one for one in validations_in(tags) if one.name == "elsewhere"]
    figures = validation.metrics.performance
    assert (short.tumours, short.patients) == (40, 28)
    assert (short.auc, short.auc_low) == pytest.approx((figures.auc.auc, figures.auc.ci_low), abs=1e-6)
    assert short.patients_checked


def test_too_few_tumours_are_marked_in_mlflow_and_at_the_version(tmp_path):
    validated(tmp_path, make_cohort(8), attempt="attempt-few", name="eight")
    tags = registry.version_info(MODEL, "1").tags
    found = {one.name: one for one in validations_in(tags)}
    assert is_few(found["eight"])
    assert by_class(found["eight"]) == "4 responders and 4 non-responders"
    assert "elsewhere" not in found or not is_few(found["elsewhere"])
    (tracked,) = MlflowClient().search_runs(
        [MlflowClient().get_experiment_by_name("validations").experiment_id], "tags.`srs.attempt` = 'attempt-few'"
    )
    assert tracked.data.tags["srs.too_few_tumours"] == "true"


@pytest.mark.parametrize(("study", "name"), [("srs-response", "cohort cccccccc"), ("elsewhere", "elsewhere")])
def test_a_cohort_without_a_name_is_not_called_like_the_models(store, study, name):
    manifest = Manifest.read(store / "bundle")
    assert manifest.settings["study"] == "srs-response"
    assert cohort_name(study, manifest, "c" * 64) == name


def test_a_retry_doubles_nothing(done, tmp_path):
    client = MlflowClient()
    validated(tmp_path, make_cohort(30), attempt="attempt-2")
    experiment = client.get_experiment_by_name("validations").experiment_id
    before = len(client.search_runs([experiment]))
    validated(tmp_path, make_cohort(30), attempt="attempt-2")
    assert len(client.search_runs([experiment])) == before


def test_a_version_without_that_number_is_refused(tmp_path):
    assert refused(tmp_path, make_cohort(), version="99").code == "VERSION_UNKNOWN"


def test_another_image_definition_is_refused_with_the_fields_that_differ(tmp_path):
    error = refused(tmp_path, make_cohort(slice_rule="largest"))
    assert error.code == "IMAGE_DEFINITION_DIFFERS"
    assert "slice_rule: largest in the dataset, centre in the model" in error.safe_message


def test_seen_patients_are_refused_or_left_out_and_counted(tmp_path):
    cohort = make_cohort()
    cohort.tumours["patient"] = cohort.tumours["patient"].replace({"P-001": "P001", "P-002": "P002"})
    assert refused(tmp_path / "a", cohort).code == "PATIENTS_SEEN"
    validation, _ = validated(tmp_path / "b", cohort, seen="exclude", name="the other hospital", attempt="attempt-3")
    assert validation.metrics.overlap.tumours == 4
    assert validation.metrics.flow.used == len(validation.scores) == 36
    page = (tmp_path / "b" / "page.html").read_text()
    assert "4 tumours of 2 patients whom the model has seen" in page
    assert "the other hospital" in page


def test_another_key_is_stated_in_report_and_metrics(tmp_path):
    validation, _ = validated(tmp_path, make_cohort(key="f" * 16), attempt="attempt-4")
    assert not validation.metrics.overlap.checked
    page = (tmp_path / "page.html").read_text()
    assert "It could not be checked by pseudonyms whether the model has seen patients of this cohort" in page
    assert "made with another key" in page


def test_an_unknown_handling_and_one_class_are_refused(tmp_path):
    assert refused(tmp_path / "a", make_cohort(), seen="ignore").code == "SEEN_UNKNOWN"
    cohort = make_cohort()
    cohort.tumours["label"] = 1
    assert refused(tmp_path / "b", cohort).code == "VALIDATION_ONE_CLASS"


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"name": "x"})])
def test_a_tag_of_another_form_is_skipped(text):
    whole = ValidatedOn("here", 40, 28, 20, 20, 0.7, 0.6, 0.8, 0.5, 0.5, False, True, "run")
    tags = {f"{PREFIX}a": text, f"{PREFIX}b": json.dumps(dataclasses.asdict(whole)), "srs.group": "A"}
    assert validations_in(tags) == [whole]
