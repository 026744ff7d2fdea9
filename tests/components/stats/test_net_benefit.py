"""Golden numbers: dcurves 1.1.7 (PyPI) on its own data set ``df_binary``, 750 patients of whom 105 had cancer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from components.stats.net_benefit import decision_curve, net_benefit

THRESHOLDS = (0.05, 0.10, 0.15, 0.20, 0.30, 0.35)
#: What ``dcurves.dca`` prints of the column ``net_benefit``.
FAMILY_HISTORY = (0.025614, 0.018519, 0.010588, 0.001667, -0.020000, -0.033333)
CANCER_MODEL = (0.105544, 0.087407, 0.079216, 0.067333, 0.054667, 0.050154)
TREAT_ALL = (0.094737, 0.044444, -0.011765, -0.075000, -0.228571, -0.323077)
#: Patients of ``df_binary`` with and without cancer whose ``cancerpredmarker`` lies at or above each threshold.
AT_OR_ABOVE = ((96, 320), (87, 193), (82, 128), (75, 98), (62, 49), (57, 36))


def repeated(*parts):
    """Labels and probabilities of ``count`` cases each."""
    return tuple(
        np.concatenate(column) for column in zip(*([np.full(n, y), np.full(n, p)] for y, p, n in parts), strict=True)
    )


def family_history():
    """The data set's cross-table of cancer and family history; the latter, 0 or 1, is the probability."""
    return repeated((0, 0, 554), (0, 1, 91), (1, 0, 81), (1, 1, 24))


def cancer_model():
    """Each patient's ``cancerpredmarker`` rounded down to the next threshold, below the first to 0."""
    totals = np.array([(105, 645), *AT_OR_ABOVE, (0, 0)])
    counts = totals[:-1] - totals[1:]
    levels = (0.0, *THRESHOLDS)
    return repeated(
        *((label, level, row[1 - label]) for level, row in zip(levels, counts, strict=True) for label in (0, 1))
    )


@pytest.mark.parametrize(("data", "printed"), [(family_history, FAMILY_HISTORY), (cancer_model, CANCER_MODEL)])
def test_reproduces_dcurves_on_its_own_data(data, printed):
    labels, probability = data()
    assert (len(labels), labels.sum()) == (750, 105)
    curve = decision_curve(labels, probability, THRESHOLDS, samples=20)
    assert [point.threshold for point in curve] == list(THRESHOLDS)
    assert [point.model for point in curve] == pytest.approx(printed, abs=5e-7)
    assert [point.treat_all for point in curve] == pytest.approx(TREAT_ALL, abs=5e-7)
    assert {point.treat_none for point in curve} == {0.0}
    assert net_benefit(labels, probability, THRESHOLDS) == pytest.approx(printed, abs=5e-7)


cohorts = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y)),
        st.lists(st.floats(0, 1), min_size=n, max_size=n),
        st.floats(0.01, 0.99),
    )
)


@given(cohorts)
@settings(max_examples=100)
def test_net_benefit_is_between_those_of_perfect_and_of_reversed_predictions(cohort):
    labels, probability, threshold = cohort
    prevalence, odds = np.mean(labels), threshold / (1 - threshold)
    (value,) = net_benefit(labels, probability, [threshold])
    assert -odds * (1 - prevalence) - 1e-12 <= value <= prevalence + 1e-12
    assert net_benefit(labels, labels, [threshold]) == pytest.approx([prevalence])
    assert net_benefit(labels, 1 - np.array(labels), [threshold]) == pytest.approx([-odds * (1 - prevalence)])


@given(cohorts)
@settings(max_examples=50)
def test_treating_all_follows_from_prevalence_and_threshold(cohort):
    labels, probability, threshold = cohort
    (point,) = decision_curve(labels, probability, threshold, samples=5)
    prevalence = np.mean(labels)
    assert point.treat_all == pytest.approx(prevalence - (1 - prevalence) * threshold / (1 - threshold))
    assert point.over_treat_all == pytest.approx(point.model - point.treat_all)


@given(cohorts)
@settings(max_examples=50)
def test_as_the_threshold_goes_to_zero_net_benefit_goes_to_the_prevalence(cohort):
    labels, probability, _ = cohort
    certain = np.maximum(probability, 1e-6)
    assert net_benefit(labels, certain, [1e-9]) == pytest.approx([np.mean(labels)], abs=1e-8)


