"""The mean of a statistic over repeated random divisions of one cohort into training and evaluation sets.

Such draws share cases, so that their statistics depend on each other: their variance divided by their number would be
far too small. The corrected variance of Nadeau & Bengio takes for their correlation the share of evaluation cases. It
estimates how much the mean would vary with the *whole* cohort, for models trained on as many cases.

Reference: Nadeau & Bengio, Machine Learning 2003;52:239. Draws are independent divisions; for folds of a
cross-validation, repeated or not, the same formula is in use (Bouckaert & Frank 2004).
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from components.common.artifacts.score_metrics import RepeatedMean
from components.common.errors import InputError
from components.stats.auc import Floats


def repeated_mean(
    values: ArrayLike, *, n_train: int, n_test: int, level: float = 0.95, one_sided: bool = False
) -> RepeatedMean:
    """Mean of a statistic over draws, with limits by Student's t from the corrected variance.

    Parameters
    ----------
    values
        [draws] the statistic of each draw, such as the AUC of each group's ensemble or a difference of two.
    n_train, n_test
        Numbers of cases that a draw's model was trained on (validation included) and evaluated on.
    level
        Confidence level of the interval, or of each bound if ``one_sided``.
    one_sided
        Whether ``low`` and ``high`` are one-sided bounds.

    Returns
    -------
    RepeatedMean
        Its limits are not truncated to the statistic's range.

    Raises
    ------
    InputError
        ``REPEATED_DRAWS``.
    """
    draws = _checked(values, n_train, n_test)
    mean, se = float(draws.mean()), float(np.sqrt(corrected_variance(draws, n_train=n_train, n_test=n_test)))
    reach = se * float(stats.t.isf(1 - level if one_sided else (1 - level) / 2, len(draws) - 1))
    return RepeatedMean(mean, se, mean - reach, mean + reach, len(draws))


def corrected_variance(values: ArrayLike, *, n_train: int, n_test: int) -> float:
    """Variance (1/J + n_test/n_train) S² of a mean over J draws; parameters and errors as ``repeated_mean``."""
    draws = _checked(values, n_train, n_test)
    return (1 / len(draws) + n_test / n_train) * float(draws.var(ddof=1))


def _checked(values: ArrayLike, n_train: int, n_test: int) -> Floats:
    draws = np.asarray(values, dtype=np.float64)
    if draws.ndim != 1 or len(draws) < 2 or not np.isfinite(draws).all():
        problem = "the variance of a mean over repeated draws needs one finite value for each of at least two draws"
        raise InputError("REPEATED_DRAWS", problem, "Train at least two groups.")
    if n_train < 1 or n_test < 1:
        raise InputError(
            "REPEATED_DRAWS", f"a draw has {n_train} training and {n_test} evaluation cases, not one of each"
        )
    return draws
