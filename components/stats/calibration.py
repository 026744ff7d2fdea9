"""Calibration of scores as probabilities: Brier score, slope and intercept, reliability curve, Platt scaling.

Platt scaling is fitted to development predictions, on which nothing was selected, and applied to evaluation
predictions.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from components.common.artifacts.score_metrics import Calibration, PlattScaling
from components.stats.auc import Bools, Floats, checked, patient_numbers
from components.stats.logistic import FEWEST_PATIENTS, LogisticFit, clustered_covariance, fit_logistic
from components.stats.platt import logit

Numbers = NDArray[np.intp]

#: A logistic fit with a larger slope or intercept has diverged and is reported as missing.
STEEPEST = 50.0


def calibrate(
    y_true: ArrayLike, score: ArrayLike, *, patients: ArrayLike | None = None, level: float = 0.95
) -> Calibration:
    """Brier score, calibration slope and intercept of scores in [0, 1], each with its confidence limits.

    Limits of slope and intercept are Wald's, from the information of the logistic regression or, where ``patients`` are
    given, clustered by patient. The Brier score's are those of a mean by Student's t, clustered in the same way.

    Parameters
    ----------
    y_true
        [n] labels, 1 = non-responder.
    score
        [n] scores in [0, 1].
    patients
        [n] patient of each case; None: cases are independent.
    level
        Confidence level of the two-sided limits.

    Raises
    ------
    InputError
        As ``auc.checked``.
    """
    positive, scores = checked(y_true, score)
    numbers = None if patients is None else patient_numbers(patients, positive)
    slope = None if _separated(positive, scores) else _slope(positive, scores, numbers, level)
    intercept = _intercept(positive, scores, numbers, level)
    brier = _mean((scores - positive) ** 2, numbers, level)
    return Calibration(
        brier=brier.value,
        slope=slope.value if slope else None,
        intercept=intercept.value,
        n=len(scores),
        brier_low=None if brier.low is None else max(brier.low, 0.0),
        brier_high=None if brier.high is None else min(brier.high, 1.0),
        slope_low=slope.low if slope else None,
        slope_high=slope.high if slope else None,
        intercept_low=intercept.low,
        intercept_high=intercept.high,
    )


def fit_platt(y_true: ArrayLike, score: ArrayLike) -> PlattScaling | None:
    """Platt scaling of development predictions, with Platt's smoothed targets; None where the fit diverges."""
    positive, scores = checked(y_true, score)
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    targets = np.where(positive, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))
    fitted = _fit(targets, scores)
    if fitted is None:
        return None
    intercept, slope = map(float, fitted[0].coefficients)
    return PlattScaling(slope=slope, intercept=intercept, n=len(scores))


def reliability(y_true: ArrayLike, score: ArrayLike, bins: int = 5) -> pd.DataFrame:
    """Reliability curve in bins of equal size; tied scores are in the same bin.

    Returns
    -------
    pandas.DataFrame
        Columns ``score`` (mean in the bin), ``observed`` (proportion of non-responders), ``n``.
    """
    positive, scores = checked(y_true, score)
    quantile = (stats.rankdata(scores) - 0.5) / len(scores)
    table = pd.DataFrame({"bin": (quantile * bins).astype(int), "score": scores, "observed": positive})
    by_bin = table.groupby("bin", sort=True)
    return pd.DataFrame(
        {"score": by_bin["score"].mean(), "observed": by_bin["observed"].mean(), "n": by_bin["score"].size()}
    ).reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A value with its confidence limits, which are None where they are not defined."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: float, variance: float | None, quantile: float) -> "_Estimate":
        if variance is None:
            return cls(value, None, None)
        reach = quantile * float(np.sqrt(variance))
        return cls(value, value - reach, value + reach)


def _separated(positive: Bools, scores: Floats) -> bool:
    above, below = scores[positive], scores[~positive]
    return bool(above.min() >= below.max() or above.max() <= below.min())


def _fit(targets: Floats | Bools, scores: Floats) -> tuple[LogisticFit, Floats] | None:
    """Logistic regression of targets on the scores' logits, and its design; None where it diverges."""
    x = logit(scores)
    if np.ptp(x) == 0:
        return None
    design = np.column_stack([np.ones(len(x)), x])
    fit = fit_logistic(design, targets.astype(np.float64))
    return (fit, design) if fit.converged and np.abs(fit.coefficients).max() <= STEEPEST else None


def _slope(positive: Bools, scores: Floats, patients: Numbers | None, level: float) -> _Estimate | None:
    fitted = _fit(positive, scores)
    return _wald(*fitted, patients, level) if fitted else None


def _intercept(positive: Bools, scores: Floats, patients: Numbers | None, level: float) -> _Estimate:
    design = np.ones((len(scores), 1))
    return _wald(fit_logistic(design, positive.astype(np.float64), logit(scores)), design, patients, level)


def _wald(fit: LogisticFit, design: Floats, patients: Numbers | None, level: float) -> _Estimate:
    """The last coefficient with Wald's limits."""
    covariance = fit.covariance if patients is None else clustered_covariance(fit, design, patients)
    variance = None if covariance is None else float(covariance[-1, -1])
    return _Estimate.of(float(fit.coefficients[-1]), variance, float(stats.norm.isf((1 - level) / 2)))


def _mean(values: Floats, patients: Numbers | None, level: float) -> _Estimate:
    """A mean over cases with limits by Student's t, whose degrees of freedom are the patients less one."""
    clusters = np.arange(len(values)) if patients is None else patients
    number, mean = len(np.unique(clusters)), float(values.mean())
    if number < (2 if patients is None else FEWEST_PATIENTS):
        return _Estimate(mean, None, None)
    sums = np.bincount(clusters, values - mean)
    variance = number / (number - 1) * float(sums @ sums) / len(values) ** 2
    return _Estimate.of(mean, variance, float(stats.t.isf((1 - level) / 2, number - 1)))
