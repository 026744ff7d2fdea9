"""The metrics of a registered model on another labelled cohort: the contents of a validation's ``metrics.json``."""

import dataclasses
from typing import Any, Literal

from pydantic import TypeAdapter, with_config

from components.common.artifacts.clinical_metrics import NetBenefit, Subgroup
from components.common.artifacts.dataset import Flow
from components.common.artifacts.metrics import AucByScore
from components.common.artifacts.score_metrics import Calibration, OtherIntervals, PlattScaling, Rates, RocSummary
from components.common.artifacts.typed_json import STRICT
from components.common.settings import Score

#: What is done with tumours of patients whom the model has seen: the validation is refused, or they are left out.
Seen = Literal["refuse", "exclude"]


@dataclasses.dataclass(frozen=True, slots=True)
class ValidatedModel:
    """The version that was validated, by the registry and the bundle's manifest.

    Parameters
    ----------
    name, version
        Registered model and number of the version.
    ensemble
        ``study``, or the name of its group.
    members
        Number of its networks.
    bundle_digest, dataset_digest
        Digests of the bundle, and of the dataset that it was developed on.
    study
        Name of the study that it was developed in.
    synthetic
        Whether it was developed on a phantom.
    primary_score, cut_off
        The score by which it is judged, and the value above which a tumour is called a non-responder.
    platt
        Platt scaling of the primary score; None for a bundle without.
    development_auc
        Mean AUC of its study's group ensembles on their own evaluation tumours; None where the manifest lacks it.
    """

    name: str
    version: str
    ensemble: str
    members: int
    bundle_digest: str
    dataset_digest: str
    study: str
    synthetic: bool
    primary_score: Score
    cut_off: float
    platt: PlattScaling | None
    development_auc: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Overlap:
    """Patients of the cohort whom the model has seen in training or validation.

    Parameters
    ----------
    checked
        Whether they could be looked for by their pseudonyms; ``reason`` says why not.
    images_checked
        Whether they could be looked for by the images of their tumours.
    handling
        What was asked for, had there been any.
    patients, tumours
        Those that were recognised and therefore left out.
    """

    checked: bool
    images_checked: bool
    reason: str
    handling: Seen
    patients: int
    tumours: int


@dataclasses.dataclass(frozen=True, slots=True)
class CentreOverlap:
    """Centres of the cohort that had a part in the model's development.

    Parameters
    ----------
    checked
        Whether any of this could be found out; ``reason`` says why not.
    by_centre
        Whether the development left out one centre after the other, so that its estimate is one for unseen centres.
    developed
        Pseudonyms of centres of the cohort on whose tumours the model was developed, as far as is known.
    held_out
        The centre that the validated ensemble's group left out, where it is of the cohort.
    not_listed
        The other centres of the cohort: of these it is not known.
    tumours
        Evaluated tumours of ``developed``.
    performance
        Performance at each of these three kinds of centres; empty where nothing could be found out.
    """

    checked: bool
    reason: str
    by_centre: bool
    developed: tuple[str, ...]
    held_out: tuple[str, ...]
    not_listed: tuple[str, ...]
    tumours: int
    performance: tuple[Subgroup, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class CohortCounts:
    """Sizes of the validated cohort; ``centres`` is 0 where no tumour's centre is known."""

    tumours: int
    patients: int
    responders: int
    non_responders: int
    centres: int


@dataclasses.dataclass(frozen=True, slots=True)
class CentreMetrics:
    """One centre's tumours.

    Parameters
    ----------
    performance
        AUC, sensitivity and specificity, as of a subgroup.
    mean_probability, observed
        Mean predicted probability of non-response, calibrated where the model has a scaling, and the proportion of
        non-responders.
    calibration
        Calibration of that probability; None where a class is missing.
    """

    performance: Subgroup
    mean_probability: float
    observed: float
    calibration: Calibration | None


@dataclasses.dataclass(frozen=True, slots=True)
class Performance:
    """A model's performance on the labelled tumours of a cohort.

    Parameters
    ----------
    counts
        The tumours that it was measured on.
    auc
        AUC of the primary score, with Newcombe's limits.
    auc_by_score
        AUC of each of the two scores.
    intervals
        Limits of the primary score's AUC by other methods; DeLong and bootstrap are clustered by patient.
    rates
        Sensitivity and specificity at the bundle's cut-off, with exact limits.
    raw, calibrated
        Calibration of the primary score, and of the probability after the bundle's Platt scaling; None without one.
    net_benefit
        Decision curve of the calibrated probability; empty for a model without one.
    subgroups
        Performance by clinical and technical covariates.
    centres
        Performance by centre; empty where no tumour's centre is known.
    """

    counts: CohortCounts
    auc: RocSummary
    auc_by_score: AucByScore
    intervals: OtherIntervals
    rates: Rates
    raw: Calibration
    calibrated: Calibration | None
    net_benefit: tuple[NetBenefit, ...]
    subgroups: tuple[Subgroup, ...]
    centres: dict[str, CentreMetrics]


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class ValidationMetrics:
    """All of a validation.

    Parameters
    ----------
    name
        Name of the cohort.
    synthetic
        Whether the model, the cohort or both are synthetic.
    synthetic_cohort
        Whether any part of the cohort is a phantom.
    dataset_digest
        Digest of the cohort's dataset.
    model
        The version that was validated.
    overlap
        Patients whom it had seen.
    flow
        From the rows of the cohort table to the tumours evaluated.
    performance
        Its performance on these.
    centre_overlap
        Centres of the cohort that had a part in its development; None in validations of earlier releases.
    """

    name: str
    synthetic: bool
    synthetic_cohort: bool
    dataset_digest: str
    model: ValidatedModel
    overlap: Overlap
    flow: Flow
    performance: Performance
    centre_overlap: CentreOverlap | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``metrics.json`` and MLflow."""
        return dataclasses.asdict(self)


VALIDATION_FILE = TypeAdapter(ValidationMetrics)
