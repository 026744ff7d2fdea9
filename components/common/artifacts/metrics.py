"""The metrics of a run: an attribute's path is its path in ``metrics.json`` and its name in MLflow.

Base classes have no slots, since Python cannot combine those of several bases.
"""

import dataclasses
from typing import Any

from pydantic import TypeAdapter, with_config

from components.common.artifacts.clinical_metrics import AddedValue, ClinicalMetrics
from components.common.artifacts.score_metrics import (
    Limits,
    OtherIntervals,
    PairedTest,
    PlattMetrics,
    PlattScaling,
    Rates,
    RepeatedMean,
    RocSummary,
    SetMetrics,
)
from components.common.artifacts.typed_json import STRICT
from components.common.settings import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationMetrics(SetMetrics):
    """An ensemble's metrics on its group's evaluation tumours.

    Parameters
    ----------
    intervals
        Confidence limits of the primary score's AUC by other methods; DeLong and bootstrap are clustered by patient.
    development_cut_off, platt
        The primary score at a cut-off chosen on development predictions, and after Platt scaling fitted on them; None
        where these lack a class, and for the scaling where its fit diverged.
    """

    intervals: OtherIntervals
    development_cut_off: Rates | None
    platt: PlattMetrics | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many tumours could have a development prediction, and how many of them no group evaluated.

    Parameters
    ----------
    tumours
        For a group, those of patients outside its evaluation set; for the study ensemble, all.
    never_evaluated
        Those of them that are in no (other) group's evaluation set.
    mean_members
        Mean number of networks behind a prediction.
    """

    tumours: int
    never_evaluated: int
    mean_members: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class DevelopmentMetrics(SetMetrics, Coverage):
    """Metrics on development predictions: other groups' predictions for their evaluation tumours."""


@dataclasses.dataclass(frozen=True, slots=True)
class Calls:
    """How the evaluation tumours of one response were called."""

    called_responder: int
    called_non_responder: int


@dataclasses.dataclass(frozen=True, slots=True)
class CallsByResponse:
    """Calls by RECIST response; CR and PR are responders."""

    CR: Calls
    PR: Calls
    SD: Calls
    PD: Calls


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyMetrics(DevelopmentMetrics):
    """The study ensemble on all groups' evaluation predictions, one for each tumour.

    They are the development predictions of the study ensemble, whose networks together have seen every tumour.

    Parameters
    ----------
    youden_cut_off
        The cut-off that maximises the Youden index.
    platt
        Platt scaling, with which a bundle of all members is calibrated; None where its fit diverged.
    newcombe
        Newcombe's limits of the primary score's AUC, with tumours as independent.
    confusion_by_response
        Calls by the primary score.
    """

    youden_cut_off: float
    platt: PlattScaling | None
    newcombe: Limits | None = None
    confusion_by_response: CallsByResponse | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class NoAuc:
    """Replaces a score's metrics where a class is missing."""

    auc: None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneClassMetrics(Coverage):
    """Replaces ``DevelopmentMetrics`` where the ``n`` development predictions lack a class."""

    n: int
    auc: None = None
    mean: NoAuc = NoAuc()
    vote: NoAuc = NoAuc()


@dataclasses.dataclass(frozen=True, slots=True)
class SpreadOfErrors:
    """Whether the members' spread predicts wrong calls.

    Parameters
    ----------
    right, wrong
        Mean spread (standard deviation of the members' probabilities) of right and of wrong calls; None where there
        are none.
    auc
        Probability that a wrong call has a larger spread than a right one, ties counting one half; None where there
        are only right or only wrong calls.
    """

    right: float | None
    wrong: float | None
    auc: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class SizeMetrics:
    """AUC of ensembles of only ``members`` members, over ``subsets`` subsets of the group's members."""

    members: int
    subsets: int
    mean_auc: float
    min_auc: float
    max_auc: float


