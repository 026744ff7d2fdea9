"""Metrics of an ensemble's two scores on one set of tumours."""

import dataclasses
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from components.common.artifacts.score_metrics import Limits, RocSummary, ScoreMetrics, SetMetrics
from components.common.settings import EvaluateSettings
from components.stats.calibration import calibrate
from components.stats.newcombe import newcombe_limits, newcombe_variance
from components.stats.roc import rates_at, roc_summary


def set_metrics(rows: pd.DataFrame, settings: EvaluateSettings) -> SetMetrics:
    """AUC, rates and calibration of both scores on rows of ``Evaluation.scores``, which must contain both classes."""
    mean, vote = (_score_metrics(rows, rows[score], settings.cut_off) for score in ("mean", "vote"))
    primary = mean if settings.ensemble_score == "mean" else vote
    return SetMetrics(n=len(rows), **fields_of(primary), mean=mean, vote=vote)


def newcombe_of(summary: RocSummary) -> Limits:
    """Newcombe's standard error and two-sided 95 % limits of an AUC, whatever interval it was summarised with."""
    sizes = summary.n_positive, summary.n_negative
    limits = newcombe_limits(summary.auc, *sizes, float(stats.norm.isf(0.025)))
    return Limits(newcombe_variance(summary.auc, *sizes) ** 0.5, *limits)


def fields_of(values: Any) -> dict[str, Any]:
    """A dataclass's fields by name, not copied, to build a derived dataclass from it."""
    return {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}


def _score_metrics(rows: pd.DataFrame, score: ArrayLike, cut_off: float) -> ScoreMetrics:
    labels = rows["label"]
    summary, rates = roc_summary(labels, score), rates_at(labels, score, cut_off)
    calibration = calibrate(labels, score, patients=rows["patient"])
    return ScoreMetrics(**fields_of(summary), **fields_of(rates), calibration=calibration)
