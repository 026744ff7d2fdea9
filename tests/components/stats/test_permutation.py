"""The permutation test: what is exchanged, how many ways there are, and the p-value."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from components.common.errors import InputError
from components.stats.auc import auc_score
from components.stats.permutation import (
    distinct_permutations,
    null_distribution,
    permutation_p_value,
    permute_labels,
    strata_of,
)


@st.composite
def cohorts(draw, most_patients=12):
    """Labels, patients and centres of tumours in any order; some centres unknown."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=most_patients))
    patients = draw(st.permutations([f"P{i}" for i, size in enumerate(sizes) for _ in range(size)]))
    centre_of = {f"P{i}": draw(st.sampled_from(["C-1", "C-2", None, float("nan")])) for i in range(len(sizes))}
    labels = draw(st.lists(st.integers(0, 1), min_size=len(patients), max_size=len(patients)))
    return np.array(labels), patients, [centre_of[patient] for patient in patients]


def vectors(labels, patients, centres):
    """Counts of the patients' label vectors, by number of tumours and centre."""
    found = collections.defaultdict(collections.Counter)
    for patient in sorted(set(patients)):
        rows = [row for row, name in enumerate(patients) if name == patient]
        centre = centres[rows[0]]
        known = centre if isinstance(centre, str) else "unknown"
        found[len(rows), known][tuple(int(labels[row]) for row in rows)] += 1
    return found


@given(cohorts(), st.integers(0, 1000))
def test_patients_keep_their_vectors_together_within_size_and_centre(cohort, seed):
    labels, patients, centres = cohort
    permuted = permute_labels(labels, strata_of(patients, centres), np.random.default_rng(seed))
    assert vectors(permuted, patients, centres) == vectors(labels, patients, centres)
    assert permuted.sum() == labels.sum()


@given(cohorts(), st.integers(0, 1000))
def test_labels_that_are_given_stay_and_the_generator_decides(cohort, seed):
    labels, patients, centres = cohort
    before, strata = labels.copy(), strata_of(patients, centres)
    first, again = (permute_labels(labels, strata, np.random.default_rng(seed)) for _ in range(2))
    assert (labels == before).all()
    assert (first == again).all()


@given(cohorts(most_patients=5))
def test_distinct_permutations_are_those_that_an_enumeration_finds(cohort):
    labels, patients, centres = cohort
    own = {name: [row for row, other in enumerate(patients) if other == name] for name in sorted(set(patients))}
    known = [centre if isinstance(centre, str) else "unknown" for centre in centres]
    places = {name: (len(rows), known[rows[0]]) for name, rows in own.items()}
    found = set()
    for order in itertools.permutations(own):
        if all(places[a] == places[b] for a, b in zip(own, order, strict=True)):
            permuted = labels.copy()
            for target, source in zip(own, order, strict=True):
                permuted[own[target]] = labels[own[source]]
            found.add(tuple(permuted))
    assert distinct_permutations(labels, strata_of(patients, centres)) == len(found)


def test_every_exchange_between_equal_patients_happens():
    strata = strata_of(["a", "b", "c", "c", "d", "d"], None)
    rng = np.random.default_rng(1)
    seen = {tuple(permute_labels([1, 0, 1, 0, 0, 0], strata, rng)) for _ in range(200)}
    assert seen == {
        (1, 0, 1, 0, 0, 0),
        (0, 1, 1, 0, 0, 0),
        (1, 0, 0, 0, 1, 0),
        (0, 1, 0, 0, 1, 0),
    }
    assert distinct_permutations([1, 0, 1, 0, 0, 0], strata) == 4


def test_centres_keep_their_labels():
    strata = strata_of(list("abcd"), ["C-1", "C-1", "C-2", "C-2"])
    assert distinct_permutations([1, 1, 0, 0], strata) == 1
    assert distinct_permutations([1, 1, 0, 0], strata_of(list("abcd"))) == 6


@pytest.mark.parametrize("signal", [0.0, 0.6])
def test_p_value_is_scipys(signal):
    """Against scipy.stats.permutation_test (1.x: random pairings, alternative greater) on the AUC of a score."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 40)
    score = rng.normal(size=40).round(1) + signal * labels
    result = stats.permutation_test(
        (labels,),
        lambda x: auc_score(x, score),
        permutation_type="pairings",
        alternative="greater",
        n_resamples=199,
        vectorized=False,
        rng=np.random.default_rng(5),
    )
    assert permutation_p_value(result.statistic, result.null_distribution) == pytest.approx(result.pvalue, abs=1e-15)


def test_p_value_is_never_zero_and_ties_count():
    """Phipson & Smyth 2010: b = 0 of m = 99 gives 1 / 100, never 0; a tie counts as reached."""
    assert permutation_p_value(0.9, np.full(99, 0.5)) == 0.01
    assert permutation_p_value(0.5, np.full(99, 0.5)) == 1.0
    assert permutation_p_value(0.1 + 0.2, [0.3]) == 1.0  # equal but for rounding
    assert permutation_p_value(0.3, [0.29, 0.31, 0.2]) == 0.5


def test_p_values_of_exchangeable_labels_are_not_too_small():
    """Of 400 studies without signal at most about 5 % have p <= 0.05, with lesions clustered in patients."""
    rng, small = np.random.default_rng(11), 0
    patients = np.repeat(np.arange(20), 2)
    strata = strata_of(patients.tolist())
    for _ in range(400):
        labels = np.repeat(rng.permutation(np.arange(20) < 10), 2).astype(int)
        score = np.repeat(rng.normal(size=20), 2)
        null = [auc_score(permute_labels(labels, strata, rng), score) for _ in range(39)]
        small += permutation_p_value(auc_score(labels, score), null) <= 0.05
    assert stats.binomtest(small, 400, 0.05).pvalue > 0.001, small


def test_summary_is_numpys():
    values = np.random.default_rng(2).normal(0.5, 0.1, 99)
    summary = null_distribution(values)
    assert (summary.n, summary.mean) == (99, pytest.approx(values.mean()))
    assert summary.sd == pytest.approx(stats.tstd(values))
    assert summary.quantile_95 == pytest.approx(np.percentile(values, 95))
    assert null_distribution([0.4]).sd is None
    assert [null_distribution(values[:n]).quantile_95 is None for n in (18, 19)] == [True, False]


@pytest.mark.parametrize("null", [[], [np.nan], [[0.5]]])
def test_nothing_under_the_null_is_refused(null):
    with pytest.raises(InputError) as caught:
        permutation_p_value(0.5, null)
    assert caught.value.code == "PERMUTATIONS_MISSING"
