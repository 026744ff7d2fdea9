"""The figures of one score on one set of tumours: ``components.stats`` computes them, ``metrics.json`` holds them.

They stand with the artifacts, which evaluation hands on and tracking reads, so that the statistics may build on the
common ground and not the reverse. Classes that others are derived from have no slots, which Python cannot join.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RocSummary:
    """AUC of one score with its uncertainty.

    Parameters
    ----------
    auc
        Area under the ROC curve; ties one half.
    se
        Its standard error by the interval's method (for ``newcombe`` at the estimate itself).
    ci_low, ci_high
        Limits in [0, 1]: together two-sided at ``level``, or each one-sided at ``level``.
    p_value
        Two-sided, of the hypothesis AUC = 0.5, with the null standard error, whatever the interval (STUDY 5).
    n_positive, n_negative
        Non-responders and responders.
    ci, level, one_sided
        How the limits were made.
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


@dataclasses.dataclass(frozen=True)
class Rates:
    """Sensitivity and specificity for non-responders with exact 95 % limits, and the counts behind them."""

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
    """How far a score is a probability of non-response.

    Parameters
    ----------
    brier
        Mean squared difference of score and outcome; 0 is perfect, 0.25 a constant one half.
    slope
        Of the outcome's logistic regression on the score's logit: 1 is right, below 1 over-confident. None where
        the score separates the classes.
    intercept
        Calibration in the large: the fitted intercept with the slope held at 1; 0 is right.
    n
        Tumours.
    """

    brier: float
    slope: float | None
    intercept: float | None
    n: int


@dataclasses.dataclass(frozen=True, slots=True)
class PairedTest:
    """Difference of two AUCs on the same cases.

    Parameters
    ----------
    auc_a, auc_b
        The two areas; for a stack of scores the mean of their areas.
    difference
        ``auc_a - auc_b``.
    se
        Its standard error.
    p_value
        Two-sided, of no difference; 1 where the scores order all cases alike.
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
    """An ensemble on one set of ``n`` tumours: both scores, and on top the figures of the primary one again."""

    n: int
    mean: ScoreMetrics
    vote: ScoreMetrics


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Standard error of an AUC and its two-sided 95 % limits in [0, 1]."""

    se: float
    ci_low: float
    ci_high: float


@dataclasses.dataclass(frozen=True, slots=True)
class OtherIntervals:
    """The primary score's limits by other methods than the paper's; None where there are too few patients."""

    delong: Limits | None
    newcombe: Limits | None
    bootstrap: Limits | None


@dataclasses.dataclass(frozen=True, slots=True)
class PlattMetrics:
    """Platt scaling fitted on ``n`` out-of-bag answers, and the calibration of the evaluation answers after it."""

    slope: float
    intercept: float
    n: int
    evaluation: Calibration
