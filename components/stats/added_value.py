"""Whether an ensemble predicts response beyond clinical covariates: tests of its coefficient beside theirs.

A difference of two AUCs has little power for this question, and where the covariates are good it can hardly rise. The
likelihood-ratio test compares the logistic regressions with and without the ensemble; it takes tumours as independent.
Wald's test, clustered by patient, does not.

References: Pepe et al., Stat Med 2013;32:1467. Demler et al., Stat Med 2012;31:2577.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from components.common.artifacts.clinical_metrics import AddedValue
from components.common.errors import InputError
from components.stats.auc import Floats, checked, patient_numbers
from components.stats.logistic import clustered_covariance, fit_logistic

#: Base scores whose part that others do not determine is smaller, relative to the largest, count as determined.
DEPENDENT = 1e-10


def added_value(
    y_true: ArrayLike,
    base: ArrayLike,
    added: ArrayLike,
    *,
    patients: ArrayLike | None = None,
    level: float = 0.95,
) -> AddedValue:
    """Tests of adding a score to a logistic regression of the outcome on a base score.

    Parameters
    ----------
    y_true
        [n] labels, 1 = non-responder, of tumours on which neither score was fitted.
    base
        [n] the covariates' score on the logit scale, or [n, k] several; their coefficients are fitted.
    added
        [n] the ensemble's score on the logit scale.
    patients
        [n] patient of each case, by which Wald's test is clustered; None: Wald's test takes cases as independent, too.
    level
        Confidence level of the coefficient's limits.

    Returns
    -------
    AddedValue
        Without coefficient and Wald's test where the regression separates the classes, or where ``base`` determines
        ``added``; without Wald's test where there are too few patients.

    Raises
    ------
    InputError
        As ``auc.checked``.
    """
    positive, score = checked(y_true, added)
    without = _basis(base, len(score))
    design, targets = np.column_stack([without, score]), positive.astype(np.float64)
    fit = fit_logistic(design, targets)
    ratio = max(2 * (fit.log_likelihood - fit_logistic(without, targets).log_likelihood), 0.0)
    tested = ratio, float(stats.chi2.sf(ratio, 1))
    if not fit.converged:
        return AddedValue(*tested, None, None, None, None, len(score))
    numbers = None if patients is None else patient_numbers(patients, positive)
    covariance = fit.covariance if numbers is None else clustered_covariance(fit, design, numbers)
    coefficient = float(fit.coefficients[-1])
    if covariance is None:
        return AddedValue(*tested, coefficient, None, None, None, len(score))
    se = float(np.sqrt(covariance[-1, -1]))
    reach = se * float(stats.norm.isf((1 - level) / 2))
    wald = 2 * float(stats.norm.sf(abs(coefficient) / se))
    return AddedValue(*tested, coefficient, coefficient - reach, coefficient + reach, wald, len(score))


def _basis(base: ArrayLike, cases: int) -> Floats:
    """[n, r] orthonormal columns that span a constant and the base scores, of which some may determine others."""
    columns = np.asarray(base, dtype=np.float64)
    if columns.ndim not in (1, 2) or len(columns) != cases:
        raise InputError("ROC_MISMATCHED", f"labels and base scores differ in shape: ({cases},) and {columns.shape}")
    if not np.isfinite(columns).all():
        raise InputError("ROC_NOT_FINITE", "base scores contain NaN or infinity")
    directions, lengths, _ = np.linalg.svd(np.column_stack([np.ones(cases), columns]), full_matrices=False)
    return np.asarray(directions[:, lengths > DEPENDENT * lengths[0]])