def test_a_vote_fraction_equal_to_the_threshold_is_treated():
    thresholds = np.arange(1, 10) / 10
    fractions = np.array([[1.0] * k + [0.0] * (10 - k) for k in range(1, 10)]).mean(axis=1)
    for threshold, fraction in zip(thresholds, fractions, strict=True):
        assert net_benefit([1, 0], [fraction, 0.0], [threshold]) == pytest.approx([0.5])
    assert net_benefit([1, 0], [0.3, 0.0], [0.1 * 3]) == pytest.approx([0.5])  # 0.1 * 3 > 0.3 in floating point


def test_band_is_wider_where_lesions_of_a_patient_agree():
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.random(80) < 0.5, 3)
    probability = np.clip(np.repeat(0.3 * rng.normal(size=80), 3) + 0.3 + 0.4 * labels, 0, 1)
    widths = [
        point.high - point.low
        for patients in (None, np.repeat(np.arange(80), 3))
        for point in decision_curve(labels, probability, [0.3], patients=patients, samples=4000)
    ]
    # Three copies of each case carry the information of one.
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(3), rel=0.08)


def test_bands_have_the_width_of_the_normal_interval_of_a_mean():
    """Net benefit is a mean over cases: at a threshold of one half, of 1, -1 and 0."""
    rng = np.random.default_rng(4)
    labels = rng.random(400) < 0.5
    probability = np.clip(0.5 + 0.3 * rng.normal(size=400) + 0.2 * (labels - 0.5), 0, 1)
    treated = (probability >= 0.5) * np.where(labels, 1.0, -1.0)
    over = treated - np.where(labels, 1.0, -1.0)
    (point,) = decision_curve(labels, probability, 0.5, samples=8000, level=0.9)
    for values, low, high in (
        (treated, point.low, point.high),
        (over, point.over_treat_all_low, point.over_treat_all_high),
    ):
        assert low < values.mean() < high
        assert (high - low) == pytest.approx(2 * 1.644854 * values.std() / 20, rel=0.06)


@pytest.mark.parametrize(("patients", "has_bands"), [(9, False), (10, True)])
def test_bands_need_ten_patients_however_many_tumours_they_have(patients, has_bands):
    label = np.tile([0, 1], 3 * patients)
    who = np.repeat(np.arange(patients), 6)
    (point,) = decision_curve(label, 0.3 + 0.4 * label, [0.5], patients=who, samples=50)
    limits = (point.low, point.high, point.over_treat_all_low, point.over_treat_all_high)
    assert [one is not None for one in limits] == [has_bands] * 4
    assert (point.model, point.treat_all) == (0.5, 0.0)


def test_bands_repeat_with_their_seed():
    labels, probability = family_history()
    first, again, other = (decision_curve(labels, probability, [0.1], rng=seed, samples=50) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("probability", "thresholds", "code"),
    [
        ([0.1, 1.1], [0.5], "NET_BENEFIT_PROBABILITY"),
        ([-0.1, 0.9], [0.5], "NET_BENEFIT_PROBABILITY"),
        ([0.1, 0.9], [0.0], "NET_BENEFIT_THRESHOLDS"),
        ([0.1, 0.9], [0.5, 1.0], "NET_BENEFIT_THRESHOLDS"),
        ([0.1, 0.9], [np.nan], "NET_BENEFIT_THRESHOLDS"),
        ([0.1, 0.9], [], "NET_BENEFIT_THRESHOLDS"),
        ([0.1, np.nan], [0.5], "ROC_NOT_FINITE"),
    ],
)
def test_refuses_scores_that_are_no_probabilities_and_impossible_thresholds(probability, thresholds, code):
    for function in (net_benefit, decision_curve):
        with pytest.raises(InputError) as refused:
            function([0, 1], probability, thresholds)
        assert refused.value.code == code


def test_refuses_patients_that_do_not_fit():
    with pytest.raises(InputError, match="ROC_MISMATCHED"):
        decision_curve([0, 1], [0.1, 0.9], [0.5], patients=["p"])
