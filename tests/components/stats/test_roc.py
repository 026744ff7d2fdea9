"""Golden numbers: STUDY 5 (Table III), Hanley & McNeil 1982, SAS/STAT's DeLong example, scikit-learn, scipy."""

import doctest
import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from components.common.errors import InputError
from components.evaluate import cohort_tables
from components.stats import bootstrap, roc
from components.stats.bootstrap import SE_INFLATION, resampled_aucs
from components.stats.roc import (
    ResampledMean,
    Scored,
    choose_cut_off,
    mean_auc,
    mean_auc_limits,
    mean_auc_lower_bound,
    rates_at,
    roc_curve,
    roc_summary,
)

#: Sensitivity and specificity in per cent, then AUC, p and limits as Table III prints them for group A.
GROUP_A = [
    (73, 83, 0.780, 0.023, 0.580, 0.981),
    (73, 75, 0.739, 0.053, 0.527, 0.951),
    (64, 75, 0.693, 0.117, 0.470, 0.916),
    (55, 92, 0.731, 0.060, 0.515, 0.947),
    (82, 83, 0.826, 0.008, 0.643, 1.000),
    (73, 83, 0.780, 0.023, 0.580, 0.981),
    (64, 92, 0.777, 0.025, 0.574, 0.979),
    (73, 83, 0.780, 0.023, 0.580, 0.981),
    (73, 83, 0.780, 0.023, 0.580, 0.981),
    (64, 92, 0.777, 0.025, 0.574, 0.979),
]


def hard_votes(hits: int, rejections: int, positives: int = 11, negatives: int = 12) -> tuple[list[int], list[int]]:
    labels = [1] * positives + [0] * negatives
    return labels, [1] * hits + [0] * (positives - hits) + [0] * rejections + [1] * (negatives - rejections)


@pytest.mark.parametrize("row", GROUP_A)
def test_reproduces_table_iii_from_hard_votes(row):
    sensitivity, specificity, *printed = row
    labels, votes = hard_votes(round(0.11 * sensitivity), round(0.12 * specificity))
    summary = roc_summary(labels, votes)
    computed = (summary.auc, summary.p_value, summary.ci_low, summary.ci_high)
    assert [f"{value:.3f}" for value in computed] == [f"{value:.3f}" for value in printed]
    assert (summary.n_positive, summary.n_negative) == (11, 12)


@pytest.mark.parametrize(("auc", "p"), [(0.856, 0.004), (0.799, 0.015), (0.761, 0.034), (0.826, 0.008)])
def test_p_of_the_papers_ensembles_follows_from_their_auc(auc, p):
    null_se = math.sqrt(24 / (12 * 11 * 12))
    assert round(2 * stats.norm.sf((auc - 0.5) / null_se), 3) == p
    # The same p from our summary: a score with that AUC to the nearest half pair of 132.
    pairs = round(auc * 264) / 264
    labels = [1] * 11 + [0] * 12
    score = _score_with(pairs)
    assert roc_summary(labels, score).p_value == pytest.approx(2 * stats.norm.sf((pairs - 0.5) / null_se))


def _score_with(auc: float) -> list[float]:
    """Eleven positives placed among twelve negatives 1..12 so that the AUC is ``auc``."""
    wins = round(auc * 264) / 2
    positives = []
    for _ in range(11):
        below = min(wins, 12.0)
        wins -= below
        positives.append(below + 0.5)
    assert wins == 0
    return positives + list(range(1, 13))


def brute_q(labels, score):
    """Hanley & McNeil's Q1 and Q2 by counting all triples: independent of the vectorised formula."""
    pos = [s for y, s in zip(labels, score, strict=True) if y]
    neg = [s for y, s in zip(labels, score, strict=True) if not y]

    def credit(low, high):
        if high < low:
            return 0.0
        return 1.0 if high > low else None

    def triple(winner_pairs):
        ties = sum(c is None for c in winner_pairs)
        if any(c == 0.0 for c in winner_pairs):
            return 0.0
        return {0: 1.0, 1: 0.5, 2: 1 / 3}[ties]

    q1 = np.mean([triple([credit(n, a), credit(n, b)]) for n in neg for a in pos for b in pos])
    q2 = np.mean([triple([credit(a, p), credit(b, p)]) for p in pos for a in neg for b in neg])
    return q1, q2


