"""The whole study on a small phantom: DICOM -> members -> registry -> served answer, by the commands a user types."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from components.phantom.phantom import write_cohort, write_unseen_patient
from pipelines.local import predictor_process
from pipelines.local.claims import Claim
from pipelines.local.home import Home
from pipelines.local.session import Outcome, Session

ROOT = Path(__file__).parents[2]
SMALL = """
split: {groups: 2, members: 3, evaluation_responders: 5, evaluation_non_responders: 5}
train: {max_steps: 120, restart_step: 60, patience_steps: 60}
evaluate: {bootstrap: 200}
gate: {accept: few_members}
"""


def srs(*arguments: str, seconds: float = 500, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pipelines.commands.cli", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(line, capture_output=True, text=True, env=env, cwd=ROOT, timeout=seconds)


def run(cohort: Path, home: Path, study: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    return srs("run", "--cohort", str(cohort), "--home", str(home), "--study", str(study), "--json", *extra)


def runs_of(client: MlflowClient, experiment: str) -> list:
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "study.yaml").write_text(SMALL)
    write_cohort(folder / "cohort", seed=3, tumours=40, patients=34, signal=3.0)
    return folder


@pytest.fixture(scope="module")
def first(place) -> dict:
    """Outcome of the first run, by a user whose home and temporary folders are empty."""
    elsewhere = {name: str(place / name) for name in ("HOME", "TMPDIR")}
    for folder in elsewhere.values():
        Path(folder).mkdir()
    line = (
        "run",
        "--cohort",
        str(place / "cohort"),
        "--home",
        str(place / "home"),
        "--study",
        str(place / "study.yaml"),
    )
    done = srs(*line, "--json", **elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def client(place, first) -> MlflowClient:
    return MlflowClient(f"sqlite:///{place / 'home' / 'mlflow' / 'mlflow.db'}")


def test_strong_signal_is_learned_and_promoted(first):
    assert first["verdict"] == "promoted"
    assert first["mean_auc"] > 0.75
    assert (first["members"], first["reused"], first["preprocessed"]) == (6, 0, True)


def test_nothing_is_written_outside_the_home_of_the_run(place, first):
    assert [p for name in ("HOME", "TMPDIR") for p in (place / name).rglob("*") if p.is_file()] == []


def test_mlflow_holds_one_parent_its_ensembles_and_members_all_finished(client):
    runs = runs_of(client, "srs-response")
    assert len(runs) == 1 + 2 + 6
    assert {r.info.status for r in runs} == {"FINISHED"}
    members = [r for r in runs if "srs.member" in r.data.tags]
    assert len(members) == 6
    for member in members:
        assert len(client.get_metric_history(member.info.run_id, "validation_accuracy")) >= 2


def test_registry_has_a_version_per_ensemble_and_the_champion(client, first):
    versions = client.search_model_versions("name = 'srs-response'")
    assert len(versions) == 3
    assert {version.tags["srs.group"] for version in versions} == {"study", "A", "B"}
    champion = client.get_model_version_by_alias("srs-response", "champion")
    assert (str(champion.version), first["group"]) == (first["version"], "study")


def test_registrys_commands_reach_another_mlflow(place, first, tmp_path):
    store = f"sqlite:///{place / 'home' / 'mlflow' / 'mlflow.db'}"
    output = srs("champion", "--home", str(tmp_path), "--mlflow", store, "--json")
    assert json.loads(output.stdout)["version"] == first["version"]


def test_champion_predicts_where_this_project_cannot_be_imported(place, first, tmp_path):
    code = """
