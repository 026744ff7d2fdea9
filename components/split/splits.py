"""Samples the evaluation, validation and training sets of every member (STUDY 3).

A group's evaluation set is selected by a keyed hash of study, group and pseudonym, so it stays the same from run to
run and is stable as a cohort grows. A run's seed affects only the training and validation sets. Where the evaluation
sets are drawn repeatedly, the later draws prefer patients whom few groups have evaluated, until all have been: these
sets depend on the whole cohort.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError
from components.common.settings import SplitSettings

MAX_TRIES = 1000  # samples of a validation set before a new one is considered impossible


def make_splits(tumours: pd.DataFrame, settings: SplitSettings, *, study: str, seed: int) -> tuple[MemberSplit, ...]:
    """Samples and verifies the splits of all members.

    Parameters
    ----------
    tumours
        Table with ``tumour``, ``patient`` (pseudonyms) and ``label`` (1 = non-responder).
    settings
        Sizes, and the unit that is never divided between sets.
    study
        Key of the hash that selects the evaluation sets.
    seed
        The run's seed, which affects only the training and validation sets.

    Returns
    -------
    tuple of MemberSplit
        Sorted by group and index.

    Raises
    ------
    InputError
        ``TOO_FEW_TUMOURS``, or ``VALIDATION_NOT_DISTINCT`` where the cohort allows too few different sets.
    """
    units = _units(tumours, settings.split_unit)
    _check_enough(units, settings)
    splits: list[MemberSplit] = []
    times_evaluated = dict.fromkeys((unit.name for unit in units), 0)
    for ordinal, group in enumerate(settings.group_names):
        ranked = sorted(units, key=lambda unit, g=group: (_rank(study, g, unit.name), unit.name))  # type: ignore[misc]
        if ordinal >= settings.groups:  # a later draw: patients evaluated least often come first, in the same order
            ranked = sorted(ranked, key=lambda unit: times_evaluated[unit.name])
        quota = (settings.evaluation_responders, settings.evaluation_non_responders)
        evaluation, development = _fill(ranked, quota)
        times_evaluated |= {unit.name: times_evaluated[unit.name] + 1 for unit in evaluation}
        _check_development(development, group)
        sampled = _validation_sets(development, settings, group, [seed, ordinal])
        for index, validation in enumerate(sampled, start=1):
            held_out = {name for unit in validation for name in unit.tumours}
            training = [name for unit in development for name in unit.tumours if name not in held_out]
            sets = (sorted(training), sorted(held_out), sorted(name for unit in evaluation for name in unit.tumours))
            splits.append(MemberSplit(group, index, *(tuple(names) for names in sets)))
    verify(splits, tumours, settings.split_unit)
    return tuple(splits)


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
    """Sizes [responders, non-responders] of the evaluation sets: requested (``asked``), and actual for each group."""
    label_of = dict(zip(tumours.tumour, tumours.label, strict=True))
    sizes = {"asked": [settings.evaluation_responders, settings.evaluation_non_responders]}
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


def verify(splits: Sequence[MemberSplit], tumours: pd.DataFrame, unit: str) -> None:
    """Refuses splits that overlap, omit a tumour, repeat a validation set, or leak a patient.

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
    if unit == "patient" and (leaking := shared_patients(splits, tumours)):
        problems.append(f"{leaking} patients are in more than one set of a split")
    if problems:
        raise InputError.collected("SPLIT_INVALID", "these splits cannot be used:", problems)


class _Unit:
    """A patient's tumours or one tumour, never divided between sets; ``counts`` = (responders, non-responders)."""

    __slots__ = ("counts", "name", "tumours")

    def __init__(self, name: str, rows: pd.DataFrame) -> None:
        self.name = name
        self.tumours = tuple(rows.tumour)
        positives = int(rows.label.sum())
        self.counts = (len(rows) - positives, positives)


def _units(tumours: pd.DataFrame, unit: str) -> list[_Unit]:
    return [_Unit(str(name), rows) for name, rows in tumours.groupby(unit, sort=True)]


def _rank(study: str, group: str, name: str) -> bytes:
    return hmac.digest(study.encode(), f"{group}\0{name}".encode(), hashlib.sha256)


def _fill(units: Iterable[_Unit], quota: tuple[int, int]) -> tuple[list[_Unit], list[_Unit]]:
    """Selects units in order unless a class would exceed its quota; returns the selected and the remaining units."""
    selected, remaining, room = [], [], list(quota)
    for unit in units:
        if all(count <= free for count, free in zip(unit.counts, room, strict=True)):
            selected.append(unit)
            room = [free - count for count, free in zip(unit.counts, room, strict=True)]
        else:
            remaining.append(unit)
    return selected, remaining


def _validation_sets(
    development: Sequence[_Unit], settings: SplitSettings, group: str, entropy: list[int]
) -> Iterable[list[_Unit]]:
    """``settings.members`` different validation sets with the class ratio of the development tumours."""
    quota = _validation_quota(development, settings.validation_fraction)
    seen: set[frozenset[str]] = set()
    for index in range(settings.members):
        rng = np.random.default_rng([*entropy, index])
        for _ in range(MAX_TRIES):
            validation, training = _fill([development[i] for i in rng.permutation(len(development))], quota)
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


def _validation_quota(development: Sequence[_Unit], fraction: float) -> tuple[int, int]:
    """(responders, non-responders) of a validation set: ``fraction`` of all, in the ratio of the classes."""
    responders, positives = (sum(unit.counts[label] for unit in development) for label in (0, 1))
    total = round(fraction * (responders + positives))
    non_responders = min(max(round(total * positives / (responders + positives)), 1), positives - 1)
    return min(max(total - non_responders, 1), responders - 1), non_responders


def _has_both_classes(units: Sequence[_Unit]) -> bool:
    return all(sum(unit.counts[label] for unit in units) > 0 for label in (0, 1))


def _check_enough(units: Sequence[_Unit], settings: SplitSettings) -> None:
    available = [sum(unit.counts[label] for unit in units) for label in (0, 1)]
    requested = [settings.evaluation_responders, settings.evaluation_non_responders]
    if any(has < needs + 2 for has, needs in zip(available, requested, strict=True)):
        raise InputError(
            "TOO_FEW_TUMOURS",
            f"{available[0]} responders and {available[1]} non-responders are left after exclusion; evaluation needs "
            f"{requested[0]} and {requested[1]}, and training and validation at least one more each",
            "Add tumours, or lower split.evaluation_responders and split.evaluation_non_responders.",
        )


def _check_development(development: Sequence[_Unit], group: str) -> None:
    if any(sum(unit.counts[label] > 0 for unit in development) < 2 for label in (0, 1)):
        raise InputError(
            "TOO_FEW_TUMOURS",
            f"group {group}: fewer than two patients of a class are left for training and validation",
            "Add patients, or lower the sizes of the evaluation sets.",
        )
