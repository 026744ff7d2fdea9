"""Golden numbers: statsmodels 0.15.0 (``proportion_confint``, method beta), scikit-learn, STUDY 5 (Table III)."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from components.common.errors import InputError
from components.stats.roc import roc_summary
from components.stats.subgroups import LEAST_OF_CLASS, split_at, subgroups


def a_cohort():
    """Network 5 of the paper's group A on 23 tumours of the lung, and 7 tumours of another site."""
    labels = [1] * 11 + [0] * 12 + [1] * 4 + [0] * 3
    votes = [1] * 9 + [0] * 2 + [0] * 10 + [1] * 2 + [1, 1, 1, 0] + [0, 0, 1]
    patients = [f"P{i // 2}" for i in range(23)] + ["P0"] * 7
    return (
        np.array(labels),
        np.array(votes, dtype=float),
        patients,
        pd.DataFrame({"site": ["lung"] * 23 + ["breast"] * 7}),
    )


def test_a_subgroup_has_the_printed_auc_and_rates_with_exact_limits():
    lung, _ = subgroups(*a_cohort(), cut_off=0.5)
    assert (lung.covariate, lung.category, lung.responders, lung.non_responders) == ("site", "lung", 12, 11)
    assert lung.patients == 12
    assert (f"{lung.auc:.3f}", f"{100 * lung.sensitivity:.0f}", f"{100 * lung.specificity:.0f}") == (
        "0.826",
        "82",
        "83",
    )
    limits = (lung.sensitivity_low, lung.sensitivity_high, lung.specificity_low, lung.specificity_high)
    statsmodels = (0.4822441476398273, 0.9771688017000404, 0.5158622513140328, 0.9791374745399076)
    assert limits == pytest.approx(statsmodels, abs=1e-9)
    # Newcombe's own equation: the limits lie 1.96 of their own standard errors from the estimate.
    for limit in (lung.auc_low, lung.auc_high):
        odds = 10.5 * ((1 - limit) / (2 - limit) + limit / (1 + limit))
        assert abs(limit - lung.auc) == pytest.approx(
            1.959964 * np.sqrt(limit * (1 - limit) * (1 + odds) / 132), rel=1e-5
        )


def test_a_small_subgroup_has_rates_but_no_auc():
    _, breast = subgroups(*a_cohort(), cut_off=0.5)
    assert (breast.category, breast.responders, breast.non_responders, breast.patients) == ("breast", 3, 4, 1)
    assert (breast.auc, breast.auc_low, breast.auc_high) == (None, None, None)
    assert (breast.sensitivity, breast.specificity) == (0.75, pytest.approx(2 / 3))
    limits = (breast.sensitivity_low, breast.sensitivity_high, breast.specificity_low, breast.specificity_high)
    statsmodels = (0.19412044968324338, 0.9936905367902902, 0.09429932405024609, 0.9915962413403874)
    assert limits == pytest.approx(statsmodels, abs=1e-9)


@pytest.mark.parametrize("missing", [0, 1])
def test_the_named_number_of_each_class_decides_whether_there_is_an_auc(missing):
    labels = [1] * (LEAST_OF_CLASS - missing) + [0] * LEAST_OF_CLASS
    for labels_ in (labels, [1 - label for label in labels]):
        n = len(labels_)
        everyone = [*labels_, 0, 1], [*range(n), 0, 1], None, pd.DataFrame({"sex": ["F"] * n + ["M"] * 2})
        found = subgroups(*everyone, cut_off=0.5)[0]
        assert (found.auc is None) == bool(missing)


def test_a_subgroup_of_one_class_has_only_the_rate_of_that_class():
    labels, score = [1, 1, 0, 0], [0.9, 0.1, 0.2, 0.8]
    first, second = subgroups(labels, score, None, pd.DataFrame({"device": ["a", "a", "b", "b"]}), cut_off=0.5)
    assert (first.sensitivity, first.specificity, first.specificity_low) == (0.5, None, None)
    assert (second.sensitivity, second.sensitivity_high, second.specificity) == (None, None, 0.5)


def test_subgroups_divide_the_known_cases_and_equal_an_analysis_of_their_own():
    rng = np.random.default_rng(2)
    labels, score = rng.integers(0, 2, 200), rng.normal(size=200)
    patients = rng.integers(0, 150, 200)
    table = pd.DataFrame(
        {
            "site": rng.choice(["lung", "breast", "other"], 200, p=[0.6, 0.3, 0.1]),
            "size": split_at(rng.uniform(10, 35, 200), [20, 30]),
            "sex": rng.choice(["F", "M", None, ""], 200),
        }
    )
    found = subgroups(labels, score, patients, table, cut_off=0.0, level=0.9)
    for covariate in table:
        own = [group for group in found if group.covariate == covariate]
        known = table[covariate].notna() & (table[covariate] != "")
        assert sum(group.responders + group.non_responders for group in own) == known.sum()
    assert [group.category for group in found[:3]] == ["lung", "breast", "other"]
    assert [group.category for group in found[3:6]] == ["below 20", "20 to below 30", "30 or more"]
    assert {group.category for group in found[6:]} == {"F", "M"}
    for group in found:
        rows = (table[group.covariate] == group.category).to_numpy()
        assert group.auc == pytest.approx(sklearn_metrics.roc_auc_score(labels[rows], score[rows]))
        alone = roc_summary(labels[rows], score[rows], "newcombe", level=0.9)
        assert (group.auc_low, group.auc_high) == (alone.ci_low, alone.ci_high)
        recall = [sklearn_metrics.recall_score(labels[rows], score[rows] > 0, pos_label=label) for label in (1, 0)]
        assert [group.sensitivity, group.specificity] == pytest.approx(recall)
        assert group.patients == len(set(patients[rows]))


def test_every_value_can_be_written_as_json():
    values = [value for group in subgroups(*a_cohort(), cut_off=0.5) for value in dataclasses.astuple(group)]
    assert {type(value) for value in values} == {str, int, float, type(None)}


def test_a_cut_belongs_to_the_class_above_it_and_unknown_values_to_none():
    split = split_at([19.9, 20, 29.5, 30, np.nan, np.inf], [20, 30])
    assert list(split[:4]) == ["below 20", "20 to below 30", "20 to below 30", "30 or more"]
    assert split.isna().tolist() == [False] * 4 + [True] * 2


def test_without_cuts_a_covariate_is_split_at_its_median():
    assert list(split_at([1, 2.5, 4, np.nan])[:3]) == ["below 2.5", "2.5 or more", "2.5 or more"]
    assert split_at([np.nan, np.nan]).isna().all()


def test_classes_without_a_case_are_left_out():
    found = subgroups([1, 0], [0.7, 0.2], None, pd.DataFrame({"age": split_at([50, 51], [30, 60])}), cut_off=0.5)
    assert [group.category for group in found] == ["30 to below 60"]


@pytest.mark.parametrize("cuts", [[], [30, 20], [20, 20], [np.nan], [[20, 30]]])
def test_refuses_cuts_that_do_not_rise(cuts):
    with pytest.raises(InputError, match="SUBGROUP_CUTS"):
        split_at([10, 25, 35], cuts)


def test_refuses_a_table_and_patients_that_do_not_fit():
    table = pd.DataFrame({"sex": ["F", "M"]})
    for labels, patients in (([0, 1, 1], None), ([0, 1], ["p"])):
        with pytest.raises(InputError, match="ROC_MISMATCHED"):
            subgroups(labels, labels, patients, table, cut_off=0.5)
