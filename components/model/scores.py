"""What an ensemble says of a tumour, from its members' probabilities: votes, mean, spread, call (STUDY 4 and 5).

Evaluation and the predictor both ask here; only the model that MLflow keeps as code (``pyfunc_model``) repeats it,
since it runs where this project is not.
"""

from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.common.settings import Score

#: A member votes non-responder above this probability, whatever the ensemble's cut-off is: a network of two outputs
#: answers its likelier class.
VOTE_CUT_OFF = 0.5

SCORES: tuple[Score, ...] = get_args(Score)


def votes(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Hard votes: 1.0 where a member's probability of non-response is above one half, NaN where it is NaN."""
    given = np.asarray(probabilities, dtype=np.float64)
    return np.where(np.isnan(given), np.nan, given > VOTE_CUT_OFF)


def combine(probabilities: ArrayLike, score: Score, axis: int = 0) -> NDArray[np.float64]:
    """An ensemble's score from its members' probabilities, which lie along ``axis``; NaN is a member not asked."""
    given = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(np.nanmean(votes(given) if score == "vote" else given, axis=axis))


def spread(probabilities: ArrayLike, axis: int = 0) -> NDArray[np.float64]:
    """Standard deviation (divisor: members) of the members' probabilities along ``axis``; NaN is a member not asked."""
    return np.asarray(np.nanstd(np.asarray(probabilities, dtype=np.float64), axis=axis))


def calls(score: ArrayLike, cut_off: float) -> NDArray[np.bool_]:
    """Whether a tumour is called a non-responder: its score lies above the cut-off, not on it."""
    return np.asarray(score, dtype=np.float64) > cut_off
