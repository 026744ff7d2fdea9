"""Studies that leave out one centre after the other."""

import dataclasses

import numpy as np
import pytest

from components.common.artifacts.splits import OnlyTraining, Splits
from components.common.settings import EvaluateSettings, SplitSettings, StudySettings
from components.evaluate.centre_table import centre_lines, range_over_centres
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.model_card import write_model_card
from components.evaluate.report import write_report
from components.evaluate.tables import terminal_tables
from components.split.splits import make_splits, quotas
from components.stats.roc import auc_score
from tests.components.evaluate.test_report import parsed

SETTINGS = EvaluateSettings(bootstrap=100)


@pytest.fixture(scope="module")
def left_out(make):
    """A study whose images say nothing at one centre: dataset, splits, members, result and that centre."""
    make_dataset, _, make_members = make
    dataset, latent = make_dataset(signal=2.5)
    split = SplitSettings(split_unit="centre", members=3)
    members = make_splits(dataset.tumours, split, study="study", seed=1)
    counts = quotas(members, dataset.tumours, split)
    splits = Splits(members, "centre", 0, counts, settings=StudySettings(split=split), digest="e" * 64)
    bad = splits.centres(dataset.tumours)["B"]
    latent = np.where(dataset.tumours["centre"] == bad, -latent, latent)
    trained = make_members(dataset, splits, latent)
    result = evaluate(dataset, splits, trained, SETTINGS, seed=1)
    return dataset, splits, trained, result, bad


def test_every_centre_has_the_metrics_of_the_group_that_left_it_out(left_out):
    dataset, splits, _, result, bad = left_out
    lines = centre_lines(result)
    assert [line.group for line in lines] == ["A", "B", "C"]
    for line in lines:
        own = dataset.tumours[dataset.tumours["centre"] == line.centre]
        rows = result.scores[(result.scores["group"] == line.group) & (result.scores["role"] == "evaluation")]
        assert set(rows["tumour"]) == set(own["tumour"])
        assert line.evaluation.auc == auc_score(rows["label"], rows["mean"])
        assert (line.patients, line.observed) == (own["patient"].nunique(), own["label"].mean())
        assert 0 < line.predicted < 1
    assert result.metrics.worst_centre_auc == min(line.evaluation.auc for line in lines) < 0.4
    assert result.metrics.centres[result.metrics.worst_group] == bad
    only = splits.only_training(dataset.tumours)
    assert result.metrics.study.n + only.known + only.unknown == len(dataset.tumours)
    assert splits.centres(dataset.tumours) == result.metrics.centres


def test_pages_name_the_worst_centre_and_what_only_trains(left_out, tmp_path):
    dataset, splits, members, result, bad = left_out
    run = EvaluatedRun(dataset, splits, members, result, {"seed": 1})
    page = write_report(tmp_path, run).read_text()
    parsed(page)
    worst = f"{result.metrics.worst_centre_auc:.3f}"
    assert f"The lowest AUC is that of {bad} (group B): {worst}." in page
    unknown = int(dataset.tumours["centre"].isna().sum())
    assert f" {unknown} tumours of an unknown centre were only used for training and validation; tumours of" in page
    assert " 0 tumours" not in page
    aucs = [line.evaluation.auc for line in centre_lines(result)]
    assert f"{min(aucs):.2f} to {max(aucs):.2f}. Were centres drawn at random" in page
    assert "with a probability of 50" in page
    assert "leave out 3 of the 3 known centres" in page
    assert f"{bad} left out:" in page
    assert "no clusters" not in page
    assert "passed over" not in page
    card = write_model_card(tmp_path, run).read_text()
    assert "Splits are by centre, not by tumour" in card
    assert "(3 of the cohort's 3 known centres)" in card
    assert "This run has another design (3 centres left out in turn, " in card
    assert f"centre is {worst} ({bad})" in card
    assert f"Lowest AUC of 3 centres left out: {worst} ({bad}, group B)" in terminal_tables(result, dataset)


def test_tumours_that_only_train_are_told_in_words():
    assert OnlyTraining(0, 0, 0).words == ""
    assert OnlyTraining(2, 48, 0).words == "48 tumours of 2 other centres"
    assert OnlyTraining(1, 1, 3).words == "1 tumour of another centre and 3 tumours of an unknown centre"


def test_a_further_of_four_exchangeable_centres_lies_outside_their_range_in_two_of_five_cases(left_out):
    draws = np.random.default_rng(1).normal(size=(200_000, 5))
    outside = (draws[:, 4] < draws[:, :4].min(axis=1)) | (draws[:, 4] > draws[:, :4].max(axis=1))
    line = centre_lines(left_out[3])[0]
    assert range_over_centres([line] * 4)["outside"] == pytest.approx(outside.mean(), abs=0.005)
    assert range_over_centres([]) == {}


def test_other_splits_have_no_centre_table(study):
    result = evaluate(*study, SETTINGS, seed=1)
    assert centre_lines(result) == []
    assert (result.metrics.centres, result.metrics.worst_centre_auc) == ({}, None)
    assert dataclasses.asdict(result.metrics)["centres"] == {}
