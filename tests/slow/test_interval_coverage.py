"""How often the intervals of an AUC cover the true one in evaluation sets of the paper's size: `make intervals`."""

import numpy as np
import pytest
from scipy import stats

from components.stats.roc import roc_summary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: The paper's evaluation sets (STUDY 3).
NON_RESPONDERS, RESPONDERS = 11, 12
DRAWS = 5000
METHODS = ("spss", "delong", "newcombe")


def coverage(true_auc: float, seed: int) -> dict[str, float]:
    """Share of draws whose 95 % interval holds the true AUC, of normal scores with equal variances in both classes."""
    rng = np.random.default_rng(seed)
    labels = np.array([1] * NON_RESPONDERS + [0] * RESPONDERS)
    shift = np.sqrt(2) * stats.norm.ppf(true_auc)
    covered = dict.fromkeys(METHODS, 0)
    for _ in range(DRAWS):
        score = rng.normal(size=len(labels)) + shift * labels
        for method in METHODS:
            summary = roc_summary(labels, score, method)
            covered[method] += summary.ci_low <= true_auc <= summary.ci_high
    return {method: count / DRAWS for method, count in covered.items()}


def test_newcombes_interval_covers_a_high_auc_where_spsss_does_not():
    """At a true AUC of .95, where the estimate is often 1 and SPSS's standard error 0. Binomial error: 0.006."""
    for true_auc in (0.70, 0.80, 0.90, 0.95):
        found = coverage(true_auc, seed=int(1000 * true_auc))
        print(
            f"true AUC {true_auc:.2f}: " + ", ".join(f"{name} {share:.3f}" for name, share in found.items()), flush=True
        )
    assert found["newcombe"] >= 0.93
    assert found["spss"] < 0.90
