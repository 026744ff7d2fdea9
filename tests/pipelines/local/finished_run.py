"""What tests of commands on a finished run share: its training without training, the command line, its MLflow runs."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from components.common.artifacts.layout import LAYOUT
from components.common.artifacts.splits import Splits
from components.common.errors import SrsError
from components.common.files import read_json, write_json
from components.common.presets import resolve
from components.common.sqlite_store import DATABASE
from pipelines.commands.cli import app
from pipelines.commands.terminal import errors, screen
from pipelines.local import procedure
from pipelines.local.runs import Run
from tests.components.evaluate.conftest import make_dataset, make_members

STUDY = resolve("fast", {"study": "finished", "split": {"groups": 2, "members": 2}, "evaluate": {"bootstrap": 100}})
TUMOURS, PATIENTS, SEED = 60, 45, 3


def instant(_network, _crops, labels, _tumours, splits, *_, **more):
    """Stands in for ``train_pack``: members with random answers, which depend on labels, training sets and seed."""
    dataset, _ = make_dataset(TUMOURS, PATIENTS, seed=SEED)
    sizes = sum(len(split.training) for split in splits)
    entropy = [int(np.dot(labels, np.arange(len(labels)))), sizes, more["seed"]]
    latent = np.random.default_rng(entropy).normal(size=len(labels))
    members = make_members(dataset, Splits(splits, "patient", 0, {}), latent).members
    more["progress"](len(members), len(members), "")
    return members


def without_training(monkeypatch, command: ModuleType) -> None:
    """``instant`` trains the members of a command, and no report is written, which takes seconds."""
    monkeypatch.setattr(procedure, "train_pack", instant)
    monkeypatch.setattr(command, "rebuild_report", lambda run: run.folder / "report.html")


def never_training(monkeypatch) -> None:
    """A training fails the test."""
    monkeypatch.setattr(procedure, "train_pack", lambda *_, **__: pytest.fail("trained"))


def interrupted(monkeypatch, at: int, error: type[BaseException] = KeyboardInterrupt) -> list[int]:
    """A list of the trainings, which grows; the training number ``at`` is ended by an error."""
    calls, train = [], procedure.train_pack

    def stopped(*given, **more):
        calls.append(1)
        if len(calls) == at:
            raise error
        return train(*given, **more)

    monkeypatch.setattr(procedure, "train_pack", stopped)
    return calls


def make_layout_another(folder: Path) -> None:
    """The evaluation of a run gets the layout of an earlier release."""
    layout = Run.read(folder).path("evaluation") / LAYOUT
    write_json(layout, {**read_json(layout), "version": 1})


def forget_streams() -> None:
    screen.file = errors.file = None


def srs(*arguments: object) -> tuple[int, str]:
    """Exit code and output of a command; an error as the entry point prints it."""
    forget_streams()
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if isinstance(result.exception, SrsError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def missing_in_newcomer(folder: Path) -> list[str]:
    """Names in a run's folder that the page for newcomers does not list."""
    page = (Path(__file__).parents[3] / "docs" / "newcomer.md").read_text()
    return [item.name for item in folder.iterdir() if f"`{item.name}{'/' * item.is_dir()}`" not in page]


def metrics_of(folder: Path) -> tuple[MlflowClient, str]:
    splits = Splits.read(Run.read(folder).path("splits"))
    return MlflowClient(f"sqlite:///{folder.parent / DATABASE}"), splits.tracking.parent
