"""The files of a learning curve, which lie in the folder of a local run: each training's, and the curve's."""

import dataclasses
from typing import ClassVar

from pydantic import with_config

from components.common.artifacts.beside_run import Resumable, RunResult
from components.common.artifacts.score_metrics import Limits
from components.common.artifacts.typed_json import STRICT
from components.common.settings import Score


@dataclasses.dataclass(frozen=True, slots=True)
class CurvePoint:
    """What trainings with one fraction of the development patients gave.

    Parameters
    ----------
    fraction
        Share of each group's development patients.
    patients
        Mean number of a group's development patients.
    training_tumours
        Mean number of tumours that a network was trained on, without its validation set.
    aucs
        Mean AUC over the groups in each draw.
    mean, sd
        Mean of ``aucs`` and their standard deviation (divisor draws - 1; None for one draw).
    """

    fraction: float
    patients: float
    training_tumours: float
    aucs: tuple[float, ...]
    mean: float
    sd: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class RunPoint:
    """The run itself, at fraction 1; ``limits`` are the two-sided 95 % limits of its mean AUC, if it has them."""

    patients: float
    training_tumours: float
    mean_auc: float
    limits: Limits | None


@dataclasses.dataclass(frozen=True, slots=True)
class Rise:
    """Mean AUC of a run minus that of trainings with fewer tumours, on the same evaluation tumours.

    Parameters
    ----------
    differences
        One for each draw.
    difference, sd
        Their mean and standard deviation (divisor draws - 1; None for one draw).
    se_patients
        Standard error of ``difference`` by a bootstrap over evaluated patients, with the networks as they are; None for
        too few patients.
    low, high
        Two-sided 95 % limits for both sources of chance: draw and training, and evaluated patients. None where one of
        them is unknown.
    """

    differences: tuple[float, ...]
    difference: float
    sd: float | None
    se_patients: float | None
    low: float | None
    high: float | None


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class LearningCurve(RunResult):
    """The mean AUC of a run's whole procedure against the number of tumours that it is trained on.

    Parameters
    ----------
    seed, draws
        Seed of the draws, and their number.
    primary_score
        The ensemble's score whose AUC is meant.
    networks, groups
        Numbers of networks and groups in each training.
    points
        One for each fraction, in rising order.
    run
        The run itself.
    rise
        The run against the largest fraction.
    """

    file: ClassVar[str] = "learning_curve.json"
    kind: ClassVar[str] = "learning curve"
    seed: int
    draws: int
    primary_score: Score
    networks: int
    groups: int
    points: tuple[CurvePoint, ...]
    run: RunPoint
    rise: Rise


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class SmallerTraining(Resumable):
    """A finished training of all members with fewer tumours.

    Parameters
    ----------
    patients, training_tumours
        As in ``CurvePoint``.
    scores
        Each group's primary scores of its evaluation tumours, in the order of the dataset.
    seconds
        How long it took.
    """

    kind: ClassVar[str] = "training"
    patients: float
    training_tumours: float
    scores: dict[str, tuple[float, ...]]
    seconds: float
