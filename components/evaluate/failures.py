"""The evaluation tumours that an ensemble called wrongly: what they look like and what is known of them (STUDY 6)."""

from typing import Any

import numpy as np
import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.settings import TrainSettings
from components.evaluate.cohort_tables import spelt
from components.evaluate.figures import crop_image

#: Covariates shown with a failure: column, name and unit.
SHOWN = (
    ("diameter_mm", "longest diameter", "mm"),
    ("primary_site", "primary", ""),
    ("location", "location", ""),
    ("age", "age", "years"),
    ("kps", "KPS", ""),
    ("extracranial_metastases", "extra-cranial metastases", ""),
    ("systemic_therapy", "systemic therapy", ""),
    ("total_dose_gy", "dose", "Gy"),
    ("fractions", "fractions", ""),
    ("follow_up_days", "follow-up", "days"),
)


def failures(dataset: Dataset, evaluation: Evaluation, window: TrainSettings, most_crops: int) -> list[dict[str, Any]]:
    """Tumours that at least one group's ensemble called wrongly on evaluation, the most often and surest first.

    Parameters
    ----------
    dataset, evaluation
        Artifacts of one run.
    window
        CT window of the crops.
    most_crops
        How many get their crop as a data URI; the others have "".

    Returns
    -------
    list of dict
        ``tumour, response, called, groups`` (group, score, vote, spread of each wrong call), ``asked`` (groups
        that evaluated it), ``covariates, crop``.
    """
    primary, cut_off = evaluation.metrics.primary_score, evaluation.metrics.cut_off
    judged = evaluation.scores[evaluation.scores["role"] == "evaluation"]
    wrong = judged[(judged[primary] > cut_off) != (judged["label"] == 1)]
    asked = judged.groupby("tumour").size()
    miss = (wrong[primary] - cut_off).abs()
    order = miss.groupby(wrong["tumour"]).agg(["size", "mean"]).sort_values(["size", "mean"], ascending=False)
    table = dataset.tumours.reset_index(drop=True)
    rows = table.reset_index(names="place").set_index("tumour")
    found = []
    for rank, tumour in enumerate(order.index):
        row, calls = rows.loc[tumour], wrong[wrong["tumour"] == tumour]
        shown = rank < most_crops
        crop = np.asarray(dataset.crops[int(row["place"])]) if shown else None
        found.append(
            {
                "tumour": tumour,
                "response": row["response"],
                "called": "responder" if row["label"] == 1 else "non-responder",
                "asked": int(asked[tumour]),
                "groups": [
                    {"group": c["group"], "score": c[primary], "vote": c["vote"], "spread": c["spread"]}
                    for c in calls.to_dict("records")
                ],
                "covariates": _covariates(row),
                "crop": crop_image(crop, window.window_level_hu, window.window_width_hu) if crop is not None else "",
            }
        )
    return found


def _covariates(row: pd.Series) -> list[str]:
    known = [(name, row[column], unit) for column, name, unit in SHOWN if not pd.isna(row[column])]
    return [f"{name} {_text(value)}{' ' + unit if unit else ''}" for name, value, unit in known]


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{round(float(value), 1):g}" if isinstance(value, int | float | np.number) else spelt(str(value))