cohorts = st.integers(2, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y)),
        st.lists(st.integers(0, 4), min_size=n, max_size=n),
    )
)


@given(cohorts)
@settings(max_examples=150)
def test_spss_standard_error_equals_a_count_of_all_triples(cohort):
    labels, score = cohort
    n_pos, n_neg = sum(labels), len(labels) - sum(labels)
    auc = sklearn_metrics.roc_auc_score(labels, score)
    q1, q2 = brute_q(labels, score)
    variance = (auc * (1 - auc) + (n_pos - 1) * (q1 - auc**2) + (n_neg - 1) * (q2 - auc**2)) / (n_pos * n_neg)
    summary = roc_summary(labels, score)
    assert summary.auc == pytest.approx(auc)
    assert summary.se == pytest.approx(math.sqrt(max(variance, 0)), abs=1e-7)


@given(cohorts)
@settings(max_examples=100)
def test_delong_equals_the_sample_variances_of_the_kernel(cohort):
    labels, score = np.array(cohort[0]), np.array(cohort[1])
    pos, neg = score[labels == 1], score[labels == 0]
    kernel = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
    parts = [kernel.mean(axis=1), kernel.mean(axis=0)]
    variance = sum(part.var(ddof=1) / len(part) for part in parts if len(part) > 1)
    assert roc_summary(labels, score, "delong").se == pytest.approx(math.sqrt(variance), abs=1e-9)


@given(cohorts.filter(lambda cohort: len(set(cohort[1])) > 1))
@settings(max_examples=150)
def test_p_with_ties_equals_scipys_mann_whitney_test(cohort):
    labels, score = np.array(cohort[0]), np.array(cohort[1])
    summary, pos, neg = roc_summary(labels, score), score[labels == 1], score[labels == 0]
    test = stats.mannwhitneyu(pos, neg, alternative="two-sided", method="asymptotic", use_continuity=False)
    assert summary.p_value_ties == pytest.approx(test.pvalue)
    if len(set(score)) == len(score):
        assert summary.p_value_ties == pytest.approx(summary.p_value)
    else:
        assert summary.p_value_ties <= summary.p_value


def test_p_with_ties_of_the_papers_first_network():
    """Of 11 non-responders 8 and of 12 responders 2 were called non-responders: of 23 votes, 10 and 13 are tied."""
    summary = roc_summary(*hard_votes(8, 10))
    u, variance = 0.7803030303 * 132 - 66, 132 / 12 * (24 - (10**3 - 10 + 13**3 - 13) / (23 * 22))
    assert summary.p_value_ties == pytest.approx(2 * stats.norm.sf(u / math.sqrt(variance)))
    assert f"{summary.p_value:.3f}" == "0.023"  # Table III
    assert f"{summary.p_value_ties:.3f}" == "0.008"


def test_scores_that_are_all_equal_give_p_values_of_one():
    summary = roc_summary([0, 1, 0, 1], [0.5] * 4)
    assert (summary.auc, summary.p_value, summary.p_value_ties) == (0.5, 1.0, 1.0)


def test_every_interval_holds_for_any_hard_votes_of_the_paper():
    for hits, rejections in itertools.product(range(12), range(13)):
        labels, votes = hard_votes(hits, rejections)
        for ci in ("spss", "delong", "newcombe"):
            summary = roc_summary(labels, votes, ci)
            assert summary.auc == pytest.approx((hits / 11 + rejections / 12) / 2)
            assert 0 <= summary.ci_low <= summary.auc + 1e-12
            assert summary.auc - 1e-12 <= summary.ci_high <= 1
            assert 0 <= summary.p_value <= 1


