"""The performance of a model's predictions on a labelled cohort: discrimination, calibration, net benefit, subgroups.

The cut-off and the Platt scaling are the model's own: nothing is fitted to the cohort.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.clinical_metrics import NetBenefit, Subgroup
from components.common.artifacts.metrics import AucByScore
from components.common.artifacts.score_metrics import Calibration, Limits, OtherIntervals
from components.common.artifacts.validation_metrics import CentreMetrics, CohortCounts, Performance
from components.common.counted import counted
from components.common.errors import InputError
from components.common.settings import Score
from components.evaluate.decision import THRESHOLDS
from components.stats.calibration import calibrate
from components.stats.logistic import FEWEST_PATIENTS
from components.stats.net_benefit import decision_curve
from components.stats.roc import Interval, auc_score, rates_at, roc_summary
from components.stats.subgroups import split_at, subgroups

#: Where continuous covariates are split, the same in every cohort, so that cohorts can be compared: years, as trials of
#: radiosurgery do; and mm, the size from which on doses of single-fraction radiosurgery are lowered (RTOG 90-05).
AGE_CUT, SIZE_CUT_MM = 65.0, 20.0

#: Narrower intervals of an AUC are rounding errors: DeLong's and the bootstrap's shrink to a point where the scores
#: separate the classes, however few tumours there are.
NO_WIDTH = 1e-9


def measure(
    rows: pd.DataFrame, tumours: pd.DataFrame, *, primary: Score, cut_off: float, samples: int, seed: int
) -> Performance:
    """All metrics of predictions.

    Parameters
    ----------
    rows
        One row per evaluated tumour: ``patient``, ``label`` (1 = non-responder), the scores ``mean`` and ``vote``, and
        ``calibrated``, the probability after Platt scaling, which is NaN for a model without one.
    tumours
        Their rows of the dataset's table, in the same order.
    primary
        The score by which the model is judged.
    cut_off
        A primary score above it predicts a non-responder.
    samples, seed
        Resamples and seed of the bootstraps.

    Raises
    ------
    InputError
        ``VALIDATION_ONE_CLASS``.
    """
    labels, patients = rows["label"].to_numpy(), rows["patient"].to_numpy()
    refuse_one_class(labels)
    score, probability = rows[primary].to_numpy(float), calibrated_of(rows)
    return Performance(
        counts=_counts(tumours),
        auc=roc_summary(labels, score, "newcombe"),
        auc_by_score=AucByScore(auc_score(labels, rows["mean"]), auc_score(labels, rows["vote"])),
        intervals=_intervals(labels, score, patients, samples, seed),
        rates=rates_at(labels, score, cut_off),
        raw=calibrate(labels, score, patients=patients),
        calibrated=None if probability is None else calibrate(labels, probability, patients=patients),
        net_benefit=_net_benefit(labels, probability, patients, samples, seed),
        subgroups=subgroups(labels, score, patients, covariates_of(tumours), cut_off=cut_off),
        centres=_centres(labels, score, score if probability is None else probability, tumours, cut_off),
    )


def refuse_one_class(labels: NDArray[Any]) -> None:
    """Refuses tumours that lack a class, or of which there are none, with ``VALIDATION_ONE_CLASS``."""
    positives = int((labels == 1).sum())
    if 0 < positives < len(labels):
        return
    classes = f"{counted(len(labels) - positives, 'responder')} and {counted(positives, 'non-responder')}"
    message = f"the cohort has {classes} to evaluate"
    hint = "A cohort of both is needed; the summary of preprocess says which tumours were excluded, and why."
    raise InputError("VALIDATION_ONE_CLASS", message, hint)


def calibrated_of(rows: pd.DataFrame) -> NDArray[np.float64] | None:
    """Calibrated probabilities [n]; None for a model without Platt scaling."""
    probability = rows["calibrated"].to_numpy(float)
    return None if np.isnan(probability).any() else probability


def covariates_of(tumours: pd.DataFrame) -> pd.DataFrame:
    """The covariates of the subgroups, each categorical, for rows of a dataset's tumour table."""
    kvp = pd.to_numeric(tumours["kvp"], errors="coerce")
    return pd.DataFrame(
        {
            "sex": tumours["sex"].array,
            "age, years": split_at(pd.to_numeric(tumours["age"], errors="coerce"), [AGE_CUT]),
            "primary site": tumours["primary_site"].array,
            "location": tumours["location"].array,
            "longest diameter, mm": split_at(pd.to_numeric(tumours["diameter_mm"], errors="coerce"), [SIZE_CUT_MM]),
            "device": tumours["device"].array,
            "contrast agent": tumours["contrast_agent"].array,
            "tube voltage, kV": pd.Series([None if np.isnan(value) else f"{value:g}" for value in kvp], dtype=object),
        }
    )


def _counts(tumours: pd.DataFrame) -> CohortCounts:
    positives = int((tumours["label"] == 1).sum())
    return CohortCounts(
        tumours=len(tumours),
        patients=int(tumours["patient"].nunique()),
        responders=len(tumours) - positives,
        non_responders=positives,
        centres=int(tumours["centre"].nunique()),
    )


def _intervals(
    labels: NDArray[Any], score: NDArray[np.float64], patients: NDArray[Any], samples: int, seed: int
) -> OtherIntervals:
    few = len(np.unique(patients)) < FEWEST_PATIENTS

    def limits(method: Interval) -> Limits | None:
        """None for too few patients, and where limits coincide: no sample is free of uncertainty."""
        if few and method != "newcombe":
            return None
        try:
            summary = roc_summary(labels, score, method, patients=patients, rng=seed, samples=samples)
        except InputError:
            return None
        if summary.ci_high - summary.ci_low < NO_WIDTH:
            return None
        return Limits(summary.se, summary.ci_low, summary.ci_high)

    return OtherIntervals(limits("delong"), limits("newcombe"), limits("bootstrap"))


def _net_benefit(
    labels: NDArray[Any], probability: NDArray[np.float64] | None, patients: NDArray[Any], samples: int, seed: int
) -> tuple[NetBenefit, ...]:
    if probability is None:
        return ()
    return decision_curve(labels, probability, THRESHOLDS, patients=patients, rng=seed, samples=samples)


def _centres(
    labels: NDArray[Any],
    score: NDArray[np.float64],
    probability: NDArray[np.float64],
    tumours: pd.DataFrame,
    cut_off: float,
) -> dict[str, CentreMetrics]:
    """Each centre's metrics, the centre with most tumours first."""
    centres = pd.DataFrame({"centre": tumours["centre"].array})
    performances = subgroups(labels, score, tumours["patient"].to_numpy(), centres, cut_off=cut_off)
    return {one.category: _centre(one, labels, probability, tumours) for one in performances}


def _centre(
    performance: Subgroup, labels: NDArray[Any], probability: NDArray[np.float64], tumours: pd.DataFrame
) -> CentreMetrics:
    own = (tumours["centre"] == performance.category).to_numpy(bool)
    return CentreMetrics(
        performance=performance,
        mean_probability=float(probability[own].mean()),
        observed=float((labels[own] == 1).mean()),
        calibration=_calibration(labels[own], probability[own], tumours["patient"].to_numpy()[own]),
    )


def _calibration(labels: NDArray[Any], probability: NDArray[np.float64], patients: NDArray[Any]) -> Calibration | None:
    """None where a class is missing."""
    both = 0 < int((labels == 1).sum()) < len(labels)
    return calibrate(labels, probability, patients=patients) if both else None
