"""Performance in subgroups of tumours, by clinical covariates and by facts of the CT scan."""

import numpy as np
import pandas as pd

from components.common.artifacts.clinical_metrics import Subgroup
from components.evaluate.cohort_tables import YES, display_name
from components.stats.subgroups import split_at, subgroups

#: Title of the centres' subgroups, by which a validation finds the centres of a development.
CENTRE = "Centre"
#: Title, column and kind of each covariate. Numbers are divided at their median, or have a subgroup for each value.
COVARIATES = (
    ("Sex", "sex", "category"),
    ("Age, years", "age", "number"),
    ("Primary site", "primary_site", "category"),
    ("Location", "location", "category"),
    ("Size, mm", "diameter_mm", "number"),
    ("Device", "device", "category"),
    ("Systemic therapy", "systemic_therapy_kind", "category"),
    (CENTRE, "centre", "category"),
    ("Contrast agent", "contrast_agent", "category"),
    ("Tube voltage, kV", "kvp", "number"),
    ("Slice thickness, mm", "slice_thickness_mm", "number"),
    ("Kernel", "kernel", "category"),
)

#: A number with at most as many different values has a subgroup for each.
MOST_VALUES = 3


def covariate_classes(tumours: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Classes of the covariates of the tumours ``names``, in their order, a column for each title of ``COVARIATES``."""
    table = tumours.set_index("tumour").loc[names].reset_index(drop=True)
    return pd.DataFrame({title: _classes(table[column], kind) for title, column, kind in COVARIATES})


def subgroup_metrics(tumours: pd.DataFrame, rows: pd.DataFrame, score: str, cut_off: float) -> tuple[Subgroup, ...]:
    """Performance of a score in every subgroup of every known covariate.

    Parameters
    ----------
    tumours
        The dataset's tumour table.
    rows
        One row for each evaluated tumour, as of ``study.study_scores``.
    score
        Column of the score.
    cut_off
        A score above it predicts a non-responder.
    """
    classes = covariate_classes(tumours, rows["tumour"])
    return subgroups(rows["label"], rows[score], rows["patient"].to_numpy(), classes, cut_off=cut_off)


def _classes(column: pd.Series, kind: str) -> pd.Series | pd.Categorical:
    known = column.notna() & (column.astype(str).str.strip() != "")
    if kind == "number":
        return _of_numbers(pd.to_numeric(column, errors="coerce"))
    texts = column.astype(str).str.strip()
    if kind == "flag":
        texts = texts.str.lower().isin(YES).map({True: "yes", False: "no"})
    return texts.map(display_name).where(known, "")


def _of_numbers(values: pd.Series) -> pd.Categorical:
    numbers = values.to_numpy(dtype=np.float64)
    different = np.unique(numbers[np.isfinite(numbers)])
    if len(different) > MOST_VALUES:
        return split_at(numbers)
    names = pd.Index([f"{value:g}" for value in different])
    codes = np.where(np.isfinite(numbers), np.searchsorted(different, numbers), -1)
    return pd.Categorical.from_codes(codes.tolist(), categories=names, ordered=True)