def test_spss_holds_for_every_table_of_hard_votes_of_the_paper():
    """All 12 x 13 outcomes of 11 + 12 votes against STUDY 5 counted triple by triple."""
    for hits, rejections in itertools.product(range(12), range(13)):
        labels, votes = hard_votes(hits, rejections)
        q1, q2 = brute_q(labels, votes)
        auc = (hits / 11 + rejections / 12) / 2
        variance = (auc * (1 - auc) + 10 * (q1 - auc**2) + 11 * (q2 - auc**2)) / 132
        reach = 1.959964 * math.sqrt(max(variance, 0))
        summary = roc_summary(labels, votes)
        limits = (max(auc - reach, 0), min(auc + reach, 1))
        assert (summary.auc, summary.ci_low, summary.ci_high) == pytest.approx((auc, *limits), abs=1e-6)
        assert summary.p_value == pytest.approx(2 * stats.norm.sf(abs(auc - 0.5) / math.sqrt(24 / (12 * 132))))


# Hanley & McNeil 1982, Table I: 109 CT images rated 1 (definitely normal) to 5 by one reader.
RATINGS = {"normal": [33, 6, 6, 11, 2], "abnormal": [3, 2, 2, 11, 33]}


def hanley_mcneil() -> tuple[list[int], list[int]]:
    score = [rating for counts in RATINGS.values() for rating, n in enumerate(counts) for _ in range(n)]
    return [0] * sum(RATINGS["normal"]) + [1] * sum(RATINGS["abnormal"]), score


def test_reproduces_hanley_and_mcneil_1982():
    summary = roc_summary(*hanley_mcneil())
    assert round(summary.auc, 3) == 0.893
    assert round(summary.se, 3) == 0.032


@pytest.mark.parametrize(("column", "auc", "se"), [(0, 0.7366, 0.0927), (1, 0.6478, 0.1000), (2, 0.7258, 0.1028)])
def test_delong_reproduces_the_published_ovarian_example(ovarian, column, auc, se):
    summary = roc_summary(ovarian[:, 3], ovarian[:, column], "delong")
    assert (round(summary.auc, 4), round(summary.se, 4)) == (auc, se)


def test_newcombe_limits_solve_their_own_equation():
    # Newcombe 2006, method 5: |estimate - theta| = z sqrt(V(theta)), sizes replaced by N* = (m + n) / 2 - 1.
    labels, score = hanley_mcneil()
    summary = roc_summary(labels, score, "newcombe")
    star = (51 + 58) / 2 - 1
    for theta in (summary.ci_low, summary.ci_high):
        odds = star * (1 - theta) / (2 - theta) + star * theta / (1 + theta)
        se = math.sqrt(theta * (1 - theta) * (1 + odds) / (51 * 58))
        assert abs(theta - summary.auc) == pytest.approx(1.959964 * se, rel=1e-5)


def test_newcombe_does_not_collapse_at_a_perfect_auc():
    summary = roc_summary([0] * 12 + [1] * 11, range(23), "newcombe")
    assert summary.auc == summary.ci_high == 1.0
    assert 0.7 < summary.ci_low < 0.95
    mirrored = roc_summary([1] * 11 + [0] * 12, range(23), "newcombe")
    assert mirrored.ci_high == pytest.approx(1 - summary.ci_low, abs=1e-6)


def test_one_sided_bounds_are_the_ends_of_a_wider_two_sided_interval():
    labels, score = hanley_mcneil()
    for ci in ("spss", "delong", "newcombe", "bootstrap"):
        one = roc_summary(labels, score, ci, level=0.95, one_sided=True)
        two = roc_summary(labels, score, ci, level=0.90)
        assert (one.ci_low, one.ci_high) == pytest.approx((two.ci_low, two.ci_high))


def test_bootstrap_repeats_with_its_seed_and_agrees_with_delong():
    labels, score = hanley_mcneil()
    first, again = (roc_summary(labels, score, "bootstrap", rng=np.random.default_rng(3)) for _ in range(2))
    assert first == again
    delong = roc_summary(labels, score, "delong")
    assert first.se == pytest.approx(delong.se, rel=0.06)
    assert first.ci_low == pytest.approx(delong.ci_low, abs=0.015)


