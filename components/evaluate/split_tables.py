"""Characteristics of evaluation and of development tumours, side by side (TRIPOD+AI 20c, CLAIM 36).

Five groups have five evaluation sets that overlap, so the table compares the tumours that some group evaluated with
those that none did, and gives the range over groups for the evaluation and for the development sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from components.common.artifacts.splits import Splits
from components.evaluate.cohort_tables import (
    NOT_KNOWN,
    TABLE_I,
    TABLE_II,
    Row,
    display_name,
    known_categories,
    known_numbers,
    median_range,
    ordered,
)
from components.evaluate.outcomes import RESPONSES

RESPONSE = Row("Response", "response", "category")
ROWS = (RESPONSE, *TABLE_I, *TABLE_II)


@dataclass(frozen=True, slots=True)
class SplitLine:
    """One printed line: medians (ranges) or percentages; for sets of groups, the range of these over the groups."""

    characteristic: str
    category: str
    evaluated: str
    never_evaluated: str
    evaluation_sets: str
    development_sets: str


@dataclass(frozen=True, slots=True)
class SetSizes:
    """A group's tumours for training and validation together, and for evaluation, with their non-responders."""

    group: str
    development: int
    development_non_responders: int
    development_patients: int
    evaluation: int
    evaluation_non_responders: int
    evaluation_patients: int


def set_sizes(tumours: pd.DataFrame, splits: Splits) -> list[SetSizes]:
    """Numbers of tumours, events and patients in the sets of each group (TRIPOD+AI 21)."""
    rows = []
    for group, evaluated in _evaluation_sets(splits).items():
        own = tumours["tumour"].isin(evaluated)
        parts = [
            (len(part), int(part["label"].sum()), part["patient"].nunique()) for part in (tumours[~own], tumours[own])
        ]
        rows.append(SetSizes(group, *parts[0], *parts[1]))
    return rows


def split_table(tumours: pd.DataFrame, splits: Splits) -> list[SplitLine]:
    """Tables I and II by split.

    Parameters
    ----------
    tumours
        The dataset's tumour table.
    splits
        The splits of the same run.
    """
    sets = _evaluation_sets(splits)
    ever = tumours["tumour"].isin(set().union(*sets.values()))
    evaluation = [tumours[tumours["tumour"].isin(names)] for names in sets.values()]
    development = [tumours[~tumours["tumour"].isin(names)] for names in sets.values()]
    parts = (tumours[ever], tumours[~ever], evaluation, development)
    return [line for row in ROWS for line in (_medians if row.kind == "median" else _percentages)(row, tumours, parts)]


Parts = tuple[pd.DataFrame, pd.DataFrame, Sequence[pd.DataFrame], Sequence[pd.DataFrame]]


def _evaluation_sets(splits: Splits) -> Mapping[str, tuple[str, ...]]:
    return {group: splits.of_group(group)[0].evaluation for group in splits.groups}


def _medians(row: Row, _tumours: pd.DataFrame, parts: Parts) -> list[SplitLine]:
    ever, never, evaluation, development = parts
    shown = [median_range(known_numbers(row, part), row.digits) for part in (ever, never)]
    over_groups = [
        _range([float(np.median(values)) for part in several if len(values := known_numbers(row, part))], row.digits)
        for several in (evaluation, development)
    ]
    return [SplitLine(row.full_title, "", shown[0], shown[1], over_groups[0], over_groups[1])]


def _percentages(row: Row, tumours: pd.DataFrame, parts: Parts) -> list[SplitLine]:
    ever, never, evaluation, development = parts
    lines: list[SplitLine] = []
    known = known_categories(row, tumours)
    categories = [name for name in RESPONSES if name in set(known)] if row is RESPONSE else ordered(known, row.kind)
    for category in categories:
        shown = [_range(_shares(row, category, [part]), 0, " %") for part in (ever, never)]
        over_groups = [_range(_shares(row, category, several), 0, " %") for several in (evaluation, development)]
        name = display_name(category)
        lines.append(SplitLine("" if lines else row.title, name, shown[0], shown[1], over_groups[0], over_groups[1]))
    return lines


def _shares(row: Row, category: str, parts: Sequence[pd.DataFrame]) -> list[float]:
    """Percentage of the category among the tumours of each part for which the characteristic is known."""
    known = [known_categories(row, part) for part in parts]
    return [100 * float((column == category).mean()) for column in known if len(column)]


def _range(values: Sequence[float], digits: int, unit: str = "") -> str:
    if not values:
        return NOT_KNOWN
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{low}{unit}" if low == high else f"{low}-{high}{unit}"
