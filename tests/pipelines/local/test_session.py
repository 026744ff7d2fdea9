"""A run's parameters come from the user's options, checked before a home is made; a registry is not made by asking."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from components.common.errors import InputError, SrsError
from components.common.presets import resolve_parameters
from components.phantom.phantom import write_cohort
from pipelines.commands.cli import app
from pipelines.local import session, study_options
from pipelines.local.home import Home
from pipelines.local.session import Session
from pipelines.local.study_options import StudyOptions


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> str:
    return str(write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", tumours=8, patients=7).parent)


def run_srs(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pipelines.commands.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120)


def settings_of(options: StudyOptions, cohort: str):
    parameters = options.parameters(cohort)
    names = ("preset", "seed", "groups", "members", "settings")
    return resolve_parameters(**{name: parameters[name] for name in names})


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """What ``run_pipeline`` is given for a study's options, on a machine of four cores and two GPUs."""
    monkeypatch.setattr(session, "processors", lambda: 4)
    monkeypatch.setattr(study_options, "visible_gpus", lambda _engine: 2)
    calls = []
    monkeypatch.setattr(session, "run_pipeline", lambda *given, **more: calls.append((given[1], more)))
    monkeypatch.setattr(session, "outcome_of", lambda run: run)

    def of(parameters):
        Session(Home.absent(tmp_path / "home"), Console(quiet=True), 2).run_study(parameters)
        return calls.pop()

    return of


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        (StudyOptions("default"), 2),
        (StudyOptions("default", members=5), 4),
        (StudyOptions("default", groups=2, members_per_task=5), 2),
    ],
)
def test_one_pack_has_all_cores_and_several_share_them(options, workers, cohort, taken):
    assert taken(options.parameters(cohort))[1]["workers"] == workers


def test_packs_use_the_gpus_one_after_another(cohort, taken):
    arguments, given = taken(StudyOptions("default", gpus=2).parameters(cohort))
    assert arguments["gpu_count"] == "2"
    assert given["parallelism"] == 1


@pytest.mark.parametrize(
    ("engine", "gpus", "code", "text"),
    [
        ("cpu", 1, "ENGINE_UNSUITABLE", "the engine cpu uses no GPU"),
        ("auto", 3, "NO_GPU", "--gpus is 3, but the engine jax finds 2"),
    ],
)
@pytest.mark.usefixtures("taken")
def test_gpus_that_cannot_be_used_are_refused_before_a_home_is_made(engine, gpus, code, text, cohort):
    with pytest.raises(SrsError, match=text) as caught:
        StudyOptions("fast", gpus=gpus, overrides={"train": {"engine": engine}}).parameters(cohort)
    assert caught.value.code == code


def test_this_machine_is_asked_for_its_gpus(cohort):
    done = run_srs("run", "--fast", "--cohort", cohort, "--gpus", "99")
    assert done.returncode == 1
    assert "--gpus is 99, but the engine jax finds" in done.stderr


def test_options_win_over_the_study_file_and_set(cohort):
    overrides = {"seed": "7", "split": {"groups": "4", "members": "6"}, "train": {"momentum": "0.5"}}
    file_only = settings_of(StudyOptions("fast", overrides=overrides), cohort)
    assert (file_only.seed, file_only.split.groups, file_only.split.members) == (7, 4, 6)
    given = settings_of(StudyOptions("fast", 3, 2, 0, overrides), cohort)
    assert (given.seed, given.split.groups, given.split.members, given.train.momentum) == (3, 2, 6, 0.5)
    back_to_default = settings_of(StudyOptions("fast", 1, overrides=overrides), cohort)
    assert back_to_default.seed == 1


def test_the_seed_has_one_place(cohort):
    parameters = StudyOptions("fast", overrides={"seed": 7}).parameters(cohort)
    assert parameters["seed"] == 7
    assert "seed" not in json.loads(parameters["settings"])


def test_a_cohort_may_be_a_file_uri(cohort):
    assert StudyOptions("fast").parameters(f"file://{cohort}") == StudyOptions("fast").parameters(cohort)


def test_a_cohort_whose_links_go_in_circles_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    done = run_srs("run", "--cohort", "loop", "--home", "home")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop"]


def test_a_path_that_is_no_text_is_refused_before_a_home_is_made(tmp_path, cohort):
    name = os.fsdecode(b"c\xff")
    shutil.copytree(cohort, tmp_path / name)
    with pytest.raises(InputError) as caught:
        StudyOptions("fast").parameters(str(tmp_path / name))
    assert caught.value.code == "PATH_INVALID"
    with pytest.raises(InputError) as caught:
        Home.open(tmp_path / "homes" / name)
    assert caught.value.code == "PATH_INVALID"
    assert not (tmp_path / "homes").exists()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"preset": "papre"}, "PRESET_UNKNOWN"),
        ({"overrides": {"train": {"batch_size": 0}}}, "SETTING_INVALID"),
        ({"model_name": "a/b"}, "PARAMETER_INVALID"),
        ({"experiment": ""}, "PARAMETER_INVALID"),
        ({"members_per_task": 0}, "PARAMETER_INVALID"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_the_cohort_is_read(changes, code):
    with pytest.raises(InputError) as caught:
        StudyOptions(**{"preset": "fast", **changes}).parameters("/absent")
    assert caught.value.code == code


def test_the_cohort_is_read_before_a_home_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["run", "--cohort", "absent", "--home", "home"])
    assert result.exception.code == "COHORT_MISSING"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["champion"], ["promote", "1", "--reason", "x"], ["rollback"], ["serve", "--port", "0"], ["report"]]
)
def test_a_question_about_a_home_that_is_not_there_makes_none(command, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("pipelines.local.predictor_process.require_free", lambda *_: None)
    arguments = [*command[:2], "8080"] if command[0] == "serve" else command
    result = CliRunner().invoke(app, [*arguments, "--home", str(tmp_path / "absent")])
    assert result.exception.code == "HOME_UNKNOWN", result.output
    assert "absent" in result.exception.safe_message
    assert list(tmp_path.iterdir()) == []


def test_an_mlflow_server_needs_no_home_with_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    opened = Session.of_registry(tmp_path / "home", Console(), "http://127.0.0.1:1")
    assert opened.home.path == tmp_path / "home"


def test_two_presets_are_refused():
    result = CliRunner().invoke(app, ["run", "--cohort", "x", "--fast", "--preset", "paper"])
    assert result.exception.code == "PRESET_UNKNOWN"
    assert "paper" in result.exception.safe_message