def test_clusters_widen_the_interval_where_lesions_of_a_patient_agree():
    rng = np.random.default_rng(5)
    labels = np.repeat(rng.random(60) < 0.5, 3)
    score = np.repeat(rng.normal(size=60), 3) + labels
    patients = np.repeat(np.arange(60), 3)
    for ci in ("delong", "bootstrap"):
        alone, clustered = (roc_summary(labels, score, ci, patients=who) for who in (None, patients))
        # Three copies of each case carry the information of one: sqrt(3) wider.
        assert clustered.se / alone.se == pytest.approx(math.sqrt(3), rel=0.08)


def test_bootstrap_resamples_patients_of_all_groups_together():
    labels, score = hanley_mcneil()
    who = np.arange(len(labels))
    one, twice = [Scored(labels, score, who)], [Scored(labels, score, who)] * 5
    assert mean_auc_lower_bound(one, rng=1) == pytest.approx(mean_auc_lower_bound(twice, rng=1), abs=1e-12)
    # Five groups of different patients carry more information than the same patients five times.
    apart = [Scored(labels, score, who + 1000 * group) for group in range(5)]
    assert mean_auc_lower_bound(apart, rng=1) > mean_auc_lower_bound(one, rng=1) + 0.01
    assert mean_auc(apart) == pytest.approx(roc_summary(labels, score).auc)


def overlapping_groups(seed: int = 5) -> list[Scored]:
    """Three evaluation sets of 40 tumours of a cohort of 110 tumours and 89 patients, with an AUC of about .8."""
    rng = np.random.default_rng(seed)
    labels, patients = rng.random(110) < 0.5, rng.integers(0, 89, 110)
    score = 1.2 * labels + rng.normal(size=110) + 0.5 * rng.normal(size=89)[patients]
    sets = [rng.choice(110, 40, replace=False) for _ in range(3)]
    return [Scored(labels[who], score[who], patients[who]) for who in sets]


def test_limits_of_the_mean_auc_equal_a_bootstrap_written_out():
    """Patients drawn one by one, scikit-learn's AUC of each resample, the delta method by a difference quotient."""
    groups, rng = overlapping_groups(), np.random.default_rng(9)
    names = np.unique(np.concatenate([group.patient for group in groups]))
    means = []
    for _ in range(2000):
        drawn = rng.choice(names, len(names))
        aucs = []
        for group in groups:
            cases = np.concatenate([np.flatnonzero(group.patient == name) for name in drawn])
            aucs.append(sklearn_metrics.roc_auc_score(group.y_true[cases], group.score[cases]))
        means.append(np.mean(aucs))
    area = np.mean([sklearn_metrics.roc_auc_score(group.y_true, group.score) for group in groups])
    gradient = (stats.logistic.ppf(area + 1e-6) - stats.logistic.ppf(area - 1e-6)) / 2e-6
    reach = 1.959964 * np.std(means, ddof=1) * gradient
    found = mean_auc_limits(groups, rng=1, samples=20_000, inflation=1.0)
    assert found.se == pytest.approx(np.std(means, ddof=1), rel=0.05)
    expected = [stats.logistic.cdf(stats.logistic.ppf(area) + sign * reach) for sign in (-1, 1)]
    assert [found.ci_low, found.ci_high] == pytest.approx(expected, abs=0.005)


def test_inflation_widens_the_limits_of_the_mean_auc_on_the_logit_scale():
    groups = overlapping_groups()
    centre = stats.logistic.ppf(mean_auc(groups))
    plain, default = (mean_auc_limits(groups, rng=1, **given) for given in ({"inflation": 1.0}, {}))
    assert default.se == pytest.approx(SE_INFLATION * plain.se)
    for limit in ("ci_low", "ci_high"):
        distances = [stats.logistic.ppf(getattr(limits, limit)) - centre for limits in (plain, default)]
        assert distances[1] == pytest.approx(SE_INFLATION * distances[0])


