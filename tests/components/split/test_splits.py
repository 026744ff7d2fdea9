"""Splits: sizes, stability of the evaluation sets, and refusal of leakage."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.settings import SplitSettings
from components.split.splits import make_splits, packs, quotas, shared_patients, verify


def as_artifact(splits, unit="patient"):
    return Splits(tuple(splits), unit, 0, {})


def cohort(patients: int = 89, tumours: int = 110, positives: int = 53, seed: int = 0) -> pd.DataFrame:
    """A table of pseudonyms: every patient has a tumour, the rest fall on random patients."""
    rng = np.random.default_rng(seed)
    owners = np.concatenate([np.arange(patients), rng.integers(0, patients, tumours - patients)])
    labels = rng.permutation(np.arange(tumours) < positives).astype(int)
    return pd.DataFrame(
        {"tumour": [f"T-{i:04d}" for i in range(tumours)], "patient": [f"P-{i:04d}" for i in owners], "label": labels}
    )


def test_paper_sizes_fit_exactly():
    tumours = cohort()
    splits = make_splits(tumours, SplitSettings(), study="study", seed=1)
    assert [split.id for split in splits][:2] == ["A-01", "A-02"]
    assert len(splits) == 50
    reached = quotas(splits, tumours, SplitSettings())
    assert all(reached[group] == [12, 11] for group in "ABCDE")
    for split in splits:
        assert (len(split.evaluation), len(split.training) + len(split.validation)) == (23, 87)
        assert abs(len(split.validation) - 22) <= 2


def test_repeated_draws_evaluate_every_tumour_and_leave_the_first_draw_as_it_was():
    tumours = cohort()
    once = make_splits(tumours, SplitSettings(members=1), study="study", seed=1)
    repeated = make_splits(tumours, SplitSettings(members=1, repeats=4), study="study", seed=1)
    assert repeated[:5] == once
    assert [split.group for split in repeated] == list("ABCDEFGHIJKLMNOPQRST")
    evaluated = [set().union(*(split.evaluation for split in repeated[:count])) for count in (5, 10, 20)]
    assert len(evaluated[0]) < len(evaluated[1])
    assert evaluated[2] == set(tumours.tumour)


def test_more_groups_than_letters_are_refused():
    with pytest.raises(InputError, match="groups times repeats are 30, but at most 26"):
        SplitSettings(groups=10, repeats=3)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31 - 1), patients=st.integers(30, 89), unit=st.sampled_from(["patient", "tumour"]))
def test_every_split_is_a_partition_without_shared_patients(seed, patients, unit):
    tumours = cohort(patients, 90, 44, seed)
    wanted = SplitSettings(groups=2, members=4, evaluation_responders=6, evaluation_non_responders=5, split_unit=unit)
    splits = make_splits(tumours, wanted, study="study", seed=seed)
    for split in splits:
        names = [*split.training, *split.validation, *split.evaluation]
        assert sorted(names) == sorted(tumours.tumour)
    if unit == "patient":
        assert shared_patients(splits, tumours) == 0
    for group in "AB":
        validation = {split.validation for split in splits if split.group == group}
        assert len(validation) == 4


def test_validation_sets_of_thousands_of_members_are_distinct():
    splits = make_splits(cohort(), SplitSettings(groups=25, members=200), study="study", seed=1)
    assert len({split.id for split in splits}) == len({(split.group, split.validation) for split in splits}) == 5000
    assert splits[-1].id == "Y-200"
    drawn = packs(len(splits), 25)
    assert (len(drawn), drawn[-1]) == (200, "4976-5000")
    assert [split.id for split in as_artifact(splits).of_pack(drawn[-1])][-1] == "Y-200"


def test_seed_changes_training_but_not_evaluation():
    tumours = cohort()
    one, two = (make_splits(tumours, SplitSettings(), study="study", seed=seed) for seed in (1, 2))
    assert [split.evaluation for split in one] == [split.evaluation for split in two]
    assert [split.validation for split in one] != [split.validation for split in two]


def test_study_key_changes_evaluation():
    tumours = cohort()
    one, two = (make_splits(tumours, SplitSettings(), study=study, seed=1) for study in ("a", "b"))
    assert one[0].evaluation != two[0].evaluation


def test_groups_have_different_evaluation_sets():
    splits = make_splits(cohort(), SplitSettings(), study="study", seed=1)
    assert len({split.evaluation for split in splits}) == 5


def test_grown_cohort_keeps_most_of_an_evaluation_set():
    small = cohort()
    grown = pd.concat([small, pd.DataFrame({"tumour": ["T-x1", "T-x2"], "patient": ["P-x1", "P-x2"], "label": [0, 1]})])
    before = make_splits(small, SplitSettings(), study="study", seed=1)
    after = make_splits(grown, SplitSettings(), study="study", seed=1)
    for one, two in zip(before, after, strict=True):
        assert len(set(one.evaluation) & set(two.evaluation)) >= 19


def test_order_of_rows_does_not_matter():
    tumours = cohort()
    shuffled = tumours.sample(frac=1, random_state=3)
    assert make_splits(tumours, SplitSettings(), study="s", seed=1) == make_splits(
        shuffled, SplitSettings(), study="s", seed=1
    )


def test_tumour_level_split_shares_patients_and_counts_them():
    tumours = cohort()
    splits = make_splits(tumours, SplitSettings(split_unit="tumour"), study="study", seed=1)
    assert shared_patients(splits, tumours) > 0


def test_verify_refuses_a_patient_in_two_sets():
    tumours = cohort()
    splits = make_splits(tumours, SplitSettings(split_unit="tumour"), study="study", seed=1)
    with pytest.raises(InputError, match="more than one set"):
        verify(splits, tumours, "patient")


def test_verify_refuses_overlap_and_repeated_validation():
    tumours = cohort()
    splits = list(make_splits(tumours, SplitSettings(members=2, groups=1), study="study", seed=1))
    overlapping = dataclasses.replace(splits[0], training=splits[0].training + splits[0].validation)
    with pytest.raises(InputError, match="partition"):
        verify([overlapping, splits[1]], tumours, "patient")
    with pytest.raises(InputError, match="have the same validation set"):
        verify([splits[0], splits[0]], tumours, "patient")


def test_too_few_tumours_is_reported_with_both_numbers():
    with pytest.raises(InputError, match="10 responders and 5 non-responders") as caught:
        make_splits(cohort(15, 15, 5), SplitSettings(), study="study", seed=1)
    assert caught.value.code == "TOO_FEW_TUMOURS"
    assert caught.value.exit_code == 2


def test_more_members_than_validation_sets_is_refused():
    wanted = SplitSettings(groups=1, members=30, evaluation_responders=1, evaluation_non_responders=1)
    with pytest.raises(InputError) as caught:
        make_splits(cohort(7, 7, 3), wanted, study="study", seed=1)
    assert caught.value.code == "VALIDATION_NOT_DISTINCT"


def test_packs_cover_every_member_once():
    assert packs(50, 25) == ["1-25", "26-50"]
    assert packs(6, 4) == ["1-4", "5-6"]
    splits = make_splits(cohort(), SplitSettings(), study="study", seed=1)
    assert [split for pack in packs(50, 7) for split in as_artifact(splits).of_pack(pack)] == list(splits)
    with pytest.raises(InputError):
        packs(50, 0)


BY_CENTRE = SplitSettings(members=3, split_unit="centre", min_centre_class_size=4)


def of_centres(sizes: dict[str | None, int], seed: int = 0) -> pd.DataFrame:
    """A cohort of so many tumours at each centre, half of them non-responders; every third patient has two."""
    rows, patient = [], 0
    for centre, size in sizes.items():
        for index in range(size):
            patient += index % 3 != 2
            rows.append((f"P-{patient:04d}", centre, index % 2))
    table = pd.DataFrame(rows, columns=["patient", "centre", "label"])
    return table.assign(tumour=[f"T-{index:04d}" for index in range(len(table))])


def test_each_large_centre_is_left_out_in_turn_the_largest_first():
    tumours = of_centres({"C-small": 7, "C-b": 20, "C-a": 20, "C-large": 30, None: 9})
    splits = make_splits(tumours, BY_CENTRE, study="study", seed=1)
    assert as_artifact(splits, "centre").centres(tumours) == {"A": "C-large", "B": "C-a", "C": "C-b"}
    for split in splits:
        left_out = {"A": "C-large", "B": "C-a", "C": "C-b"}[split.group]
        assert set(split.evaluation) == set(tumours.tumour[tumours.centre == left_out])
        development = {*split.training, *split.validation}
        assert set(tumours.tumour[tumours.centre.isna() | (tumours.centre == "C-small")]) <= development
    assert shared_patients(splits, tumours) == 0
    assert quotas(splits, tumours, BY_CENTRE) == {"A": [15, 15], "B": [10, 10], "C": [10, 10]}


def test_no_more_centres_are_left_out_than_there_are_groups():
    tumours = of_centres({f"C-{index}": 20 + 2 * index for index in range(6)})
    splits = make_splits(tumours, dataclasses.replace(BY_CENTRE, groups=2), study="study", seed=1)
    assert as_artifact(splits, "centre").centres(tumours) == {"A": "C-5", "B": "C-4"}


@pytest.mark.parametrize(
    ("sizes", "message", "hint"),
    [
        ({None: 40}, "at least 2 centres, but none is known", "Fill the column centre"),
        ({"C-a": 40, None: 10}, "at least 2 centres, but 1 is known", "Fill the column centre"),
        ({"C-a": 40, "C-b": 6, None: 10}, "of 2 known centres 1 can be left out", "class_size to 3 or less"),
        ({"C-a": 6, "C-b": 4, "C-c": 4, "C-d": 1}, "of 4 known centres 0 can be left out", "class_size to 2 or less"),
        ({"C-a": 40, "C-b": 1}, "of 2 known centres 1 can be left out", "Add patients of the centres that are too"),
    ],
)
def test_too_few_centres_are_refused_with_what_helps(sizes, message, hint):
    """More groups never help: settings by centre with a single group are refused before."""
    with pytest.raises(InputError, match=message) as caught:
        make_splits(of_centres(sizes), dataclasses.replace(BY_CENTRE, groups=26), study="study", seed=1)
    assert caught.value.code == "TOO_FEW_CENTRES"
    assert hint in caught.value.hint
    assert caught.value.hint.endswith("or split by patient.")
    assert "split.groups" not in caught.value.hint
    assert ("column centre" in caught.value.hint) == ("is known" in message)


def test_a_smaller_class_size_as_the_hint_proposes_is_enough():
    sizes = {"C-a": 40, "C-b": 6, None: 10}
    splits = make_splits(
        of_centres(sizes), dataclasses.replace(BY_CENTRE, min_centre_class_size=3), study="study", seed=1
    )
    assert as_artifact(splits, "centre").centres(of_centres(sizes)) == {"A": "C-a", "B": "C-b"}


def test_splits_by_centre_with_one_group_are_refused_by_the_settings():
    with pytest.raises(InputError, match="groups is 1, but at least 2 centres must be left out in turn"):
        SplitSettings(split_unit="centre", groups=1)


def test_splits_that_divide_an_evaluated_centre_are_refused():
    tumours = of_centres({"C-a": 20, "C-b": 20})
    splits = make_splits(tumours, BY_CENTRE, study="study", seed=1)
    verify(splits, tumours, "centre")
    moved = tumours.assign(centre=tumours.centre.where(tumours.tumour != splits[0].evaluation[0], "C-b"))
    with pytest.raises(InputError, match="group A: its evaluation set is not one centre"):
        verify(splits, moved, "centre")


def test_centres_have_one_evaluation_set_only():
    with pytest.raises(InputError, match="a centre that is left out has only one evaluation set"):
        SplitSettings(split_unit="centre", repeats=2)
