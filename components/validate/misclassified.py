"""The tumours that a validated model misclassified, with their crops and clinical covariates."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.validation_metrics import ValidatedModel
from components.evaluate.failures import covariates
from components.evaluate.figures import crop_image
from components.model.scores import calls


def misclassified(
    scores: pd.DataFrame,
    tumours: pd.DataFrame,
    crops: NDArray[np.float32],
    model: ValidatedModel,
    window: tuple[float, float],
    most_crops: int,
) -> list[dict[str, Any]]:
    """Misclassified tumours, those whose scores are farthest from the cut-off first.

    Parameters
    ----------
    scores, tumours
        The validation's predictions, and the rows of the dataset's table, both in the order of ``crops``.
    crops
        [n, 151, 151] HU.
    model
        Its primary score and cut-off.
    window
        Level and width of the CT window, HU.
    most_crops
        Number of tumours whose crop is returned as a data URI; the others have "".

    Returns
    -------
    list of dict
        ``tumour, response, predicted, score, spread, covariates, crop``.
    """
    score = scores[model.primary_score].to_numpy(float)
    wrong = np.flatnonzero(calls(score, model.cut_off) != (scores["label"] == 1).to_numpy())
    order = wrong[np.argsort(-np.abs(score[wrong] - model.cut_off), kind="stable")]
    listed = []
    for rank, at in enumerate(order):
        row = tumours.iloc[int(at)]
        listed.append(
            {
                "tumour": row["tumour"],
                "response": "not stated" if pd.isna(row["response"]) else row["response"],
                "predicted": "responder" if row["label"] == 1 else "non-responder",
                "score": float(score[at]),
                "spread": float(scores["spread"].iloc[int(at)]),
                "covariates": covariates(row),
                "crop": crop_image(np.asarray(crops[int(at)]), *window) if rank < most_crops else "",
            }
        )
    return listed
