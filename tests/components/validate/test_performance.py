"""The performance on a cohort, against scikit-learn, statsmodels' definitions by hand, and published formulas."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from components.common.errors import InputError
from components.evaluate.decision import THRESHOLDS
from components.validate.performance import covariates_of, measure
from tests.components.validate.made import make_scores, make_table


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def rows(table):
    return make_scores(table)


@pytest.fixture(scope="module")
def figures(rows, table):
    return measure(rows, table, primary="mean", cut_off=0.5, samples=200, seed=1)


def test_aucs_are_scikit_learns(rows, figures):
    """Of scikit-learn's ``roc_auc_score``, in the locked version."""
    assert figures.auc.auc == pytest.approx(sk.roc_auc_score(rows["label"], rows["mean"]), abs=1e-12)
    assert figures.auc_by_score.vote == pytest.approx(sk.roc_auc_score(rows["label"], rows["vote"]), abs=1e-12)
    assert figures.auc.ci == "newcombe"
    assert figures.intervals.newcombe.ci_low == figures.auc.ci_low
    for other in (figures.intervals.delong, figures.intervals.bootstrap):
        assert other.ci_low < figures.auc.auc < other.ci_high


@pytest.mark.parametrize(("count", "separated", "given"), [(9, False, False), (10, False, True), (20, True, False)])
def test_intervals_that_shrink_to_a_point_or_rest_on_too_few_patients_are_withheld(count, separated, given):
    """A perfect AUC has DeLong and bootstrap limits from 1 to 1, however few tumours there are."""
    table = make_table(count)
    rows = make_scores(table)
    rows["mean"] = 0.2 + 0.6 * table["label"] if separated else np.linspace(0.1, 0.9, count)
    found = measure(rows, table, primary="mean", cut_off=0.5, samples=50, seed=1)
    assert [one is not None for one in (found.intervals.delong, found.intervals.bootstrap)] == [given] * 2
    assert found.intervals.newcombe.ci_low < found.intervals.newcombe.ci_high
    assert [point.low is not None for point in found.net_benefit] == [count >= 10] * len(found.net_benefit)


def test_rates_are_scikit_learns_with_exact_limits(rows, figures):
    called = rows["mean"] > 0.5
    assert figures.rates.sensitivity == pytest.approx(sk.recall_score(rows["label"], called))
    assert figures.rates.specificity == pytest.approx(sk.recall_score(1 - rows["label"], ~called))
    hits, of = int((called & (rows["label"] == 1)).sum()), int((rows["label"] == 1).sum())
    low, high = stats.beta.ppf([0.025, 0.975], [hits, hits + 1], [of - hits + 1, of - hits])
    assert (figures.rates.sensitivity_low, figures.rates.sensitivity_high) == pytest.approx((low, high))


def test_brier_scores_and_slope_are_scikit_learns(rows, figures):
    from sklearn.linear_model import LogisticRegression

    assert figures.raw.brier == pytest.approx(sk.brier_score_loss(rows["label"], rows["mean"]))
    assert figures.calibrated.brier == pytest.approx(sk.brier_score_loss(rows["label"], rows["calibrated"]))
    logits = np.log(rows["mean"] / (1 - rows["mean"])).to_numpy()[:, None]
    fitted = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000).fit(logits, rows["label"])
    assert figures.raw.slope == pytest.approx(float(fitted.coef_[0, 0]), rel=1e-4)


def test_net_benefit_is_that_of_the_confusion_matrix(rows, figures):
    assert tuple(one.threshold for one in figures.net_benefit) == THRESHOLDS
    for one in figures.net_benefit:
        tn, fp, fn, tp = sk.confusion_matrix(rows["label"], rows["calibrated"] >= one.threshold).ravel()
        weight = one.threshold / (1 - one.threshold)
        assert one.model == pytest.approx((tp - weight * fp) / (tn + fp + fn + tp))


def test_every_covariate_has_its_subgroups(table, figures):
    named = {one.covariate for one in figures.subgroups}
    assert named == set(covariates_of(table).columns)
    sizes = {one.category: one.responders + one.non_responders for one in figures.subgroups}
    assert sizes["65 or more"] == int((table["age"] >= 65).sum())
    assert sizes["below 20"] == int((table["diameter_mm"] < 20).sum())
    assert sizes["120"] == int((table["kvp"] == 120).sum())
    assert sizes["yes"] == int((table["contrast_agent"] == "yes").sum()) < len(table)


def test_a_centre_has_its_own_figures(rows, table, figures):
    assert figures.counts.centres == len(figures.centres) == 2
    own = (table["centre"] == "C-bbbbbbbbbb").to_numpy()
    centre = figures.centres["C-bbbbbbbbbb"]
    assert centre.performance.auc == pytest.approx(sk.roc_auc_score(rows["label"][own], rows["mean"][own]))
    assert centre.calibration.brier == pytest.approx(sk.brier_score_loss(rows["label"][own], rows["calibrated"][own]))
    assert centre.observed == pytest.approx(table["label"][own].mean())
    assert centre.mean_probability == pytest.approx(rows["calibrated"][own].mean())


def test_without_a_scaling_there_is_no_probability_and_no_decision_curve(rows, table):
    raw = measure(rows.assign(calibrated=np.nan), table, primary="vote", cut_off=0.5, samples=100, seed=1)
    assert raw.calibrated is None
    assert raw.net_benefit == ()
    assert raw.auc.auc == pytest.approx(sk.roc_auc_score(rows["label"], rows["vote"]))
    assert raw.centres["C-aaaaaaaaaa"].mean_probability == pytest.approx(
        rows["vote"][(table["centre"] == "C-aaaaaaaaaa").to_numpy()].mean()
    )


def test_a_cohort_without_covariates_has_no_subgroups(rows, table):
    bare = table.assign(**dict.fromkeys(["sex", "age", "primary_site", "location", "diameter_mm", "device"]))
    bare = bare.assign(**dict.fromkeys(["contrast_agent", "kvp", "centre"]))
    figures = measure(rows, bare, primary="mean", cut_off=0.5, samples=100, seed=1)
    assert figures.subgroups == ()
    assert figures.centres == {}
    assert figures.counts.centres == 0


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_refused(rows, table, label):
    one = (table["label"] == label).to_numpy()
    with pytest.raises(InputError) as caught:
        measure(rows[one], table[one], primary="mean", cut_off=0.5, samples=100, seed=1)
    assert caught.value.code == "VALIDATION_ONE_CLASS"
