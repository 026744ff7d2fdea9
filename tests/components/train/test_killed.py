"""Packs in separate processes that are killed at random times: what they leave, and what a later attempt produces."""

import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from components.common import tracking
from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.common.artifacts.members import Members
from components.common.artifacts.splits import Splits
from components.common.settings import StudySettings
from tests.components.crops import make_splits

KILLS = 5


@pytest.fixture(scope="module")
def killed(cohort, tiny, tiny_network, tmp_path_factory):
    """Attempts at one pack of four members: SIGTERM, then SIGKILL at random moments, then one that may end."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "mlflow").mkdir()
    # Long enough to be hit: about two seconds on one core, in checks of a few milliseconds.
    train = dataclasses.replace(tiny, max_steps=1200, restart_step=600, patience_steps=1200, max_restarts=1)
    crops, labels, tumours = cohort
    table = pd.DataFrame({name: [f"{name}-{row}" for row in range(len(labels))] for name in TUMOUR_COLUMNS})
    table = table.assign(tumour=tumours, label=labels)
    count = len(labels)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow/mlflow.db")
        environment.setenv("SRS_WORKERS", "2")
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        environment.delenv("MLFLOW_RUN_ID", raising=False)
        Dataset(crops, table, Flow(count, count, (), count, count), {"version": 1}, True).write(folder / "dataset")
        data = Dataset.read(folder / "dataset")
        settings = dataclasses.replace(StudySettings(), train=train)
        members = tuple(make_splits(tumours, 4, np.random.default_rng(8)))
        drawn = Splits(members, "patient", 0, {"asked": [3, 3]}, settings, network=tiny_network.to_dict())
        tree = tracking.open_tree("killed", settings, data, drawn, attempt="one")
        dataclasses.replace(drawn, tracking=tree).write(folder / "splits")
        # Each attempt goes on where the one before it was stopped: together they must not reach the end.
        shares = np.random.default_rng(11).uniform(0, [0.3] + [0.15] * KILLS)
        names = ["SIGTERM"] + ["SIGKILL"] * KILLS
        (folder / "plan.json").write_text(json.dumps(list(zip(names, shares, strict=True))))
        script = Path(__file__).with_name("killing.py")
        done = subprocess.run(
            [sys.executable, script, folder], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        ended = json.loads(done.stdout.splitlines()[-1])
        whole, resumed = (Members.read(folder / name).members for name in ("whole", "resumed"))
        runs = MlflowClient().search_runs([tree.experiment_id])
        yield SimpleNamespace(folder=folder, ended=ended, whole=whole, resumed=resumed, runs=runs, stderr=done.stderr)


def test_attempts_were_killed_and_the_last_one_finished(killed):
    codes = [code for code, _ in killed.ended]
    assert codes[0] == codes[-1] == 0
    assert set(codes) <= {0, 143, -9}, killed.stderr
    assert codes[2:-1].count(-9) >= 3, "too few attempts were alive when their signal came: lengthen the training"


def test_a_killed_pack_ends_with_the_same_bits(killed):
    for one, other in zip(killed.whole, killed.resumed, strict=True):
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)
        assert np.array_equal(one.probabilities, other.probabilities)
        pd.testing.assert_frame_equal(one.history, other.history)


def test_nothing_half_written_is_left(killed):
    # A SIGKILL in the middle of a write may leave its temporary file, which is no object of the store.
    stored = list((killed.folder / "store").rglob("*.zip"))
    assert len([path for path in stored if path.parent.name == "members"]) == 4
    assert not [path for path in stored if path.parent.name == "states"]


def test_no_mlflow_run_is_lost_or_duplicated(killed):
    members = [run for run in killed.runs if run.data.tags["srs.role"] == "member"]
    assert Counter(run.data.tags["srs.member"] for run in members) == Counter(m.id for m in killed.whole)
    for run in members:
        (member,) = (m for m in killed.whole if m.id == run.data.tags["srs.member"])
        points = MlflowClient().get_metric_history(run.info.run_id, "validation_accuracy")
        assert run.info.status == "FINISHED"
        assert len(points) == len({point.step for point in points}) == len(member.history)


def test_sigterm_saves_and_exits_at_once(killed):
    code, seconds = killed.ended[1]
    assert code == 143
    assert seconds < 10  # one interval between two checks, and whatever else the machine does
