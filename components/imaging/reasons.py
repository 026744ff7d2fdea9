"""Why a structure cannot be measured or cut, and what a caller should know of one that was: a sentence for each code.

Preprocessing counts them in the flow of tumours; the predictor's documented errors are the same codes.
"""

from collections.abc import Mapping

#: Why a study cannot be read or a structure not be cut, in the order of the flow.
REFUSALS: Mapping[str, str] = {
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
    "DICOM_TOO_LARGE": "DICOM file of more elements than is allowed",
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
    "MATCH_LEVEL_TOO_LOW": "contours matched to slices less surely than the study asks",
    "DUPLICATE_SLICE": "two CT slices at one position in the lesion",
    "MISSING_SLICE": "CT slices missing in the lesion",
    "OUTSIDE_IMAGE": "GTV reaches beyond the CT slice",
    "SLICES_DIFFER": "two CT slices of one name and position with other pixels",
    "PIXELS_TOO_COSTLY": "CT pixels that take more time or memory to decode than a slice may",
    "CODEC_MISSING": "CT pixels in a codec that is not installed",
    "NOT_HU": "CT values that are not HU",
    "WIDER_THAN_CROP": "GTV wider than the crop",
}

#: What each warning of a tumour that is used all the same means.
WARNINGS: Mapping[str, str] = {
    "STRAY_CONTOUR": "stray marks left out of the GTV",
    "CONTOUR_TWICE": "outlines written more than once, and counted once",
    "CONTOUR_TYPE": "contours without a type that DICOM knows, taken as closed",
    "CONTOURS_NOT_CLOSED": "points or open lines left out of the GTV",
    "CONTOURS_CROSS": "contours that cross, filled by the even-odd rule",
    "GTV_LEFT_OUT": "other structures that may be GTVs too",
}
