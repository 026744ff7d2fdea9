"""Patients that a model has seen: found by digests, refused or left out, and not guessed where keys differ."""

import dataclasses

import numpy as np
import pytest

from components.common.errors import InputError
from components.model.manifest import Manifest
from components.model.seen import crop_digests, patient_digest
from components.validate.overlap import (
    evaluated_flow,
    seen_sentence,
    seen_tumours,
    unchecked_warning,
    without_seen,
)
from tests.components.model.bundles import make_bundle
from tests.components.validate.made import KEY, make_cohort

SEEN = ("P-003", "P-004")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    made = make_bundle(tmp_path_factory.mktemp("bundle"), count=1)
    digests = tuple(sorted(patient_digest(made.settings["study"], name) for name in SEEN))
    return dataclasses.replace(made, seen_patients=digests, pseudonym_key=KEY)


def test_tumours_of_seen_patients_are_found(manifest, cohort):
    assert seen_tumours(manifest, cohort).tolist() == cohort.tumours["patient"].isin(SEEN).tolist()


def test_seen_patients_are_refused_unless_they_are_to_be_left_out(manifest, cohort):
    with pytest.raises(InputError) as caught:
        without_seen(manifest, cohort, "refuse")
    assert caught.value.code == "PATIENTS_SEEN"
    assert "4 of the cohort's 40 tumours are of 2 patients" in caught.value.safe_message
    assert "--seen exclude" in caught.value.hint
    kept, overlap = without_seen(manifest, cohort, "exclude")
    assert not set(cohort.tumours.loc[kept, "patient"]) & set(SEEN)
    assert (overlap.checked, overlap.patients, overlap.tumours) == (True, 2, 4)
    assert kept.sum() == 36


def test_a_cohort_of_which_nobody_is_left_is_refused(manifest, cohort):
    known = cohort.tumours["patient"].isin(SEEN)
    only = dataclasses.replace(cohort, tumours=cohort.tumours[known], crops=cohort.crops[known.to_numpy()])
    with pytest.raises(InputError, match=r"all tumours of the cohort \(4\) are of patients whom the model has seen"):
        without_seen(manifest, only, "exclude")


def test_what_is_left_out_is_a_line_of_the_flow(manifest, cohort):
    kept, _ = without_seen(manifest, cohort, "exclude")
    flow = evaluated_flow(cohort, kept)
    assert (flow.listed, flow.used, flow.used_patients) == (40, 36, 26)
    assert [(line.code, line.tumours) for line in flow.exclusions] == [("PATIENTS_SEEN", 4)]
    assert evaluated_flow(cohort, np.ones(40, dtype=bool)) == cohort.flow


@pytest.mark.parametrize(
    ("models", "cohorts", "reason"),
    [
        ("", KEY, "the model does not state"),
        (KEY, "", "the cohort's dataset does not state"),
        ("f" * 16, KEY, "another key"),
    ],
)
def test_an_unknown_or_another_key_is_stated_and_nothing_is_guessed(manifest, models, cohorts, reason):
    kept, overlap = without_seen(
        dataclasses.replace(manifest, pseudonym_key=models), make_cohort(key=cohorts), "refuse"
    )
    assert kept.all()
    assert not overlap.checked
    assert reason in overlap.reason


def test_new_patients_pass(manifest, cohort):
    unseen = dataclasses.replace(manifest, seen_patients=(patient_digest(manifest.settings["study"], "P-999"),))
    kept, overlap = without_seen(unseen, cohort, "refuse")
    assert kept.all()
    assert (overlap.checked, overlap.tumours) == (True, 0)


def test_the_name_of_the_models_study_is_part_of_the_digest(manifest, cohort):
    other = dataclasses.replace(manifest, settings={**manifest.settings, "study": "another"})
    assert not seen_tumours(other, cohort).any()


@pytest.mark.parametrize("key", [KEY, "f" * 16, ""])
def test_patients_are_recognised_by_their_images_under_any_name_and_key(manifest, key):
    cohort = make_cohort(key=key)
    other = dataclasses.replace(manifest, seen_crops=tuple(crop_digests(manifest.settings["study"], cohort.crops[:1])))
    unknown = dataclasses.replace(other, seen_patients=())
    patient = cohort.tumours["patient"][0]
    assert seen_tumours(unknown, cohort).tolist() == (cohort.tumours["patient"] == patient).tolist()
    with pytest.raises(InputError, match="recognised by pseudonym or image"):
        without_seen(unknown, cohort, "refuse")
    kept, overlap = without_seen(unknown, cohort, "exclude")
    assert patient not in set(cohort.tumours.loc[kept, "patient"])
    assert (overlap.checked, overlap.images_checked, overlap.patients) == (key == KEY, True, 1)


def test_what_was_compared_is_said(manifest, cohort):
    _, overlap = without_seen(dataclasses.replace(manifest, seen_patients=()), cohort, "refuse")
    assert seen_sentence(overlap) == (
        "nobody was recognised, by the pseudonyms of the patients and the images of the tumours, whom the model has "
        "seen in training or validation"
    )
    _, overlap = without_seen(dataclasses.replace(manifest, seen_crops=()), cohort, "exclude")
    assert seen_sentence(overlap) == (
        "4 tumours of 2 patients whom the model has seen in training or validation were recognised by the pseudonyms "
        "of the patients, and left out"
    )
    neither = dataclasses.replace(manifest, seen_crops=(), pseudonym_key="")
    _, overlap = without_seen(neither, cohort, "refuse")
    assert seen_sentence(overlap) == ""
    assert "Nor does the model state the images" in unchecked_warning(overlap, 40)
