"""Paired comparison of two scores on the same cases: DeLong et al. (1988), or clustered by Obuchowski (1997)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from components.common.artifacts.score_metrics import PairedTest
from components.common.errors import InputError
from components.stats.auc import Bools, Placements, checked, patient_numbers, placement_variance, placements

#: A standard error or difference below this is zero up to rounding.
ROUNDING = 1e-12


def paired_test(
    y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, *, patients: ArrayLike | None = None
) -> PairedTest:
    """Compares two scores, or a score with the mean of several, on the same cases.

    Parameters
    ----------
    y_true
        [n] labels, 1 = non-responder.
    score_a, score_b
        [n] scores, or [k, n] for the mean AUC of k scores (an ensemble's members).
    patients
        [n] patient of each case: the variance is then clustered (Obuchowski 1997); None: DeLong's.

    Raises
    ------
    InputError
        As ``roc_summary``.
    """
    positive, a = _stacked(y_true, score_a)
    _, b = _stacked(y_true, score_b)
    difference = Placements(a.positive - b.positive, a.negative - b.negative)
    numbers = patient_numbers(patients, positive)
    se = float(np.sqrt(placement_variance(difference, (numbers[positive], numbers[~positive]))))
    delta = a.auc - b.auc
    if se < ROUNDING:
        return PairedTest(a.auc, b.auc, delta, 0.0, 1.0 if abs(delta) < ROUNDING else 0.0)
    return PairedTest(a.auc, b.auc, delta, se, 2 * float(stats.norm.sf(abs(delta) / se)))


def detectable_difference(test: PairedTest, power: float = 0.8, level: float = 0.95) -> float:
    """Smallest true difference that a two-sided test at ``level`` detects with ``power``, given the test's ``se``."""
    return float(stats.norm.isf((1 - level) / 2) + stats.norm.ppf(power)) * test.se


def _stacked(y_true: ArrayLike, score: ArrayLike) -> tuple[Bools, Placements]:
    rows = np.atleast_2d(np.asarray(score))
    if rows.ndim != 2 or len(rows) == 0:
        raise InputError("ROC_EMPTY", "there are no scores")
    pairs = [checked(y_true, row) for row in rows]
    each = [placements(positive, scores) for positive, scores in pairs]
    mean = Placements(np.mean([p.positive for p in each], axis=0), np.mean([p.negative for p in each], axis=0))
    return pairs[0][0], mean
