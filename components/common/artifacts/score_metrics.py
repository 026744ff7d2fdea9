"""The metrics of one score on one set of tumours, which ``components.stats`` computes and ``metrics.json`` holds.

They lie beside the artifacts, so that ``components.stats`` can import them from ``components.common`` and not the
reverse. Base classes have no slots, since Python cannot combine those of several bases.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RocSummary:
    """AUC of one score with its uncertainty.

    Parameters
    ----------
    auc
        Area under the ROC curve; ties count one half.
    se
        Its standard error by the interval's method (for ``newcombe``, evaluated at the estimate).
    ci_low, ci_high
        Confidence limits in [0, 1]: a two-sided interval at ``level``, or each limit one-sided at ``level``.
    p_value
        Two-sided p-value of the hypothesis AUC = 0.5, with the null standard error for every interval: SPSS's and the
        paper's, which ignores ties (STUDY 5).
    n_positive, n_negative
        Numbers of non-responders and responders.
    ci, level, one_sided
        Method, level and sidedness of the limits.
    p_value_ties
        As ``p_value``, with ties in the null variance: the Mann-Whitney test. None in evaluations of earlier releases.
    """

    auc: float
    se: float
    ci_low: float
    ci_high: float
    p_value: float
    n_positive: int
    n_negative: int
    ci: str
    level: float
    one_sided: bool
    p_value_ties: float | None = dataclasses.field(default=None, kw_only=True)


@dataclasses.dataclass(frozen=True)
class Rates:
    """Sensitivity and specificity for non-responders with exact 95 % limits, and the underlying counts."""

    cut_off: float
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    specificity_low: float
    specificity_high: float
    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of a score as a probability of non-response.

    Parameters
    ----------
    brier
        Mean squared difference of score and outcome; 0 is perfect, 0.25 is a constant score of one half.
    slope
        Slope of the outcome's logistic regression on the score's logit: 1 is ideal, below 1 is over-confident. None
        where the score separates the classes.
    intercept
        Calibration in the large: the fitted intercept with the slope fixed at 1; 0 is ideal.
    n
        Number of tumours.
    brier_low, brier_high, slope_low, slope_high, intercept_low, intercept_high
        Two-sided 95 % limits, clustered by patient where patients are known; None where there are too few patients,
        where the estimate is missing, and in evaluations of earlier releases.
    """

    brier: float
    slope: float | None
    intercept: float | None
    n: int
    brier_low: float | None = None
    brier_high: float | None = None
    slope_low: float | None = None
    slope_high: float | None = None
    intercept_low: float | None = None
    intercept_high: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PairedTest:
    """Difference of two AUCs on the same cases.

    Parameters
    ----------
    auc_a, auc_b
        The two AUCs; for a stack of scores, the mean of their AUCs.
    difference
        ``auc_a - auc_b``.
    se
        Its standard error.
    p_value
        Two-sided p-value of no difference; 1 where both scores rank all cases identically.
    """

    auc_a: float
    auc_b: float
    difference: float
    se: float
    p_value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreMetrics(RocSummary, Rates):
    """One score of an ensemble on one set of tumours: its AUC, its rates at the run's cut-off, its calibration."""

    calibration: Calibration


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetMetrics(ScoreMetrics):
    """An ensemble on one set of ``n`` tumours: both scores, and at the top level the primary one's metrics again."""

    n: int
    mean: ScoreMetrics
    vote: ScoreMetrics


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Standard error of an AUC, or of a mean of AUCs, and its limits in [0, 1]: in ``metrics.json`` two-sided, 95 %."""

    se: float
    ci_low: float
    ci_high: float


@dataclasses.dataclass(frozen=True, slots=True)
class OtherIntervals:
    """The primary score's limits by other methods than the paper's.

    None for too few patients; in a validation also where the limits coincide.
    """

    delong: Limits | None
    newcombe: Limits | None
    bootstrap: Limits | None


@dataclasses.dataclass(frozen=True)
class PlattScaling:
    """Platt scaling: expit(``intercept`` + ``slope`` * logit(score)), fitted on ``n`` development predictions."""

    slope: float
    intercept: float
    n: int


@dataclasses.dataclass(frozen=True)
class PlattMetrics(PlattScaling):
    """Platt scaling, and the calibration of the evaluation scores after it."""

    evaluation: Calibration


@dataclasses.dataclass(frozen=True, slots=True)
class RepeatedMean:
    """Mean of a statistic over ``draws`` random training and evaluation sets, its corrected standard error and limits.

    ``low`` and ``high`` are two-sided limits or one-sided bounds, as was asked for (Nadeau & Bengio 2003).
    """

    mean: float
    se: float
    low: float
    high: float
    draws: int
