"""Decision curve analysis: the net benefit of treating by a predicted probability (Vickers & Elkin 2006).

The *threshold probability* p is the probability of non-response at which a clinician would treat (here: choose the
treatment meant for non-responders). It states how the harms compare: one needless treatment weighs p / (1 - p) missed
non-responders. The net benefit is the proportion of tumours that are treated rightly, less the weighted proportion of
those that are treated needlessly. Treating nobody has a net benefit of 0.

Reference: Vickers & Elkin, Med Decis Making 2006;26:565.
"""

import numpy as np
from numpy.typing import ArrayLike

from components.common.artifacts.clinical_metrics import NetBenefit
from components.common.errors import InputError
from components.stats.auc import Bools, Floats, checked, patient_numbers
from components.stats.bootstrap import resampled_means
from components.stats.logistic import FEWEST_PATIENTS

#: A probability this little below a threshold equals it: 3 of 10 votes reach 0.3 however the two were computed.
ROUNDING = 1e-12


def decision_curve(
    y_true: ArrayLike,
    probability: ArrayLike,
    thresholds: ArrayLike,
    *,
    patients: ArrayLike | None = None,
    rng: np.random.Generator | int = 0,
    samples: int = 2000,
    level: float = 0.95,
) -> tuple[NetBenefit, ...]:
    """Net benefit at each threshold, with pointwise percentile bands of a bootstrap over patients.

    With fewer than ``FEWEST_PATIENTS`` patients there are no bands: resamples of so few vary far too little.

    Parameters
    ----------
    y_true
        [n] labels, 1 = non-responder.
    probability
        [n] predicted probabilities of non-response in [0, 1]; a tumour *at or above* a threshold is treated.
    thresholds
        [k] threshold probabilities in (0, 1).
    patients
        [n] patient of each case; None: every case is its own patient.
    rng
        Generator, or a seed for one.
    samples
        Bootstrap resamples, the same for all thresholds.
    level
        Confidence level of each band at each threshold.

    Raises
    ------
    InputError
        ``NET_BENEFIT_THRESHOLDS``, ``NET_BENEFIT_PROBABILITY``, or as ``auc.checked``.
    """
    positive, scores = _checked_probability(y_true, probability)
    cuts = _checked_thresholds(thresholds)
    model, everyone = _benefit_by_case(positive, scores, cuts), _benefit_by_case(positive, np.ones(len(scores)), cuts)
    both = np.concatenate([model, model - everyone], axis=1)
    k, means, numbers = len(cuts), both.mean(axis=0), patient_numbers(patients, positive)
    if len(np.unique(numbers)) < FEWEST_PATIENTS:
        return tuple(
            NetBenefit(float(cut), float(value), None, None, float(treat_all), float(over), None, None)
            for cut, value, treat_all, over in zip(cuts, means[:k], everyone.mean(axis=0), means[k:], strict=True)
        )
    resampled = resampled_means(both, numbers, rng, samples)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    columns = (cuts, means[:k], low[:k], high[:k], everyone.mean(axis=0), means[k:], low[k:], high[k:])
    return tuple(NetBenefit(*map(float, values)) for values in zip(*columns, strict=True))


def net_benefit(y_true: ArrayLike, probability: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Net benefit [k] of treating at or above each of k thresholds; parameters and errors as ``decision_curve``."""
    positive, scores = _checked_probability(y_true, probability)
    return np.asarray(_benefit_by_case(positive, scores, _checked_thresholds(thresholds)).mean(axis=0))


def _benefit_by_case(positive: Bools, probability: Floats, thresholds: Floats) -> Floats:
    """[n, k] contribution of each case at each threshold, whose mean over cases is the net benefit."""
    treated = probability[:, None] >= thresholds - ROUNDING
    return np.asarray(treated * np.where(positive[:, None], 1.0, -thresholds / (1 - thresholds)))


def _checked_probability(y_true: ArrayLike, probability: ArrayLike) -> tuple[Bools, Floats]:
    positive, scores = checked(y_true, probability)
    if scores.min() < 0 or scores.max() > 1:
        problem = "net benefit needs probabilities, and some scores lie outside [0, 1]"
        raise InputError("NET_BENEFIT_PROBABILITY", problem, "Scale the scores to probabilities first.")
    return positive, scores


def _checked_thresholds(thresholds: ArrayLike) -> Floats:
    cuts = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if cuts.ndim != 1 or cuts.size == 0 or not ((cuts > 0) & (cuts < 1)).all():
        problem = "threshold probabilities must be numbers between 0 and 1, both excluded"
        raise InputError("NET_BENEFIT_THRESHOLDS", problem, "Name at least one, such as 0.3.")
    return cuts
