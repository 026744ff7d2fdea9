import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from components.phantom.conditions import UNENHANCED, Conditions, sample_conditions
from components.phantom.faults import Faults
from components.phantom.plan import plan_cohort
from components.phantom.scanner import COMMON, MODELS, PROTOCOLS, SHARP, SOFT, Protocol, sample_scan
from components.phantom.study import make_study


def eligible(seed, faults, tumours=600, patients=500, signal=1.0):
    plan = plan_cohort(seed, tumours, patients, signal, faults)
    return [patient for patient in plan if not patient.tumours[0].exclusion]


def labels(patients):
    return [tumour.label for patient in patients for tumour in patient.tumours]


@given(st.integers(1, 9), st.floats(0, 1), st.integers(9, 60), st.integers(0, 99))
def test_every_centre_has_its_part_of_the_patients(centres, effect, patients, seed):
    faults = Faults(centres=centres, centre_effect=effect if centres > 1 else 0.0)
    rng = np.random.default_rng(seed)
    found = [one.centre for one in sample_conditions(rng, rng.integers(0, 2, patients).astype(float), faults)]
    counts = np.bincount(found)[1:] if centres > 1 else np.array([patients])
    assert len(counts) == centres
    assert np.ptp(counts) <= 1
    assert centres > 1 or set(found) == {0}


@pytest.mark.parametrize(("effect", "difference"), [(0.0, 0.0), (1.0, 0.29)])
def test_prevalence_differs_between_centres_with_the_effect(effect, difference):
    """One lesion for each patient: the odds of the later centre are e^0.6 to 1 for a non-responder, and the inverse."""
    faults = Faults(centres=2, centre_effect=effect)
    patients = [one for seed in range(8) for one in eligible(seed, faults, patients=600)]
    first, last = (labels(one for one in patients if one.conditions.centre == centre) for centre in (1, 2))
    assert np.mean(last) - np.mean(first) == pytest.approx(difference, abs=0.06)


@pytest.mark.parametrize(("effect", "relation"), [(0.0, 0.85), (0.5, 0.5), (1.0, 0.15)])
def test_the_last_centre_loses_and_then_reverses_the_relation_of_image_and_response(effect, relation):
    patients = [one for seed in range(4) for one in eligible(seed, Faults(centres=3, centre_effect=effect))]
    for centre, expected in ((1, 0.85), (2, 0.85), (3, relation)):
        tumours = [t for one in patients if one.conditions.centre == centre for t in one.tumours]
        auc = roc_auc_score([t.label for t in tumours], [t.necrosis for t in tumours])
        assert auc == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("effect", [0.0, 0.4, 1.0])
def test_the_effect_is_the_part_of_patients_with_the_protocol_of_their_centre(effect):
    patients = eligible(1, Faults(centres=4, centre_effect=effect))
    own = [one.conditions.protocol is PROTOCOLS[one.conditions.centre - 1] for one in patients]
    assert np.mean(own) == pytest.approx(effect, abs=0.06)
    assert all(mine or one.conditions.protocol is COMMON for mine, one in zip(own, patients, strict=True))


def test_protocols_of_centres_differ():
    assert len(set(PROTOCOLS)) == len(PROTOCOLS) == 9
    assert {protocol.tube_kv for protocol in PROTOCOLS} == {100, 120, 140}
    assert len({protocol.kernel for protocol in PROTOCOLS}) == 3


def scan(protocol):
    return sample_scan(np.random.default_rng(1), (0.0, 0.0, 0.0), -20.0, 20.0, 0.0, protocol)


def test_kernel_and_calibration_change_noise_sharpness_and_level():
    edge = np.full((64, 64), 0, np.float32)
    edge[:, 32:] = 100

    def measured(protocol):
        hu = scan(protocol).acquire(edge, np.random.default_rng(0))
        return hu[:, :24].std(), np.abs(np.diff(hu.mean(axis=0))).max(), hu[:, :24].mean()

    soft, standard, sharp = (measured(Protocol(MODELS[0], 120, kernel)) for kernel in (SOFT, COMMON.kernel, SHARP))
    assert soft[0] < 0.85 * standard[0] < standard[0] < 0.7 * sharp[0]
    assert soft[1] < standard[1] < sharp[1]
    assert measured(Protocol(MODELS[0], offset_hu=6.0))[2] == pytest.approx(standard[2] + 6, abs=0.01)


def test_a_protocol_names_the_scanner_and_thereby_the_slice_thickness():
    for protocol in PROTOCOLS:
        assert scan(protocol).model is protocol.model
        assert scan(protocol).thickness_mm in protocol.model.thickness_mm


@pytest.mark.parametrize(
    ("conditions", "factor"),
    [
        (Conditions(), 1.0),
        (Conditions(contrast_agent=False), UNENHANCED),
        (Conditions(protocol=Protocol(tube_kv=100)), 1.25),
        (Conditions(protocol=Protocol(tube_kv=140)), 0.85),
        (Conditions(protocol=Protocol(tube_kv=100), contrast_agent=False), UNENHANCED),
    ],
)
def test_enhancement_depends_on_contrast_agent_and_voltage(conditions, factor):
    patient = eligible(3, Faults(), 10, 8)[0]
    usual = make_study(patient)
    study = make_study(dataclasses.replace(patient, conditions=conditions))
    assert study.head.vessel_hu == pytest.approx(factor * usual.head.vessel_hu)
    for lesion, other in zip(study.lesions, usual.lesions, strict=True):
        assert lesion.enhancement_hu == pytest.approx(factor * other.enhancement_hu)
        assert lesion.rim_hu == pytest.approx(factor * other.rim_hu)
        assert (lesion.core_hu, lesion.centre_mm) == (other.core_hu, other.centre_mm)


@pytest.mark.parametrize(("confounder", "without"), [(0.0, (0.0, 0.0)), (0.5, (0.075, 0.425)), (1.0, (0.15, 0.85))])
def test_non_responders_are_examined_without_contrast_agent(confounder, without):
    patients = [
        one for seed in range(4) for one in eligible(seed, Faults(contrast_confounder=confounder), patients=600)
    ]
    for label, expected in enumerate(without):
        given_agent = [one.conditions.contrast_agent for one in patients if one.tumours[0].label == label]
        assert 1 - np.mean(given_agent) == pytest.approx(expected, abs=0.04)


def test_one_fault_does_not_change_another():
    both = eligible(1, Faults(centres=3, centre_effect=0.5, contrast_confounder=1.0))
    for faults, fact in (
        (Faults(centres=3, centre_effect=0.5), "centre"),
        (Faults(contrast_confounder=1.0), "contrast_agent"),
    ):
        alone = eligible(1, faults)
        assert [getattr(one.conditions, fact) for one in alone] == [getattr(one.conditions, fact) for one in both]
