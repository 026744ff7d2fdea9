"""Decides which structures are GTVs, by name (TG-263 and common clinical usage) and by interpreted type."""

import re

from components.common.errors import InputError
from components.common.patterns import pattern_problem

#: Classifier of a target (TG-263: primary, nodal, surgical bed, parenchyma, venous or vascular), or any one letter.
_CLASSIFIER = r"(?:SB|PAR|VAS|[A-Z])"
#: A number with its letter: 1, 02, 3a.
_NUMBER = r"\d{1,3}[A-Z]?"
#: Image series that a target was drawn on (TG-263): CT, CT1PT1, MR2.
_SERIES = r"(?:(?:CT|PET|PT|MRI?|SP|US)\d{0,2})+"
#: Dose of a target (TG-263): 2000, 24Gy, 20.00Gy, 9Gyx3, High.
_DOSE = r"\d{1,4}(?:\.\d{1,2})?(?:C?GY)?(?:X\d{1,2})?|HIGH|MID|LOW"
#: Location of a brain metastasis.
_LOCATION = (
    "LEFT|RIGHT|LT|RT|LI|RE|LINKS|RECHTS|BRAIN|LOBE|FRONTAL|PARIETAL|TEMPORAL|OCCIPITAL|INSULA|THALAMUS|PONS|BRAINSTEM"
    "|CEREBELLUM|CEREBELLAR|VERMIS|CORTEX|SUP|INF|ANT|POST|MED|LAT"
)
_WORD = r"MASS|TUMOU?R|(?:LESION|METS?|BM)\d{0,3}"
#: One part of a name. The group is atomic, so that a hostile name cannot cause exponential backtracking.
_PART = rf"(?>(?:{_DOSE}|{_NUMBER}|{_SERIES}|{_WORD}|{_LOCATION}|[A-Z]\d{{0,3}})(?![A-Z0-9]))"
#: GTV, then parts that number or describe it: GTV, GTV1, GTVp2, GTV_01, GTV a, GTVp1_CT1PT1, GTV (li), GTV^own words.
GTV_NAME = rf"GTV(?:MASS|MET\d{{0,3}}|{_CLASSIFIER}?(?:{_NUMBER})?)(?:[ _.#(-]++{_PART}\)?)*+(?:\^[\w .-]{{1,60}})?"
#: Structures that a planner derives from a GTV: expanded, cropped, combined and helper structures are not tumours, even
#: where their type is GTV.
DERIVED = (
    r"\+ ?\w|[!&]|\d ?MM|(?:^|[^A-Z]|GTV)[A-Z]?(?:PTV|CTV|ITV)|^Z_?GTV|^Z_|GTV.*GTV|GTVS(?![A-Z])"
    r"|(?:^|[^A-Z]|GTV)(?:RING|SHELL|WALL|MARGIN|EXP(?:AND|ANSION)?|MINUS|SUB|CROP|WITHOUT|EVAL|OPT|AVOID|HELP(?:ER)?|DUMMY"
    r"|SUM|TOTAL|ALL|UNION|COMB(?:INED)?)(?![A-Z])"
)
#: Organs and surgical cavities: real files give some of them the type GTV.
ORGAN = (
    r"(?:(?:LEFT|RIGHT|LT|RT|[LR])[ _.-]*)?(?:WHOLE[ _.-]*)?"
    r"(?:BODY|EXTERNAL|SKIN|BONES?|SKULL|BRAIN(?:[ _.-]*STEM)?|EYES?|LENS(?:ES)?|COCHLEA|CHIASMA?"
    r"|(?:OPTIC)?[ _.-]*NERVES?|PITUITARY|HIPPOCAMPUS"
    r"|(?:SPINAL)?[ _.-]*CORD|BREASTS?|LUNGS?|HEART|LIVER|KIDNEYS?|PROSTATE|BLADDER|RECTUM)"
    r"(?:[ _.-]*(?:LEFT|RIGHT|LT|RT|[LR]))?|.*(?<![A-Z])(?:BED|BLOCK|CAVITY|BOLUS|ISO(?:CENT(?:ER|RE))?)(?![A-Z]).*"
)


def is_gtv_name(name: str, pattern: str = "") -> bool:
    """Whether a structure's name is that of a GTV, in upper or lower case.

    Parameters
    ----------
    name
        ROIName.
    pattern
        Regular expression that the whole name must match; "" stands for ``GTV_NAME`` without ``DERIVED``.

    Raises
    ------
    InputError
        ``ROI_PATTERN`` where ``pattern`` is not a regular expression.
    """
    if not pattern:
        return _matches(GTV_NAME, name) and not is_derived(name)
    if pattern_problem(pattern):
        hint = "The exact name of a structure or its number can be given instead."
        raise InputError("ROI_PATTERN", "the pattern for GTV names is not a regular expression", hint)
    return _matches(pattern, name)


def is_derived(name: str) -> bool:
    """Whether a name marks a structure derived from others or a helper for planning: GTV+3mm, GTV-PTV, zGTV_eval."""
    return re.search(DERIVED, name.strip(), re.IGNORECASE) is not None


def is_gtv(name: str, interpreted_type: str, pattern: str = "") -> bool:
    """Whether a structure is a GTV by its name, or by RTROIInterpretedType where the name does not contradict it.

    With a pattern only the name counts, since the user knows the names. Real files give the type GTV to derived
    structures (a margin, a ring) and whole organs as well, so their names are excluded whatever the type.
    """
    if pattern or is_gtv_name(name):
        return is_gtv_name(name, pattern)
    return interpreted_type.upper() == "GTV" and not is_derived(name) and not _matches(ORGAN, name)


def may_be_gtv(name: str, interpreted_type: str) -> bool:
    """Whether a structure that fails ``is_gtv`` may still be a GTV, so that the user must be warned."""
    resembles = interpreted_type.upper() == "GTV" or ("GTV" in name.upper() and not is_derived(name))
    return resembles and not is_gtv(name, interpreted_type)


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(pattern, name.strip(), re.IGNORECASE) is not None
