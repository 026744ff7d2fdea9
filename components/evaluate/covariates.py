"""Whether clinical covariates predict response, alone and together with the ensemble (STUDY 6).

Three ridge logistic regressions per group, on the covariates alone, the ensemble's score alone, and both, are fitted to
development tumours and evaluated on the group's evaluation tumours. Those that need the ensemble's score are fitted to
the tumours with a development prediction (of other groups, which evaluated them); that on the covariates alone to all
tumours of patients outside the evaluation set, since it would else be at a disadvantage. Imputation, scaling and
encoding are fitted to the same tumours. The penalty is fixed and not tuned, since these are only some 50 to 90 tumours.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from components.common.artifacts.metrics import CovariateMetrics
from components.evaluate.cohort_tables import YES
from components.stats.added_value import added_value
from components.stats.platt import logit
from components.stats.roc import paired_test, roc_summary

NUMBERS = ("diameter_mm", "age", "kps", "total_dose_gy", "fractions", "bed10_gy")
CATEGORIES = ("primary_site", "location", "sex", "device")
FLAGS = ("primary_controlled", "extracranial_metastases", "systemic_therapy")
ENSEMBLE = "ensemble_logit"

#: Inverse of the ridge penalty, on standardised columns.
RIDGE_C = 0.1

MODELS: dict[str, tuple[str, ...]] = {
    "clinical": (*NUMBERS, *CATEGORIES, *FLAGS),
    "ensemble": (ENSEMBLE,),
    "both": (*NUMBERS, *CATEGORIES, *FLAGS, ENSEMBLE),
}


def covariate_metrics(
    tumours: pd.DataFrame, development: pd.DataFrame, evaluation: pd.DataFrame, score: str
) -> CovariateMetrics | None:
    """AUC of one group's three regressions on its evaluation tumours, and the gain of both over the ensemble.

    Parameters
    ----------
    tumours
        The dataset's tumour table.
    development, evaluation
        The group's rows of ``Evaluation.scores`` by role.
    score
        Column of the ensemble's score.

    Returns
    -------
    CovariateMetrics or None
        None where the development predictions lack a class.
    """
    if development["label"].nunique() < 2:
        return None
    evaluated = covariate_table(tumours, evaluation, score)
    labels, patients = evaluation["label"].to_numpy(), evaluation["patient"].to_numpy()
    clinical = clinical_probability(tumours, evaluation)
    if clinical is None:
        return None
    predictions: dict[str, NDArray[np.float64]] = {"clinical": clinical}
    for name in ("ensemble", "both"):
        columns = list(MODELS[name])
        table = covariate_table(tumours, development, score)
        model = regression(columns).fit(table[columns], development["label"].to_numpy())
        predictions[name] = model.predict_proba(evaluated[columns])[:, 1]
    summaries = {name: roc_summary(labels, predicted) for name, predicted in predictions.items()}
    gain = paired_test(labels, predictions["both"], evaluation[score], patients=patients)
    added = added_value(labels, logit(clinical), logit(evaluation[score]), patients=patients)
    return CovariateMetrics(**summaries, gain_of_both=gain, n_development=len(development), added_value=added)


def clinical_probability(tumours: pd.DataFrame, evaluation: pd.DataFrame) -> NDArray[np.float64] | None:
    """Probability of non-response of a group's evaluation tumours by the regression on covariates alone.

    It is fitted to the tumours of all patients outside ``evaluation``; None where these lack a class.
    """
    outside, columns = tumours[~tumours["patient"].isin(evaluation["patient"])], list(MODELS["clinical"])
    if outside["label"].nunique() < 2:
        return None
    fitted = regression(columns).fit(covariate_table(tumours, outside, "")[columns], outside["label"].to_numpy())
    probability = fitted.predict_proba(covariate_table(tumours, evaluation, "")[columns])[:, 1]
    return np.asarray(probability, dtype=np.float64)


def covariate_table(tumours: pd.DataFrame, rows: pd.DataFrame, score: str) -> pd.DataFrame:
    """Covariates of the tumours of ``rows``, in their order, and the score's logit where ``rows`` have a score.

    Categories are text, flags 0 or 1; unknown values are NaN.
    """
    table = tumours.set_index("tumour").loc[rows["tumour"]].reset_index(drop=True)
    columns: dict[str, Any] = {name: pd.to_numeric(table[name], errors="coerce").astype(float) for name in NUMBERS}
    for name in CATEGORIES:
        columns[name] = table[name].astype(object).where(table[name].notna(), np.nan)
    for name in FLAGS:
        yes = table[name].astype(str).str.strip().str.lower().isin(YES).astype(float)
        columns[name] = yes.where(table[name].notna(), np.nan)
    if score in rows:
        columns[ENSEMBLE] = logit(rows[score])
    return pd.DataFrame(columns)


def regression(columns: Sequence[str]) -> Pipeline:
    """Pipeline of imputation, encoding, scaling and ridge logistic regression on ``columns``."""
    numbers = [name for name in columns if name in (*NUMBERS, ENSEMBLE)]
    flags = [name for name in columns if name in FLAGS]
    texts = [name for name in columns if name in CATEGORIES]
    coded = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", keep_empty_features=True), numbers),
            ("flags", SimpleImputer(strategy="most_frequent", keep_empty_features=True), flags),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
        ]
    )
    return make_pipeline(coded, StandardScaler(), LogisticRegression(C=RIDGE_C, solver="newton-cholesky"))
