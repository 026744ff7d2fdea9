"""Votes, scores, spread and calls of an ensemble, from its members' probabilities (STUDY 4 and 5).

Evaluation and the predictor both use these functions; only the code of the MLflow model (``pyfunc_model``) repeats
them, since it runs where this project is not installed.
"""

from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.common.settings import Score

#: A member votes non-responder above this probability, whatever the ensemble's cut-off is: a network with two outputs
#: predicts the likelier class.
VOTE_CUT_OFF = 0.5

SCORES: tuple[Score, ...] = get_args(Score)


def votes(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Hard votes: 1.0 where a member's probability of non-response is above one half, NaN where it is NaN."""
    given = np.asarray(probabilities, dtype=np.float64)
    return np.where(np.isnan(given), np.nan, given > VOTE_CUT_OFF)


def combine(probabilities: ArrayLike, score: Score, axis: int = 0) -> NDArray[np.float64]:
    """An ensemble's score from its members' probabilities, which lie along ``axis``; NaN members are skipped."""
    given = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(np.nanmean(votes(given) if score == "vote" else given, axis=axis))


def spread(probabilities: ArrayLike, axis: int = 0) -> NDArray[np.float64]:
    """Standard deviation (divisor: members) of the members' probabilities along ``axis``; NaN members are skipped."""
    return np.asarray(np.nanstd(np.asarray(probabilities, dtype=np.float64), axis=axis))


def calls(score: ArrayLike, cut_off: float) -> NDArray[np.bool_]:
    """Whether a tumour is called a non-responder: its score is strictly above the cut-off."""
    return np.asarray(score, dtype=np.float64) > cut_off
