"""Calibration of scores as probabilities: Brier score, slope and intercept, reliability curve, Platt scaling.

Platt scaling is fitted to out-of-bag predictions only and applied to evaluation predictions. It is slightly optimistic,
since the members that make the out-of-bag predictions were accepted by their accuracy on these same tumours.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from components.common.artifacts.score_metrics import Calibration
from components.stats.auc import Bools, Floats, checked

#: Scores are clipped to this distance from 0 and 1 before the logit, since vote fractions reach 0 and 1.
LOGIT_EDGE = 0.01

#: A logistic fit with a larger slope or intercept has diverged and is reported as missing.
STEEPEST = 50.0


@dataclass(frozen=True, slots=True)
class Platt:
    """Platt scaling: a logistic function of a score's logit, fitted to ``n`` out-of-bag predictions."""

    slope: float
    intercept: float
    n: int

    def apply(self, score: ArrayLike) -> Floats:
        """Scaled scores [n]."""
        return np.asarray(special.expit(self.intercept + self.slope * logit(score)))


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


def fit_platt(y_true: ArrayLike, out_of_bag_score: ArrayLike) -> Platt | None:
    """Platt scaling of out-of-bag predictions, with Platt's smoothed targets; None where the fit diverges."""
    positive, scores = checked(y_true, out_of_bag_score)
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    targets = np.where(positive, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))
    fit = _fit(targets, scores)
    return Platt(slope=fit[1], intercept=fit[0], n=len(scores)) if fit else None


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


def logit(score: ArrayLike) -> Floats:
    """Logit of scores clipped to [``LOGIT_EDGE``, 1 - ``LOGIT_EDGE``]."""
    return np.asarray(special.logit(np.clip(np.asarray(score, dtype=np.float64), LOGIT_EDGE, 1 - LOGIT_EDGE)))


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
