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
        Net benefit of treating by the prediction, and its limits; treating nobody has a net benefit of 0.
    treat_all
        Net benefit of treating every tumour.
    over_treat_all, over_treat_all_low, over_treat_all_high
        ``model - treat_all`` and its limits.
    """

    threshold: float
    model: float
    low: float
    high: float
    treat_all: float
    over_treat_all: float
    over_treat_all_low: float
    over_treat_all_high: float
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
