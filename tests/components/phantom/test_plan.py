import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.phantom.plan import EXCLUDED, plan_cohort, sample_necrosis
from components.phantom.study import make_study
from components.preprocess.recist import bed10_gy, response_of


def eligible(seed, signal=1.0, tumours=110, patients=89):
    found = [p for p in plan_cohort(seed, tumours, patients, signal) if not p.tumours[0].exclusion]
    return [(patient, tumour) for patient in found for tumour in patient.tumours]


@pytest.mark.parametrize("seed", range(5))
def test_default_cohort_has_the_papers_counts(seed):
    pairs = eligible(seed)
    assert len(pairs) == 110
    assert len({patient.folder for patient, _ in pairs}) == 89
    assert [sum(t.label == label for _, t in pairs) for label in (0, 1)] == [57, 53]
    assert max(len(patient.tumours) for patient, _ in pairs) <= 5
    assert sum(patient.columns["kps"] == "" for patient in {p.folder: p for p, _ in pairs}.values()) == 2


@pytest.mark.parametrize(
    ("tumours", "patients", "responders"), [(110, 89, 57), (24, 20, 12), (4, 1, 2), (300, 60, 155)]
)
def test_every_exclusion_occurs_in_proportion(tumours, patients, responders):
    plan = plan_cohort(1, tumours, patients, 1.0)
    assert sum(t.label == 0 for p in plan for t in p.tumours if not t.exclusion) == responders
    for reason, usual in EXCLUDED.items():
        count = sum(t.exclusion == reason for p in plan for t in p.tumours)
        assert count == max(1, round(usual * tumours / 110))


def test_the_table_shows_the_reason_of_each_exclusion():
    tumours = {t.exclusion: (p, t) for p in plan_cohort(1, 110, 89, 1.0) for t in p.tumours}
    assert tumours["too_many_metastases"][0].columns["n_brain_metastases"] > 5
    assert tumours["whole_brain_radiotherapy"][0].columns["whole_brain_radiotherapy"] == "yes"
    assert tumours["primary_brain_cancer"][0].columns["primary_brain_cancer"] == "yes"
    assert tumours["skull_infiltration"][1].columns["skull_infiltration"] == "yes"
    assert tumours["too_large"][1].diameter_mm > 35
    assert tumours["too_small"][1].diameter_mm < 10
    days = [
        t.columns["follow_up_days"]
        for p in plan_cohort(1, 110, 89, 1.0)
        for t in p.tumours
        if t.exclusion == "no_follow_up"
    ]
    assert all(day == "" or day > 92 for day in days)


def test_tables_i_and_ii_are_approximated_over_seeds():
    pairs = [pair for seed in range(20) for pair in eligible(seed)]
    for label, size, age, dose, male in ((0, 20, 59, 24, 22 / 57), (1, 22, 57, 23, 22 / 53)):
        own = [(p.columns, t) for p, t in pairs if t.label == label]
        assert np.median([t.diameter_mm for _, t in own]) == pytest.approx(size, abs=1.2)
        assert np.median([p["age"] for p, _ in own]) == pytest.approx(age, abs=1.5)
        assert np.median([t.columns["total_dose_gy"] for _, t in own]) == pytest.approx(dose, abs=3)
        beds = [bed10_gy(t.columns["total_dose_gy"], t.columns["fractions"]) for _, t in own]
        assert np.median(beds) == pytest.approx(60, abs=5)
        assert np.median([t.columns["fractions"] for _, t in own]) == 3
        assert np.median([p["kps"] for p, _ in own if p["kps"] != ""]) == 90
        assert np.mean([p["sex"] == "male" for p, _ in own]) == pytest.approx(male, abs=0.06)
    diameters = [t.diameter_mm for _, t in pairs]
    assert min(diameters) > 10
    assert max(diameters) <= 33


def test_diameters_given_instead_of_a_response_mean_the_same_by_recist():
    given = [t for seed in range(5) for _, t in eligible(seed) if t.columns["response"] == ""]
    assert len(given) > 50
    for tumour in given:
        response = response_of(tumour.columns["baseline_diameter_mm"], tumour.columns["follow_up_diameter_mm"], None)
        assert (response in ("SD", "PD")) == bool(tumour.label)


def test_latent_separates_the_classes_as_calibrated():
    aucs = [
        roc_auc_score([t.label for _, t in pairs], [t.necrosis for _, t in pairs]) for pairs in map(eligible, range(20))
    ]
    assert 0.82 < np.mean(aucs) < 0.88


def test_without_signal_nothing_depends_on_the_class():
    responders = [sample_necrosis(np.random.default_rng(seed), 0, 0.0) for seed in range(50)]
    assert responders == [sample_necrosis(np.random.default_rng(seed), 1, 0.0) for seed in range(50)]
    pairs = [pair for seed in range(40) for pair in eligible(seed, signal=0.0)]
    labels = [t.label for _, t in pairs]
    facts = {
        "necrosis": [t.necrosis for _, t in pairs],
        "diameter": [t.diameter_mm for _, t in pairs],
        "dose": [t.columns["total_dose_gy"] for _, t in pairs],
        "age": [p.columns["age"] for p, _ in pairs],
        "extracranial": [p.columns["extracranial_metastases"] == "yes" for p, _ in pairs],
        "systemic": [p.columns["systemic_therapy"] == "yes" for p, _ in pairs],
    }
    for name, values in facts.items():
        assert roc_auc_score(labels, values) == pytest.approx(0.5, abs=0.03), name


def test_the_image_depends_on_the_class_only_through_the_latent():
    patient = plan_cohort(2, 24, 20, 1.0)[0]
    flipped = tuple(
        dataclasses.replace(t, label=1 - t.label, columns={**t.columns, "response": "CR"}) for t in patient.tumours
    )
    study, other = make_study(patient), make_study(dataclasses.replace(patient, tumours=flipped))
    assert study.scan == other.scan
    for mine, theirs in zip(study.slices_hu(), other.slices_hu(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
