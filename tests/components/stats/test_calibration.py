"""Golden numbers from scikit-learn: its logistic regression without penalty and its Brier score."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from components.stats.calibration import calibrate, fit_platt, reliability
from components.stats.platt import calibrated, logit


@pytest.fixture(scope="module")
def overconfident():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=2000)
    labels = (rng.random(2000) < 1 / (1 + np.exp(-truth))).astype(int)
    return labels, 1 / (1 + np.exp(-2 * truth))


def test_slope_and_brier_equal_scikit_learns(overconfident):
    labels, score = overconfident
    calibration = calibrate(labels, score)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(logit(score)[:, None], labels)
    assert calibration.slope == pytest.approx(reference.coef_[0, 0], abs=1e-4)
    assert calibration.brier == pytest.approx(sklearn_metrics.brier_score_loss(labels, score))
    # Logits were doubled, so the slope that undoes it is one half.
    assert calibration.slope == pytest.approx(0.5, abs=0.08)
    assert calibration.n == 2000


def test_intercept_measures_calibration_in_the_large():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-truth))
    shifted = 1 / (1 + np.exp(-(truth - 0.7)))
    assert calibrate(labels, shifted).intercept == pytest.approx(0.7, abs=0.12)


def test_platt_scaling_corrects_overconfident_scores(overconfident):
    labels, score = overconfident
    platt = fit_platt(labels[:1000], score[:1000])
    after = calibrate(labels[1000:], calibrated(score[1000:], platt.slope, platt.intercept))
    assert after.slope == pytest.approx(1.0, abs=0.2)
    assert after.brier < calibrate(labels[1000:], score[1000:]).brier
    assert platt.n == 1000


def test_separated_and_constant_scores_have_no_slope():
    assert calibrate([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]).slope is None
    assert calibrate([0, 1, 0, 1], [0.5] * 4).slope is None
    assert fit_platt([0, 1, 0, 1], [0.5] * 4) is None


def test_vote_fractions_of_zero_and_one_give_finite_results():
    calibration = calibrate([0, 1, 0, 1, 1, 0], [0.0, 1.0, 1.0, 0.6, 0.0, 0.3])
    assert np.isfinite([calibration.brier, calibration.slope, calibration.intercept]).all()


def test_reliability_bins_have_equal_counts_and_contain_all_cases(overconfident):
    labels, score = overconfident
    curve = reliability(labels, score, bins=5)
    assert curve["n"].tolist() == [400] * 5
    assert curve["score"].is_monotonic_increasing
    assert (curve["observed"] * curve["n"]).sum() == pytest.approx(labels.sum())


def test_reliability_keeps_ties_together():
    curve = reliability([0, 1, 0, 1, 1, 0], [0.2, 0.2, 0.2, 0.2, 0.2, 0.9], bins=5)
    assert curve["n"].tolist() == [5, 1]
