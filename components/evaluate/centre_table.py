"""The centres that were left out in turn: performance at each, which its group's networks never saw (TRIPOD+AI 12d)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.metrics import EvaluationMetrics
from components.stats.platt import calibrated


@dataclass(frozen=True, slots=True)
class CentreLine:
    """One centre.

    Parameters
    ----------
    group, centre
        The group that left it out, and its pseudonym.
    patients
        Number of its patients.
    evaluation
        Metrics of the group's ensemble on all its tumours.
    observed, predicted
        Proportion of non-responders, and the mean of the calibrated probabilities, whose scaling was fitted on the
        other centres that were left out; None where there is none.
    """

    group: str
    centre: str
    patients: int
    evaluation: EvaluationMetrics
    observed: float
    predicted: float | None


def range_over_centres(lines: Sequence[CentreLine]) -> dict[str, float]:
    """``lowest`` and ``highest`` AUC, and the probability that a further centre's is ``outside``; {} without centres.

    Of k + 1 exchangeable values each is equally likely to be the lowest, and to be the highest: 2 / (k + 1).
    """
    if not lines:
        return {}
    aucs = [line.evaluation.auc for line in lines]
    return {"lowest": min(aucs), "highest": max(aucs), "outside": 2 / (len(aucs) + 1)}


def centre_lines(evaluation: Evaluation) -> list[CentreLine]:
    """A line for each centre that was left out, in the groups' order; [] unless splits are by centre."""
    metrics, lines = evaluation.metrics, []
    for group, centre in metrics.centres.items():
        rows = evaluation.scores.query("group == @group and role == 'evaluation'")
        own = metrics.groups[group].evaluation
        scores = rows[metrics.primary_score]
        predicted = (
            None if own.platt is None else float(np.mean(calibrated(scores, own.platt.slope, own.platt.intercept)))
        )
        observed = float(rows["label"].mean())
        lines.append(CentreLine(group, centre, rows["patient"].nunique(), own, observed, predicted))
    return lines