def test_bound_of_the_mean_auc_is_the_low_end_of_a_wider_two_sided_interval():
    groups = overlapping_groups()
    two = mean_auc_limits(groups, rng=1, level=0.9)
    one = mean_auc_limits(groups, rng=1, level=0.95, one_sided=True)
    assert (one.ci_low, one.ci_high) == pytest.approx((two.ci_low, two.ci_high))
    assert mean_auc_lower_bound(groups, rng=1) == one.ci_low < mean_auc(groups)


@pytest.mark.parametrize(
    "groups", [overlapping_groups(), [Scored([1] * 11 + [0] * 12, [1] * 11 + [0] * 12, range(23))]]
)
def test_limits_of_every_level_come_from_one_bootstrap_bit_for_bit(groups, monkeypatch):
    given = {"rng": 1, "samples": 100}
    ways = [{"level": 0.95}, {"level": 0.9}, {"level": 0.95, "one_sided": True}]
    each = [mean_auc_limits(groups, **given, **way) for way in ways]
    calls, resample = [], bootstrap.resampled_aucs
    monkeypatch.setattr(bootstrap, "resampled_aucs", lambda *found: calls.append(1) or resample(*found))
    once = ResampledMean.of(groups, **given)
    assert [once.limits(**way) for way in ways] == each
    assert len(calls) == 1


@given(st.integers(0, 10_000), st.floats(-6, 6))
@settings(max_examples=30)
def test_limits_of_the_mean_auc_hold_it_and_stay_within_zero_and_one(seed, signal):
    rng = np.random.default_rng(seed)
    labels = np.array([1, 0] * 12)
    groups = [Scored(labels, signal * labels + rng.normal(size=24), np.arange(24)) for _ in range(2)]
    limits = mean_auc_limits(groups, rng=1, samples=50)
    assert 0 <= limits.ci_low <= mean_auc(groups) <= limits.ci_high <= 1
    assert limits.ci_low < limits.ci_high


def test_limits_of_a_perfect_mean_auc_are_newcombes_for_the_smallest_group():
    labels = np.array([1] * 11 + [0] * 12)
    large = Scored(np.repeat(labels, 2), np.repeat(labels, 2), np.arange(46))
    groups = [Scored(labels, labels, np.arange(23)), large]
    perfect = mean_auc_limits(groups, rng=1, samples=200, inflation=1.0)
    alone = roc_summary(labels, labels, "newcombe")
    assert (perfect.se, perfect.ci_low, perfect.ci_high) == (0.0, pytest.approx(alone.ci_low), 1.0)
    worst = mean_auc_limits([Scored(g.y_true, -g.score, g.patient) for g in groups], rng=1, samples=200, inflation=1.0)
    assert (worst.ci_low, worst.ci_high) == (0.0, pytest.approx(1 - alone.ci_low))
    assert mean_auc_lower_bound(groups, rng=1, samples=200) < perfect.ci_low + 0.05
    # Lesions of one patient are no further patients.
    shared = [Scored(labels, labels, [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, *range(5, 17)])]
    assert mean_auc_limits(shared, rng=1, samples=200, inflation=1.0).ci_low == pytest.approx(
        roc_summary([1] * 5 + [0] * 12, [1] * 5 + [0] * 12, "newcombe").ci_low
    )


def test_bootstrap_refuses_a_cohort_whose_resamples_lack_a_class():
    groups = [Scored([1, 0], [0.5, 0.1], ["p", "p"])] + [
        Scored([1, 0], [0.5, 0.1], [f"a{i}", f"b{i}"]) for i in range(12)
    ]
    with pytest.raises(InputError) as refused:
        mean_auc_lower_bound(groups, rng=0, samples=200)
    assert refused.value.code == "BOOTSTRAP_IMPOSSIBLE"


def test_null_scores_give_uniform_p_values():
    rng = np.random.default_rng(11)
    labels = [1] * 11 + [0] * 12
    ps = np.array([roc_summary(labels, rng.normal(size=23)).p_value for _ in range(2000)])
    assert abs((ps < 0.05).mean() - 0.05) < 0.02
    assert abs(ps.mean() - 0.5) < 0.03
    assert np.median(ps) > 0.4


