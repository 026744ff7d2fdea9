"""What an ensemble is worth in the clinic: its net benefit, its performance in subgroups, what it adds to covariates.

Like ``score_metrics``, these types lie beside the artifacts, so that ``components.stats`` can import them.
"""

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True, slots=True)
class NetBenefit:
    """Net benefit of treating by a predicted probability, at one threshold probability (Vickers & Elkin 2006).

    Parameters
    ----------
    threshold
        Probability of non-response at or above which a tumour is treated.
    model, low, high
        Net benefit of treating by the prediction, and its limits, which are None where there are too few patients;
        treating nobody has a net benefit of 0.
    treat_all
        Net benefit of treating every tumour.
    over_treat_all, over_treat_all_low, over_treat_all_high
        ``model - treat_all`` and its limits.
    """

    threshold: float
    model: float
    low: float | None
    high: float | None
    treat_all: float
    over_treat_all: float
    over_treat_all_low: float | None
    over_treat_all_high: float | None
    treat_none: ClassVar[float] = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Subgroup:
    """Performance among the tumours of one category of a covariate.

    Parameters
    ----------
    covariate, category
        Name and value that define the subgroup.
    responders, non_responders, patients
        Its tumours by label, and their patients.
    auc, auc_low, auc_high
        AUC with Newcombe's limits; None where a class has too few tumours.
    sensitivity, specificity, and their limits
        For non-responders at the cut-off, with exact limits; None where the class is empty.
    """

    covariate: str
    category: str
    responders: int
    non_responders: int
    patients: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    sensitivity: float | None
    sensitivity_low: float | None
    sensitivity_high: float | None
    specificity: float | None
    specificity_low: float | None
    specificity_high: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class AddedValue:
    """Tests of adding an ensemble's score to a logistic regression on covariates.

    Parameters
    ----------
    likelihood_ratio, p_value
        Statistic of the likelihood-ratio test and its p-value, with one degree of freedom; tumours are taken as
        independent.
    coefficient, low, high
        Log odds ratio of non-response per unit of the score's logit, and its limits; None where not defined.
    wald_p_value
        P-value of Wald's test of the coefficient, clustered by patient where patients are known, as are its limits.
    n
        Number of tumours.
    """

    likelihood_ratio: float
    p_value: float
    coefficient: float | None
    low: float | None
    high: float | None
    wald_p_value: float | None
    n: int


@dataclasses.dataclass(frozen=True, slots=True)
class ScanFact:
    """Whether a fact of the CT scan may be a confounder, such as a contrast agent that only non-responders were given.

    Parameters
    ----------
    name
        The fact's title in Table S1, and its covariate's in the subgroups.
    p_value
        Of its association with response, as in Table S1 (exact where that gives one); None where no test is possible.
    associated
        Whether the p-value is below 0.05.
    explains
        Whether the ensemble predicts well over all tumours but hardly within any subgroup by this fact.
    """

    name: str
    p_value: float | None
    associated: bool
    explains: bool


@dataclasses.dataclass(frozen=True, slots=True)
class LaterOutcome:
    """How the evaluated tumours with one later outcome were called."""

    outcome: str
    called_responder: int
    called_non_responder: int


@dataclasses.dataclass(frozen=True, slots=True)
class PatientsEvaluated:
    """How many patients with one tumour, and with several, have a tumour in any group's evaluation set."""

    single: int
    single_evaluated: int
    several: int
    several_evaluated: int


@dataclasses.dataclass(frozen=True, slots=True)
class ClinicalMetrics:
    """Clinical worth of a run's ensembles; each evaluated tumour counts once, with its mean over the groups.

    Parameters
    ----------
    net_benefit
        Decision curve of the calibrated probability; empty where there are too few patients or no group is calibrated.
    calibrated
        Number of tumours with a calibrated probability.
    subgroups
        Performance of the primary score by covariates and facts of the scan.
    scan
        Facts of the scan as possible confounders; only those that are known.
    added_value
        Test of the ensemble beside covariates; None where it is not possible.
    borderline
        Performance by the distance of the tumour's change to the limit of partial response; empty where no diameters
        are known.
    later
        Calls by later outcome.
    patients
        Chance of patients to be evaluated, by their number of tumours.
    """

    net_benefit: tuple[NetBenefit, ...]
    calibrated: int
    subgroups: tuple[Subgroup, ...]
    scan: tuple[ScanFact, ...]
    added_value: AddedValue | None
    borderline: tuple[Subgroup, ...]
    later: tuple[LaterOutcome, ...]
    patients: PatientsEvaluated
