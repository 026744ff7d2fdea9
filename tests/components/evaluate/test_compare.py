import dataclasses
import json

import pytest

from components.common.errors import InputError
from components.common.presets import resolve
from components.common.settings import EvaluateSettings
from components.evaluate.compare import COLUMNS, compare, comparison_text, differing_settings, records
from components.evaluate.evaluation import evaluate
from components.stats.roc import paired_test

SETTINGS = EvaluateSettings(bootstrap=100)


@pytest.fixture(scope="module")
def runs(study, make):
    dataset, splits, _ = study
    *_, make_members = make
    latent = dataset.tumours["label"].to_numpy() * 2.0
    other = make_members(dataset, splits, latent, noise=3.0, seed=9)
    return evaluate(*study, SETTINGS, seed=1), evaluate(dataset, splits, other, SETTINGS, seed=1)


def test_compares_each_group_on_the_tumours_of_both(runs):
    table = compare(*runs)
    assert tuple(table.columns) == COLUMNS
    assert list(table["group"]) == list("ABCDE")
    first, second = (
        [r for r in run.scores.to_dict("records") if (r["group"], r["role"]) == ("C", "evaluation")] for run in runs
    )
    test = paired_test(
        [r["label"] for r in first], [r["mean"] for r in first], [r["mean"] for r in second],
        patients=[r["patient"] for r in first],
    )  # fmt: skip
    row = table[table["group"] == "C"].iloc[0]
    assert (row["difference"], row["se"], row["p_value"]) == pytest.approx((test.difference, test.se, test.p_value))
    assert row["tumours"] == len(first)


def test_a_run_does_not_differ_from_itself(runs):
    table = compare(runs[0], runs[0])
    assert (table["difference"] == 0).all()
    assert (table["p_value"] == 1).all()
    assert table["detectable"].isna().all()


def test_text_fits_the_terminal_and_is_labelled_synthetic(runs):
    text = comparison_text(*runs)
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("SYNTHETIC")
    assert f"{runs[0].metrics.mean_auc:.3f} (5 groups)" in text


def test_shared_tumours_of_one_class_give_no_test(runs):
    first, second = runs
    only = second.scores[(second.scores["group"] != "A") | (second.scores["label"] == 1)]
    table = compare(first, dataclasses.replace(second, scores=only))
    assert table["auc_a"].isna().tolist() == [True, False, False, False, False]
    assert "–" in comparison_text(first, dataclasses.replace(second, scores=only))


def test_refuses_runs_that_share_nothing(runs):
    first, second = runs
    renamed = second.scores.assign(tumour=second.scores["tumour"] + "x")
    with pytest.raises(InputError, match="RUNS_NOT_COMPARABLE"):
        compare(first, dataclasses.replace(second, scores=renamed))
    relabelled = second.scores.assign(label=1 - second.scores["label"])
    with pytest.raises(InputError, match="RUNS_NOT_COMPARABLE"):
        compare(first, dataclasses.replace(second, scores=relabelled))


def test_names_the_settings_that_differ(study):
    _, splits, _ = study
    other = dataclasses.replace(splits, settings=resolve("default", {"train": {"learning_rate": 0.02}, "seed": 7}))
    assert differing_settings(splits, splits) == []
    assert differing_settings(splits, other) == [("seed", "1", "7"), ("train / learning_rate", "0.01", "0.02")]


def test_records_are_json_without_nan(runs):
    first, second = runs
    only = second.scores[(second.scores["group"] != "A") | (second.scores["label"] == 1)]
    rows = json.loads(json.dumps(records(first, dataclasses.replace(second, scores=only)), allow_nan=False))
    assert [row["auc_a"] is None for row in rows] == [True, False, False, False, False]
