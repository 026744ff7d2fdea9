"""`srs permute` on the folder of a run: the file, the report, MLflow, a stop, and what it refuses."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.layout import LAYOUT
from components.common.artifacts.permutation import PermutationTest
from components.common.artifacts.splits import Splits
from components.common.errors import InputError, SrsError
from components.common.files import read_json, write_json
from components.common.presets import resolve
from components.common.sqlite_store import DATABASE
from components.evaluate.evaluation import evaluate
from components.model.networks.building import build_network
from components.split.splits import make_splits
from pipelines.commands.cli import app
from pipelines.commands.terminal import errors, screen
from pipelines.local import permuted_run, permuting
from pipelines.local.runs import Run
from pipelines.local.session import rebuild_report
from tests.components.evaluate.conftest import make_dataset, make_members

STUDY = resolve("fast", {"study": "permuted", "split": {"groups": 2, "members": 2}, "evaluate": {"bootstrap": 100}})
runner = CliRunner()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home with an MLflow store and the artifacts of a run."""
    home = tmp_path_factory.mktemp("permuted") / "home"
    (home / "mlflow").mkdir(parents=True)
    dataset, latent = make_dataset(60, 45, seed=3)
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
def folder(home, monkeypatch) -> Path:
    """The folder of a finished run, the newest of its home, with MLflow runs of its own.

    ``instant`` trains its members, and no report is written, which takes seconds.
    """
    monkeypatch.setattr(permuting, "train_pack", instant)
    monkeypatch.setattr(permuted_run, "rebuild_report", lambda run: run.folder / "report.html")
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


def instant(_network, _crops, labels, _tumours, splits, *_, **more):
    """Stands in for ``train_pack``: members with random answers."""
    dataset, _ = make_dataset(60, 45, seed=3)
    latent = np.random.default_rng(int(np.dot(labels, np.arange(len(labels))))).normal(size=len(labels))
    members = make_members(dataset, Splits(splits, "patient", 0, {}), latent).members
    more["progress"](len(members), len(members), "")
    return members


@pytest.fixture(autouse=True)
def consoles_are_put_back():
    """The display of progress keeps the stream of its first run, which the runner closes."""
    yield
    forget_streams()


def forget_streams() -> None:
    screen.file = errors.file = None


