"""The study ensemble, all networks of all groups: metrics and calibration from the groups' evaluation predictions.

Together its networks have seen every tumour, so that none is left to evaluate it on. The estimate of its performance is
the mean over the groups, as for models that are deployed with all folds of a cross-validation. Its cut-off and Platt
scaling rest on each group's predictions for its own evaluation tumours, one for each tumour.
"""

from typing import Any

import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.metrics import StudyMetrics
from components.common.artifacts.splits import Splits
from components.common.settings import EvaluateSettings
from components.evaluate.ensemble import pooled
from components.evaluate.outcomes import calls_by_response
from components.evaluate.set_metrics import fields_of, newcombe_of, set_metrics
from components.stats.calibration import fit_platt
from components.stats.roc import choose_cut_off


def draws(splits: Splits) -> dict[str, Any]:
    """How the groups were drawn, for the templates: ``repeats``, the ``bundled`` networks, and the ``later_groups``.

    The study ensemble holds the groups of the first draw; those of later ones only estimate.
    """
    split = splits.settings.split
    return {
        "repeats": split.repeats,
        "bundled": sum(member.group in splits.groups[: split.groups] for member in splits.members),
        "later_groups": splits.groups[split.groups :] if split.repeats > 1 else [],
    }


def study_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """All groups' evaluation predictions, pooled to one row for each tumour; columns of ``ensemble.pooled``."""
    return pooled(scores[scores["role"] == "evaluation"])


def study_metrics(dataset: Dataset, scores: pd.DataFrame, settings: EvaluateSettings) -> StudyMetrics:
    """Metrics of ``study_scores``.

    Parameters
    ----------
    dataset
        The run's dataset.
    scores
        ``ensemble.scores`` of the run.
    settings
        Primary score and cut-off.
    """
    rows = study_scores(scores)
    responses = dataset.tumours.set_index("tumour").loc[rows["tumour"], "response"].to_numpy()
    primary, on_set = rows[settings.ensemble_score], set_metrics(rows, settings)
    return StudyMetrics(
        **fields_of(on_set),
        tumours=len(dataset.tumours),
        never_evaluated=len(dataset.tumours) - len(rows),
        mean_members=float(rows["members"].mean()),
        youden_cut_off=choose_cut_off(rows["label"], primary),
        platt=fit_platt(rows["label"], primary),
        newcombe=newcombe_of(on_set),
        confusion_by_response=calls_by_response(responses, primary, settings.cut_off),
    )
