"""The evaluation tumours that an ensemble misclassified, with their crops and clinical covariates (STUDY 6)."""

from typing import Any

import numpy as np
import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.settings import TrainSettings
from components.evaluate.cohort_tables import display_name
from components.evaluate.figures import crop_image
from components.model.scores import calls

#: Covariates shown with a misclassified tumour: column, name and unit.
SHOWN = (
    ("diameter_mm", "longest diameter", "mm"),
    ("primary_site", "primary site", ""),
    ("location", "location", ""),
    ("age", "age", "years"),
    ("kps", "KPS", ""),
    ("extracranial_metastases", "extracranial metastases", ""),
    ("systemic_therapy", "systemic therapy", ""),
    ("total_dose_gy", "total dose", "Gy"),
    ("fractions", "fractions", ""),
    ("follow_up_days", "follow-up", "days"),
)


def failures(dataset: Dataset, evaluation: Evaluation, window: TrainSettings, most_crops: int) -> list[dict[str, Any]]:
    """Evaluation tumours misclassified by at least one group's ensemble.

    Those misclassified by most groups come first, then those whose scores are farthest from the cut-off.

    Parameters
    ----------
    dataset, evaluation
        Artifacts of one run.
    window
        CT window of the crops.
    most_crops
        Number of tumours whose crop is returned as a data URI; the others have "".

    Returns
    -------
    list of dict
        ``tumour, response, predicted, groups`` (group, score, vote and spread of each misclassification),
        ``evaluated_by`` (number of groups that evaluated the tumour), ``covariates, crop``.
    """
    primary, cut_off = evaluation.metrics.primary_score, evaluation.metrics.cut_off
    evaluated = evaluation.scores[evaluation.scores["role"] == "evaluation"]
    wrong = evaluated[calls(evaluated[primary], cut_off) != (evaluated["label"] == 1)]
    evaluated_by = evaluated.groupby("tumour").size()
    distance = (wrong[primary] - cut_off).abs()
    order = distance.groupby(wrong["tumour"]).agg(["size", "mean"]).sort_values(["size", "mean"], ascending=False)
    table = dataset.tumours.reset_index(drop=True)
    rows = table.reset_index(names="position").set_index("tumour")
    listed = []
    for rank, tumour in enumerate(order.index):
        row, errors = rows.loc[tumour], wrong[wrong["tumour"] == tumour]
        shown = rank < most_crops
        crop = np.asarray(dataset.crops[int(row["position"])]) if shown else None
        listed.append(
            {
                "tumour": tumour,
                "response": row["response"],
                "predicted": "responder" if row["label"] == 1 else "non-responder",
                "evaluated_by": int(evaluated_by[tumour]),
                "groups": [
                    {"group": e["group"], "score": e[primary], "vote": e["vote"], "spread": e["spread"]}
                    for e in errors.to_dict("records")
                ],
                "covariates": covariates(row),
                "crop": crop_image(crop, window.window_level_hu, window.window_width_hu) if crop is not None else "",
            }
        )
    return listed


def covariates(row: pd.Series) -> list[str]:
    """The known covariates of a tumour as texts such as ``age 61 years``."""
    known = [(name, row[column], unit) for column, name, unit in SHOWN if not pd.isna(row[column])]
    return [f"{name} {_text(value)}{' ' + unit if unit else ''}" for name, value, unit in known]


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{round(float(value), 1):g}" if isinstance(value, int | float | np.number) else display_name(str(value))
