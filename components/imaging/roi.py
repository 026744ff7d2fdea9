"""Selects the structures of an RTSTRUCT that are the study's tumours, by the GTV rule, by name or by number."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.imaging.gtv_name import is_gtv, is_gtv_name, may_be_gtv
from components.imaging.plan import Plan
from components.imaging.rtstruct import Roi, RoiLabel

HOW_TO_NAME = "Set roi to a structure's name, or to its number where several share a name; `srs inspect` lists both."


def roi_rule(
    settings: PreprocessSettings, listed: Sequence[str], *, patterns: bool = False
) -> Callable[[RoiLabel], bool]:
    """A predicate for the structures to read: GTVs by the rule, and those that are listed by name or number.

    Parameters
    ----------
    settings
        The GTV rule.
    listed
        ROINames or ROINumbers.
    patterns
        Whether ``listed`` may also hold regular expressions for names.
    """
    names, numbers = {_plain(one) for one in listed}, {_number(one) for one in listed} - {""}

    def wanted(label: RoiLabel) -> bool:
        named = _plain(label.name) in names or label.number in numbers
        matched = patterns and not named and any(is_gtv_name(label.name, one) for one in listed)
        return named or matched or is_gtv(label.name, label.interpreted_type, settings.roi_pattern)

    return wanted


def find_rois(rois: Sequence[Roi], roi: str) -> list[Roi]:
    """The structures with the name ``roi``, else with that name in any case, else with that ROINumber.

    Empty structures are left out, except that the first one is returned where all are empty.
    """
    rules: tuple[Callable[[Roi], bool], ...] = (
        lambda one: one.name.strip() == roi.strip(),
        lambda one: _plain(one.name) == _plain(roi),
        lambda one: _number(roi) != "" and one.number == _number(roi),
    )
    matches = next((matches for rule in rules if (matches := [one for one in rois if rule(one)])), [])
    return [one for one in matches if not one.is_empty] or matches[:1]


def gtvs_of(plan: Plan, settings: PreprocessSettings) -> list[Roi]:
    """The structures that the GTV rule selects; ``NO_GTV`` where there is none."""
    gtvs = [one for one in plan.rtstruct.rois if is_gtv(one.name, one.label.interpreted_type, settings.roi_pattern)]
    if not gtvs:
        raise _no_gtv(len(left_out_gtvs(plan, settings)))
    return gtvs


def left_out_gtvs(plan: Plan, settings: PreprocessSettings) -> list[RoiLabel]:
    """Contoured structures that the default GTV rule leaves out but that may be GTVs; empty with a pattern."""
    if settings.roi_pattern:
        return []
    read = {(one.number, one.name) for one in plan.rtstruct.rois}
    labels = [label for label in plan.rtstruct.labels if label.contours and (label.number, label.name) not in read]
    return [label for label in labels if may_be_gtv(label.name, label.interpreted_type)]


def rois_meant(plan: Plan, roi: str) -> list[Roi]:
    """All structures that ``roi`` may mean: by ``find_rois``, else as a regular expression; ``NO_GTV`` where none."""
    rois = plan.rtstruct.rois
    matches = find_rois(rois, roi) or [one for one in rois if is_gtv_name(one.name, roi)]
    if not matches:
        raise _no_gtv()
    return matches


def choose_roi(plan: Plan, settings: PreprocessSettings, roi: str) -> Roi:
    """The structure of one row: the one named or numbered by ``roi``, or the only GTV with contours.

    Raises
    ------
    TumourError
        ``ROI_MISSING``, ``ROI_AMBIGUOUS``, ``NO_GTV``.
    """
    if roi:
        matches = find_rois(plan.rtstruct.rois, roi)
    else:
        gtvs = gtvs_of(plan, settings)
        matches = [one for one in gtvs if not one.is_empty] or gtvs[:1]
    if not matches:
        raise TumourError("ROI_MISSING", "the RTSTRUCT has no structure with that name or number", HOW_TO_NAME)
    if len(matches) > 1:
        numbers = ", ".join(one.number or "none" for one in matches)
        message = f"the RTSTRUCT has {len(matches)} GTVs that may be meant (ROINumber {numbers})"
        raise TumourError("ROI_AMBIGUOUS", message, HOW_TO_NAME)
    return matches[0]


def _no_gtv(left_out: int = 0) -> TumourError:
    message = "the RTSTRUCT has no structure with the name or type of a GTV"
    message += f"; structures that may still be GTVs: {left_out}" if left_out else ""
    return TumourError("NO_GTV", message, f"{HOW_TO_NAME} Or set preprocess.roi_pattern.")


def _plain(name: str) -> str:
    """A name normalised for comparison: composed Unicode, no case, no outer blanks."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _number(text: str) -> str:
    """The ROINumber in a text (``7`` or ``#7``; negative in some exports), or ""."""
    number = text.strip().removeprefix("#")
    return str(int(number)) if re.fullmatch("-?[0-9]{1,12}", number) else ""
