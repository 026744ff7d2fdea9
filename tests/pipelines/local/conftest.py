"""Fixtures of the tests of local runs: the artifacts of a finished run in a home with an MLflow store."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.splits import Splits
from components.common.sqlite_store import DATABASE
from components.evaluate.evaluation import evaluate
from components.model.networks.building import build_network
from components.split.splits import make_splits
from pipelines.local.runs import Run
from tests.components.evaluate.conftest import make_dataset, make_members
from tests.pipelines.local.finished_run import PATIENTS, SEED, STUDY, TUMOURS, forget_streams


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory) -> Path:
    """A home with an MLflow store and the artifacts of a run."""
    home = tmp_path_factory.mktemp("finished") / "home"
    (home / "mlflow").mkdir(parents=True)
    dataset, latent = make_dataset(TUMOURS, PATIENTS, seed=SEED)
    dataset = dataclasses.replace(dataset, digest=dataset.write(home / "pipeline" / "dataset"))
    member_splits = make_splits(dataset.tumours, STUDY.split, study=STUDY.study, seed=STUDY.seed)
    network = build_network(STUDY).to_dict()
    splits = Splits(member_splits, "patient", 0, {"asked": [12, 11]}, STUDY, network=network, digest="s" * 64)
    members = make_members(dataset, splits, latent)
    splits.write(home / "pipeline" / "splits")
    members.write(home / "pipeline" / "members")
    evaluate(dataset, splits, members, STUDY.evaluate, seed=STUDY.seed).write(home / "pipeline" / "evaluation")
    return home


@pytest.fixture
def finished_run(finished_home, monkeypatch) -> Path:
    """The folder of a finished run, the newest of its home, with MLflow runs of its own."""
    home = finished_home
    number = len(list(home.glob("srs-response-*")))
    folder, pipeline = home / f"srs-response-20260101-{number:06d}", home / "pipeline"
    folder.mkdir()
    splits = Splits.read(pipeline / "splits")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / DATABASE}")
    tree = tracking.open_tree("srs", STUDY, Dataset.read(pipeline / "dataset"), splits, attempt=f"attempt {number}")
    tracking.close_tree(tree, "FINISHED")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    dataclasses.replace(splits, tracking=tree).write(pipeline / f"splits-{number}")
    shutil.copytree(pipeline / "evaluation", pipeline / f"evaluation-{number}")
    names = {"dataset": "dataset", "members": "members", "splits": f"splits-{number}"}
    names["evaluation"] = f"evaluation-{number}"
    Run(folder, {name: [str(pipeline / artifact)] for name, artifact in names.items()}, [], 1.0).write()
    return folder


@pytest.fixture(autouse=True)
def consoles_are_put_back():
    """The display of progress keeps the stream of its first run, which the runner closes."""
    yield
    forget_streams()