def permute(*arguments: object) -> tuple[int, str]:
    """Exit code and output; an error as the entry point prints it."""
    forget_streams()
    result = runner.invoke(app, ["permute", *map(str, arguments)])
    if isinstance(result.exception, SrsError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def interrupted(monkeypatch, at: int) -> list[int]:
    """A list of the permutations that are trained, which grows; the training number ``at`` is interrupted."""
    calls: list[int] = []

    def stopped(*given, **more):
        calls.append(len(calls) + 1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return instant(*given, **more)

    monkeypatch.setattr(permuting, "train_pack", stopped)
    return calls


def metrics_of(folder: Path) -> tuple[MlflowClient, str]:
    splits = Splits.read(Run.read(folder).path("splits"))
    return MlflowClient(f"sqlite:///{folder.parent / DATABASE}"), splits.tracking.parent


def test_a_test_is_stored_shown_and_logged_once(folder, monkeypatch):
    assert permute(folder, "--n", 5)[0] == 0
    monkeypatch.setattr(permuted_run, "rebuild_report", rebuild_report)
    code, text = permute(folder, "--n", 5)
    assert code == 0, text
    test = PermutationTest.read(folder)
    assert f"p = {test.p_value:.3g} of 5 permutations" in text
    assert 'id="permutation"' in (folder / "report.html").read_text()
    client, parent = metrics_of(folder)
    logged = client.get_run(parent).data.metrics
    assert logged["permutation/p_value"] == test.p_value
    assert logged["permutation/n"] == 5
    assert logged["permutation/null_mean"] == pytest.approx(test.null.mean)
    assert logged["permutation/development_null_sd"] == pytest.approx(test.development_null.sd)
    assert not [name for name in logged if "quantile" in name], "too few"
    assert "no 95 % quantile of fewer than 19" in text
    assert len(client.get_metric_history(parent, "permutation/p_value")) == 1
    assert [item.path for item in client.list_artifacts(parent)] == ["permutation.json"]
    assert client.get_run(parent).info.status == "FINISHED"
    children = client.search_runs([client.get_run(parent).info.experiment_id], f"tags.`srs.parent` = '{parent}'")
    assert len(children) == 2  # the groups: the members of permutations have no runs


def test_mlflow_shows_the_figures_of_the_longer_test(folder):
    """The p-value of the shorter one is larger; MLflow would show the larger of two values at one step."""
    permute(folder, "--n", 1)
    code, text = permute(folder, "--n", 6, "--json")
    assert code == 0, text
    client, parent = metrics_of(folder)
    test = PermutationTest.read(folder)
    assert client.get_run(parent).data.metrics["permutation/n"] == 6
    assert client.get_run(parent).data.metrics["permutation/p_value"] == test.p_value


def test_a_smaller_number_counts_all_permutations_of_the_seed(folder, monkeypatch):
    permute(folder, "--n", 6)
    former = (folder / "permutation.json").read_bytes()
    monkeypatch.setattr(permuting, "train_pack", lambda *_, **__: pytest.fail("trained"))
    code, text = permute(folder, "--n", 2)
    assert code == 0, text
    assert "6 permutations of seed 1 are stored: all of them count" in text
    assert "of 6 permutations" in text
    assert (folder / "permutation.json").read_bytes() == former


def test_permutations_of_a_test_that_was_stopped_count_in_a_shorter_one(folder, monkeypatch):
    calls = interrupted(monkeypatch, 4)
    assert permute(folder, "--n", 9)[0] == 130
    assert permute(folder, "--n", 2)[0] == 0
    assert PermutationTest.read(folder).n == 3
    assert len(calls) == 4


def test_a_longer_test_with_another_seed_is_kept_and_the_command_says_so(folder):
    permute(folder, "--n", 4)
    kept = PermutationTest.read(folder)
    code, text = permute(folder, "--n", 2, "--seed", 2)
    assert code == 0, text
    assert PermutationTest.read(folder) == kept
    assert f"the report keeps the test of 4 permutations with seed 1 (p = {kept.p_value:.3g})" in text
    assert "would replace it with --n 4" in text
    assert "of 2 permutations" in text
    client, parent = metrics_of(folder)
    assert client.get_run(parent).data.metrics["permutation/n"] == 4
    permute(folder, "--n", 4, "--seed", 2)
    assert PermutationTest.read(folder).seed == 2


@pytest.mark.parametrize("damaged", [True, False])
def test_a_test_that_is_damaged_or_of_another_evaluation_is_replaced(folder, damaged):
    permute(folder, "--n", 4)
    other = dataclasses.replace(PermutationTest.read(folder), observed=0.99)
    file = other.write(folder)
    if damaged:
        file.write_text("{}")
    permute(folder, "--n", 1, "--seed", 2)
    assert (PermutationTest.read(folder).n, PermutationTest.read(folder).seed) == (1, 2)


def test_json_is_the_file(folder):
    result = runner.invoke(app, ["permute", str(folder), "--n", "2", "--json"])
    assert json.loads(result.stdout) == read_json(folder / "permutation.json")


def test_the_newest_run_of_the_home_is_the_default(folder):
    assert permute("--home", folder.parent, "--n", 2)[0] == 0
    assert PermutationTest.read(folder).n == 2


def test_ctrl_c_says_how_many_are_stored_and_the_next_call_goes_on(folder, monkeypatch):
    calls = interrupted(monkeypatch, 3)
    code, text = permute(folder, "--n", 4)
    assert code == 130
    assert re.search(r"permute +stopped after", text)
    assert "2 of 4 permutations are stored" in text
    assert PermutationTest.read(folder) is None
    assert permute(folder, "--n", 4)[0] == 0
    assert len(calls) == 3 + 2


def test_a_folder_without_a_run_is_refused(tmp_path):
    code, text = permute(tmp_path)
    assert code == 2
    assert "RUN_UNKNOWN" in text


def test_a_home_without_a_run_is_refused(tmp_path):
    code, text = permute("--home", tmp_path / "absent")
    assert code == 2
    assert "HOME_UNKNOWN" in text


def test_an_evaluation_of_another_layout_is_refused_before_training(folder, monkeypatch):
    monkeypatch.setattr(permuting, "train_pack", lambda *_, **__: pytest.fail("trained"))
    layout = Run.read(folder).path("evaluation") / LAYOUT
    write_json(layout, {**read_json(layout), "version": 1})
    code, text = permute(folder)
    assert code == 2
    assert "expected evaluation version 2, found evaluation version 1" in text


def test_a_quantile_of_too_few_that_an_earlier_release_wrote_is_not_read(folder):
    permute(folder, "--n", 2)
    plain = read_json(folder / "permutation.json")
    plain["null"]["quantile_95"] = plain["development_null"]["quantile_95"] = 0.6
    write_json(folder / "permutation.json", plain)
    test = PermutationTest.read(folder)
    assert (test.null.quantile_95, test.development_null.quantile_95) == (None, None)


def test_a_damaged_test_is_refused_by_the_report(folder):
    (folder / "permutation.json").write_text('{"n": "many"}')
    with pytest.raises(InputError) as caught:
        PermutationTest.read(folder)
    assert caught.value.code == "ARTIFACT_DAMAGED"
