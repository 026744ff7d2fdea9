"""A data scientist's own network, from a module in the current folder to an answer of the predictor."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from components.common.artifacts.splits import Splits
from components.model.network import Network
from components.phantom.phantom import write_cohort, write_unseen_patient
from pipelines.local import predictor_process
from pipelines.local.runs import Run

ROOT = Path(__file__).parents[2]
HOW_TO = (ROOT / "docs" / "how-to.md").read_text()
STUDY = """
split: {groups: 2, members: 2, evaluation_responders: 5, evaluation_non_responders: 5}
train: {network: "my_networks:small", max_steps: 60, restart_step: 60, restart_accuracy: 0.0, patience_steps: 60}
network: {filters: 4}
evaluate: {bootstrap: 100}
gate: {min_mean_auc: 0.0, accept: few_members}
"""


def srs(folder, *arguments):
    """Runs the command in a folder, as a user would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "pipelines.commands.cli", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=folder, timeout=500, check=False)


def run(folder, *more):
    return srs(folder, "run", "--cohort", "cohort", "--home", "home", "--study", "study.yaml", "--json", *more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the module that the page shows, a study and a cohort."""
    folder = tmp_path_factory.mktemp("own")
    (module,) = re.findall(r"```python\n( *import dataclasses\n.*?)```", HOW_TO, re.DOTALL)
    lines = [line.removeprefix("   ") for line in module.splitlines()]
    (folder / "my_networks.py").write_text("\n".join(lines) + "\n")
    (folder / "study.yaml").write_text(STUDY)
    write_cohort(folder / "cohort", seed=3, tumours=30, patients=26, signal=3.0)
    return folder


@pytest.fixture(scope="module")
def outcome(folder):
    done = run(folder)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_a_network_of_a_users_own_is_trained_promoted_and_served(folder, outcome):
    if outcome["verdict"] != "promoted":  # four members of sixty steps need not be better than chance
        promoted = srs(folder, "promote", outcome["version"], "--reason", "a test", "--home", "home")
        assert promoted.returncode == 0, promoted.stderr
    patient = write_unseen_patient(folder / "unseen", seed=3)
    port = predictor_process.free_port()
    url = f"http://127.0.0.1:{port}"
    line = [
        sys.executable,
        "-m",
        "pipelines.commands.cli",
        "serve",
        "--home",
        str(folder / "home"),
        "--port",
        str(port),
    ]
    with predictor_process.running(line, url, "srs-response", folder / "predictor.log"):
        done = srs(folder, "predict", str(patient), "--url", url, "--json")
    (answer,) = json.loads(done.stdout)
    assert answer["model_version"] == outcome["version"]
    assert 0 <= answer["probability"] <= 1


def test_its_champion_is_exported(folder, outcome):
    done = srs(folder, "export", "--keras", outcome["version"], "ensemble.keras", "--home", "home")
    assert done.returncode == 0, done.stderr
    assert zipfile.is_zipfile(folder / "ensemble.keras")


def test_every_step_used_the_network_that_the_run_began_with(outcome):
    network = Splits.read(Run.read(Path(outcome["run"])).path("splits")).network
    assert network["name"] == "my_networks:small"
    assert network["settings"] == {"filters": 4, "dropout": 0.3}
    assert "my_networks:small" in Path(outcome["report"]).read_text()


def test_the_digest_in_a_members_key_is_that_of_the_function(folder, outcome):
    used = Network.from_dict(Splits.read(Run.read(Path(outcome["run"])).path("splits")).network).digest
    assert digest(folder) == used
    module = (folder / "my_networks.py").read_text()
    (folder / "my_networks.py").write_text(module.replace("MaxPooling2D(6)", "MaxPooling2D(7)"))
    assert digest(folder) != used


DIGEST = """
from components.common.settings import StudySettings
from components.model.own_network import checked_network
study = {"train": {"network": "my_networks:small"}, "network": {"filters": 4}}
print(checked_network(StudySettings.from_dict(study)).digest)
"""


def digest(folder):
    """The digest of the network that a run would begin with."""
    line, environment = [sys.executable, "-c", DIGEST], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=folder, timeout=100, check=True)
    return done.stdout.split()[-1]


def test_a_network_that_is_refused_leaves_no_home(folder):
    (folder / "broken.py").write_text("import keras\n\ndef net():\n    return keras.Sequential()\n")
    done = srs(folder, "run", "--cohort", "cohort", "--home", "other", "--set", "train.network=broken:net")
    assert done.returncode == 2
    assert "NETWORK_REFUSED" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "other").exists()
