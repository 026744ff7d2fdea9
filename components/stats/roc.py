"""ROC statistics: the AUC with its confidence intervals, rates at a cut-off, and the ROC curve (STUDY 5).

``paired_test``, ``mean_auc_limits`` and their types are exported here too, so that all AUC statistics can be
imported from one module.

References: Hanley & McNeil, Radiology 1982;143:29. DeLong et al., Biometrics 1988;44:837. Newcombe,
Stat Med 2006;25:559 (method 5). Obuchowski, Biometrics 1997;53:567. Clopper & Pearson, Biometrika 1934;26:404.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn import metrics

from components.common.artifacts.score_metrics import PairedTest, Rates, RocSummary
from components.common.errors import InputError
from components.stats import auc as _auc
from components.stats.auc import Floats, auc_score
from components.stats.bootstrap import (
    ResampledMean,
    Scored,
    mean_auc,
    mean_auc_limits,
    mean_auc_lower_bound,
    resampled_auc,
)
from components.stats.newcombe import newcombe_limits, newcombe_variance
from components.stats.paired import paired_test

__all__ = [
    "CurvePoints",
    "Interval",
    "PairedTest",
    "Rates",
    "ResampledMean",
    "RocSummary",
    "Scored",
    "auc_score",
    "choose_cut_off",
    "mean_auc",
    "mean_auc_limits",
    "mean_auc_lower_bound",
    "paired_test",
    "rates_at",
    "roc_curve",
    "roc_summary",
]

Interval = Literal["spss", "delong", "newcombe", "bootstrap"]

#: The KFP UI draws at most 200 points of a ROC curve.
MOST_POINTS = 200


def roc_summary(
    y_true: ArrayLike,
    score: ArrayLike,
    ci: Interval = "spss",
    *,
    level: float = 0.95,
    one_sided: bool = False,
    patients: ArrayLike | None = None,
    rng: np.random.Generator | int = 0,
    samples: int = 2000,
) -> RocSummary:
    """AUC, standard error, confidence limits and p-value of a score.

    Parameters
    ----------
    y_true
        [n] labels, 1 = non-responder (positive), 0 = responder.
    score
        [n] finite scores, higher for non-responders.
    ci
        ``spss`` (the paper's), ``delong`` (clustered by patient where ``patients`` are given), ``newcombe``
        (method 5) or ``bootstrap`` (percentile, patients resampled; by the AUC's linear part for very many
        patients).
    level
        Confidence level of the interval, or of each bound if ``one_sided``.
    one_sided
        Whether ``ci_low`` and ``ci_high`` are one-sided bounds.
    patients
        [n] patient of each case; None: every case is its own patient.
    rng
        Generator or seed of the bootstrap.
    samples
        Bootstrap resamples.

    Raises
    ------
    InputError
        ``ROC_EMPTY``, ``ROC_NOT_FINITE``, ``ROC_LABELS``, ``ROC_ONE_CLASS``, ``ROC_MISMATCHED``, ``ROC_INTERVAL``.

    Examples
    --------
    >>> summary = roc_summary([0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.6, 0.5, 0.8, 0.9])
    >>> round(summary.auc, 3), round(summary.se, 3)
    (0.889, 0.148)
    """
    positive, scores = _auc.checked(y_true, score)
    if ci not in ("spss", "delong", "newcombe", "bootstrap") or not 0.5 < level < 1:
        raise InputError("ROC_INTERVAL", "ci is spss, delong, newcombe or bootstrap, and level lies in (0.5, 1)")
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    area = _auc.placements(positive, scores).auc
    tail = 1 - level if one_sided else (1 - level) / 2
    if ci == "bootstrap":
        numbers = _auc.patient_numbers(patients, positive)
        resampled = resampled_auc(Scored(positive, scores, numbers), rng, samples)
        se, low, high = float(resampled.std(ddof=1)), *map(float, np.quantile(resampled, [tail, 1 - tail]))
    else:
        z = float(stats.norm.isf(tail))
        se = _standard_error(ci, area, positive, scores, patients)
        low, high = newcombe_limits(area, n_pos, n_neg, z) if ci == "newcombe" else (area - z * se, area + z * se)
    p_value = _p_value(area, _auc.null_standard_error(n_pos, n_neg))
    with_ties = _p_value(area, _auc.null_standard_error_with_ties(positive, scores))
    limits = max(low, 0.0), min(high, 1.0)
    return RocSummary(area, se, *limits, p_value, n_pos, n_neg, ci, level, one_sided, p_value_ties=with_ties)


def _p_value(area: float, null_se: float) -> float:
    """Two-sided p-value of AUC = 0.5; 1 where all scores are equal, so that the standard error is 0."""
    return min(2 * float(stats.norm.sf(abs(area - 0.5) / null_se)), 1.0) if null_se > 0 else 1.0


def _standard_error(
    ci: Interval, area: float, positive: _auc.Bools, scores: Floats, patients: ArrayLike | None
) -> float:
    if ci == "spss":
        return float(np.sqrt(_auc.spss_variance(positive, scores)))
    if ci == "newcombe":
        return float(np.sqrt(newcombe_variance(area, int(positive.sum()), int((~positive).sum()))))
    numbers = _auc.patient_numbers(patients, positive)
    parts = _auc.placements(positive, scores)
    return float(np.sqrt(_auc.placement_variance(parts, (numbers[positive], numbers[~positive]))))


def rates_at(y_true: ArrayLike, score: ArrayLike, cut_off: float, level: float = 0.95) -> Rates:
    """Sensitivity and specificity; a score *above* ``cut_off`` predicts a non-responder. Raises as ``roc_summary``."""
    positive, scores = _auc.checked(y_true, score)
    predicted = scores > cut_off
    tp, fn = int((predicted & positive).sum()), int((~predicted & positive).sum())
    tn, fp = int((~predicted & ~positive).sum()), int((predicted & ~positive).sum())
    sensitivity = tp / (tp + fn), *exact_limits(tp, tp + fn, level)
    specificity = tn / (tn + fp), *exact_limits(tn, tn + fp, level)
    return Rates(float(cut_off), *sensitivity, *specificity, tp, fn, tn, fp)


def exact_limits(hits: int, trials: int, level: float) -> tuple[float, float]:
    """Confidence limits of a proportion (Clopper & Pearson 1934)."""
    limits = stats.binomtest(hits, trials).proportion_ci(level, method="exact")
    return float(limits.low), float(limits.high)


@dataclass(frozen=True, slots=True)
class CurvePoints:
    """Points of a ROC curve from (0, 0) to (1, 1); a case at or above ``threshold`` is predicted positive."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    threshold: Floats

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, as the KFP UI takes them."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}


def roc_curve(y_true: ArrayLike, score: ArrayLike, most_points: int = MOST_POINTS) -> CurvePoints:
    """The empirical ROC curve with finite thresholds: the first lies just above the highest score."""
    false_positives, true_positives, threshold = _every_point(y_true, score)
    threshold[0] = np.nextafter(threshold[1], np.inf)
    values = len(threshold) - 1
    selected = np.append(0, 1 + np.linspace(0, values - 1, min(values, most_points - 1)).round().astype(int))
    return CurvePoints(false_positives[selected], true_positives[selected], threshold[selected])


def _every_point(y_true: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """False and true positive rates at each threshold in falling order: infinity, then every distinct score."""
    positive, scores = _auc.checked(y_true, score)
    return metrics.roc_curve(positive, scores, drop_intermediate=False)  # type: ignore[no-any-return]


def choose_cut_off(y_true: ArrayLike, score: ArrayLike) -> float:
    """The cut-off that maximises the Youden index (the middle one of several); for development predictions only."""
    false_positives, true_positives, threshold = _every_point(y_true, score)
    values = threshold[:0:-1]
    youden = (true_positives - false_positives)[-2::-1]  # positive is a score above a value, not one equal to it
    best = np.flatnonzero(np.isclose(youden, youden.max()))
    at = int(best[len(best) // 2])
    return float((values[at] + values[min(at + 1, len(values) - 1)]) / 2)
