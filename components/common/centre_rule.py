"""Which centres are left out in turn where splits are by centre, and what helps where they are too few (STUDY 3)."""

from collections.abc import Mapping

from components.common.errors import InputError
from components.common.settings import SplitSettings

#: With fewer, the networks would be evaluated at one centre only, or not at all.
FEWEST_CENTRES = 2


def centres_left_out(sizes: Mapping[str, tuple[int, int]], settings: SplitSettings) -> list[str]:
    """The centres with enough tumours of each class, those with most tumours first, at most ``settings.groups``.

    Parameters
    ----------
    sizes
        Numbers of responders and non-responders of each known centre.
    settings
        Least number of each class, and number of groups.

    Raises
    ------
    InputError
        ``TOO_FEW_CENTRES`` where fewer than ``FEWEST_CENTRES`` are large enough.
    """
    least = settings.min_centre_class_size
    enough = [name for name, counts in sizes.items() if min(counts) >= least]
    if len(enough) < FEWEST_CENTRES:
        raise _too_few(sorted(map(min, sizes.values()), reverse=True), len(enough), least)
    return sorted(enough, key=lambda name: (-sum(sizes[name]), name))[: settings.groups]


def _too_few(smaller_classes: list[int], enough: int, least: int) -> InputError:
    """The error for centres of which the smaller class has ``smaller_classes`` tumours, in falling order."""
    known = len(smaller_classes)
    message = (
        f"of {known} known centres {enough} can be left out; at least {FEWEST_CENTRES} are needed, each with at least "
        f"{least} responders and {least} non-responders"
    )
    hint = "Add patients of the centres that are too small, or split by patient."
    if known < FEWEST_CENTRES:
        message = f"splits by centre need at least {FEWEST_CENTRES} centres, but {known or 'none'} is known"
        hint = "Fill the column centre of the cohort table, with patients of several centres, or split by patient."
    elif (possible := smaller_classes[FEWEST_CENTRES - 1]) > 0:
        hint = f"Lower split.min_centre_class_size to {possible} or less, add patients of the centres that are too "
        hint += "small, or split by patient."
    return InputError("TOO_FEW_CENTRES", message, hint)
