"""Chooses the evaluation set of every group: a keyed draw of patients, or one centre after the other (STUDY 3).

A draw is by a keyed hash of study, group and pseudonym, so it stays the same from run to run and is stable as a cohort
grows. Where the evaluation sets are drawn repeatedly, the later draws prefer patients whom few groups have evaluated,
until all have been: these sets depend on the whole cohort.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence

from components.common.centre_rule import centres_left_out
from components.common.errors import InputError
from components.common.settings import SplitSettings
from components.split.units import Unit, class_counts, fill

#: Name of a group, and its units for evaluation and for development, which is training and validation.
Division = tuple[str, list[Unit], list[Unit]]


def divisions(units: Sequence[Unit], settings: SplitSettings, study: str) -> Iterator[Division]:
    """The evaluation and development units of every group, in the groups' order.

    Parameters
    ----------
    units
        All units of the cohort.
    settings
        Whether splits are by centre, and the sizes.
    study
        Key of the hash by which patients are drawn.

    Raises
    ------
    InputError
        ``TOO_FEW_TUMOURS`` or ``TOO_FEW_CENTRES``.
    """
    found = _centres_left_out(units, settings) if settings.split_unit == "centre" else _drawn(units, settings, study)
    for group, evaluation, development in found:
        check_development(development, group, settings)
        yield group, evaluation, development


def _centres_left_out(units: Sequence[Unit], settings: SplitSettings) -> Iterator[Division]:
    known = sorted({unit.centre for unit in units} - {""})
    centres = centres_left_out({name: class_counts(_of(units, name)) for name in known}, settings)
    for group, centre in zip(settings.group_names, centres, strict=False):
        yield group, _of(units, centre), [unit for unit in units if unit.centre != centre]


def _drawn(units: Sequence[Unit], settings: SplitSettings, study: str) -> Iterator[Division]:
    _check_enough(units, settings)
    times_evaluated = dict.fromkeys((unit.name for unit in units), 0)
    for ordinal, group in enumerate(settings.group_names):
        ranked = sorted(units, key=lambda unit, g=group: (_rank(study, g, unit.name), unit.name))  # type: ignore[misc]
        if ordinal >= settings.groups:  # a later draw: patients evaluated least often come first, in the same order
            ranked = sorted(ranked, key=lambda unit: times_evaluated[unit.name])
        quota = (settings.evaluation_responders, settings.evaluation_non_responders)
        evaluation, development = fill(ranked, quota)
        times_evaluated |= {unit.name: times_evaluated[unit.name] + 1 for unit in evaluation}
        yield group, evaluation, development


def _of(units: Sequence[Unit], centre: str) -> list[Unit]:
    return [unit for unit in units if unit.centre == centre]


def _rank(study: str, group: str, name: str) -> bytes:
    return hmac.digest(study.encode(), f"{group}\0{name}".encode(), hashlib.sha256)


def _check_enough(units: Sequence[Unit], settings: SplitSettings) -> None:
    available = class_counts(units)
    requested = [settings.evaluation_responders, settings.evaluation_non_responders]
    if any(has < needs + 2 for has, needs in zip(available, requested, strict=True)):
        raise InputError(
            "TOO_FEW_TUMOURS",
            f"{available[0]} responders and {available[1]} non-responders are left after exclusion; evaluation needs "
            f"{requested[0]} and {requested[1]}, and training and validation at least one more each",
            "Add tumours, or lower split.evaluation_responders and split.evaluation_non_responders.",
        )


def check_development(development: Sequence[Unit], group: str, settings: SplitSettings) -> None:
    """Raises ``TOO_FEW_TUMOURS`` where fewer than two units of a class are left for training and validation."""
    if any(sum(unit.counts[label] > 0 for unit in development) < 2 for label in (0, 1)):
        problem = f"group {group}: fewer than two patients of a class are left for training and validation"
        hint = "Add patients of other centres, or split by patient."
        if settings.split_unit != "centre":
            hint = "Add patients, or lower the sizes of the evaluation sets."
        raise InputError("TOO_FEW_TUMOURS", problem, hint)
