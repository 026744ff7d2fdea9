"""Splits with a part of each group's development patients, for a learning curve.

A group's evaluation set stays as the run stored it, however it came about. Of the other tumours, those of a random part
of the patients are kept, and training and validation sets are sampled among them as in the run. In one draw the
patients of a smaller part are among those of a larger one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from components.common.artifacts.splits import MemberSplit, Splits
from components.common.errors import InputError
from components.split.splits import UNSPLITTABLE, resplit

HINT = "Leave out the smallest fractions, or use a larger cohort."


def checked_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    """The fractions in rising order, each once.

    Raises
    ------
    InputError
        ``FRACTIONS_INVALID`` without any, or where one is not between 0 and 1.
    """
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        message = "fractions of the development patients must be above 0 and below 1, and at least one is needed"
        raise InputError("FRACTIONS_INVALID", message, "For example 0.25, 0.5 and 0.75; 1 is the run itself.")
    return tuple(sorted(set(fractions)))


def nested_order(tumours: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """Patients in a random order of which every beginning has nearly the same share of each class of patients.

    Classes are patients with responders only, with non-responders only, and with both. The patients of a class stand at
    equal distances, from a random start.

    Parameters
    ----------
    tumours
        Table with ``patient`` and ``label``.
    rng
        Generator of the order.
    """
    labels = tumours.groupby("patient", sort=True)["label"].agg(["min", "max"])
    place = pd.Series(0.0, index=labels.index)
    for _, own in labels.groupby(["min", "max"], sort=True):
        place[own.index] = (rng.permutation(len(own)) + rng.random()) / len(own)
    return [str(patient) for patient in place.sort_values(kind="stable").index]


def smaller_splits(
    splits: Splits, tumours: pd.DataFrame, fraction: float, *, seed: int, draw: int
) -> tuple[MemberSplit, ...]:
    """Splits of all members of a run, with a fraction of each group's development patients.

    Parameters
    ----------
    splits
        The run's splits, of which the evaluation sets and the settings are used.
    tumours
        Table with ``tumour``, ``patient`` and ``label`` of the run's dataset.
    fraction
        Share of each group's development patients, above 0 and below 1. All development tumours of a patient are kept.
    seed, draw
        Together they decide which patients; the fraction only decides how many.

    Raises
    ------
    InputError
        One of ``UNSPLITTABLE``, naming the group.
    """
    chosen: list[MemberSplit] = []
    for ordinal, group in enumerate(splits.groups):
        development = _development(splits.of_group(group), tumours)
        order = nested_order(development, np.random.default_rng([seed, draw, ordinal]))
        kept = development[development["patient"].isin(order[: max(1, round(fraction * len(order)))])]
        evaluation, entropy = splits.of_group(group)[0].evaluation, [splits.settings.seed, seed, draw, ordinal]
        chosen += resplit(kept, evaluation, splits.settings.split, group, entropy)
    return tuple(chosen)


def all_smaller_splits(
    splits: Splits, tumours: pd.DataFrame, fractions: Sequence[float], draws: int, *, seed: int
) -> dict[tuple[int, float], tuple[MemberSplit, ...]]:
    """``smaller_splits`` of every draw and fraction, by (draw, fraction).

    Raises
    ------
    InputError
        ``FRACTION_TOO_SMALL`` with every fraction and group of which too few tumours are left.
    """
    made, problems = {}, []
    for draw in range(draws):
        for fraction in fractions:
            try:
                made[draw, fraction] = smaller_splits(splits, tumours, fraction, seed=seed, draw=draw)
            except InputError as error:
                if error.code not in UNSPLITTABLE:
                    raise
                problems.append(f"fraction {fraction:g}, draw {draw + 1}: {error.safe_message}")
    if problems:
        heading = "some fractions leave too few tumours for training and validation:"
        raise InputError.collected("FRACTION_TOO_SMALL", heading, problems, HINT)
    return made


def _development(members: Sequence[MemberSplit], tumours: pd.DataFrame) -> pd.DataFrame:
    """The rows of the tumours that a group trains or validates on."""
    names = {name for split in members for name in (*split.training, *split.validation)}
    return tumours[tumours["tumour"].isin(names)]
