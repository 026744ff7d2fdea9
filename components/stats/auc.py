"""The area under the ROC curve and its variances, on which ``roc``, ``paired`` and ``bootstrap`` build.

A positive case (y = 1, non-responder) should score higher than a negative one. The *placement* of a positive case is
the proportion of negative cases that score lower, ties counted one half; that of a negative case is the proportion of
positive cases that score higher. The AUC is the mean placement of either class. DeLong et al. (1988) call placements
structural components. All functions take O(n log n) time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.common.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def checked_labels(y_true: ArrayLike) -> Bools:
    """Labels 0 and 1 as booleans; both classes must be present.

    Raises
    ------
    InputError
        ``ROC_EMPTY``, ``ROC_NOT_FINITE``, ``ROC_LABELS`` or ``ROC_ONE_CLASS``.
    """
    labels = _floats(y_true, "labels")
    if labels.ndim != 1 or not np.isin(labels, (0.0, 1.0)).all():
        raise InputError("ROC_LABELS", "labels must be a one-dimensional array of 0 (responder) and 1 (non-responder)")
    positive: Bools = labels == 1.0
    if positive.all() or not positive.any():
        raise InputError("ROC_ONE_CLASS", "all cases belong to one class, so there is no ROC curve")
    return positive


def checked(y_true: ArrayLike, score: ArrayLike) -> tuple[Bools, Floats]:
    """Validated labels as booleans [n] and scores as float64 [n].

    Raises
    ------
    InputError
        As ``checked_labels``, and ``ROC_MISMATCHED`` where the lengths differ.
    """
    scores = _floats(score, "scores")
    if np.shape(scores) != np.shape(y_true):
        raise InputError(
            "ROC_MISMATCHED", f"labels and scores differ in shape: {np.shape(y_true)} and {np.shape(scores)}"
        )
    return checked_labels(y_true), scores


def _floats(values: ArrayLike, what: str) -> Floats:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("ROC_NOT_FINITE", f"{what} must be numbers") from None
    if array.size == 0:
        raise InputError("ROC_EMPTY", f"there are no {what}")
    if not np.isfinite(array).all():
        raise InputError("ROC_NOT_FINITE", f"{what} contain NaN or infinity")
    return array


@dataclass(frozen=True, slots=True)
class Placements:
    """Placements of both classes, each in the order of its cases.

    Parameters
    ----------
    positive
        [n_positive] proportion of negative cases that score below each positive case.
    negative
        [n_negative] proportion of positive cases that score above each negative case.
    """

    positive: Floats
    negative: Floats

    @property
    def auc(self) -> float:
        """Area under the ROC curve; ties count one half."""
        return float(self.positive.mean())


def placements(positive: Bools, score: Floats) -> Placements:
    """Placements of all cases from checked labels and scores."""
    above, below = score[positive], score[~positive]
    return Placements(positive=_proportion_below(above, below), negative=1.0 - _proportion_below(below, above))


def _proportion_below(scores: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    twice = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return np.asarray(twice / (2 * len(others)))


def auc_score(y_true: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve; ties count one half. Raises as ``checked``."""
    return placements(*checked(y_true, score)).auc


def null_standard_error(n_positive: int, n_negative: int) -> float:
    """Standard error of the AUC under the null hypothesis AUC = 0.5, as for scores without ties (STUDY 5)."""
    return float(np.sqrt((n_positive + n_negative + 1) / (12 * n_positive * n_negative)))


def null_standard_error_with_ties(positive: Bools, score: Floats) -> float:
    """Standard error of the AUC under the null hypothesis that the two classes have one distribution of scores.

    It is that of the Mann-Whitney U with the usual correction for ties (Lehmann, Nonparametrics, 1975, 1.5), over the
    number of pairs. Hard votes have many ties, which make it smaller.
    """
    n, n_pos = len(score), int(positive.sum())
    ties = np.unique(score, return_counts=True)[1].astype(np.float64)
    lost = float((ties**3 - ties).sum()) / (n * (n - 1))
    return float(np.sqrt(max(n + 1 - lost, 0.0) / (12 * n_pos * (n - n_pos))))


def spss_variance(positive: Bools, score: Floats) -> float:
    """Non-parametric variance of the AUC as SPSS estimates it.

    Q1 and Q2 of Hanley & McNeil (1982) are estimated from the counts at each distinct score; a tie of two cases
    counts 1/2, a tie of three 1/3 (STUDY 5).
    """
    values, level = np.unique(score, return_inverse=True)
    p = np.bincount(level[positive], minlength=len(values)).astype(np.float64)
    n = np.bincount(level[~positive], minlength=len(values)).astype(np.float64)
    n_pos, n_neg = p.sum(), n.sum()
    p_above, n_below = n_pos - np.cumsum(p), np.cumsum(n) - n
    auc = (n @ (p_above + p / 2)) / (n_pos * n_neg)
    q1 = (n @ (p_above**2 + p_above * p + p**2 / 3)) / (n_neg * n_pos**2)
    q2 = (p @ (n_below**2 + n_below * n + n**2 / 3)) / (n_pos * n_neg**2)
    numerator = auc * (1 - auc) + (n_pos - 1) * (q1 - auc**2) + (n_neg - 1) * (q2 - auc**2)
    return float(max(numerator / (n_pos * n_neg), 0.0))


def placement_variance(parts: Placements, patients: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None) -> float:
    """Variance of an AUC or of a difference of two: DeLong et al. (1988), or clustered by Obuchowski (1997).

    Parameters
    ----------
    parts
        Placements, or the difference of two scores' placements.
    patients
        Patient numbers of the positive and of the negative cases; None: every case is its own patient.
        With one case per patient both formulas agree.
    """
    n_pos, n_neg = len(parts.positive), len(parts.negative)
    of_pos, of_neg = patients if patients is not None else (np.arange(n_pos), n_pos + np.arange(n_neg))
    size = 1 + max(int(of_pos.max()), int(of_neg.max()))
    mean = parts.auc
    sums_pos = np.bincount(of_pos, parts.positive - mean, size)
    sums_neg = np.bincount(of_neg, parts.negative - mean, size)
    with_pos, with_neg = len(np.unique(of_pos)), len(np.unique(of_neg))
    total = len(np.unique(np.concatenate([of_pos, of_neg])))
    variance = (
        _inflation(with_pos) * (sums_pos @ sums_pos) / n_pos**2
        + _inflation(with_neg) * (sums_neg @ sums_neg) / n_neg**2
        + 2 * _inflation(total) * (sums_pos @ sums_neg) / (n_pos * n_neg)
    )
    return max(float(variance), 0.0)


def _inflation(clusters: int) -> float:
    """I / (I - 1), the small-sample factor of I clusters; 0 for a single cluster, which has no variance."""
    return clusters / (clusters - 1) if clusters > 1 else 0.0


def patient_numbers(patients: ArrayLike | None, positive: Bools) -> NDArray[np.intp]:
    """Patients numbered from 0, one number per case; None: every case is its own patient.

    Raises
    ------
    InputError
        ``ROC_MISMATCHED`` where there is not one patient per case.
    """
    if patients is None:
        return np.arange(len(positive))
    names = np.asarray(patients)
    if names.shape != positive.shape:
        raise InputError("ROC_MISMATCHED", f"{names.size} patients are named for {positive.size} cases")
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.intp)
