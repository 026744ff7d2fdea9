"""Calibration of scores as probabilities: Brier score, slope and intercept, reliability curve, Platt scaling.

Platt scaling is fitted to development predictions, on which nothing was selected, and applied to evaluation
predictions.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from components.common.artifacts.score_metrics import Calibration, PlattScaling
from components.stats.auc import Bools, Floats, checked
from components.stats.platt import logit

#: A logistic fit with a larger slope or intercept has diverged and is reported as missing.
STEEPEST = 50.0


def calibrate(y_true: ArrayLike, score: ArrayLike) -> Calibration:
    """Brier score, calibration slope and intercept of scores in [0, 1]; raises as ``auc.checked``."""
    positive, scores = checked(y_true, score)
    separated = scores[positive].min() >= scores[~positive].max() or scores[positive].max() <= scores[~positive].min()
    fit = None if separated else _fit(positive, scores)
    return Calibration(
        brier=float(np.mean((scores - positive) ** 2)),
        slope=fit[1] if fit else None,
        intercept=_intercept(positive, scores),
        n=len(scores),
    )


def fit_platt(y_true: ArrayLike, score: ArrayLike) -> PlattScaling | None:
    """Platt scaling of development predictions, with Platt's smoothed targets; None where the fit diverges."""
    positive, scores = checked(y_true, score)
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    targets = np.where(positive, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))
    fit = _fit(targets, scores)
    return PlattScaling(slope=fit[1], intercept=fit[0], n=len(scores)) if fit else None


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


def _fit(targets: Floats | Bools, scores: Floats) -> tuple[float, float] | None:
    """Intercept and slope of a logistic regression by maximum likelihood, or None where it diverges."""
    x, y = logit(scores), targets.astype(np.float64)
    if np.ptp(x) == 0:
        return None

    def loss(weights: Floats) -> tuple[float, Floats]:
        eta = weights[0] + weights[1] * x
        error = special.expit(eta) - y
        return float(np.sum(np.logaddexp(0, eta) - y * eta)), np.array([error.sum(), error @ x])

    optimum = optimize.minimize(loss, np.array([0.0, 1.0]), jac=True, method="BFGS", options={"gtol": 1e-6})
    intercept, slope = map(float, optimum.x)
    return None if max(abs(slope), abs(intercept)) > STEEPEST else (intercept, slope)


def _intercept(positive: Bools, scores: Floats) -> float:
    x, events = logit(scores), float(positive.sum())
    return float(optimize.brentq(lambda a: special.expit(a + x).sum() - events, -STEEPEST, STEEPEST))
