"""Golden numbers: statsmodels 0.15.0, ``Logit`` with and without the added score, and ``cov_type="cluster"``."""

import numpy as np
import pytest

from components.common.errors import InputError
from components.stats.added_value import added_value
from components.stats.calibration import logit
from tests.components.stats.tumours import LABELS, PATIENTS, SCORES

#: A covariate score of the 24 tumours.
COVARIATES = [0.4, 0.82, 0.63, 0.3, 0.33, 0.51, 0.5, 0.38, 0.54, 0.13, 0.69, 0.59]
COVARIATES += [0.73, 0.58, 0.54, 0.48, 0.75, 0.35, 0.58, 0.52, 0.24, 0.32, 0.68, 0.48]
BASE, ADDED = logit(COVARIATES), logit(SCORES)


def test_likelihood_ratio_and_wald_tests_equal_those_of_statsmodels():
    plain = added_value(LABELS, BASE, ADDED)
    assert (plain.likelihood_ratio, plain.p_value) == pytest.approx((8.396605052097414, 0.0037592243189968674))
    expected = 1.2469749604409197, 0.20673286, 2.28721706, 0.01879975147071956
    assert (plain.coefficient, plain.low, plain.high, plain.wald_p_value) == pytest.approx(expected, rel=1e-6)
    clustered = added_value(LABELS, BASE, ADDED, patients=PATIENTS)
    expected = 1.2469749604409197, 0.11724719, 2.37670273, 0.03051226758618343
    assert (clustered.coefficient, clustered.low, clustered.high, clustered.wald_p_value) == pytest.approx(
        expected, rel=1e-6
    )
    assert (clustered.likelihood_ratio, clustered.n) == (plain.likelihood_ratio, 24)


def test_the_base_may_have_several_columns():
    two = added_value(LABELS, np.column_stack([BASE, np.arange(24) % 3, 2 * BASE + 1]), ADDED)  # the third adds nothing
    assert two.likelihood_ratio == pytest.approx(9.471461346018373)
    assert (two.p_value, two.coefficient) == pytest.approx((0.0020869305909356948, 1.5599399745502993))


def test_limits_follow_the_level():
    wide, narrow = (added_value(LABELS, BASE, ADDED, level=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.coefficient < narrow.high < wide.high


def test_a_score_that_the_base_determines_adds_nothing():
    for copy in (BASE, 3 * BASE - 2, np.full(24, 0.7)):
        nothing = added_value(LABELS, BASE, copy, patients=PATIENTS)
        assert (nothing.likelihood_ratio, nothing.p_value) == pytest.approx((0, 1), abs=1e-3)
        assert (nothing.coefficient, nothing.low, nothing.wald_p_value) == (None, None, None)


def test_a_base_that_says_nothing_leaves_the_added_score_alone():
    for base in (np.zeros(24), np.full(24, 2.5), np.empty((24, 0))):
        alone = added_value(LABELS, base, ADDED)
        assert alone.coefficient == pytest.approx(1.08073708)  # statsmodels, of test_logistic.py
        constant = 11 * np.log(11 / 24) + 13 * np.log(13 / 24)  # 11 of the 24 labels are 1
        assert alone.likelihood_ratio == pytest.approx(2 * (-12.751370091860593 - constant))


def test_separated_classes_have_a_likelihood_ratio_but_no_coefficient():
    labels = np.array(LABELS)
    perfect = added_value(labels, BASE, 2.0 * labels + 0.1 * np.arange(24) % 1)
    assert perfect.p_value < 1e-4
    assert (perfect.coefficient, perfect.low, perfect.high, perfect.wald_p_value) == (None,) * 4


def test_no_wald_test_for_too_few_patients():
    few = added_value(LABELS, BASE, ADDED, patients=np.arange(24) % 9)
    assert few.coefficient == pytest.approx(1.2469749604409197)
    assert (few.low, few.high, few.wald_p_value) == (None, None, None)


def cohort(rng, lesions, effect=0.0):
    """100 patients with ``lesions`` each, which share outcome and score; the score may add to the covariates."""
    who = np.repeat(np.arange(100), lesions)
    base = rng.normal(size=100)[who]
    added = 0.6 * base + rng.normal(size=100)[who] + 0.3 * rng.normal(size=len(who))
    risk = 1 / (1 + np.exp(-(base + effect * added)))
    return rng.random(100)[who] < risk, base, added, who


def rejected(lesions, effect=0.0, draws=400):
    """Share of draws in which the likelihood-ratio test, and Wald's clustered one, have p below 0.05."""
    rng = np.random.default_rng(9)
    found = []
    for _ in range(draws):
        labels, base, added, who = cohort(rng, lesions, effect)
        test = added_value(labels, base, added, patients=who)
        found.append((test.p_value < 0.05, test.wald_p_value < 0.05))
    return np.mean(found, axis=0)


def test_both_tests_keep_their_level_for_independent_tumours():
    assert (np.abs(rejected(1) - 0.05) < 0.03).all()


def test_only_the_clustered_test_keeps_its_level_where_lesions_share_a_patient():
    likelihood_ratio, wald = rejected(3)
    assert likelihood_ratio > 0.15
    assert abs(wald - 0.05) < 0.03


def test_an_effect_is_found():
    assert (rejected(1, effect=1.0, draws=100) > 0.8).all()


@pytest.mark.parametrize(
    ("base", "added", "code"),
    [
        ([0.1, 0.2, 0.3], [0.1, 0.2], "ROC_MISMATCHED"),
        ([[[0.1], [0.2]]], [0.1, 0.2], "ROC_MISMATCHED"),
        (0.1, [0.1, 0.2], "ROC_MISMATCHED"),
        ([0.1, np.nan], [0.1, 0.2], "ROC_NOT_FINITE"),
        ([0.1, 0.2], [0.1, np.inf], "ROC_NOT_FINITE"),
    ],
)
def test_refuses_scores_that_cannot_be_used(base, added, code):
    with pytest.raises(InputError) as refused:
        added_value([0, 1], base, added)
    assert refused.value.code == code
