"""Whether a mean AUC still rises with the number of tumours: a run against trainings with fewer of them.

All are evaluated on the same tumours. The difference has two sources of chance. One is which patients a training has,
and the training itself: the run is one realisation, and so is each draw. Its variance is that of one new observation
against the mean of K observations, S² (1 + 1/K). S² is that of the draws: an upper bound for the run, which has all the
patients, if training varies no more with more tumours. The other is which patients are evaluated, by a bootstrap over
them with the networks as they are. The degrees of freedom of the sum are those of Welch and Satterthwaite.

References: Satterthwaite, Biometrics Bulletin 1946;2:110; JCGM 100:2008 (GUM), G.4.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from components.common.artifacts.learning_curve import Rise
from components.common.errors import InputError
from components.stats.bootstrap import Scored, mean_auc, resampled_aucs


def effective_degrees_of_freedom(variances: ArrayLike, degrees: ArrayLike) -> float:
    """Degrees of freedom of a sum of independent estimated variances, at most infinity (GUM, eq. G.2b).

    Parameters
    ----------
    variances
        [k] the variances, not all of them 0.
    degrees
        [k] the degrees of freedom of each, infinity where it is as good as known.
    """
    parts = np.asarray(variances, dtype=np.float64)
    uncertain = float((parts**2 / np.asarray(degrees, dtype=np.float64)).sum())
    return float(parts.sum() ** 2 / uncertain) if uncertain > 0 else float("inf")


def rise(
    run: Sequence[Scored],
    draws: Sequence[Sequence[Scored]],
    *,
    rng: np.random.Generator | int,
    samples: int = 2000,
    level: float = 0.95,
) -> Rise:
    """Mean AUC over the groups of a run minus that of trainings with fewer tumours.

    Parameters
    ----------
    run
        The groups of the run.
    draws
        The same groups and cases in each draw of fewer patients, with its scores.
    rng
        Generator of the bootstrap, or a seed for one.
    samples
        Bootstrap resamples.
    level
        Level of the limits.

    Raises
    ------
    InputError
        As ``auc.checked``, for the cases of any group.
    """
    aucs, own = [mean_auc(draw) for draw in draws], mean_auc(run)
    differences = own - np.array(aucs)
    sd = float(differences.std(ddof=1)) if len(aucs) > 1 else None
    se = _standard_error_by_patients(run, draws, rng, samples)
    low, high = (None, None) if sd is None or se is None else difference_limits(own, aucs, se, level)
    return Rise(tuple(differences.tolist()), float(differences.mean()), sd, se, low, high)


def difference_limits(run: float, draws: ArrayLike, se: float, level: float = 0.95) -> tuple[float, float]:
    """Two-sided limits of one realisation minus the mean of others, all measured on the same cases.

    Parameters
    ----------
    run
        The statistic of one realisation.
    draws
        [k] that of at least two others.
    se
        Standard error of the difference by the choice of cases.
    level
        Confidence level.
    """
    others = np.asarray(draws, dtype=np.float64)
    difference = run - float(others.mean())
    variances = float(others.var(ddof=1)) * (1 + 1 / len(others)), se**2
    if not any(variances):
        return difference, difference
    quantile = stats.t.isf((1 - level) / 2, effective_degrees_of_freedom(variances, (len(others) - 1, np.inf)))
    reach = float(quantile * np.sqrt(sum(variances)))
    return difference - reach, difference + reach


def _standard_error_by_patients(
    run: Sequence[Scored], draws: Sequence[Sequence[Scored]], rng: np.random.Generator | int, samples: int
) -> float | None:
    try:
        aucs = resampled_aucs([*run, *(group for draw in draws for group in draw)], rng, samples)
    except InputError as error:
        if error.code != "BOOTSTRAP_IMPOSSIBLE":
            raise
        return None
    return float((aucs[:, : len(run)].mean(axis=1) - aucs[:, len(run) :].mean(axis=1)).std(ddof=1))
