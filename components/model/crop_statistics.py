"""Mean and standard deviation of crops in HU, by which drift from the training crops is noticed.

A bundle keeps their percentiles over the training crops; the predictor finds a crop's place among them.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean_hu", "sd_hu")
#: Percentiles that a bundle keeps of each.
PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
#: Decimals of a HU with which they are kept.
DECIMALS = 3
#: Places of a crop that lies below, or above, all training crops.
BELOW, ABOVE = -1.0, 101.0


def statistics_of(crops: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """``STATISTICS`` [n] of each of the crops [n, 151, 151], HU."""
    return {"mean_hu": crops.mean(axis=(1, 2), dtype=np.float64), "sd_hu": crops.std(axis=(1, 2), dtype=np.float64)}


def percentiles_over(crops: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """``PERCENTILES`` of each statistic over crops [n, 151, 151], as a manifest keeps them."""
    return {
        name: {str(percent): round(float(np.percentile(values, percent)), DECIMALS) for percent in PERCENTILES}
        for name, values in statistics_of(crops).items()
    }


def places_among(crops: NDArray[np.float32], training: Mapping[str, Mapping[str, float]]) -> NDArray[np.float64]:
    """Where crops lie among the training crops.

    Parameters
    ----------
    crops
        [n, 151, 151] HU.
    training
        ``percentiles_over`` the training crops.

    Returns
    -------
    NDArray
        [statistics, n]: percentile of each of ``STATISTICS`` of each crop; ``BELOW`` or ``ABOVE`` all training crops.
    """
    found = statistics_of(crops)
    return np.stack([_place(found[name], training[name]) for name in STATISTICS])


def _place(values: NDArray[np.float64], known: Mapping[str, float]) -> NDArray[np.float64]:
    percents = np.array([float(percent) for percent in known])
    levels = np.array(list(known.values()))
    order = np.argsort(percents)
    places = np.interp(values, levels[order], percents[order])
    rounding = 10.0**-DECIMALS
    return np.where(values < levels.min() - rounding, BELOW, np.where(values > levels.max() + rounding, ABOVE, places))
