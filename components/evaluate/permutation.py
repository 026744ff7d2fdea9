"""The statistics of a permutation test: what is compared, the test of a run, and its figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.metrics import Metrics
from components.common.artifacts.permutation import PermutationTest
from components.common.settings import Score
from components.figures.drawing import BLUE, GREY, VERMILION, new_axes, style, to_svg
from components.stats.auc import auc_score
from components.stats.permutation import (
    Strata,
    distinct_permutations,
    null_distribution,
    permutation_p_value,
    strata_of,
)

#: Most distinct permutations that are counted in a report; more are never a limit.
MOST_DISTINCT = 1_000_000
#: Mean AUC of a repetition on evaluation tumours, and on development predictions where these have both classes.
MeanAucs = tuple[float, float | None]


def mean_aucs(scores: pd.DataFrame, score: Score) -> MeanAucs:
    """Means over the groups of the AUC on evaluation tumours and on development predictions, as in ``Metrics``.

    Parameters
    ----------
    scores
        ``ensemble.scores`` of a run; both classes must be in every evaluation set.
    score
        The primary score.
    """
    evaluation, development = (
        [
            auc_score(rows["label"], rows[score])
            for _, rows in scores[scores["role"] == role].groupby("group", sort=True)
            if role == "evaluation" or rows["label"].nunique() == 2
        ]
        for role in ("evaluation", "development")
    )
    return float(np.mean(evaluation)), float(np.mean(development)) if development else None


def observed_aucs(metrics: Metrics) -> MeanAucs:
    """The same means of an evaluated run."""
    development = [auc for group in metrics.groups.values() if (auc := group.development.auc) is not None]
    return metrics.mean_auc, float(np.mean(development)) if development else None


def exchangeable(dataset: Dataset) -> Strata:
    """The patients that may exchange labels: those with as many tumours, within the same centre where it is known."""
    return strata_of(dataset.tumours["patient"].tolist(), dataset.tumours["centre"].tolist())


def permutation_test(
    dataset: Dataset, metrics: Metrics, permuted: Sequence[MeanAucs], *, seed: int, redrawn: int
) -> PermutationTest:
    """The test of a run, given the mean AUCs of at least one permutation of its labels with ``seed``."""
    observed, observed_development = observed_aucs(metrics)
    aucs, development = zip(*permuted, strict=True)
    known = [auc for auc in development if auc is not None]
    distinct = distinct_permutations(dataset.tumours["label"], exchangeable(dataset))
    return PermutationTest(
        n=len(permuted),
        seed=seed,
        p_value=permutation_p_value(observed, aucs),
        primary_score=metrics.primary_score,
        observed=observed,
        observed_development=observed_development,
        null=null_distribution(aucs),
        development_null=null_distribution(known) if known else None,
        aucs=tuple(aucs),
        development_aucs=tuple(development),
        patients=int(dataset.tumours["patient"].nunique()),
        centres=int(dataset.tumours["centre"].nunique()),
        distinct=distinct if distinct <= MOST_DISTINCT else None,
        redrawn=redrawn,
    )


def null_histogram(test: PermutationTest) -> str:
    """Histogram of the mean AUC under permuted labels, with the observed one, as SVG."""
    with style():
        figure, axes = new_axes((4.6, 3.0))
        axes.hist(test.aucs, bins=_bins(test), color=GREY, label="permuted labels")
        if test.null.quantile_95 is not None:
            axes.axvline(test.null.quantile_95, color=BLUE, ls="--", lw=1.4, label="95 % quantile")
        axes.axvline(test.observed, color=VERMILION, lw=2, label="this run")
        axes.set(xlabel="mean AUC over the groups", ylabel="permutations")
        axes.yaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside right upper")
        return to_svg(figure, "Histogram of the mean AUC with permuted labels, and the observed mean AUC")


def _bins(test: PermutationTest) -> Any:
    """Edges of the bins, a hundredth of an AUC apart."""
    low, high = np.floor(100 * min(test.aucs)), np.ceil(100 * max(test.aucs))
    return np.arange(low, max(high, low + 1) + 1) / 100
