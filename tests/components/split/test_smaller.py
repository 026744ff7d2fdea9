"""Splits with a part of the development patients: nested, of both classes, with the run's evaluation sets."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.presets import resolve
from components.split.smaller import all_smaller_splits, checked_fractions, nested_order, smaller_splits
from components.split.splits import make_splits, shared_patients
from tests.components.split.test_splits import cohort

FRACTIONS = (0.25, 0.5, 0.75)


def run_of(tumours: pd.DataFrame, unit: str = "patient", **split) -> Splits:
    wanted = {"groups": 2, "members": 4, "split_unit": unit, **split}
    study = resolve("default", {"study": "smaller", "seed": 7, "split": wanted})
    members = make_splits(tumours, study.split, study=study.study, seed=study.seed)
    return Splits(members, unit, 0, {}, study)


def development(splits, group: str) -> set[str]:
    """Tumours on which a group trains or validates."""
    return {name for split in splits if split.group == group for name in (*split.training, *split.validation)}


def patients(tumours: pd.DataFrame, names: set[str]) -> set[str]:
    return set(tumours.patient[tumours.tumour.isin(names)])


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), draw=st.integers(0, 9), unit=st.sampled_from(["patient", "tumour"]))
def test_evaluation_sets_stay_patients_are_nested_and_classes_complete(seed, draw, unit):
    tumours = cohort(seed=seed % 5)
    run = run_of(tumours, unit)
    label_of = dict(zip(tumours.tumour, tumours.label, strict=True))
    before = {group: set() for group in "AB"}
    for fraction in FRACTIONS:
        found = smaller_splits(run, tumours, fraction, seed=seed, draw=draw)
        assert [split.id for split in found] == [split.id for split in run.members]
        assert [split.evaluation for split in found] == [split.evaluation for split in run.members]
        for split in found:
            assert all({label_of[name] for name in names} == {0, 1} for names in (split.training, split.validation))
            assert not set(split.training) & set(split.validation)
        if unit == "patient":
            assert shared_patients(found, tumours) == 0
        for group in "AB":
            own, whole = development(found, group), development(run.members, group)
            assert own < whole
            assert before[group] < own
            assert own == {name for name in whole if patients(tumours, {name}) <= patients(tumours, own)}
            assert len(patients(tumours, own)) == round(fraction * len(patients(tumours, whole)))
            assert len({split.validation for split in found if split.group == group}) == 4
            before[group] = own


def test_the_validation_share_is_that_of_the_settings():
    tumours = cohort()
    run = run_of(tumours)
    for fraction in FRACTIONS:
        for split in smaller_splits(run, tumours, fraction, seed=1, draw=0):
            share = len(split.validation) / (len(split.training) + len(split.validation))
            assert share == pytest.approx(run.settings.split.validation_fraction, abs=0.09)


def test_draws_and_seeds_choose_other_patients_and_repeat_themselves():
    tumours = cohort()
    run = run_of(tumours)
    found = [smaller_splits(run, tumours, 0.5, seed=seed, draw=draw) for seed, draw in ((1, 0), (1, 1), (2, 0), (1, 0))]
    assert len({frozenset(development(splits, "A")) for splits in found}) == 3
    assert found[0] == found[3]


def test_every_patient_of_a_class_is_chosen_as_often():
    """Over many draws: no patient is preferred because of the place in the table."""
    tumours = cohort(patients=40, tumours=50, positives=25)
    counts = dict.fromkeys(sorted(set(tumours.patient)), 0)
    for seed in range(400):
        for patient in nested_order(tumours, np.random.default_rng(seed))[:10]:
            counts[patient] += 1
    assert min(counts.values()) > 65  # expected 100, SD 8.7
    assert max(counts.values()) < 135


@pytest.mark.parametrize("fraction", [0.2, 0.4, 0.6, 0.8])
def test_every_beginning_has_the_proportions_of_the_classes(fraction):
    tumours = cohort(patients=40, tumours=60, positives=20, seed=3)
    profile = tumours.groupby("patient").label.agg(lambda labels: tuple(sorted(set(labels))))
    order = nested_order(tumours, np.random.default_rng(5))
    assert sorted(order) == sorted(profile.index)
    chosen = profile[order[: round(fraction * len(order))]].value_counts()
    for kind, count in profile.value_counts().items():
        assert abs(chosen.get(kind, 0) - fraction * count) <= 2


def test_sets_that_came_about_otherwise_are_taken_as_they_are():
    """An evaluation set that no quota would give: all patients of one half of the cohort."""
    tumours = cohort()
    half = set(sorted(set(tumours.patient))[:44])
    evaluation = tuple(sorted(tumours.tumour[tumours.patient.isin(half)]))
    run = run_of(tumours)
    members = tuple(
        dataclasses.replace(
            split,
            evaluation=evaluation,
            training=tuple(name for name in split.training if name not in evaluation),
            validation=tuple(name for name in split.validation if name not in evaluation),
        )
        for split in run.members
    )
    found = smaller_splits(dataclasses.replace(run, members=members), tumours, 0.5, seed=1, draw=0)
    assert {split.evaluation for split in found} == {evaluation}
    assert not patients(tumours, development(found, "A")) & half


def test_a_centre_that_is_evaluated_stays_out_of_training():
    tumours = cohort()
    tumours["centre"] = [f"C-{int(patient[-1]) % 3}" for patient in tumours.patient]
    run = run_of(tumours, "centre", groups=3, members=2)
    centre_of = dict(zip(tumours.tumour, tumours.centre, strict=True))
    found = smaller_splits(run, tumours, 0.5, seed=1, draw=0)
    assert [split.evaluation for split in found] == [split.evaluation for split in run.members]
    for split in found:
        (left_out,) = {centre_of[name] for name in split.evaluation}
        assert left_out not in {centre_of[name] for name in (*split.training, *split.validation)}
    assert shared_patients(found, tumours) == 0


def test_all_fractions_that_leave_too_few_are_named_with_their_group():
    tumours = cohort()
    with pytest.raises(InputError) as caught:
        all_smaller_splits(run_of(tumours), tumours, (0.02, 0.05, 0.5), 1, seed=1)
    assert caught.value.code == "FRACTION_TOO_SMALL"
    lines = caught.value.safe_message.splitlines()
    assert "fraction 0.02, draw 1: group A: fewer than two patients of a class are left" in lines[1]
    assert "fraction 0.05, draw 1: group A: " in lines[2]
    assert len(lines) == 3
    assert "smallest fractions" in caught.value.hint


def test_all_draws_and_fractions_are_made():
    tumours = cohort()
    run = run_of(tumours)
    found = all_smaller_splits(run, tumours, (0.5, 0.75), 2, seed=3)
    assert list(found) == [(0, 0.5), (0, 0.75), (1, 0.5), (1, 0.75)]
    assert found[1, 0.75] == smaller_splits(run, tumours, 0.75, seed=3, draw=1)


def test_fractions_are_sorted_and_checked():
    assert checked_fractions([0.75, 0.25, 0.75]) == (0.25, 0.75)
    for wrong in ([], [0.5, 1.0], [0.0], [float("nan")]):
        with pytest.raises(InputError) as caught:
            checked_fractions(wrong)
        assert caught.value.code == "FRACTIONS_INVALID"
