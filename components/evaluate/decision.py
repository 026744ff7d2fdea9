"""Decision curve of the ensembles: net benefit of acting on the calibrated probability, out of sample.

A group's evaluation scores are Platt-scaled with the scaling that was fitted on its development predictions. A tumour
that several groups evaluated counts once, with its mean probability.
"""

from collections.abc import Mapping

import pandas as pd

from components.common.artifacts.clinical_metrics import NetBenefit
from components.common.artifacts.score_metrics import PlattScaling
from components.common.errors import InputError
from components.common.settings import EvaluateSettings
from components.stats.net_benefit import decision_curve
from components.stats.platt import calibrated

#: Threshold probabilities of the curve, and those that the report tabulates.
THRESHOLDS = tuple(percent / 100 for percent in range(10, 91, 5))
TABULATED = tuple(percent / 100 for percent in range(20, 81, 10))


def calibrated_rows(scores: pd.DataFrame, platt: Mapping[str, PlattScaling | None], score: str) -> pd.DataFrame:
    """One row for each evaluated tumour of the groups that have a scaling.

    Parameters
    ----------
    scores
        ``Evaluation.scores``.
    platt
        Platt scaling of each group, fitted on its development predictions.
    score
        Column of the primary score.

    Returns
    -------
    pandas.DataFrame
        Columns ``tumour``, ``patient``, ``label``, ``probability`` (mean over the groups).
    """
    rows = scores[(scores["role"] == "evaluation") & scores["group"].map(lambda group: platt.get(group) is not None)]
    fits = [platt[group] for group in rows["group"]]
    probability = [
        float(calibrated(value, fit.slope, fit.intercept))
        for value, fit in zip(rows[score], fits, strict=True)
        if fit is not None
    ]
    columns = {"patient": "first", "label": "first", "probability": "mean"}
    return rows.assign(probability=probability).groupby("tumour", sort=True).agg(columns).reset_index()


def decision(rows: pd.DataFrame, settings: EvaluateSettings, seed: int) -> tuple[NetBenefit, ...]:
    """Net benefit of ``calibrated_rows`` at ``THRESHOLDS``; empty where a class lacks or patients are too few."""
    try:
        return decision_curve(
            rows["label"],
            rows["probability"],
            THRESHOLDS,
            patients=rows["patient"].to_numpy(),
            rng=seed,
            samples=settings.bootstrap,
        )
    except InputError:
        return ()
