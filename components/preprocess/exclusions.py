"""Why a tumour is left out: the study's rules in their order (STUDY 1), then what could not be read."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from components.common.artifacts import Exclusion
from components.common.settings import PreprocessSettings
from components.preprocess.table import Row

#: Rules that the table alone decides, in the study's order.
TABLE_RULES: Mapping[str, Callable[[Row, PreprocessSettings], bool]] = {
    "NO_FOLLOW_UP": lambda row, s: row.follow_up_days is None or row.follow_up_days > s.follow_up_window_days,
    "PRIMARY_BRAIN_CANCER": lambda row, _: row.primary_brain_cancer,
    "WHOLE_BRAIN_RADIOTHERAPY": lambda row, _: row.whole_brain_radiotherapy,
    "TOO_MANY_METASTASES": lambda row, s: row.n_brain_metastases > s.max_metastases,
    "SKULL_INFILTRATION": lambda row, _: row.skull_infiltration,
    "TOO_LARGE": lambda row, s: row.longest_diameter_mm is not None and row.longest_diameter_mm > s.max_diameter_mm,
    "TOO_SMALL": lambda row, s: row.longest_diameter_mm is not None and row.longest_diameter_mm < s.min_diameter_mm,
}

#: What each code means, in the order of the flow; reports and the flow diagram print these.
REASONS: Mapping[str, str] = {
    "NO_FOLLOW_UP": "no imaging follow-up within the window after SRS",
    "PRIMARY_BRAIN_CANCER": "primary brain cancer",
    "WHOLE_BRAIN_RADIOTHERAPY": "SRS combined with whole-brain radiotherapy",
    "TOO_MANY_METASTASES": "more brain metastases than the study allows",
    "SKULL_INFILTRATION": "metastasis infiltrates the skull",
    "TOO_LARGE": "longest diameter above the limit",
    "TOO_SMALL": "longest diameter below the limit",
    "DICOM_MISSING": "no file at the place that the row names",
    "SOURCE_MISSING": "no such folder or archive",
    "SOURCE_UNKNOWN": "neither folder, archive nor bucket",
    "OBJECT_MISSING": "a file went missing while it was read",
    "PATH_OUTSIDE": "a name leaves its source",
    "ZIP_DAMAGED": "damaged archive",
    "ZIP_DUPLICATE": "archive with one name twice",
    "ZIP_ENCRYPTED": "encrypted archive",
    "ZIP_METHOD": "archive packed by a method that is not read",
    "ZIP_TOO_LARGE": "archive of more files, or that unpacks to more, than is allowed",
    "DICOM_DAMAGED": "damaged DICOM file",
    "NO_RTSTRUCT": "no RTSTRUCT",
    "RTSTRUCT_AMBIGUOUS": "several RTSTRUCTs and none named",
    "RTSTRUCT_CONFLICT": "different RTSTRUCTs under one SOPInstanceUID",
    "NO_CT": "no CT series",
    "LOCALIZERS_ONLY": "no CT series but localizers",
    "CT_AMBIGUOUS": "several CT series fit the RTSTRUCT",
    "CT_MISMATCH": "RTSTRUCT drawn on another CT series",
    "NO_FRAME_OF_REFERENCE": "CT without frame of reference",
    "MIXED_ORIENTATION": "CT planes in different directions",
    "OBLIQUE": "CT planes that are not axial",
    "NO_GTV": "no structure named like a GTV",
    "ROI_MISSING": "the structure named in the table is not in the RTSTRUCT",
    "ROI_AMBIGUOUS": "several GTVs and none named",
    "ROI_NUMBER": "GTV without a number of its own",
    "ROI_EMPTY": "GTV without contours",
    "ROI_NOT_CLOSED": "GTV of points or open lines",
    "CONTOUR_TYPE": "contour of a type that DICOM does not have",
    "CONTOUR_DAMAGED": "damaged contour",
    "CONTOURS_TOO_MANY": "GTV of more contours or points than can be measured",
    "CONTOUR_NOT_PLANAR": "contour outside axial planes",
    "CONTOUR_OFF_PLANE": "contour elsewhere than the slice it names",
    "CONTOUR_WITHOUT_SLICE": "contour where the CT has no slice",
    "FRAME_OF_REFERENCE": "GTV drawn in another frame of reference",
    "RUNG_TOO_LOW": "contours tied to slices less surely than the study asks",
    "DUPLICATE_SLICE": "two CT slices at one position in the lesion",
    "MISSING_SLICE": "CT slices missing in the lesion",
    "OUTSIDE_IMAGE": "GTV reaches beyond the CT slice",
    "SLICES_DIFFER": "two CT slices of one name and position with other pixels",
    "PIXELS_TOO_COSTLY": "CT pixels that take more time or memory to decode than a slice may",
    "CODEC_MISSING": "CT pixels in a codec that is not installed",
    "NOT_HU": "CT values that are not HU",
    "WIDER_THAN_CROP": "GTV wider than the crop",
}
#: What is shown for a code that has no line above.
UNKNOWN_REASON = "could not be read"
#: What a warning without a sentence of its own is called.
UNKNOWN_WARNING = "used with a warning"

#: What each warning of a tumour that is used all the same means.
WARNINGS: Mapping[str, str] = {
    "STRAY_CONTOUR": "stray marks left out of the GTV",
    "CONTOUR_TWICE": "outlines written more than once, and counted once",
    "CONTOUR_TYPE": "contours without a type that DICOM knows, taken as closed",
    "CONTOURS_NOT_CLOSED": "points or open lines left out of the GTV",
    "CONTOURS_CROSS": "contours that cross, filled by the even-odd rule",
    "GTV_LEFT_OUT": "other structures that may be GTVs too",
}


def table_exclusion(row: Row, settings: PreprocessSettings) -> str:
    """Code of the first rule by which the table alone excludes a row, or ""."""
    return next((code for code, rule in TABLE_RULES.items() if rule(row, settings)), "")


def warning_lines(codes: Iterable[str]) -> tuple[Exclusion, ...]:
    """Lines for the warnings of all used tumours, in the order of ``WARNINGS``."""
    counts = Counter(codes)
    order = [code for code in WARNINGS if code in counts] + sorted(set(counts) - set(WARNINGS))
    return tuple(Exclusion(code, WARNINGS.get(code, UNKNOWN_WARNING), counts[code]) for code in order)


def flow_lines(codes: Iterable[str]) -> tuple[Exclusion, ...]:
    """The flow's lines for the codes of all excluded tumours: every rule of the study, then what occurred."""
    counts: dict[str, int] = {}
    for code in codes:
        counts[code] = counts.get(code, 0) + 1
    order = [code for code in REASONS if code in TABLE_RULES or code in counts]
    order += sorted(set(counts) - set(REASONS))
    return tuple(Exclusion(code, REASONS.get(code, UNKNOWN_REASON), counts.get(code, 0)) for code in order)
