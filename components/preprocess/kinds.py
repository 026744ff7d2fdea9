"""The kinds of values expected in each field of preprocessing's outputs; these are not compared with identities.

Numbers are computed or are covariates of the study, within a stated range; words belong to closed vocabularies;
pseudonyms and digests have a fixed form. No list of harmless words is needed, and a patient called Min, Stem or 2000
does not stop a run.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from components.common.artifacts.dataset import FILES, TUMOUR_COLUMNS, Dataset
from components.common.artifacts.layout import LAYOUT
from components.common.files import SHA256
from components.imaging.contour_planes import MATCH_LEVELS
from components.imaging.contrast_agent import CONTRAST_WORDS
from components.imaging.crop import ImageDefinition
from components.imaging.kernels import KERNEL_CLASSES
from components.imaging.reasons import WARNINGS
from components.imaging.scan_facts import KVP_RANGE, THICKNESS_RANGE_MM
from components.preprocess.columns import COLUMNS
from components.preprocess.distinct import EVIDENCE_KINDS
from components.preprocess.exclusions import REASONS, UNKNOWN_REASON, UNKNOWN_WARNING
from components.preprocess.recist import RESPONSES
from components.preprocess.summary import COUNT, FACTS

#: Whether a value is expected in its field.
Kind = Callable[[str], bool]

#: Form of a pseudonym: C (centre), P (patient) or T (tumour), and 50 bits in base32.
PSEUDONYM = re.compile(r"[CPT]-[a-z2-7]{10}")
#: Figure of the flow of tumours, in the dataset's folder.
FLOW_FIGURE = "flow.svg"
#: All files of a dataset's folder.
DATASET_FILES = frozenset([*FILES, LAYOUT, FLOW_FIGURE])
#: Names that the caller of the step may give the page's file.
PAGE_NAMES = frozenset(["summary", "summary.html"])
#: Line that the step prints where it makes a key for pseudonyms.
NEW_KEY_LINE = "a new key for pseudonyms was made: keep the file, later runs need it"
#: Lines that the step prints.
LOG_LINES = (
    rf"srs-progress preprocess {COUNT}/{COUNT}(?: {COUNT} tumours(?:, {COUNT} patients read earlier)?)?",
    NEW_KEY_LINE,
)
#: Lines of text in the flow's figure.
FIGURE_LINES = (
    f"(?:listed|used): {COUNT} tumours of {COUNT} patients",
    f"{COUNT} left",
    f"{COUNT}: (?:{'|'.join(map(re.escape, [*REASONS.values(), UNKNOWN_REASON]))})",
)
_NUMBER = re.compile(r"-?\d{1,7}(?:\.\d{1,20})?(?:e-?\d{1,3})?", re.ASCII)


class JsonNumber(str):
    """A number in a JSON text, as it is written there."""

    __slots__ = ()


def one_of(*values: str) -> Kind:
    """Accepts the words of a closed vocabulary."""
    return frozenset(values).__contains__


def of_form(*patterns: str) -> Kind:
    """Accepts texts of a fixed form."""
    pattern = re.compile("|".join(f"(?:{one})" for one in patterns), re.ASCII)
    return lambda text: pattern.fullmatch(text) is not None


def number(low: float, high: float) -> Kind:
    """Accepts numbers in a range, written with ASCII digits, and empty cells."""
    return lambda text: text == "" or (_NUMBER.fullmatch(text) is not None and low <= float(text) <= high)


def _json(kind: Kind) -> Kind:
    return lambda value: isinstance(value, JsonNumber) and kind(value)


def _in_the_table(name: str) -> Kind:
    """Accepts the values of the cohort table's column of that name, in the spelling of the dataset."""
    parse = COLUMNS[name].parse

    def fits(text: str) -> bool:
        try:
            value = parse(text) if text else ""
        except ValueError:
            return False
        return value == text if isinstance(value, str) else _NUMBER.fullmatch(text) is not None

    return fits


#: Ranges, wide enough for any real CT: a used tumour fits a crop of 40 mm; an origin may lie anywhere in a building.
_SIZE_MM, _AREA_MM2, _SPACING_MM, _POSITION_MM = number(0, 1000), number(0, 50_000), number(0, 20), number(-1e5, 1e5)
_PLANES = number(1, 5000)

#: Kind of each column of the tumour table.
COLUMN_KINDS: Mapping[str, Kind] = {
    **{name: _in_the_table(name) for name in TUMOUR_COLUMNS if name in COLUMNS},
    "tumour": of_form(r"T-[a-z2-7]{10}"),
    "patient": of_form(r"P-[a-z2-7]{10}"),
    "centre": of_form("", r"C-[a-z2-7]{10}"),
    "response": one_of(*RESPONSES),
    "label": one_of("0", "1"),
    "diameter_mm": _SIZE_MM,
    "bed10_gy": number(0, 200_000),
    "roi_planes": _PLANES,
    "match_level": one_of(*MATCH_LEVELS),
    "z_mm": _POSITION_MM,
    "width_mm": _SIZE_MM,
    "height_mm": _SIZE_MM,
    "area_mm2": _AREA_MM2,
    "pixel_spacing_mm": _SPACING_MM,
    "contrast_agent": one_of("", *CONTRAST_WORDS),
    "kvp": number(*KVP_RANGE),
    "slice_thickness_mm": number(*THICKNESS_RANGE_MM),
    "kernel": one_of("", *KERNEL_CLASSES),
}

_COUNT, _DIGEST = _json(number(0, 1_000_000)), of_form(SHA256)
_CODE = one_of("", *REASONS, *WARNINGS)


def _as_defined(value: Any) -> Kind:
    return one_of(value) if isinstance(value, str) else _json(number(value, value))


#: Kind of each key of the JSON files and of a stored part; "" stands for a list without a key.
JSON_KINDS: Mapping[str, Kind] = {
    **{name: _as_defined(value) for name, value in ImageDefinition().to_dict().items()},
    "slice_rule": one_of("centre", "largest"),
    **dict.fromkeys(["listed", "listed_patients", "used", "used_patients", "unlisted_gtvs", "tumours"], _COUNT),
    "exclusions": _CODE,
    "warnings": _CODE,
    "code": _CODE,
    "": _CODE,
    "reason": one_of(*REASONS.values(), *WARNINGS.values(), UNKNOWN_REASON, UNKNOWN_WARNING),
    "synthetic": one_of(),
    "told_apart_by": one_of(*EVIDENCE_KINDS),
    "pseudonym_key": of_form(r"([0-9a-f]{16})?"),
    "kind": one_of(Dataset.layout[0]),
    "version": _json(number(1, 999)),
    "files": one_of(),
    **dict.fromkeys(["digest", *DATASET_FILES], _DIGEST),
    "planes": _json(_PLANES),
    "match_level": one_of(*MATCH_LEVELS),
    "z_mm": _json(_POSITION_MM),
    **dict.fromkeys(["width_mm", "height_mm", "longest_diameter_mm"], _json(_SIZE_MM)),
    "area_mm2": _json(_AREA_MM2),
    "pixel_spacing_mm": _json(_SPACING_MM),
    "contrast_agent": one_of(*CONTRAST_WORDS),
    "kvp": _json(number(*KVP_RANGE)),
    "slice_thickness_mm": _json(number(*THICKNESS_RANGE_MM)),
    "kernel": one_of(*KERNEL_CLASSES),
}

is_log_line = of_form(*LOG_LINES)
is_figure_line = of_form(*FIGURE_LINES)
FACT_KINDS: Mapping[str, Kind] = {name: of_form(pattern) for name, pattern in FACTS.items()}
