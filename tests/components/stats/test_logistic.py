"""Golden numbers from statsmodels 0.15.0: ``Logit``, and with ``cov_type="cluster"``."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from components.stats.calibration import logit
from components.stats.logistic import clustered_covariance, fit_logistic
from tests.components.stats.tumours import LABELS, PATIENTS, SCORES

DESIGN = np.column_stack([np.ones(24), logit(SCORES)])
TARGETS = np.array(LABELS, dtype=float)


def test_coefficients_likelihood_and_covariances_equal_those_of_statsmodels():
    fit = fit_logistic(DESIGN, TARGETS)
    assert fit.converged
    assert fit.coefficients == pytest.approx([0.71344495, 1.08073708], abs=1e-8)
    assert fit.log_likelihood == pytest.approx(-12.751370091860593, abs=1e-9)
    plain = [[0.41403621400081897, 0.2027203282224508], [0.2027203282224508, 0.22972459941808496]]
    assert fit.covariance == pytest.approx(np.array(plain), rel=1e-6)
    clustered = [[0.3609684116908611, 0.13141689620726568], [0.13141689620726577, 0.2743576302600619]]
    assert clustered_covariance(fit, DESIGN, np.array(PATIENTS)) == pytest.approx(np.array(clustered), rel=1e-6)


def test_a_coefficient_fixed_by_the_offset_gives_the_same_rest():
    fit = fit_logistic(DESIGN, TARGETS)
    rest = fit_logistic(DESIGN[:, :1], TARGETS, fit.coefficients[1] * DESIGN[:, 1])
    assert rest.coefficients == pytest.approx(fit.coefficients[:1], abs=1e-7)
    assert rest.log_likelihood == pytest.approx(fit.log_likelihood)


cohorts = st.integers(3, 14).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y)),
        st.lists(st.integers(-3, 3) | st.integers(-100, 100), min_size=n, max_size=n).filter(lambda x: min(x) < max(x)),
        st.lists(st.sampled_from([-4.0, 0.0, 4.0]), min_size=n, max_size=n),
    )
)


@given(cohorts)
@settings(max_examples=400)
def test_a_fit_converges_exactly_where_the_classes_overlap(cohort):
    """Albert & Anderson 1984: the maximum exists unless some direction separates the classes, ties included."""
    labels, x, offset = (np.array(values, dtype=float) for values in cohort)
    above, below = x[labels == 1], x[labels == 0]
    separated = above.min() >= below.max() or above.max() <= below.min()
    design = np.column_stack([np.ones(len(x)), x])
    fit = fit_logistic(design, labels, offset)
    assert fit.converged != separated
    if fit.converged:  # At the maximum residuals are orthogonal to the design.
        assert design.T @ fit.residuals == pytest.approx([0, 0], abs=1e-5)


def test_steps_that_overshoot_are_shortened():
    """Full Newton steps end at coefficients of 1e8 here; the maximum is scipy's."""
    x, labels = np.array([-6.0, 1, -1, 0]), np.array([1.0, 1, 0, 0])
    design = np.column_stack([np.ones(4), x])

    def loss(weights):
        linear = design @ weights - 4
        return np.logaddexp(0, linear).sum() - labels @ linear

    fit = fit_logistic(design, labels, np.full(4, -4.0))
    assert fit.converged
    assert fit.coefficients == pytest.approx(optimize.minimize(loss, [3.0, 0.0]).x, abs=1e-4)


def test_the_likelihood_of_separated_classes_comes_close_to_its_supremum():
    labels = np.array([0.0, 0, 0, 1, 1, 1])
    fit = fit_logistic(np.column_stack([np.ones(6), [1.0, 2, 3, 4, 5, 6]]), labels)
    assert not fit.converged
    assert -1e-8 < fit.log_likelihood <= 0
    # Both classes at x = 3: there the best probability is one half, and the rest is fitted perfectly.
    tied = fit_logistic(np.column_stack([np.ones(6), [1.0, 2, 3, 3, 5, 6]]), labels)
    assert not tied.converged
    assert tied.log_likelihood == pytest.approx(2 * np.log(0.5), abs=1e-8)


def test_no_clustered_covariance_for_too_few_patients():
    assert clustered_covariance(fit_logistic(DESIGN, TARGETS), DESIGN, np.arange(24) % 9) is None