import sys, numpy as np
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("components", "pipelines", "serving"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import mlflow
model = mlflow.pyfunc.load_model("models:/srs-response@champion")
answer = model.predict(np.full((2, 151, 151), 40, np.float32))
assert len(answer) == 2 and answer.probability.between(0, 1).all(), answer
print("answered")
"""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{place / 'home' / 'mlflow' / 'mlflow.db'}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert "answered" in done.stdout, done.stderr


def test_report_is_rebuilt_and_labelled(place, first):
    done = srs("report", first["run"], "--home", str(place / "home"))
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip()).read_text()
    assert "SYNTHETIC" in page
    assert len(page) < 1_000_000


def test_compare_takes_the_folder_that_a_run_prints(place, first):
    printed = io.StringIO()
    outcome = Outcome(**{**first, "run": Path(first["run"])})
    claim = Claim.take(place / "home")
    Session(Home(place / "home", claim), Console(file=printed), 1).print_outcome(outcome)
    claim.release()
    (folder,) = re.findall(r"^run: (.+)$", printed.getvalue(), re.MULTILINE)
    done = srs("compare", folder, folder, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settings"] == {}


def test_served_champion_answers_an_unseen_patient_sent_as_dicom(place, first, tmp_path):
    patient = write_unseen_patient(tmp_path / "unseen", seed=3)
    port = predictor_process.free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["--home", str(place / "home"), "--port", str(port), "--version", first["version"]]
    line = [sys.executable, "-m", "pipelines.commands.cli", "serve", *options]
    with predictor_process.running(line, url, "srs-response", tmp_path / "predictor.log"):
        done = srs("predict", str(patient), "--url", url, "--json")
        taken = srs("serve", *options)
        refused = srs("predict", str(place / "cohort" / "cohort.csv"), "--url", url)
    (answer,) = json.loads(done.stdout)
    assert 0 <= answer["probability"] <= 1
    assert answer["model_version"] == first["version"]
    assert answer["synthetic"] is True
    assert (taken.returncode, "PORT_IN_USE" in taken.stderr) == (2, True)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    predictor_process.require_free("127.0.0.1", port)
    gone = srs("predict", str(patient), "--url", url)
    assert (gone.returncode, "PREDICTOR_UNREACHABLE" in gone.stderr) == (2, True)


def test_second_run_reuses_what_is_unchanged(place, first, client):
    again = json.loads(run(place / "cohort", place / "home", place / "study.yaml").stdout)
    assert (again["reused"], again["preprocessed"], again["version"]) == (6, False, first["version"])
    assert again["mean_auc"] == first["mean_auc"]
    assert len(client.search_model_versions("name = 'srs-response'")) == 3


def test_from_scratch_the_same_seed_gives_the_same_table(place, first):
    done = run(place / "cohort", place / "elsewhere", place / "study.yaml")
    tables = [
        Path(outcome["report"]).with_name("table_iii.csv").read_bytes() for outcome in (first, json.loads(done.stdout))
    ]
    assert tables[0] == tables[1]


@pytest.fixture
def labels_without_signal(place):
    """Shifts the outcomes of all tumours but the last, which is left out, in the table that the first run has read."""
    table = place / "cohort" / "cohort.csv"
    before, times = table.read_text(), (table.stat().st_atime_ns, table.stat().st_mtime_ns)
    rows = pd.read_csv(table, dtype=str, keep_default_na=False).iloc[:-1]
    for outcome in (["response"], ["baseline_diameter_mm", "follow_up_diameter_mm"]):  # a row has one of them or none
        given = (rows[outcome] != "").all(axis=1)
        rows.loc[given, outcome] = np.roll(rows.loc[given, outcome].to_numpy(), 1, axis=0)
    rows.to_csv(table, index=False)
    yield
    table.write_text(before)
    os.utime(table, ns=times)


@pytest.mark.usefixtures("labels_without_signal")
def test_a_changed_cohort_is_noticed_and_without_signal_the_gate_refuses(place, first, client):
    settings = ("--set", "gate.min_mean_auc=0.9", "--model-name", "null", "--experiment", "null")
    done = run(place / "cohort", place / "home", place / "study.yaml", *settings)
    outcome = json.loads(done.stdout)
    assert outcome["preprocessed"] is True
    assert (done.returncode, outcome["verdict"]) == (3, "refused")
    assert "required: 0.90" in outcome["reasons"][0]
    assert {r.info.status for r in runs_of(client, "null")} == {"FINISHED"}
    served = srs("serve", "--home", str(place / "home"), "--model-name", "null")
    assert (served.returncode, "NO_CHAMPION" in served.stderr) == (1, True)


def test_failed_step_is_reported_with_reason_and_log_and_closes_the_mlflow_runs(place):
    home = place / "broken"
    (home / "members").mkdir(parents=True)
    (home / "members" / "members").write_text("a file where the member store wants a folder: crops can be kept there")
    done = run(place / "cohort", home, place / "study.yaml")
    assert done.returncode == 1
    assert "step train failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert Path(done.stderr.rsplit("log: ", 1)[1].strip()).is_file()
    runs = runs_of(MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"), "srs-response")
    assert {r.info.status for r in runs} == {"FAILED"}
    assert any("srs.failure" in r.data.tags for r in runs)
