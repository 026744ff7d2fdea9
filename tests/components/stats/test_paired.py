"""Golden numbers: SAS/STAT's DeLong example; Obuchowski's formula written out case by case."""

import dataclasses

import numpy as np
import pytest

from components.common.errors import InputError
from components.stats.paired import detectable_difference
from components.stats.roc import paired_test


@pytest.mark.parametrize(
    ("column", "difference", "se", "p"), [(0, 0.0108, 0.0953, 0.9102), (1, -0.0780, 0.1046, 0.4561)]
)
def test_reproduces_the_published_contrasts_with_the_kg_score(ovarian, column, difference, se, p):
    test = paired_test(ovarian[:, 3], ovarian[:, column], ovarian[:, 2])
    assert (round(test.difference, 4), round(test.se, 4), round(test.p_value, 4)) == (difference, se, p)


def obuchowski_by_hand(labels, a, b, patients):
    """Variance of the difference as Obuchowski (1997) writes it: S10, S01 and S11 over clusters, with loops."""

    def kernel(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    pos, neg = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)

    def components(score):
        v10 = {i: np.mean([kernel(score[i], score[j]) for j in neg]) for i in pos}
        v01 = {j: np.mean([kernel(score[i], score[j]) for i in pos]) for j in neg}
        return v10, v01, np.mean(list(v10.values()))

    def covariance(first, second):
        s10 = s01 = s11 = s11_swapped = 0.0
        clusters = sorted(set(patients))
        with_pos = sum(any(patients[i] == c for i in pos) for c in clusters)
        with_neg = sum(any(patients[j] == c for j in neg) for c in clusters)
        for c in clusters:
            sums = []
            for v10, v01, theta in (first, second):
                x = sum(v10[i] - theta for i in pos if patients[i] == c)
                y = sum(v01[j] - theta for j in neg if patients[j] == c)
                sums.append((x, y))
            s10 += sums[0][0] * sums[1][0]
            s01 += sums[0][1] * sums[1][1]
            s11 += sums[0][0] * sums[1][1]
            s11_swapped += sums[0][1] * sums[1][0]
        m, n, total = len(pos), len(neg), len(clusters)
        s10 *= with_pos / ((with_pos - 1) * m)
        s01 *= with_neg / ((with_neg - 1) * n)
        s11 *= total / (total - 1)
        s11_swapped *= total / (total - 1)
        return s10 / m + s01 / n + (s11 + s11_swapped) / (m * n)

    one, two = components(a), components(b)
    return covariance(one, one) + covariance(two, two) - 2 * covariance(one, two)


def correlated_cohort(seed: int, tumours: int = 40, patients: int = 25):
    rng = np.random.default_rng(seed)
    who = rng.integers(0, patients, tumours)
    labels = (rng.random(tumours) < 0.5).astype(int)
    shared = rng.normal(size=patients)[who]
    a, b = (np.round(labels + shared + rng.normal(size=tumours), 1) for _ in range(2))
    return labels, a, b, who


@pytest.mark.parametrize("seed", range(5))
def test_clustered_variance_equals_obuchowskis_formula(seed):
    labels, a, b, who = correlated_cohort(seed)
    test = paired_test(labels, a, b, patients=who)
    assert test.se**2 == pytest.approx(obuchowski_by_hand(labels, a, b, who))


@pytest.mark.parametrize("seed", range(3))
def test_one_tumour_a_patient_gives_delongs_test(seed):
    labels, a, b, _ = correlated_cohort(seed)
    alone, clustered = paired_test(labels, a, b), paired_test(labels, a, b, patients=[f"p{i}" for i in range(40)])
    assert dataclasses.asdict(clustered) == pytest.approx(dataclasses.asdict(alone), rel=1e-12)  # sums of other order


def test_copies_of_a_case_in_its_patient_add_no_information():
    labels, a, b, _ = correlated_cohort(1)
    single = paired_test(labels, a, b)
    tripled = paired_test(*(np.repeat(x, 3) for x in (labels, a, b)), patients=np.repeat(np.arange(40), 3))
    assert tripled.se == pytest.approx(single.se)
    assert tripled.difference == pytest.approx(single.difference)


def test_only_the_order_of_scores_matters():
    labels, a, _, _ = correlated_cohort(2)
    same = paired_test(labels, a, np.exp(a))
    assert (same.difference, same.se, same.p_value) == (0.0, 0.0, 1.0)


def test_compares_with_the_mean_of_several_scores():
    labels, a, b, who = correlated_cohort(3)
    mixed = paired_test(labels, a, np.stack([a, b]), patients=who)
    plain = paired_test(labels, a, b, patients=who)
    assert mixed.difference == pytest.approx(plain.difference / 2)
    assert mixed.se == pytest.approx(plain.se / 2)
    assert mixed.p_value == pytest.approx(plain.p_value)


def test_clustered_test_keeps_its_level_where_the_plain_one_does_not():
    rng = np.random.default_rng(8)
    plain = clustered = 0
    for _ in range(300):
        labels = np.repeat(rng.random(40) < 0.5, 3)
        who = np.repeat(np.arange(40), 3)
        a, b = (np.repeat(rng.normal(size=40), 3) + 0.2 * rng.normal(size=120) + labels for _ in range(2))
        plain += paired_test(labels, a, b).p_value < 0.05
        clustered += paired_test(labels, a, b, patients=who).p_value < 0.05
    assert clustered / 300 < 0.10
    assert plain / 300 > 0.15


def test_detectable_difference():
    labels, a, b, _ = correlated_cohort(4)
    test = paired_test(labels, a, b)
    assert detectable_difference(test) == pytest.approx((1.959964 + 0.841621) * test.se, rel=1e-5)


def test_refuses_patients_that_do_not_fit():
    with pytest.raises(InputError, match="ROC_MISMATCHED"):
        paired_test([0, 1], [0.1, 0.2], [0.3, 0.4], patients=["p"])
