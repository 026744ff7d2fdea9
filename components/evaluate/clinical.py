"""What the ensembles are worth clinically, on all groups' evaluation predictions, one for each tumour."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from components.common.artifacts.clinical_metrics import AddedValue, ClinicalMetrics, PatientsEvaluated
from components.common.artifacts.metrics import GroupMetrics
from components.common.settings import EvaluateSettings
from components.evaluate.borderline import borderline
from components.evaluate.confounders import scan_facts, with_not_stated
from components.evaluate.covariates import clinical_probability
from components.evaluate.decision import calibrated_rows, decision
from components.evaluate.outcomes import later_outcomes
from components.evaluate.study import study_scores
from components.evaluate.subgroup_tables import subgroup_metrics
from components.stats.added_value import added_value
from components.stats.platt import logit
from components.stats.roc import auc_score


def clinical_metrics(
    tumours: pd.DataFrame,
    scores: pd.DataFrame,
    groups: Mapping[str, GroupMetrics],
    settings: EvaluateSettings,
    seed: int,
) -> ClinicalMetrics:
    """Net benefit, subgroups, possible confounders, added value and outcomes of a run.

    Parameters
    ----------
    tumours
        The dataset's tumour table.
    scores
        ``ensemble.scores`` of the run.
    groups
        Metrics of each group, of which the Platt scaling is used.
    settings
        Primary score, cut-off, bootstrap samples.
    seed
        Seed of the bootstrap.
    """
    rows, score, cut_off = study_scores(scores), settings.ensemble_score, settings.cut_off
    calibrated = calibrated_rows(scores, {name: group.evaluation.platt for name, group in groups.items()}, score)
    by_covariate = subgroup_metrics(with_not_stated(tumours), rows, score, cut_off)
    return ClinicalMetrics(
        net_benefit=decision(calibrated, settings, seed),
        calibrated=len(calibrated),
        subgroups=by_covariate,
        scan=scan_facts(tumours, by_covariate, auc_score(rows["label"], rows[score]), len(rows)),
        added_value=pooled_added_value(tumours, scores, score),
        borderline=borderline(tumours, rows, score, cut_off),
        later=later_outcomes(tumours, rows, score, cut_off),
        patients=patients_evaluated(tumours, rows["tumour"]),
    )


def pooled_added_value(tumours: pd.DataFrame, scores: pd.DataFrame, score: str) -> AddedValue | None:
    """Test of the ensemble beside covariates; one row for each tumour, with its mean logits over the groups.

    None where the development tumours of every group lack a class.
    """
    parts = []
    for _, rows in scores[scores["role"] == "evaluation"].groupby("group"):
        clinical = clinical_probability(tumours, rows)
        if clinical is not None:
            parts.append(rows.assign(base=logit(clinical), added=logit(rows[score])))
    if not parts:
        return None
    columns = {"patient": "first", "label": "first", "base": "mean", "added": "mean"}
    pooled = pd.concat(parts).groupby("tumour", sort=True).agg(columns)
    return added_value(pooled["label"], pooled["base"], pooled["added"], patients=pooled["patient"].to_numpy())


def patients_evaluated(tumours: pd.DataFrame, evaluated: pd.Series) -> PatientsEvaluated:
    """Patients with one and with several tumours, and those of them with one of the tumours ``evaluated``."""
    lesions = tumours.groupby("patient").size()
    chosen = lesions.index.isin(tumours.loc[tumours["tumour"].isin(evaluated), "patient"])
    single = lesions.to_numpy() == 1
    counts = (single, single & chosen, ~single, ~single & chosen)
    return PatientsEvaluated(*(int(np.count_nonzero(count)) for count in counts))
