"""Golden numbers from scikit-learn (logistic regression without penalty, Brier score) and statsmodels 0.15.0."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from components.common.errors import InputError
from components.stats.calibration import calibrate, fit_platt, reliability
from components.stats.platt import calibrated, logit
from tests.components.stats.tumours import LABELS, PATIENTS, SCORES


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


#: Value and 95 % limits by statsmodels: ``Logit``, ``GLM`` with the logits as offset, and ``OLS`` on a constant of the
#: squared errors; then each with ``cov_type="cluster"``, and ``use_t=True`` for the last.
INDEPENDENT = {
    "slope": (1.08073708, 0.14133429, 2.02013986),
    "intercept": (0.64265762, -0.29078118, 1.57609642),
    "brier": (0.188, 0.08651079, 0.28948921),
}
CLUSTERED = {
    "slope": (1.08073708, 0.05412442, 2.10734973),
    "intercept": (0.64265762, -0.44345034, 1.72876558),
    "brier": (0.188, 0.06057313, 0.31542687),
}


@pytest.mark.parametrize(("patients", "expected"), [(None, INDEPENDENT), (PATIENTS, CLUSTERED)])
def test_limits_equal_those_of_statsmodels(patients, expected):
    found = calibrate(LABELS, SCORES, patients=patients)
    for name, limits in expected.items():
        values = [getattr(found, field) for field in (name, f"{name}_low", f"{name}_high")]
        assert values == pytest.approx(limits, abs=2e-8)


def test_limits_are_wider_at_a_higher_level():
    narrow, wide = (calibrate(LABELS, SCORES, patients=PATIENTS, level=level) for level in (0.8, 0.99))
    for name in ("slope", "intercept", "brier"):
        assert getattr(wide, f"{name}_low") < getattr(narrow, f"{name}_low")
        assert getattr(wide, f"{name}_high") > getattr(narrow, f"{name}_high")


def test_limits_of_the_brier_score_stay_within_its_range():
    perfect, reversed_ = calibrate([0, 1] * 6, [0.0, 1.0] * 5 + [0.0, 0.0]), calibrate([0, 1] * 6, [1.0, 0.0] * 6)
    assert perfect.brier_low == 0.0
    assert reversed_.brier_high == 1.0


def test_no_clustered_limits_for_too_few_patients():
    """Nine patients, of whom each has tumours: a clustered standard error would be too small."""
    few = calibrate(LABELS, SCORES, patients=np.arange(24) % 9)
    assert few.slope == pytest.approx(CLUSTERED["slope"][0])
    assert [few.slope_low, few.slope_high, few.intercept_low, few.intercept_high] == [None] * 4
    assert [few.brier_low, few.brier_high] == [None] * 2
    enough = calibrate(LABELS, SCORES, patients=np.arange(24) % 10)
    assert None not in (enough.slope_low, enough.intercept_low, enough.brier_low)


def test_copies_of_a_case_in_its_patient_add_no_information():
    labels, score = (np.repeat(values, 40) for values in (LABELS, SCORES))
    once, copied = (
        calibrate(LABELS, SCORES, patients=np.arange(24)),
        calibrate(labels, score, patients=np.repeat(np.arange(24), 40)),
    )
    for name in ("slope", "intercept", "brier"):
        for limit in ("low", "high"):
            # Equal up to the small-sample factor (n - 1) / (n - k).
            assert getattr(copied, f"{name}_{limit}") == pytest.approx(getattr(once, f"{name}_{limit}"), abs=0.03)


def test_a_score_that_separates_the_classes_has_an_intercept_with_limits_but_no_slope():
    separated = calibrate([0] * 6 + [1] * 6, [0.2] * 6 + [0.7] * 6, patients=range(12))
    assert (separated.slope, separated.slope_low, separated.slope_high) == (None, None, None)
    assert separated.intercept_low < separated.intercept < separated.intercept_high


def test_refuses_patients_that_do_not_fit():
    with pytest.raises(InputError, match="ROC_MISMATCHED"):
        calibrate([0, 1], [0.1, 0.2], patients=["p"])


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
