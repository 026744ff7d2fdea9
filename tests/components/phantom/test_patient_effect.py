import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from components.phantom.faults import Faults
from components.phantom.patient_effect import sample_labels, sample_likeness
from components.phantom.plan import plan_cohort
from components.phantom.study import make_study

SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=40)


def eligible(seed, effect, tumours=300, patients=100, signal=0.0):
    plan = plan_cohort(seed, tumours, patients, signal, Faults(patient_effect=effect))
    return [patient for patient in plan if not patient.tumours[0].exclusion]


def within_patients(values):
    """Correlation of values [lesions] of each patient between all ordered pairs of its lesions."""
    pairs = np.array([pair for own in values for pair in itertools.permutations(own, 2)], float)
    return np.corrcoef(pairs.T)[0, 1]


@given(SIZES, st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_the_number_of_responders_is_exact(sizes, part, correlation, seed):
    patient_of = np.repeat(np.arange(len(sizes)), sizes)
    responders = round(part * len(patient_of))
    labels = sample_labels(np.random.default_rng(seed), patient_of, responders, correlation)
    assert (labels == 0).sum() == responders
    assert (labels == 1).sum() == len(patient_of) - responders


@given(SIZES, st.floats(0, 1), st.integers(0, 99))
def test_at_a_full_correlation_at_most_one_patient_has_both_labels(sizes, part, seed):
    patient_of = np.repeat(np.arange(len(sizes)), sizes)
    labels = sample_labels(np.random.default_rng(seed), patient_of, round(part * len(patient_of)), 1.0)
    mixed = [own for own in np.split(labels, np.cumsum(sizes)[:-1]) if 0 < own.sum() < len(own)]
    assert len(mixed) <= (0 if 1 in sizes and len(sizes) > 20 else 1)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 1.0])
def test_labels_have_the_intraclass_correlation_that_was_asked_for(correlation):
    sizes = np.tile([1, 2, 3, 4], 500)
    labels = sample_labels(np.random.default_rng(1), np.repeat(np.arange(2000), sizes), 2600, correlation)
    assert within_patients(np.split(labels, np.cumsum(sizes)[:-1])) == pytest.approx(correlation, abs=0.04)


def test_the_label_does_not_depend_on_the_number_of_lesions():
    sizes = np.tile([1, 1, 1, 5], 20)
    patient_of = np.repeat(np.arange(80), sizes)
    means = [
        sample_labels(np.random.default_rng(seed), patient_of, 80, 1.0)[sizes[patient_of] == 5] for seed in range(300)
    ]
    assert np.mean(means) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("tumours", "patients", "responders"), [(110, 89, 57), (300, 100, 155), (4, 1, 2)])
def test_a_full_effect_leaves_the_counts_of_the_classes(seed, tumours, patients, responders):
    plan = eligible(seed, 1.0, tumours, patients)
    labels = [tumour.label for patient in plan for tumour in patient.tumours]
    assert (len(plan), len(labels), labels.count(0)) == (patients, tumours, responders)
    mixed = sum(len({tumour.label for tumour in patient.tumours}) > 1 for patient in plan)
    assert mixed == (0 if patients > 1 else 1)


LOOKS = {
    "necrosis": lambda lesion: lesion.necrosis,
    "diameter": lambda lesion: lesion.diameter_mm,
    "outline": lambda lesion: lesion.amplitudes[0],
    "phase": lambda lesion: lesion.phases[2],
    "enhancement": lambda lesion: lesion.enhancement_hu,
    "rim": lambda lesion: lesion.rim_part,
    "core": lambda lesion: lesion.core_hu,
    "oedema": lambda lesion: lesion.oedema_part,
}


@pytest.fixture(scope="module")
def looks():
    """For each effect and parameter of appearance, the values of each patient's lesions."""
    found = {}
    for effect in (0.0, 0.5, 1.0):
        patients = [make_study(one).lesions for one in eligible(1, effect)]
        for name, value in LOOKS.items():
            found[effect, name] = [[value(lesion) for lesion in lesions] for lesions in patients]
    return found


@pytest.mark.parametrize("name", LOOKS)
def test_lesions_of_a_patient_look_more_alike_as_the_effect_grows(looks, name):
    correlations = [within_patients(looks[effect, name]) for effect in (0.0, 0.5, 1.0)]
    assert abs(correlations[0]) < 0.15
    assert correlations[1] == pytest.approx(0.5, abs=0.2)
    # The median size differs between the classes of Table II, of which each tumour draws its own.
    assert correlations[2] > (0.9 if name == "diameter" else 0.999)


@pytest.mark.parametrize("name", LOOKS)
def test_the_distribution_of_a_look_stays_the_same(looks, name):
    """One lesion of each patient, so that samples are independent."""
    alone = [np.array([own[0] for own in looks[effect, name]]) for effect in (0.0, 0.5)]
    low, high = np.percentile(alone[0], [0, 100])
    assert kstest(alone[1], alone[0]).pvalue > 1e-3
    assert low - 0.2 * (high - low) < alone[1].min() < alone[1].max() < high + 0.2 * (high - low)


def test_a_blended_sample_is_of_the_same_distribution():
    rng = np.random.default_rng(2)
    for share in (0.3, 1.0):
        likenesses = [sample_likeness(rng, share) for _ in range(2000)]
        assert kstest([one.blend_necrosis(rng.standard_normal()) for one in likenesses], "norm").pvalue > 1e-3
        assert kstest([one.blend_size(rng.random()) for one in likenesses], "uniform").pvalue > 1e-3
        assert kstest([one.blend_appearance(rng.random(14))[3] for one in likenesses], "uniform").pvalue > 1e-3


def test_with_signal_the_latent_separates_the_classes_as_without_the_effect():
    tumours = [t for seed in range(8) for patient in eligible(seed, 0.5, signal=1.0) for t in patient.tumours]
    assert 0.82 < roc_auc_score([t.label for t in tumours], [t.necrosis for t in tumours]) < 0.88