@dataclasses.dataclass(frozen=True, slots=True)
class CovariateMetrics:
    """Regressions on clinical covariates, on the ensemble's score, and on both, on evaluation tumours.

    Parameters
    ----------
    gain_of_both
        Test of the regression on both against the ensemble's score itself.
    n_development
        Number of development predictions that the regressions were fitted on.
    added_value
        Test of the ensemble's score beside that of the regression on covariates.
    """

    clinical: RocSummary
    ensemble: RocSummary
    both: RocSummary
    gain_of_both: PairedTest
    n_development: int
    added_value: AddedValue | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class GroupMetrics:
    """One group's ensemble.

    Parameters
    ----------
    agreement
        Mean over tumours of the fraction of member pairs that cast the same vote.
    gain_over_votes, gain_over_probabilities
        The ensemble's AUC against the mean AUC of its members' votes, and of their probabilities.
    auc_by_size
        One entry for each number of members, from 1 to all.
    covariates
        None where the development predictions lack a class.
    restarts, flagged
        Restarts of all members together, and how many members were flagged in training.
    """

    evaluation: EvaluationMetrics
    development: DevelopmentMetrics | OneClassMetrics
    agreement: float
    gain_over_votes: PairedTest
    gain_over_probabilities: PairedTest
    spread: SpreadOfErrors
    auc_by_size: tuple[SizeMetrics, ...]
    confusion_by_response: CallsByResponse
    covariates: CovariateMetrics | None
    restarts: int
    flagged: int


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Sizes of a run."""

    tumours: int
    patients: int
    responders: int
    non_responders: int
    groups: int
    members: int


@dataclasses.dataclass(frozen=True, slots=True)
class MembersAuc:
    """AUC of the individual members' votes, over all groups."""

    median: float
    min: float
    max: float


@dataclasses.dataclass(frozen=True, slots=True)
class AucByScore:
    """Mean AUC over the groups, for each of the two scores."""

    mean: float
    vote: float


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics of a run.

    Parameters
    ----------
    synthetic
        True where any part of the cohort is a phantom.
    split_unit, shared_patients
        As in ``Splits``.
    primary_score, cut_off
        The score by which ensembles are judged, and the value above which a tumour is called a non-responder.
    mean_auc, mean_auc_lower_bound
        Mean over the groups of the primary score's AUC, and its one-sided 95 % lower bound, on the logit scale from a
        bootstrap over patients; None where there are too few patients to resample.
    repeated
        The mean AUC with the variance of repeated draws, which allows for overlapping training sets (Nadeau & Bengio
        2003); None for one group.
    groups
        Metrics of each group, by its name.
    study
        Metrics of the study ensemble on all groups' evaluation predictions together.
    evaluation_sets_used
        How many runs of the experiment have been evaluated on the same evaluation sets, this one included.
    mean_auc_limits
        Two-sided 95 % limits of ``mean_auc``, by the method of its lower bound; None for too few patients.
    clinical
        Clinical worth of the ensembles, on all groups' evaluation predictions together.
    centres
        The centre that each group left out, and is evaluated on; {} unless splits are by centre.
    worst_centre_auc
        Lowest AUC of a group that left out a centre; None unless splits are by centre.
    """

    synthetic: bool
    split_unit: str
    shared_patients: int
    primary_score: Score
    cut_off: float
    counts: Counts
    members_auc: MembersAuc
    mean_auc: float
    mean_auc_by_score: AucByScore
    mean_auc_lower_bound: float | None
    repeated: RepeatedMean | None
    groups: dict[str, GroupMetrics]
    study: StudyMetrics
    evaluation_sets_used: int
    mean_auc_limits: Limits | None = None
    clinical: ClinicalMetrics | None = None
    centres: dict[str, str] = dataclasses.field(default_factory=dict)
    worst_centre_auc: float | None = None

    @property
    def worst_group(self) -> str:
        """The group of the lowest AUC."""
        return min(self.groups, key=lambda name: self.groups[name].evaluation.auc)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``metrics.json`` and MLflow."""
        return dataclasses.asdict(self)


METRICS_FILE = TypeAdapter(Metrics)
