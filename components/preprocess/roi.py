"""Which structures of an RTSTRUCT are the study's tumours: by the GTV rule, or by the name in the table."""

from collections.abc import Callable, Sequence

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.preprocess.plan import Plan
from components.preprocess.rtstruct import Roi, is_gtv_name


def roi_rule(settings: PreprocessSettings, listed: Sequence[str]) -> Callable[[str], bool]:
    """Whether a ROIName is wanted: a GTV by the rule, or one of the listed names."""
    names = {_plain(name) for name in listed}
    return lambda name: _plain(name) in names or is_gtv_name(name, settings.roi_pattern)


def gtvs_of(plan: Plan, settings: PreprocessSettings) -> list[Roi]:
    """The structures that the GTV rule finds; ``NO_GTV`` where there is none."""
    found = [roi for roi in plan.rtstruct.rois if is_gtv_name(roi.name, settings.roi_pattern)]
    if not found:
        hint = "Name it in the table's column roi, or set preprocess.roi_pattern; `srs inspect` lists all names."
        raise TumourError("NO_GTV", "the RTSTRUCT has no structure named like a GTV", hint)
    return found


def choose_roi(plan: Plan, settings: PreprocessSettings, roi: str) -> Roi:
    """The one structure of a row: the named one, or the only GTV with contours.

    Raises
    ------
    TumourError
        ``ROI_MISSING``, ``ROI_AMBIGUOUS``, ``NO_GTV``.
    """
    if roi:
        found = [one for one in plan.rtstruct.rois if one.name.strip() == roi.strip()]
        found = found or [one for one in plan.rtstruct.rois if _plain(one.name) == _plain(roi)]
    else:
        gtvs = gtvs_of(plan, settings)
        found = [one for one in gtvs if not one.skipped] or gtvs[:1]
    if not found:
        raise TumourError(
            "ROI_MISSING", "the RTSTRUCT has no structure of the table's roi", "`srs inspect` lists them."
        )
    if len(found) > 1:
        hint = "Name each tumour's structure in the table's column roi; `srs inspect` lists them."
        raise TumourError("ROI_AMBIGUOUS", f"the RTSTRUCT has {len(found)} GTVs that the row may mean", hint)
    return found[0]


def _plain(name: str) -> str:
    return name.strip().casefold()
