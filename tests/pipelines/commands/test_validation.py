"""``srs validate``: from a phantom's DICOM to the registry's tag, and mistakes that end without a traceback."""

import dataclasses
import json
import os
import re
import tempfile
from collections import OrderedDict
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from components.common.artifacts.validation import Validation
from components.common.errors import SrsError
from components.phantom.phantom import write_cohort
from pipelines.commands.cli import app
from pipelines.commands.models import validation_line
from pipelines.commands.terminal import errors, screen
from pipelines.local.moving import fix
from tests.registry_store import MODEL


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> str:
    return str(write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", seed=4, tumours=24, patients=20))


@pytest.fixture
def home(copied_home, monkeypatch) -> Path:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    monkeypatch.setattr(tempfile, "tempdir", None)
    # A user's command is its own process; in this one MLflow remembers the paths of the original's models.
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._artifact_repos_cache", OrderedDict())
    fix(copied_home)
    return copied_home


def srs(home: Path, *arguments: str, warned: str = "") -> str:
    """The output of a command; raises its error, and fails the test on any exception that is not an ``SrsError``.

    ``warned`` is a text that must be among its messages on stderr.
    """
    screen.file = errors.file = None  # the display of progress keeps the stream of its first run, which is closed
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    if isinstance(result.exception, SrsError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert warned in result.stderr
    return result.stdout


def test_a_champion_is_validated_on_another_cohort(home, cohort):
    """From DICOM through the pipeline's three steps; the second time nothing is cropped again."""
    line = ("validate", "--cohort", cohort, "--name", "phantom of seed 4", "--set", "evaluate.bootstrap=100")
    output = srs(home, *line, "--json", warned="warning: it could not be checked by pseudonyms whether")
    outcome = json.loads(output)
    validation = Validation.read(Path(outcome["report"]).parent)
    assert json.loads(json.dumps(validation.metrics.to_dict())) == outcome["metrics"]
    assert validation.metrics.flow.used == len(validation.scores) == 24
    assert validation.metrics.model.version == "3"
    assert not validation.metrics.overlap.checked, "the bundle states no key"
    assert "SYNTHETIC" in Path(outcome["report"]).read_text()
    shown = srs(home, "champion")
    assert re.search(
        r"validated on phantom of seed 4: 24 tumours, AUC 0\.\d+ \(0\.\d+ to [01]\.\d+\); SYNTHETIC", shown
    )
    (entry,) = json.loads(srs(home, "champion", "--json"))["validations"]
    assert entry["auc"] == pytest.approx(validation.metrics.performance.auc.auc, abs=1e-6)
    again = srs(home, *line, "--model", "1", "--seen", "exclude", warned="nobody was left out. If it has")
    assert f"{MODEL} version 1 on phantom of seed 4: 24 tumours in 20 patients" in again
    assert " 0 tumours" not in again
    newest = max(home.glob("validate-*"))
    assert json.loads((newest / "run.json").read_text())["steps"] == ["fingerprint", "validate"]
    client = MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("srs-response").experiment_id])
    assert {run.data.tags["srs.role"] for run in runs} == {"validation"}
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        ([], "COHORT_MISSING", 2),
        (["--cohort", "absent.csv"], "COHORT_MISSING", 2),
        (["--cohort", "COHORT", "--model", "99"], "VERSION_UNKNOWN", 2),
        (["--cohort", "COHORT", "--model", "challenger"], "NO_CHAMPION", 1),
        (["--cohort", "COHORT", "--seen", "ignore"], "PARAMETER_INVALID", 2),
        (["--cohort", "COHORT", "--name", "a\nb"], "PARAMETER_INVALID", 2),
        (["--cohort", "COHORT", "--model-name", "a/b"], "PARAMETER_INVALID", 2),
        (["--cohort", "COHORT", "--set", "preprocess.slices=3"], "SETTING_UNKNOWN", 2),
        (["--cohort", "COHORT", "--set", "train.learning_rate=0.1"], "SETTING_UNUSED", 2),
        (["--cohort", "COHORT", "--set", "train.max_steps=3"], "SETTING_UNUSED", 2),  # below restart_step
        (["--cohort", "COHORT", "--set", "trian.max_steps=3"], "SETTING_UNKNOWN", 2),
        (["--cohort", "COHORT", "--mlflow", "sqlite:////absent/mlflow.db"], "TRACKING_URI", 2),
    ],
)
def test_a_mistake_ends_in_an_error_before_the_run(home, cohort, arguments, code, exit_code):
    with pytest.raises(SrsError) as caught:
        srs(home, "validate", *[cohort if word == "COHORT" else word for word in arguments])
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert caught.value.hint or code == "PARAMETER_INVALID", "its message says what each parameter may be"
    assert not list(home.glob("validate-*"))


def test_without_a_registry_no_home_is_made(tmp_path, cohort, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SrsError) as caught:
        srs(tmp_path / "home", "validate", "--cohort", cohort)
    assert caught.value.code == "HOME_UNKNOWN"
    assert list(tmp_path.iterdir()) == []


def test_a_line_says_what_a_reader_must_know():
    from components.promote.validations import ValidatedOn

    one = ValidatedOn("here", 40, 28, 20, 20, 0.7, 0.6, 0.8, 0.5, 0.5, False, False, "run")
    assert validation_line(one) == (
        "validated on here: 40 tumours, AUC 0.700 (0.600 to 0.800); not checked for patients that the model has seen"
    )
    assert validation_line(dataclasses.replace(one, responders=1, non_responders=39)).startswith(
        "validated on here: 40 tumours, too few to judge (1 responder and 39 non-responders), AUC 0.700"
    )
