"""Units of splitting: the tumours of a patient, or single tumours, which are never divided between sets."""

from collections.abc import Iterable, Sequence

import pandas as pd

from components.common.settings import SplitUnit


class Unit:
    """A patient's tumours or one tumour; ``counts`` = (responders, non-responders), ``centre`` "" if unknown."""

    __slots__ = ("centre", "counts", "name", "tumours")

    def __init__(self, name: str, rows: pd.DataFrame) -> None:
        self.name = name
        self.tumours = tuple(rows.tumour)
        positives = int(rows.label.sum())
        self.counts = (len(rows) - positives, positives)
        self.centre = _centre(rows)


def units_of(tumours: pd.DataFrame, unit: SplitUnit) -> list[Unit]:
    """The units of a tumour table, sorted by name; splits by centre do not divide patients either."""
    column = "tumour" if unit == "tumour" else "patient"
    return [Unit(str(name), rows) for name, rows in tumours.groupby(column, sort=True)]


def fill(units: Iterable[Unit], quota: tuple[int, int]) -> tuple[list[Unit], list[Unit]]:
    """Selects units in order unless a class would exceed its quota; returns the selected and the remaining units."""
    selected, remaining, room = [], [], list(quota)
    for unit in units:
        if all(count <= free for count, free in zip(unit.counts, room, strict=True)):
            selected.append(unit)
            room = [free - count for count, free in zip(unit.counts, room, strict=True)]
        else:
            remaining.append(unit)
    return selected, remaining


def class_counts(units: Sequence[Unit]) -> tuple[int, int]:
    """Responders and non-responders of several units."""
    return sum(unit.counts[0] for unit in units), sum(unit.counts[1] for unit in units)


def _centre(rows: pd.DataFrame) -> str:
    known = list(rows["centre"].dropna()) if "centre" in rows else []
    return str(known[0]) if known else ""
