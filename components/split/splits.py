"""Evaluation, validation and training sets of every member (STUDY 3).

A group's evaluation set is drawn by a keyed hash of study, group and pseudonym, so it stays the same from
run to run and as a cohort grows. A run's seed moves only what validates and what trains.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError
from components.common.settings import SplitSettings

DRAWS_FOR_A_NEW_SET = 1000  # tries before ten different validation sets are called impossible
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def make_splits(tumours: pd.DataFrame, settings: SplitSettings, *, study: str, seed: int) -> tuple[MemberSplit, ...]:
    """Draws and verifies the splits of all members.

    Parameters
    ----------
    tumours
        Table with ``tumour``, ``patient`` (pseudonyms) and ``label`` (1 = non-responder).
    settings
        Sizes and the unit that stays on one side.
    study
        Key of the evaluation draws.
    seed
        The run's seed: moves training and validation only.

    Returns
    -------
    tuple of MemberSplit
        By group, then index.

    Raises
    ------
    InputError
        ``TOO_FEW_TUMOURS``, or ``VALIDATION_NOT_DISTINCT`` where the cohort has not enough different sets.
    """
    units = _units(tumours, settings.split_unit)
    _check_enough(units, settings)
    splits: list[MemberSplit] = []
    for ordinal, group in enumerate(_LETTERS[: settings.groups]):
        ranked = sorted(units, key=lambda unit, g=group: (_rank(study, g, unit.name), unit.name))  # type: ignore[misc]
        quota = (settings.evaluation_responders, settings.evaluation_non_responders)
        evaluation, rest = _fill(ranked, quota)
        _check_rest(rest, group)
        for index, validation in enumerate(_validation_sets(rest, settings, group, [seed, ordinal]), start=1):
            held_out = {name for unit in validation for name in unit.tumours}
            training = [name for unit in rest for name in unit.tumours if name not in held_out]
            sets = (sorted(training), sorted(held_out), sorted(name for unit in evaluation for name in unit.tumours))
            splits.append(MemberSplit(group, index, *(tuple(names) for names in sets)))
    verify(splits, tumours, settings.split_unit)
    return tuple(splits)


def shared_patients(splits: Iterable[MemberSplit], tumours: pd.DataFrame) -> int:
    """Most patients that any one member has on two sides; 0 where nothing leaks."""
    patient_of = dict(zip(tumours.tumour, tumours.patient, strict=True))
    worst = 0
    for split in splits:
        sides = [{patient_of[name] for name in side} for side in (split.training, split.validation, split.evaluation)]
        shared = (sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2])
        worst = max(worst, len(shared))
    return worst


def quotas(splits: Sequence[MemberSplit], tumours: pd.DataFrame, settings: SplitSettings) -> dict[str, list[int]]:
    """Evaluation sizes [responders, non-responders], asked for and reached by each group."""
    label_of = dict(zip(tumours.tumour, tumours.label, strict=True))
    reached = {"asked": [settings.evaluation_responders, settings.evaluation_non_responders]}
    for split in splits:
        positives = sum(int(label_of[name]) for name in split.evaluation)
        reached[split.group] = [len(split.evaluation) - positives, positives]
    return reached


def packs(count: int, members_per_task: int) -> list[str]:
    """Packs of members as ``"first-last"`` positions, counted from 1, e.g. ``["1-25", "26-50"]``.

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
    """Refuses splits that overlap, lose a tumour, repeat a validation set, or leak a patient.

    Raises
    ------
    InputError
        ``SPLIT_INVALID`` with every violation.
    """
    everyone = set(tumours.tumour)
    problems = []
    for split in splits:
        sides = [set(split.training), set(split.validation), set(split.evaluation)]
        if sum(map(len, sides)) != len(everyone) or set.union(*sides) != everyone:
            problems.append(f"{split.id}: its three sets are not a partition of the tumours")
    for group in sorted({split.group for split in splits}):
        members = [split for split in splits if split.group == group]
        if len({split.evaluation for split in members}) != 1:
            problems.append(f"group {group}: evaluation sets differ between members")
        if len({split.validation for split in members}) != len(members):
            problems.append(f"group {group}: a validation set stands twice")
    if unit == "patient" and (leaking := shared_patients(splits, tumours)):
        problems.append(f"{leaking} patients stand on two sides of a split")
    if problems:
        raise InputError.collected("SPLIT_INVALID", "these splits cannot be used:", problems)


class _Unit:
    """What stays on one side: a patient with its tumours, or one tumour. ``counts`` = [responders, non-responders]."""

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
    """Takes units in order while neither class goes over its quota; returns taken and left."""
    taken, left, room = [], [], list(quota)
    for unit in units:
        if all(count <= free for count, free in zip(unit.counts, room, strict=True)):
            taken.append(unit)
            room = [free - count for count, free in zip(unit.counts, room, strict=True)]
        else:
            left.append(unit)
    return taken, left


def _validation_sets(
    rest: Sequence[_Unit], settings: SplitSettings, group: str, entropy: list[int]
) -> Iterable[list[_Unit]]:
    """``settings.members`` different validation sets with the class ratio of what is left."""
    quota = _share(rest, settings.validation_fraction)
    seen: set[frozenset[str]] = set()
    for index in range(settings.members):
        rng = np.random.default_rng([*entropy, index])
        for _ in range(DRAWS_FOR_A_NEW_SET):
            validation, training = _fill([rest[i] for i in rng.permutation(len(rest))], quota)
            names = frozenset(unit.name for unit in validation)
            if names not in seen and all(_has_both_classes(side) for side in (validation, training)):
                break
        else:
            raise InputError(
                "VALIDATION_NOT_DISTINCT",
                f"group {group}: {index} different validation sets were found, {settings.members} were asked for",
                "Ask for fewer members, or bring more tumours.",
            )
        seen.add(names)
        yield validation


def _share(rest: Sequence[_Unit], fraction: float) -> tuple[int, int]:
    """[responders, non-responders] of a validation set: ``fraction`` of all, in the ratio of the classes."""
    responders, positives = (sum(unit.counts[label] for unit in rest) for label in (0, 1))
    total = round(fraction * (responders + positives))
    of_positives = min(max(round(total * positives / (responders + positives)), 1), positives - 1)
    return min(max(total - of_positives, 1), responders - 1), of_positives


def _has_both_classes(units: Sequence[_Unit]) -> bool:
    return all(sum(unit.counts[label] for unit in units) > 0 for label in (0, 1))


def _check_enough(units: Sequence[_Unit], settings: SplitSettings) -> None:
    have = [sum(unit.counts[label] for unit in units) for label in (0, 1)]
    asked = [settings.evaluation_responders, settings.evaluation_non_responders]
    if any(h < a + 2 for h, a in zip(have, asked, strict=True)):
        raise InputError(
            "TOO_FEW_TUMOURS",
            f"{have[0]} responders and {have[1]} non-responders are left after exclusion; "
            f"evaluation takes {asked[0]} and {asked[1]}, and training and validation need at least one more each",
            "Bring more tumours, or lower split.evaluation_responders and split.evaluation_non_responders.",
        )


def _check_rest(rest: Sequence[_Unit], group: str) -> None:
    if any(sum(unit.counts[label] > 0 for unit in rest) < 2 for label in (0, 1)):
        raise InputError(
            "TOO_FEW_TUMOURS",
            f"group {group}: fewer than two patients of a class are left for training and validation",
            "Bring more patients, or lower the evaluation sizes.",
        )