def test_null_votes_of_ten_members_give_p_values_that_are_not_small():
    rng = np.random.default_rng(12)
    labels = [1] * 11 + [0] * 12
    leaning = rng.normal(size=(2000, 1, 23))  # members of an ensemble agree with each other, not with the labels
    fractions = (leaning + rng.normal(size=(2000, 10, 23)) > 0).mean(axis=1)
    ps = np.array([roc_summary(labels, fraction).p_value for fraction in fractions])
    assert (ps < 0.05).mean() < 0.07
    assert (ps < 0.005).mean() < 0.012
    assert ps.mean() > 0.45


def test_null_bound_of_the_mean_auc_seldom_passes_one_half():
    rng = np.random.default_rng(2)
    passed = 0
    for _ in range(200):
        labels, patients = rng.random(110) < 0.5, rng.integers(0, 89, 110)
        sets = [rng.choice(110, 23, replace=False) for _ in range(5)]
        groups = [Scored(labels[who], rng.normal(size=23), patients[who]) for who in sets]
        if all(0 < np.sum(group.y_true) < 23 for group in groups):
            passed += mean_auc_lower_bound(groups, rng=1, samples=300) > 0.5
    assert passed / 200 < 0.11


def test_a_hundred_thousand_cases_take_seconds():
    rng = np.random.default_rng(1)
    labels, score, who = rng.random(100_000) < 0.5, rng.random(100_000), rng.integers(0, 80_000, 100_000)
    assert roc_summary(labels, score).auc == pytest.approx(sklearn_metrics.roc_auc_score(labels, score), abs=1e-12)
    started = time.process_time()
    for ci in ("spss", "delong", "newcombe", "bootstrap"):
        roc_summary(labels, score, ci, patients=who)
    # Half a second is usual; the bound only checks the order: an n^2 method needs minutes (and 80 GB) here.
    assert time.process_time() - started < 20


@pytest.mark.parametrize("lesions", [1, 3])
def test_linear_bootstrap_of_very_many_patients_agrees_with_the_full_bootstrap(lesions):
    rng = np.random.default_rng(4)
    who = np.repeat(np.arange(3000), lesions)
    labels = rng.random(len(who)) < 0.4
    score = np.round(0.7 * labels + rng.normal(size=3000)[who] + rng.normal(size=len(who)), 1)
    linear = roc_summary(labels, score, "bootstrap", patients=who, samples=4000)
    full = resampled_aucs([Scored(labels, score, who)], 1, 4000)[:, 0]
    assert linear.se == pytest.approx(full.std(), rel=0.07)
    assert (linear.ci_low, linear.ci_high) == pytest.approx(np.quantile(full, [0.025, 0.975]), abs=0.25 * linear.se)


@pytest.mark.parametrize(
    ("labels", "score", "code"),
    [
        ([], [], "ROC_EMPTY"),
        ([1, 0, 1], [0.1, 0.2], "ROC_MISMATCHED"),
        ([1, 1], [0.1, 0.2], "ROC_ONE_CLASS"),
        ([0, 0], [0.1, 0.2], "ROC_ONE_CLASS"),
        ([1, 0], [0.1, float("nan")], "ROC_NOT_FINITE"),
        ([1, 0], [0.1, float("inf")], "ROC_NOT_FINITE"),
        ([1, float("nan")], [0.1, 0.2], "ROC_NOT_FINITE"),
        ([1, 2], [0.1, 0.2], "ROC_LABELS"),
        ([[1, 0]], [[0.1, 0.2]], "ROC_LABELS"),
        ([1, 0], ["a", "b"], "ROC_NOT_FINITE"),
        ([1, 0], [0.1, None], "ROC_NOT_FINITE"),
    ],
)
def test_refuses_labels_and_scores_without_a_roc_curve(labels, score, code):
    for function in (roc_summary, roc_curve, choose_cut_off, lambda y, s: rates_at(y, s, 0.5)):
        with pytest.raises(InputError) as refused:
            function(labels, score)
        assert refused.value.code == code


