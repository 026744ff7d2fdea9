"""Which structures of an RTSTRUCT are the study's tumours: by the GTV rule, by name or by number."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.imaging.gtv_name import is_gtv, is_gtv_name, may_be_gtv
from components.imaging.plan import Plan
from components.imaging.rtstruct import Roi, RoiLabel

HOW_TO_NAME = "Give roi a structure's name, or its number where names are not enough; `srs inspect` lists both."


def roi_rule(
    settings: PreprocessSettings, listed: Sequence[str], *, patterns: bool = False
) -> Callable[[RoiLabel], bool]:
    """Whether a structure is wanted: a GTV by the rule, or one that is listed by name or number.

    Parameters
    ----------
    settings
        GTV rule.
    listed
        ROINames or ROINumbers.
    patterns
        Whether what is listed may also be a regular expression for names.
    """
    names, numbers = {_plain(one) for one in listed}, {_number(one) for one in listed} - {""}

    def wanted(label: RoiLabel) -> bool:
        named = _plain(label.name) in names or label.number in numbers
        matched = patterns and not named and any(is_gtv_name(label.name, one) for one in listed)
        return named or matched or is_gtv(label.name, label.interpreted_type, settings.roi_pattern)

    return wanted


def find_rois(rois: Sequence[Roi], roi: str) -> list[Roi]:
    """The structures that a text means: of that very name, else of that name in any case, else of that ROINumber.

    Empty structures are among them only where all are empty.
    """
    rules: tuple[Callable[[Roi], bool], ...] = (
        lambda one: one.name.strip() == roi.strip(),
        lambda one: _plain(one.name) == _plain(roi),
        lambda one: _number(roi) != "" and one.number == _number(roi),
    )
    found = next((found for rule in rules if (found := [one for one in rois if rule(one)])), [])
    return [one for one in found if not one.is_empty] or found[:1]


def gtvs_of(plan: Plan, settings: PreprocessSettings) -> list[Roi]:
    """The structures that the GTV rule finds; ``NO_GTV`` where there is none."""
    found = [one for one in plan.rtstruct.rois if is_gtv(one.name, one.label.interpreted_type, settings.roi_pattern)]
    if not found:
        raise _no_gtv(len(left_out_gtvs(plan, settings)))
    return found


def left_out_gtvs(plan: Plan, settings: PreprocessSettings) -> list[RoiLabel]:
    """Drawn structures that the GTV rule does not take although they may be GTVs; none by a pattern of one's own."""
    if settings.roi_pattern:
        return []
    read = {(one.number, one.name) for one in plan.rtstruct.rois}
    labels = [label for label in plan.rtstruct.labels if label.contours and (label.number, label.name) not in read]
    return [label for label in labels if may_be_gtv(label.name, label.interpreted_type)]


def rois_meant(plan: Plan, roi: str) -> list[Roi]:
    """All structures that ``roi`` may mean: by ``find_rois``, else as a regular expression; ``NO_GTV`` where none."""
    found = find_rois(plan.rtstruct.rois, roi) or [one for one in plan.rtstruct.rois if is_gtv_name(one.name, roi)]
    if not found:
        raise _no_gtv()
    return found


def choose_roi(plan: Plan, settings: PreprocessSettings, roi: str) -> Roi:
    """The one structure of a row: the named or numbered one, or the only GTV with contours.

    Raises
    ------
    TumourError
        ``ROI_MISSING``, ``ROI_AMBIGUOUS``, ``NO_GTV``.
    """
    if roi:
        found = find_rois(plan.rtstruct.rois, roi)
    else:
        gtvs = gtvs_of(plan, settings)
        found = [one for one in gtvs if not one.is_empty] or gtvs[:1]
    if not found:
        raise TumourError("ROI_MISSING", "the RTSTRUCT has no structure of that name or number", HOW_TO_NAME)
    if len(found) > 1:
        numbers = ", ".join(one.number or "none" for one in found)
        words = f"the RTSTRUCT has {len(found)} GTVs that may be meant (ROINumber {numbers})"
        raise TumourError("ROI_AMBIGUOUS", words, HOW_TO_NAME)
    return found[0]


def _no_gtv(left_out: int = 0) -> TumourError:
    words = "the RTSTRUCT has no structure that is named like a GTV or typed as one"
    words += f", but {left_out} that may be GTVs" if left_out else ""
    return TumourError("NO_GTV", words, f"{HOW_TO_NAME} Or set preprocess.roi_pattern.")


def _plain(name: str) -> str:
    """A name as it is compared: umlauts alike however they are composed, without case and outer blanks."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def _number(text: str) -> str:
    """ROINumber that a text gives (``7`` or ``#7``; some exports count below 0), or ""."""
    number = text.strip().removeprefix("#")
    return str(int(number)) if re.fullmatch("-?[0-9]{1,12}", number) else ""
