"""Turns a patient's DICOM folder into tumour candidates, each measured and cut, or refused with a code.

Preprocessing, ``srs inspect`` and the predictor share this code.
"""

from collections.abc import Sequence

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.base import Source
from components.imaging.candidate import Candidate
from components.imaging.crop import ImageDefinition
from components.imaging.measuring import measure
from components.imaging.plan import Plan, open_plan, read_folder
from components.imaging.roi import choose_roi, gtvs_of, left_out_gtvs, roi_rule, rois_meant
from components.imaging.rtstruct import Roi
from components.imaging.scan_lines import bounded_work
from components.imaging.size_rule import check_size


def find_gtvs(
    source: Source,
    prefix: str,
    settings: PreprocessSettings,
    definition: ImageDefinition | None = None,
    *,
    roi: str = "",
    rtstruct_uid: str = "",
    max_gtvs: int | None = None,
) -> list[Candidate]:
    """Every GTV of the patient below ``prefix``, measured and cut, in the order of the RTSTRUCT.

    Parameters
    ----------
    source, prefix
        Location of one patient's planning CT and RTSTRUCT.
    settings
        GTV rule, slice rule, size limits and lowest match level.
    definition
        How crops are cut; None takes the newest definition with the settings' slice rule.
    roi
        ROIName, or ROINumber (``7`` or ``#7``) where no structure has that name; "" takes all structures that the GTV
        rule selects.
    rtstruct_uid
        SOPInstanceUID of the RTSTRUCT to use where there are several.
    max_gtvs
        Largest number of GTVs; None is no limit. With more, nothing is measured.

    Raises
    ------
    TumourError
        For the folder as a whole: the codes of ``open_plan``, ``NO_GTV``, ``ROI_MISSING``, ``ROI_AMBIGUOUS``,
        ``BATCH_TOO_LARGE``. A problem of one GTV is reported in its candidate.
    """
    wanted = roi_rule(settings, [roi] if roi else [])
    plan = open_plan(read_folder(source, prefix), wanted, rtstruct_uid)
    rois = [choose_roi(plan, settings, roi)] if roi else gtvs_of(plan, settings)
    if max_gtvs is not None and len(rois) > max_gtvs:
        raise TumourError("BATCH_TOO_LARGE", f"a study may have at most {max_gtvs} GTVs", "Name one by roi.")
    candidates = _cut_all(plan, rois, settings, definition or ImageDefinition(slice_rule=settings.slice_rule))
    return candidates if roi else _warned_of_left_out(candidates, plan, settings)


def inspect_gtvs(
    source: Source, prefix: str, settings: PreprocessSettings, *, roi: str, rtstruct_uid: str = ""
) -> list[Candidate]:
    """As ``find_gtvs``, for all structures that ``roi`` may mean; here it may also be a regular expression."""
    plan = open_plan(read_folder(source, prefix), roi_rule(settings, [roi], patterns=True), rtstruct_uid)
    return _cut_all(plan, rois_meant(plan, roi), settings, ImageDefinition(slice_rule=settings.slice_rule))


def _cut_all(
    plan: Plan, rois: Sequence[Roi], settings: PreprocessSettings, definition: ImageDefinition
) -> list[Candidate]:
    with bounded_work():
        return [check_size(measure(plan, one, settings, definition), settings, definition) for one in rois]


def _warned_of_left_out(candidates: list[Candidate], plan: Plan, settings: PreprocessSettings) -> list[Candidate]:
    left_out = left_out_gtvs(plan, settings)
    message = f"other structures that may be GTVs, left out because roi does not name them: {len(left_out)}"
    return [one.warned("GTV_LEFT_OUT", message) for one in candidates] if left_out else candidates
