"""`srs permute` on the folder of a run: the file, the report, MLflow, a stop, and what it refuses."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.common.artifacts.permutation import PermutationTest
from components.common.errors import InputError
from components.common.files import read_json, write_json
from pipelines.commands.cli import app
from pipelines.local import permuted_run
from pipelines.local.session import rebuild_report
from tests.pipelines.local.finished_run import (
    interrupted,
    make_layout_another,
    metrics_of,
    missing_in_newcomer,
    never_training,
    srs,
    without_training,
)

runner = CliRunner()


@pytest.fixture
def folder(finished_run, monkeypatch) -> Path:
    without_training(monkeypatch, permuted_run)
    return finished_run


def permute(*arguments: object) -> tuple[int, str]:
    return srs("permute", *arguments)


def test_a_test_is_stored_shown_and_logged_once(folder, monkeypatch):
    assert permute(folder, "--n", 5)[0] == 0
    monkeypatch.setattr(permuted_run, "rebuild_report", rebuild_report)
    code, text = permute(folder, "--n", 5)
    assert code == 0, text
    assert missing_in_newcomer(folder) == []
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


def test_development_predictions_that_repeat_the_evaluation_are_not_shown_or_logged(folder, monkeypatch):
    real = permuted_run.permutation_test

    def of_two_centres(dataset, metrics, permuted, **more):
        test = real(dataset, metrics, [(auc, auc) for auc, _ in permuted], **more)
        return dataclasses.replace(test, observed_development=test.observed)

    monkeypatch.setattr(permuted_run, "permutation_test", of_two_centres)
    code, text = permute(folder, "--n", 2)
    assert code == 0, text
    assert "on development predictions" not in text
    assert "each group's development predictions are evaluation predictions of the other: no second test" in text
    client, parent = metrics_of(folder)
    logged = client.get_run(parent).data.metrics
    assert "permutation/null_mean" in logged
    assert not [name for name in logged if "development" in name and name.startswith("permutation/")]


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
    never_training(monkeypatch)
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
    never_training(monkeypatch)
    make_layout_another(folder)
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
