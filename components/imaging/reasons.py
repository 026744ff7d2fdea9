"""One phrase for each code by which a structure is refused, and for each warning about one that is used.

Preprocessing counts the codes in the flow of tumours; the predictor documents the same codes as errors.
"""

from collections.abc import Mapping

#: Reasons why a study cannot be read or a structure cannot be cut, in the order of the flow.
REFUSALS: Mapping[str, str] = {
    "DICOM_MISSING": "no file in the DICOM folder",
    "SOURCE_MISSING": "no such folder or archive",
    "SOURCE_UNKNOWN": "neither folder, archive nor bucket",
    "OBJECT_MISSING": "a file disappeared during reading",
    "PATH_OUTSIDE": "a name leads outside its source",
    "ZIP_DAMAGED": "damaged archive",
    "ZIP_DUPLICATE": "archive with two files of one name",
    "ZIP_ENCRYPTED": "encrypted archive",
    "ZIP_METHOD": "archive with an unsupported compression method",
    "ZIP_TOO_LARGE": "archive with more files or content than is allowed",
    "DICOM_DAMAGED": "damaged DICOM file",
    "DICOM_TOO_LARGE": "DICOM file with more elements or data than is allowed",
    "NO_RTSTRUCT": "no RTSTRUCT",
    "RTSTRUCT_AMBIGUOUS": "several RTSTRUCTs, and none is named",
    "RTSTRUCT_CONFLICT": "different RTSTRUCTs under one SOPInstanceUID",
    "NO_CT": "no CT series",
    "LOCALIZERS_ONLY": "no CT series but localizers",
    "CT_AMBIGUOUS": "several CT series match the RTSTRUCT",
    "CT_MISMATCH": "RTSTRUCT drawn on another CT series",
    "NO_FRAME_OF_REFERENCE": "CT without frame of reference",
    "MIXED_ORIENTATION": "CT planes in different directions",
    "OBLIQUE": "CT planes that are not axial",
    "NO_GTV": "no structure named like a GTV",
    "ROI_MISSING": "the structure named in the table is not in the RTSTRUCT",
    "ROI_AMBIGUOUS": "several GTVs, and none is named",
    "ROI_NUMBER": "GTV without a number of its own",
    "ROI_EMPTY": "GTV without contours",
    "ROI_NOT_CLOSED": "GTV drawn as points or open lines",
    "CONTOUR_TYPE": "contour of a type that DICOM does not define",
    "CONTOUR_DAMAGED": "damaged contour",
    "CONTOURS_TOO_MANY": "GTV with more contours or points than can be measured",
    "CONTOUR_NOT_PLANAR": "contour outside axial planes",
    "CONTOUR_OFF_PLANE": "contour not on the slice that it references",
    "CONTOUR_WITHOUT_SLICE": "contour where the CT has no slice",
    "FRAME_OF_REFERENCE": "GTV drawn in another frame of reference",
    "MATCH_LEVEL_TOO_LOW": "contours matched to slices at a lower level than the study requires",
    "DUPLICATE_SLICE": "two CT slices at one position in the lesion",
    "MISSING_SLICE": "CT slices missing in the lesion",
    "OUTSIDE_IMAGE": "GTV reaches beyond the CT slice",
    "SLICES_DIFFER": "two CT slices with one UID and position but different pixels",
    "PIXELS_TOO_COSTLY": "CT pixels that take too much time or memory to decode",
    "CODEC_MISSING": "CT pixels in a codec that is not installed",
    "NOT_HU": "CT values that are not HU",
    "WIDER_THAN_CROP": "GTV wider than the crop",
}

#: Meaning of each warning about a tumour that is used.
WARNINGS: Mapping[str, str] = {
    "STRAY_CONTOUR": "stray marks left out of the GTV",
    "CONTOUR_TWICE": "duplicate outlines, counted once",
    "CONTOUR_TYPE": "contours without a type that DICOM defines, taken as closed",
    "CONTOURS_NOT_CLOSED": "points or open lines left out of the GTV",
    "CONTOURS_CROSS": "contours that cross, filled by the even-odd rule",
    "GTV_LEFT_OUT": "other structures that may be GTVs too",
}
