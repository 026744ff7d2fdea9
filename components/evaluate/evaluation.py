"""All metrics of a run: every member and ensemble is evaluated on its group's evaluation tumours (STUDY 5).

A group's second cut-off and Platt scaling are chosen on development predictions: those of the other groups for their
own evaluation tumours, of patients whom this group does not evaluate. No network that makes them was trained, stopped
or accepted on these tumours.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.layout import RUN_AGAIN
from components.common.artifacts.learning_curve import LearningCurve
from components.common.artifacts.members import Members
from components.common.artifacts.metrics import AucByScore, Counts, MembersAuc, Metrics
from components.common.artifacts.permutation import PermutationTest
from components.common.artifacts.score_metrics import RepeatedMean
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.settings import EvaluateSettings, Score
from components.evaluate import ensemble
from components.evaluate.clinical import clinical_metrics
from components.evaluate.group import GroupPredictions
from components.evaluate.study import study_metrics
from components.stats.repeated import repeated_mean
from components.stats.roc import ResampledMean, auc_score, mean_auc, roc_curve


@dataclasses.dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """The artifacts of one run from which report and model card are written.

    ``facts`` are the run's details (digests, versions, seeds, times, restarts): plain values and dataclasses, nested.
    ``permutation`` and ``learning_curve`` are the run's permutation test and learning curve, if there are any.
    """

    dataset: Dataset
    splits: Splits
    members: Members
    evaluation: Evaluation
    facts: Mapping[str, Any]
    permutation: PermutationTest | None = None
    learning_curve: LearningCurve | None = None


TABLE_III_COLUMNS = (
    "group", "member", "auc", "p_value", "ci_low", "ci_high", "sensitivity", "specificity", "flagged", "restarts",
    "newcombe_low", "newcombe_high", "p_value_ties",
)  # fmt: skip


def evaluate(
    dataset: Dataset, splits: Splits, members: Members, settings: EvaluateSettings, *, seed: int, times_used: int = 1
) -> Evaluation:
    """Scores, Table III and all metrics of a run.

    Parameters
    ----------
    dataset, splits, members
        Artifacts of one run, the members in the order of the splits.
    settings
        Primary score, cut-off, bootstrap samples.
    seed
        Seed of the bootstrap and of the subsets of members.
    times_used
        How often these evaluation sets have been used, this run included.

    Raises
    ------
    InputError
        ``MEMBERS_MISMATCHED``, ``EVALUATION_ONE_CLASS``, or as ``ensemble.scores``.
    """
    if members.dataset_digest != dataset.digest:
        raise InputError("MEMBERS_MISMATCHED", "the members were trained on another dataset", RUN_AGAIN)
    scores = ensemble.scores(dataset, splits, members)
    _refuse_one_class(scores)
    groups = {
        name: GroupPredictions.of(
            name, dataset, splits, members, scores, settings, np.random.default_rng([seed, index])
        )
        for index, name in enumerate(splits.groups)
    }
    table = pd.DataFrame(
        [row for group in groups.values() for row in group.table_rows()], columns=list(TABLE_III_COLUMNS)
    )
    means, resampled = _mean_aucs(groups), _resampled_mean(groups, settings, seed)
    by_group = {name: group.metrics() for name, group in groups.items()}
    centres = splits.centres(dataset.tumours)
    metrics = Metrics(
        synthetic=dataset.synthetic,
        split_unit=splits.unit,
        shared_patients=splits.shared_patients,
        primary_score=settings.ensemble_score,
        cut_off=settings.cut_off,
        counts=_counts(dataset, splits),
        members_auc=_members_auc(table),
        mean_auc=getattr(means, settings.ensemble_score),
        mean_auc_by_score=means,
        mean_auc_lower_bound=resampled.limits(one_sided=True).ci_low if resampled else None,
        mean_auc_limits=resampled.limits() if resampled else None,
        repeated=_repeated(groups, settings.ensemble_score, len(dataset.tumours)),
        groups=by_group,
        study=study_metrics(dataset, scores, settings),
        clinical=clinical_metrics(dataset.tumours, scores, by_group, settings, seed),
        evaluation_sets_used=times_used,
        centres=centres,
        worst_centre_auc=min(group.evaluation.auc for group in by_group.values()) if centres else None,
    )
    return Evaluation(scores=scores, table_iii=table, metrics=metrics)


@dataclasses.dataclass(frozen=True, slots=True)
class GroupCurves:
    """ROC curve and confusion matrix of a group's primary score, in the form that the KFP UI draws.

    Parameters
    ----------
    fpr, tpr, threshold
        At most 200 finite points of the ROC curve.
    confusion
        Counts at the cut-off: rows are the true class, columns the predicted class, in the order of ``categories``.
    """

    fpr: list[float]
    tpr: list[float]
    threshold: list[float]
    confusion: list[list[int]]
    categories: ClassVar[list[str]] = ["responder", "non-responder"]


def group_curves(evaluation: Evaluation) -> list[GroupCurves]:
    """ROC points and confusion matrix of every group's primary score, in the groups' order."""
    score, curves = evaluation.metrics.primary_score, []
    for name, group in evaluation.metrics.groups.items():
        rows = evaluation.scores[(evaluation.scores["group"] == name) & (evaluation.scores["role"] == "evaluation")]
        points, rates = roc_curve(rows["label"], rows[score]), group.evaluation
        confusion = [
            [rates.true_negative, rates.false_positive],
            [rates.false_negative, rates.true_positive],
        ]
        fpr, tpr, threshold = points.false_positive_rate, points.true_positive_rate, points.threshold
        curves.append(GroupCurves(fpr.tolist(), tpr.tolist(), threshold.tolist(), confusion))
    return curves


def _refuse_one_class(scores: pd.DataFrame) -> None:
    classes = scores[scores["role"] == "evaluation"].groupby("group")["label"].nunique()
    groups = set(scores["group"]) - set(classes.index[classes == 2])
    if groups:
        problem = f"the evaluation set of group {', '.join(sorted(groups))} lacks a class"
        raise InputError("EVALUATION_ONE_CLASS", problem, "More tumours, or smaller evaluation sets, are needed.")


def _counts(dataset: Dataset, splits: Splits) -> Counts:
    positives = int(dataset.tumours["label"].sum())
    return Counts(
        tumours=len(dataset.tumours),
        patients=int(dataset.tumours["patient"].nunique()),
        responders=len(dataset.tumours) - positives,
        non_responders=positives,
        groups=len(splits.groups),
        members=len(splits.members),
    )


def _members_auc(table: pd.DataFrame) -> MembersAuc:
    single = table.loc[table["member"] != "ensemble", "auc"]
    return MembersAuc(median=float(single.median()), min=float(single.min()), max=float(single.max()))


def _mean_aucs(groups: Mapping[str, GroupPredictions]) -> AucByScore:
    mean, vote = (mean_auc([group.scored(name) for group in groups.values()]) for name in ("mean", "vote"))
    return AucByScore(mean, vote)


def _repeated(groups: Mapping[str, GroupPredictions], score: Score, tumours: int) -> RepeatedMean | None:
    """The groups are draws, of training sets that overlap; sizes are those of the mean evaluation set."""
    if len(groups) < 2:
        return None
    aucs = [auc_score(group.labels, group.evaluation[score]) for group in groups.values()]
    evaluated = round(float(np.mean([len(group.evaluation) for group in groups.values()])))
    found = repeated_mean(aucs, n_train=tumours - evaluated, n_test=evaluated)
    return dataclasses.replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _resampled_mean(
    groups: Mapping[str, GroupPredictions], settings: EvaluateSettings, seed: int
) -> ResampledMean | None:
    """Patient-clustered bootstrap of the mean AUC; None for too few patients, which no gate passes."""
    primary = [group.scored(settings.ensemble_score) for group in groups.values()]
    try:
        return ResampledMean.of(primary, rng=seed, samples=settings.bootstrap)
    except InputError:
        return None
