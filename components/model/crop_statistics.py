"""Statistics that a bundle stores of its crops and scores, by which drift is detected.

Of mean and standard deviation in HU, it stores the percentiles over the training crops; the predictor computes the
percentile rank of a new crop.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean_hu", "sd_hu")
#: Percentiles that a bundle stores for each statistic.
PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
#: Decimals to which they are rounded, HU.
DECIMALS = 3
#: Ranks of a crop that lies below, or above, all training crops.
BELOW, ABOVE = -1.0, 101.0


def statistics_of(crops: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """``STATISTICS`` [n] of each of the crops [n, 151, 151], HU."""
    return {"mean_hu": crops.mean(axis=(1, 2), dtype=np.float64), "sd_hu": crops.std(axis=(1, 2), dtype=np.float64)}


def percentiles_over(crops: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """``PERCENTILES`` of each statistic over crops [n, 151, 151], as a manifest stores them."""
    return {
        name: {str(percent): round(float(np.percentile(values, percent)), DECIMALS) for percent in PERCENTILES}
        for name, values in statistics_of(crops).items()
    }


def score_percentiles(score: NDArray[np.float64]) -> dict[str, float]:
    """``PERCENTILES`` of scores [n] in [0, 1], as a manifest stores them."""
    return {str(percent): float(np.percentile(score, percent)) for percent in PERCENTILES}


def percentile_ranks(crops: NDArray[np.float32], training: Mapping[str, Mapping[str, float]]) -> NDArray[np.float64]:
    """Percentile ranks of crops among the training crops.

    Parameters
    ----------
    crops
        [n, 151, 151] HU.
    training
        The result of ``percentiles_over`` for the training crops.

    Returns
    -------
    NDArray
        [statistics, n]: rank of each crop in each of ``STATISTICS``; ``BELOW`` or ``ABOVE`` outside all training crops.
    """
    statistics = statistics_of(crops)
    return np.stack([_ranks(statistics[name], training[name]) for name in STATISTICS])


def _ranks(values: NDArray[np.float64], percentiles: Mapping[str, float]) -> NDArray[np.float64]:
    percents = np.array([float(percent) for percent in percentiles])
    levels = np.array(list(percentiles.values()))
    order = np.argsort(percents)
    ranks = np.interp(values, levels[order], percents[order])
    rounding = 10.0**-DECIMALS
    return np.where(values < levels.min() - rounding, BELOW, np.where(values > levels.max() + rounding, ABOVE, ranks))
