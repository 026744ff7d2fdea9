"""A run against trainings with fewer tumours: its limits against statsmodels and the GUM, and what they cover."""

import numpy as np
import pytest
from scipy import stats

from components.stats.bootstrap import Scored, mean_auc, resampled_aucs
from components.stats.learning_curve import difference_limits, effective_degrees_of_freedom, rise


def scored(rng: np.random.Generator, signal: float, n: int = 40) -> Scored:
    labels = np.arange(n) % 2
    return Scored(labels, signal * labels + rng.normal(size=n), np.arange(n) // 2)


def groups(seed: int, signal: float) -> list[Scored]:
    rng = np.random.default_rng(seed)
    return [scored(rng, signal) for _ in range(3)]


def test_effective_degrees_of_freedom_are_those_of_the_gum():
    """JCGM 100:2008, example in G.4.1: relative uncertainties of 10, 5 and 15 observations give 19.0."""
    uncertainties = np.array([0.25, 0.57, 0.82])
    assert effective_degrees_of_freedom(uncertainties**2, [9, 4, 14]) == pytest.approx(19.0, abs=0.06)


def test_a_known_variance_has_infinitely_many_degrees_of_freedom():
    assert effective_degrees_of_freedom([0.0, 2.0], [3, np.inf]) == np.inf
    assert effective_degrees_of_freedom([2.0, 0.0], [3, np.inf]) == 3


def test_without_chance_of_cases_the_limits_are_those_of_a_new_observation():
    """statsmodels 0.15.0: the prediction interval of an intercept for the draws, subtracted from the run."""
    low, high = difference_limits(0.80, [0.71, 0.74, 0.69, 0.75], 0.0)
    assert (low, high) == pytest.approx((-0.020481969441835, 0.175481969441835))


def test_draws_that_agree_leave_the_normal_limits_of_the_cases():
    reach = stats.norm.isf(0.025) * 0.03
    assert difference_limits(0.8, [0.7, 0.7], 0.03) == pytest.approx((0.1 - reach, 0.1 + reach))
    assert difference_limits(0.8, [0.75, 0.75], 0.0) == pytest.approx((0.05, 0.05))


@pytest.mark.parametrize(("draws", "se"), [(3, 0.0), (3, 0.02), (3, 0.06), (10, 0.02)])
def test_the_limits_cover_the_true_difference(draws, se):
    """Simulated realisations with SD 0.02 about 0.75 and 0.70, and an error of the cases that they share."""
    rng, covered, n = np.random.default_rng(8), 0, 4000
    for _ in range(n):
        run = 0.75 + rng.normal(0, 0.02) + rng.normal(0, se)
        low, high = difference_limits(run, 0.70 + rng.normal(0, 0.02, draws), se)
        covered += low <= 0.05 <= high
    assert covered / n == pytest.approx(0.95, abs=0.02)


def test_a_rise_is_the_mean_over_the_draws_and_both_chances_widen_it():
    run, draws = groups(1, 1.5), [groups(seed, 0.8) for seed in (2, 3, 4)]
    found = rise(run, draws, rng=1, samples=500)
    assert found.differences == pytest.approx([mean_auc(run) - mean_auc(draw) for draw in draws])
    assert found.difference == pytest.approx(np.mean(found.differences))
    assert found.sd == pytest.approx(np.std(found.differences, ddof=1))
    assert (found.low, found.high) == pytest.approx(
        difference_limits(mean_auc(run), [mean_auc(draw) for draw in draws], found.se_patients)
    )
    aucs = resampled_aucs([*run, *(group for draw in draws for group in draw)], 1, 500)
    by_hand = aucs[:, :3].mean(axis=1) - np.mean([aucs[:, at : at + 3].mean(axis=1) for at in (3, 6, 9)], axis=0)
    assert found.se_patients == pytest.approx(by_hand.std(ddof=1))


def test_patients_that_all_trainings_share_do_not_widen_the_difference():
    """The same scores in run and draws: whoever is evaluated, the difference is 0."""
    run = groups(1, 1.0)
    found = rise(run, [run, run], rng=1, samples=200)
    assert (found.difference, found.sd) == (0, 0)
    assert (found.se_patients, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_one_draw_has_no_spread_and_no_limits():
    found = rise(groups(1, 1.5), [groups(2, 0.8)], rng=1, samples=200)
    assert (found.sd, found.low, found.high) == (None, None, None)
    assert found.se_patients > 0


def test_too_few_patients_to_resample_leave_no_limits():
    """Nine groups of two patients, one of each class: nearly every resample lacks a class in one of them."""
    several = [Scored([0, 1], [0.1, 0.5], [f"p{at}", f"q{at}"]) for at in range(9)]
    found = rise(several, [several, several], rng=1, samples=50)
    assert (found.difference, found.sd) == (0, 0)
    assert (found.se_patients, found.low, found.high) == (None, None, None)