def test_refuses_unknown_intervals_and_levels():
    for arguments in ({"ci": "wald"}, {"level": 1.0}, {"level": 0.4}):
        with pytest.raises(InputError, match="ROC_INTERVAL"):
            roc_summary([0, 1], [0, 1], **arguments)


def test_takes_lists_arrays_and_booleans_alike():
    labels, score = [0, 1, 0, 1, 1], [0.2, 0.9, 0.6, 0.5, 0.7]
    summaries = {
        roc_summary(kind(labels), np.asarray(score)) for kind in (list, tuple, np.array, lambda y: np.array(y, bool))
    }
    assert len(summaries) == 1


@given(cohorts)
@settings(max_examples=60)
def test_curve_has_a_point_for_every_score_by_counting_and_holds_no_infinity(cohort):
    labels, score = np.array(cohort[0], dtype=bool), np.array(cohort[1], dtype=float)
    points = roc_curve(labels, score)
    assert points.threshold[1:].tolist() == sorted(set(score), reverse=True)
    assert points.threshold[0] == np.nextafter(max(score), np.inf)
    assert points.false_positive_rate.tolist() == [np.mean(score[~labels] >= t) for t in points.threshold]
    assert points.true_positive_rate.tolist() == [np.mean(score[labels] >= t) for t in points.threshold]
    assert (np.diff(points.threshold) < 0).all()
    assert np.trapezoid(points.true_positive_rate, points.false_positive_rate) == pytest.approx(
        roc_summary(labels, score).auc
    )


def test_curve_has_at_most_the_points_that_the_ui_draws():
    rng = np.random.default_rng(0)
    points = roc_curve(rng.random(5000) < 0.5, rng.random(5000))
    assert len(points.threshold) == 200
    assert (points.false_positive_rate[-1], points.true_positive_rate[-1]) == (1.0, 1.0)


def test_rates_reproduce_the_printed_percentages_with_exact_limits():
    labels, votes = hard_votes(9, 10)
    rates = rates_at(labels, votes, 0.5)
    assert (round(100 * rates.sensitivity), round(100 * rates.specificity)) == (82, 83)
    assert (rates.true_positive, rates.false_negative, rates.true_negative, rates.false_positive) == (9, 2, 10, 2)


@pytest.mark.parametrize(
    ("hits", "trials", "printed"),
    [(81, 263, "0.2527 0.3676"), (15, 148, "0.0578 0.1617"), (0, 20, "0.0000 0.1684"), (1, 29, "0.0009 0.1776")],
)
def test_limits_are_those_that_newcombe_prints_for_the_exact_method(hits, trials, printed):
    """Newcombe, Stat Med 1998;17:857, Table I, method 5."""
    rates = rates_at(*hard_votes(hits, 1, trials, 1), 0.5)
    assert f"{rates.sensitivity_low:.4f} {rates.sensitivity_high:.4f}" == printed


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_limits_are_quantiles_of_the_beta_distribution(case):
    """Another way to the exact interval than scipy's ``binomtest``, which searches the binomial's own tails."""
    hits, trials = case
    low = stats.beta.ppf(0.05, hits, trials - hits + 1) if hits else 0
    high = stats.beta.isf(0.05, hits + 1, trials - hits) if hits < trials else 1
    rates = rates_at(*hard_votes(hits, 1, trials, 1), 0.5, level=0.9)
    assert (rates.sensitivity_low, rates.sensitivity_high) == pytest.approx((low, high), abs=1e-12)


def test_score_equal_to_the_cut_off_predicts_a_responder():
    assert rates_at([0, 1], [0.5, 0.5], 0.5).true_positive == 0


@given(cohorts)
@settings(max_examples=60)
def test_chosen_cut_off_has_the_largest_youden_index(cohort):
    labels, score = cohort
    best = max(rates.sensitivity + rates.specificity for rates in (rates_at(labels, score, c - 0.5) for c in range(7)))
    chosen = rates_at(labels, score, choose_cut_off(labels, score))
    assert chosen.sensitivity + chosen.specificity == pytest.approx(best)


@pytest.mark.parametrize("module", [roc, cohort_tables])
def test_examples_in_docstrings_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
