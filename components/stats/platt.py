"""Platt scaling of a score to a calibrated probability; it needs NumPy alone, since the predictor uses it too."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Scores are clipped to this distance from 0 and 1 before the logit, since vote fractions reach 0 and 1.
LOGIT_EDGE = 0.01


def logit(score: ArrayLike) -> NDArray[np.float64]:
    """Logit of scores clipped to [``LOGIT_EDGE``, 1 - ``LOGIT_EDGE``]."""
    clipped = np.clip(np.asarray(score, dtype=np.float64), LOGIT_EDGE, 1 - LOGIT_EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)))


def calibrated(score: ArrayLike, slope: float, intercept: float) -> NDArray[np.float64]:
    """Calibrated probabilities of non-response by Platt scaling: expit(``intercept`` + ``slope`` * logit(score))."""
    return np.asarray(1 / (1 + np.exp(-(intercept + slope * logit(score)))))
