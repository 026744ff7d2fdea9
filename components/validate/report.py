"""The report of a validation: one self-contained HTML page below 1 MB, for the KFP UI, MLflow and print."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.validation import REPORT, Validation
from components.common.artifacts.validation_metrics import Performance, ValidationMetrics
from components.common.narrow import labelled
from components.common.pages import POLICY_TAG
from components.common.versions import version_of
from components.evaluate import figures as evaluation_figures
from components.evaluate.cohort_tables import LEAST_EXPECTED, RANDOM_TABLES, table_i, table_ii
from components.evaluate.decision import TABULATED
from components.evaluate.pages import MOST_BYTES, MOST_CROPS, MOST_LISTED, template
from components.evaluate.tables import SYNTHETIC, cohort_lines
from components.model.manifest import ensemble_title
from components.stats.calibration import reliability
from components.stats.logistic import FEWEST_PATIENTS
from components.stats.subgroups import LEAST_OF_CLASS
from components.validate import figures
from components.validate.centre_words import centre_note, centre_warning, comparable
from components.validate.few import by_class, few_warning
from components.validate.misclassified import misclassified
from components.validate.overlap import seen_sentence, unchecked_warning
from components.validate.performance import AGE_CUT, SIZE_CUT_MM, calibrated_of


def write_report(
    folder: Path,
    validation: Validation,
    tumours: pd.DataFrame,
    crops: NDArray[np.float32],
    window: tuple[float, float],
) -> Path:
    """Writes ``report.html`` into a folder, which is made if absent; returns the page's path.

    Parameters
    ----------
    folder
        The validation's folder.
    validation
        Predictions and metrics.
    tumours, crops
        Rows of the dataset's table and crops [n, 151, 151] HU of the evaluated tumours, in the order of the
        predictions.
    window
        Level and width of the CT window of the crops, HU.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics = validation.metrics
    wrong = misclassified(validation.scores, tumours, crops, metrics.model, window, MOST_CROPS)
    context = _context(validation, tumours)
    report = template("report.html.j2", "components.validate", more_filters={"signed": _signed})
    page = ""
    for crops_shown in (MOST_CROPS, MOST_CROPS // 4, 0):  # crops are left out of a page that would be too large
        shown = [row if rank < crops_shown else {**row, "crop": ""} for rank, row in enumerate(wrong[:MOST_LISTED])]
        page = labelled(report.render(**context, failures=shown, failures_in_all=len(wrong)))
        if len(page.encode()) < MOST_BYTES:
            break
    path = folder / REPORT
    path.write_text(page, encoding="utf-8")
    return path


def limits(value: Any, low: Any, high: Any, digits: int = 3, missing: str = "not estimable") -> str:
    """An estimate with its limits, or words for either where it is missing."""
    if value is None:
        return missing
    within = "no limits" if low is None else f"{_signed(low, digits)} to {_signed(high, digits)}"
    return f"{_signed(value, digits)} ({within})"


def _signed(value: float, digits: int) -> str:
    """A number with a minus sign in place of a hyphen; a rounded zero has none."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "\u2212")


def _context(validation: Validation, tumours: pd.DataFrame) -> dict[str, Any]:
    metrics = validation.metrics
    return {
        "limits": limits,
        "policy": POLICY_TAG,
        "metrics": metrics,
        "model": metrics.model,
        "figures_of": metrics.performance,
        "calibration": metrics.performance.calibrated or metrics.performance.raw,
        "version": version_of("srs-response"),
        "classes": by_class(metrics.performance.counts),
        "few_patients": metrics.performance.counts.patients < FEWEST_PATIENTS,
        "no_interval": "too few patients" if metrics.performance.counts.patients < FEWEST_PATIENTS else "not estimable",
        "centre_warning": centre_warning(metrics),
        "centre_note": centre_note(metrics),
        "comparable": comparable(metrics),
        "few_warning": few_warning(metrics.performance.counts),
        "overlap_warning": unchecked_warning(metrics.overlap, len(tumours)),
        "seen_sentence": seen_sentence(metrics.overlap),
        "fewest_patients": FEWEST_PATIENTS,
        "synthetic": SYNTHETIC,
        "synthetic_sides": _synthetic_sides(metrics),
        "ensemble": ensemble_title(metrics.model.ensemble),
        "score_name": {"mean": "mean probability", "vote": "vote fraction"}[metrics.model.primary_score],
        "svg": _figures(validation),
        "table_i": cohort_lines(table_i(tumours)),
        "table_ii": cohort_lines(table_ii(tumours)),
        "least_expected": LEAST_EXPECTED,
        "random_tables": RANDOM_TABLES,
        "tabulated": TABULATED,
        "least_of_class": LEAST_OF_CLASS,
        "unknown": _unknown(metrics.performance, len(tumours)),
        "cuts": {"age": AGE_CUT, "size": SIZE_CUT_MM},
    }


def _synthetic_sides(metrics: ValidationMetrics) -> str:
    sides = {"the model": metrics.model.synthetic, "the cohort": metrics.synthetic_cohort}
    return " and ".join(name for name, synthetic in sides.items() if synthetic)


def _figures(validation: Validation) -> dict[str, str]:
    """All figures as SVG text; "" for those without data."""
    scores, metrics = validation.scores, validation.metrics
    performance, labels = metrics.performance, scores["label"]
    score, probability = scores[metrics.model.primary_score], calibrated_of(scores)
    curves = {"raw score": reliability(labels, score)}
    if probability is not None:
        curves["calibrated probability"] = reliability(labels, probability)
    overall = (performance.auc.auc, performance.auc.ci_low, performance.auc.ci_high)
    centres = [one.performance for one in performance.centres.values()]
    return {
        "roc": figures.roc(labels, score, performance.rates, "ROC curve"),
        "reliability": evaluation_figures.reliability(curves),
        "decision": evaluation_figures.decision(performance.net_benefit) if performance.net_benefit else "",
        "subgroups": figures.forest(performance.subgroups, overall),
        "centres": figures.forest(centres, overall),
    }


def _unknown(performance: Performance, tumours: int) -> list[tuple[str, int]]:
    """Covariates of the subgroups with the number of tumours for which they are unknown, where there are any."""
    known: dict[str, int] = {}
    for one in performance.subgroups:
        known[one.covariate] = known.get(one.covariate, 0) + one.responders + one.non_responders
    return [(name, tumours - count) for name, count in known.items() if count < tumours]
