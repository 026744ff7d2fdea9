"""Samples the validation and training sets of every member from what its group does not evaluate (STUDY 3).

A run's seed affects only these; the evaluation sets are those of ``evaluation_sets``.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError
from components.common.settings import SplitSettings, SplitUnit
from components.split.evaluation_sets import check_development, divisions
from components.split.units import Unit, class_counts, fill, units_of

MAX_TRIES = 1000  # samples of a validation set before a new one is considered impossible
#: Errors that depend on how many tumours, or which labels, there are.
UNSPLITTABLE = ("TOO_FEW_TUMOURS", "VALIDATION_NOT_DISTINCT")


def make_splits(tumours: pd.DataFrame, settings: SplitSettings, *, study: str, seed: int) -> tuple[MemberSplit, ...]:
    """Samples and verifies the splits of all members.

    Parameters
    ----------
    tumours
        Table with ``tumour``, ``patient`` (pseudonyms) and ``label`` (1 = non-responder); for splits by centre also
        ``centre`` (pseudonym, None or NaN where it is unknown).
    settings
        Sizes, and the unit that is never divided between sets.
    study
        Key of the hash that selects the evaluation sets, unless they are centres.
    seed
        The run's seed, which affects only the training and validation sets.

    Returns
    -------
    tuple of MemberSplit
        Sorted by group and index.

    Raises
    ------
    InputError
        ``TOO_FEW_TUMOURS`` or ``TOO_FEW_CENTRES``, or ``VALIDATION_NOT_DISTINCT`` where the cohort allows too few
        different sets.
    """
    splits: list[MemberSplit] = []
    divided = divisions(units_of(tumours, settings.split_unit), settings, study)
    for ordinal, (group, evaluation, development) in enumerate(divided):
        evaluated = tuple(sorted(name for unit in evaluation for name in unit.tumours))
        splits += _members(development, evaluated, settings, group, [seed, ordinal])
    verify(splits, tumours, settings.split_unit)
    return tuple(splits)


def resplit(
    development: pd.DataFrame, evaluation: tuple[str, ...], settings: SplitSettings, group: str, entropy: list[int]
) -> tuple[MemberSplit, ...]:
    """Samples the training and validation sets of a group's members among given development tumours.

    Parameters
    ----------
    development
        Table with ``tumour``, ``patient`` and ``label``, without the evaluation set's patients (tumours, where tumours
        are the unit of splits).
    evaluation
        The group's evaluation set, which is kept.
    settings
        Number of members, share of the validation sets, and the unit that is never divided between sets.
    group
        Name of the group.
    entropy
        Seeds of the validation sets.

    Raises
    ------
    InputError
        One of ``UNSPLITTABLE``, naming the group.
    """
    units = units_of(development, settings.split_unit)
    check_development(units, group, settings)
    return tuple(_members(units, evaluation, settings, group, entropy))


def shared_patients(splits: Iterable[MemberSplit], tumours: pd.DataFrame) -> int:
    """Largest number of patients that one member has in more than one set; 0 where nothing leaks."""
    patient_of = dict(zip(tumours.tumour, tumours.patient, strict=True))
    largest = 0
    for split in splits:
        sets = [{patient_of[name] for name in names} for names in (split.training, split.validation, split.evaluation)]
        shared = (sets[0] & sets[1]) | (sets[0] & sets[2]) | (sets[1] & sets[2])
        largest = max(largest, len(shared))
    return largest


def quotas(splits: Sequence[MemberSplit], tumours: pd.DataFrame, settings: SplitSettings) -> dict[str, list[int]]:
    """Sizes [responders, non-responders] of the evaluation sets: requested (``asked``), and actual for each group.

    Of centres, which are evaluated as they are, no size is requested.
    """
    label_of = dict(zip(tumours.tumour, tumours.label, strict=True))
    asked = {"asked": [settings.evaluation_responders, settings.evaluation_non_responders]}
    sizes = asked if settings.split_unit != "centre" else {}
    for split in splits:
        positives = sum(int(label_of[name]) for name in split.evaluation)
        sizes[split.group] = [len(split.evaluation) - positives, positives]
    return sizes


def packs(count: int, members_per_task: int) -> list[str]:
    """Packs of members as positions ``"first-last"``, counted from 1, e.g. ``["1-25", "26-50"]``.

    Raises
    ------
    InputError
        ``SETTING_INVALID`` where a task would have no member.
    """
    if members_per_task < 1:
        raise InputError("SETTING_INVALID", "members_per_task must be at least 1")
    starts = range(0, count, members_per_task)
    return [f"{start + 1}-{min(start + members_per_task, count)}" for start in starts]


def verify(splits: Sequence[MemberSplit], tumours: pd.DataFrame, unit: SplitUnit) -> None:
    """Refuses splits that overlap, omit a tumour, repeat a validation set, or leak a patient or an evaluated centre.

    Raises
    ------
    InputError
        ``SPLIT_INVALID`` with every violation.
    """
    all_tumours = set(tumours.tumour)
    problems = []
    for split in splits:
        sets = [set(split.training), set(split.validation), set(split.evaluation)]
        if sum(map(len, sets)) != len(all_tumours) or set.union(*sets) != all_tumours:
            problems.append(f"{split.id}: its three sets are not a partition of the tumours")
    for group in sorted({split.group for split in splits}):
        members = [split for split in splits if split.group == group]
        if len({split.evaluation for split in members}) != 1:
            problems.append(f"group {group}: evaluation sets differ between members")
        if len({split.validation for split in members}) != len(members):
            problems.append(f"group {group}: two members have the same validation set")
    if unit != "tumour" and (leaking := shared_patients(splits, tumours)):
        problems.append(f"{leaking} patients are in more than one set of a split")
    if unit == "centre":
        problems += _shared_centres(splits, tumours)
    if problems:
        raise InputError.collected("SPLIT_INVALID", "these splits cannot be used:", problems)


def _shared_centres(splits: Sequence[MemberSplit], tumours: pd.DataFrame) -> list[str]:
    """The groups whose evaluation set is not all tumours of one centre."""
    centre_of = dict(zip(tumours.tumour, tumours.centre, strict=True))
    problems = []
    for group, names in {split.group: split.evaluation for split in splits}.items():
        centres = {centre_of[name] for name in names}
        if len(centres) != 1 or set(names) != {name for name, centre in centre_of.items() if centre in centres}:
            problems.append(f"group {group}: its evaluation set is not one centre")
    return problems


def _validation_sets(
    development: Sequence[Unit], settings: SplitSettings, group: str, entropy: list[int]
) -> Iterable[list[Unit]]:
    """``settings.members`` different validation sets with the class ratio of the development tumours."""
    quota = _validation_quota(development, settings.validation_fraction)
    seen: set[frozenset[str]] = set()
    for index in range(settings.members):
        rng = np.random.default_rng([*entropy, index])
        for _ in range(MAX_TRIES):
            validation, training = fill([development[i] for i in rng.permutation(len(development))], quota)
            names = frozenset(unit.name for unit in validation)
            if names not in seen and all(_has_both_classes(units) for units in (validation, training)):
                break
        else:
            raise InputError(
                "VALIDATION_NOT_DISTINCT",
                f"group {group}: found only {index} different validation sets for {settings.members} members",
                "Use fewer members or more tumours.",
            )
        seen.add(names)
        yield validation


def _validation_quota(development: Sequence[Unit], fraction: float) -> tuple[int, int]:
    """(responders, non-responders) of a validation set: ``fraction`` of all, in the ratio of the classes."""
    responders, positives = class_counts(development)
    total = round(fraction * (responders + positives))
    non_responders = min(max(round(total * positives / (responders + positives)), 1), positives - 1)
    return min(max(total - non_responders, 1), responders - 1), non_responders


def _members(
    development: Sequence[Unit], evaluation: tuple[str, ...], settings: SplitSettings, group: str, entropy: list[int]
) -> Iterator[MemberSplit]:
    for index, validation in enumerate(_validation_sets(development, settings, group, entropy), start=1):
        held_out = {name for unit in validation for name in unit.tumours}
        training = [name for unit in development for name in unit.tumours if name not in held_out]
        yield MemberSplit(group, index, tuple(sorted(training)), tuple(sorted(held_out)), evaluation)


def _has_both_classes(units: Sequence[Unit]) -> bool:
    return min(class_counts(units)) > 0
