"""Golden numbers: scikit-learn's example "Statistical comparison of models using grid search" (1.9.1).

It compares support vector machines by 10 repetitions of tenfold cross-validation of 100 cases, and prints corrected and
uncorrected t and one-sided p, and credible intervals, which for its prior are the corrected t intervals.
"""

import numpy as np
import pytest
from scipy import stats

from components.common.errors import InputError
from components.stats.repeated import corrected_variance, repeated_mean

#: AUC of the 100 folds in twenty-fifths (five cases of each class): radial, linear and quadratic kernel.
RBF = """
23 18 19 23 25 25 25 25 24 25 24 25 25 23 21 23 25 25 20 25 20 23 22 23 25 25 22 23 25 25 20 24 21
25 25 25 25 24 23 25 25 23 25 23 25 19 25 25 25 25 25 21 25 25 25 18 23 25 25 25 23 23 25 25 20 22
25 23 24 25 24 23 21 23 25 25 25 22 23 23 25 23 24 25 18 25 25 25 25 19 24 22 25 18 23 25 24 25 25
21
"""
LINEAR = """
24 21 19 23 25 24 24 25 23 25 23 24 24 22 20 24 25 25 20 25 21 24 21 25 25 24 21 22 25 25 21 23 21
25 24 25 25 23 22 25 24 23 25 23 25 19 25 23 25 25 25 20 24 24 25 17 24 23 25 25 23 23 25 20 21 22
24 23 24 25 24 22 20 21 25 24 25 23 23 23 24 25 23 25 17 25 25 25 25 19 24 23 25 19 23 25 23 23 25
21
"""
QUADRATIC = """
19 16 14 18 7 17 19 25 18 16 15 14 24 16 18 5 19 18 18 22 17 21 16 20 16 14 19 13 12 25 19 22 13 19
12 17 21 13 18 17 14 21 19 5 15 6 12 17 19 25 20 9 21 23 20 18 13 18 22 17 11 14 23 21 14 18 23 12
22 19 20 16 15 19 19 17 19 8 20 18 23 20 18 21 16 19 20 20 11 15 17 15 22 13 12 17 17 19 21 13
"""


def aucs(text):
    return np.array(text.split(), dtype=float) / 25


@pytest.mark.parametrize(
    ("first", "second", "t", "p", "interval"),
    [(RBF, LINEAR, 0.750, 0.227, (-0.016, 0.036)), (RBF, QUADRATIC, 4.565, 0.000, (0.144, 0.366))],
)
def test_reproduces_scikit_learns_comparison_of_kernels(first, second, t, p, interval):
    differences = aucs(first) - aucs(second)
    found = repeated_mean(differences, n_train=90, n_test=10)
    assert f"{found.mean / found.se:.3f}" == f"{t:.3f}"
    assert f"{stats.t.sf(found.mean / found.se, found.draws - 1):.3f}" == f"{p:.3f}"
    assert (round(found.low, 3), round(found.high, 3)) == interval
    assert found.draws == 100
    assert found.mean == pytest.approx(differences.mean())


def test_without_the_correction_the_same_draws_would_seem_to_differ():
    """The example prints t = 2.611 and p = 0.005 for the uncorrected variance, which an empty evaluation set gives."""
    differences = aucs(RBF) - aucs(LINEAR)
    uncorrected = corrected_variance(differences, n_train=10**12, n_test=1)
    assert f"{differences.mean() / np.sqrt(uncorrected):.3f}" == "2.611"


def test_one_sided_bounds_agree_with_the_printed_p():
    """The one-sided bound at level 1 - p is 0."""
    differences = aucs(RBF) - aucs(LINEAR)
    bound = repeated_mean(differences, n_train=90, n_test=10, level=1 - 0.2274229710133665, one_sided=True)
    assert bound.low == pytest.approx(0, abs=1e-9)
    assert bound.high == pytest.approx(2 * differences.mean())


def test_limits_cover_the_mean_of_overlapping_draws_where_independent_ones_would_not():
    """Means of random halves of one sample of 40, of variance 1: around their expectation of 0."""
    rng = np.random.default_rng(6)
    covered = np.zeros(2)
    for _ in range(600):
        sample = rng.normal(size=40)
        draws = np.array([rng.permutation(sample)[:20].mean() for _ in range(10)])
        for which, (n_train, n_test) in enumerate([(20, 20), (10**9, 1)]):
            limits = repeated_mean(draws, n_train=n_train, n_test=n_test)
            covered[which] += limits.low < 0 < limits.high
    assert covered[0] / 600 > 0.9
    assert covered[1] / 600 < 0.6


@pytest.mark.parametrize(
    ("values", "n_train", "n_test"),
    [
        ([0.7], 87, 23),
        ([], 87, 23),
        ([0.7, np.nan], 87, 23),
        ([[0.7, 0.8]], 87, 23),
        ([0.7, 0.8], 0, 23),
        ([0.7, 0.8], 87, 0),
    ],
)
def test_refuses_a_single_draw_missing_values_and_empty_sets(values, n_train, n_test):
    for function in (repeated_mean, corrected_variance):
        with pytest.raises(InputError) as refused:
            function(values, n_train=n_train, n_test=n_test)
        assert refused.value.code == "REPEATED_DRAWS"
