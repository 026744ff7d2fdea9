"""`srs learning-curve` on the folder of a run: the files, the report, MLflow, a stop, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.learning_curve import LearningCurve
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.files import read_json
from pipelines.commands.cli import app
from pipelines.local import learning_run
from pipelines.local.runs import Run
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

SMALL = ("--fraction", 0.5, "--fraction", 0.75, "--draws", 2)


@pytest.fixture
def folder(finished_run, monkeypatch) -> Path:
    without_training(monkeypatch, learning_run)
    return finished_run


def learn(*arguments: object) -> tuple[int, str]:
    return srs("learning-curve", *arguments)


def test_a_curve_is_stored_shown_and_logged_once(folder, monkeypatch):
    assert learn(folder, *SMALL)[0] == 0
    monkeypatch.setattr(learning_run, "rebuild_report", rebuild_report)
    code, text = learn(folder, *SMALL)
    assert code == 0, text
    assert missing_in_newcomer(folder) == []
    curve, run = LearningCurve.read(folder), Run.read(folder)
    metrics, splits = Evaluation.read(run.path("evaluation")).metrics, Splits.read(run.path("splits"))
    assert [(point.fraction, len(point.aucs)) for point in curve.points] == [(0.5, 2), (0.75, 2)]
    assert (curve.run.mean_auc, curve.run.limits) == (metrics.mean_auc, metrics.mean_auc_limits)
    sizes = [len(split.training) for split in splits.members]
    assert curve.run.training_tumours == sum(sizes) / len(sizes)
    assert curve.points[0].training_tumours < curve.points[1].training_tumours < curve.run.training_tumours
    assert curve.rise.difference == pytest.approx(metrics.mean_auc - curve.points[1].mean)
    ends = re.search(r"mean AUC is (0\.\d{3}) instead of (0\.\d{3}): a difference of ([+-]0\.\d{3})", text)
    assert float(ends[1]) - float(ends[2]) == pytest.approx(float(ends[3]))
    assert 'id="learning-curve"' in (folder / "report.html").read_text()
    assert 'id="learning-curve"' in (folder / "learning_curve.html").read_text()
    client, parent = metrics_of(folder)
    logged = client.get_metric_history(parent, "learning_curve/mean_auc")
    assert {point.step: point.value for point in logged} == {
        **{round(point.training_tumours): point.mean for point in curve.points},
        round(curve.run.training_tumours): metrics.mean_auc,
    }
    assert len(logged) == 3
    assert client.get_run(parent).data.metrics["learning_curve/mean_auc"] == metrics.mean_auc
    assert client.get_run(parent).data.metrics["learning_curve/difference"] == curve.rise.difference
    assert sorted(item.path for item in client.list_artifacts(parent)) == ["learning_curve.html", "learning_curve.json"]
    assert client.get_run(parent).info.status == "FINISHED"


def test_mlflow_shows_the_later_curve(folder):
    learn(folder, *SMALL)
    first = LearningCurve.read(folder)
    assert learn(folder, *SMALL, "--draws", 3)[0] == 0
    curve, (client, parent) = LearningCurve.read(folder), metrics_of(folder)
    assert curve.draws == 3
    assert curve.points[1].aucs[:2] == first.points[1].aucs
    assert client.get_run(parent).data.metrics["learning_curve/difference"] == curve.rise.difference


def test_json_is_the_file(folder):
    result = CliRunner().invoke(app, ["learning-curve", str(folder), *map(str, SMALL), "--json"])
    assert json.loads(result.stdout) == read_json(folder / "learning_curve.json")


def test_the_newest_run_and_three_draws_of_three_fractions_are_the_default(folder):
    code, text = learn("--home", folder.parent)
    assert code == 0, text
    curve = LearningCurve.read(folder)
    assert ([point.fraction for point in curve.points], curve.draws) == ([0.25, 0.5, 0.75], 3)


def test_one_draw_has_no_spread_and_the_table_says_so(folder):
    code, text = learn(folder, "--fraction", 0.5, "--draws", 1)
    assert code == 0, text
    assert re.search(r"^ +0\.5 +[\d.]+ +0\.\d{3} +one draw$", text, re.MULTILINE)
    assert "–" not in text


def test_ctrl_c_says_how_many_are_stored_and_the_next_call_goes_on(folder, monkeypatch):
    calls = interrupted(monkeypatch, 3)
    code, text = learn(folder, *SMALL)
    assert code == 130
    assert re.search(r"learn +stopped after", text)
    assert "2 of 4 trainings are stored" in text
    assert LearningCurve.read(folder) is None
    assert learn(folder, *SMALL)[0] == 0
    assert len(calls) == 3 + 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--fraction", 0.02), "FRACTION_TOO_SMALL", "fraction 0.02, draw 1: group A: fewer than two patients"),
        (("--fraction", 1), "FRACTIONS_INVALID", "above 0 and below 1"),
    ],
)
def test_impossible_fractions_are_refused_before_training(folder, monkeypatch, arguments, code, text):
    never_training(monkeypatch)
    exit_code, output = learn(folder, *arguments)
    assert exit_code == 2
    assert code in output
    assert text in output


def test_an_evaluation_of_another_layout_is_refused_before_training(folder, monkeypatch):
    never_training(monkeypatch)
    make_layout_another(folder)
    code, text = learn(folder)
    assert code == 2
    assert "expected evaluation version 2, found evaluation version 1" in text


def test_a_damaged_curve_is_refused_by_the_report(folder):
    (folder / "learning_curve.json").write_text('{"draws": "many"}')
    with pytest.raises(InputError) as caught:
        rebuild_report(Run.read(folder))
    assert caught.value.code == "ARTIFACT_DAMAGED"
