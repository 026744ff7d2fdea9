"""The files of a learning curve, which lie in the folder of a local run: each training's, and the curve's."""

import dataclasses
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, with_config

from components.common.artifacts.score_metrics import Limits
from components.common.artifacts.typed_json import STRICT, read_as, read_or_none
from components.common.files import write_json
from components.common.settings import Score

#: Name of the file in the folder of a run.
LEARNING_CURVE = "learning_curve.json"


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
class LearningCurve:
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

    seed: int
    draws: int
    primary_score: Score
    networks: int
    groups: int
    points: tuple[CurvePoint, ...]
    run: RunPoint
    rise: Rise

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the file."""
        return dataclasses.asdict(self)

    def write(self, folder: Path) -> Path:
        """Writes the file into the folder of a run, whole or not at all; returns its path."""
        write_json(folder / LEARNING_CURVE, self.to_dict())
        return folder / LEARNING_CURVE

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The curve of the run in ``folder``, None where there is none; raises as ``read_as``."""
        path = folder / LEARNING_CURVE
        return read_as(_CURVE, path, "learning curve") if path.is_file() else None


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class SmallerTraining:
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

    patients: float
    training_tumours: float
    scores: dict[str, tuple[float, ...]]
    seconds: float

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The training in a file; None where there is none or it is damaged, since it can be repeated."""
        return read_or_none(_TRAINING, path, "training")


_CURVE: TypeAdapter[Any] = TypeAdapter(LearningCurve)
_TRAINING: TypeAdapter[Any] = TypeAdapter(SmallerTraining)
