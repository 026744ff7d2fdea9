"""The cohort table: read as text, checked whole, every problem named at once by row and column, never by value."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from components.common.errors import InputError, SrsError
from components.common.objects import Source
from components.common.sources import csv_records, locate
from components.preprocess.recist import RESPONSES, response_of

HINT = "Rows are counted as in the file, the header being row 1."


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One tumour of the cohort table; None where an optional value is empty. Diameters in mm."""

    number: int
    tumour_id: str
    patient_id: str
    dicom: str
    roi: str
    rtstruct_uid: str
    response: str | None
    baseline_diameter_mm: float | None
    follow_up_diameter_mm: float | None
    nadir_diameter_mm: float | None
    follow_up_days: int | None
    primary_brain_cancer: bool
    whole_brain_radiotherapy: bool
    n_brain_metastases: int
    skull_infiltration: bool
    longest_diameter_mm: float | None
    primary_site: str | None
    location: str | None
    age: float | None
    sex: str | None
    kps: float | None
    primary_controlled: str | None
    extracranial_metastases: str | None
    systemic_therapy: str | None
    total_dose_gy: float | None
    fractions: int | None
    device: str | None
    synthetic: bool

    @property
    def outcome(self) -> str | None:
        """The response given, else by RECIST 1.1 from the diameters; None where neither is there."""
        if self.response is None and self.baseline_diameter_mm and self.follow_up_diameter_mm is not None:
            return response_of(self.baseline_diameter_mm, self.follow_up_diameter_mm, self.nadir_diameter_mm)
        return self.response


@dataclasses.dataclass(frozen=True, slots=True)
class _Column:
    parse: Callable[[str], Any]
    required: bool = True
    empty: Any = None
    may_be_empty: bool = True


def _one_of(*values: str) -> Callable[[str], str]:
    known = {value.casefold(): value for value in values}

    def parse(text: str) -> str:
        if text.casefold() not in known:
            raise ValueError(f"not one of {', '.join(values)}")
        return known[text.casefold()]

    return parse


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        kind = "a whole number" if whole else "a number"
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"not {kind}") from None
        if (whole and value != round(value)) if low <= value <= high else True:
            raise ValueError(f"not {kind} from {low:g} to {high:g}")
        return int(value) if whole else value

    return parse


def _yes(text: str) -> bool:
    return _one_of("yes", "no")(text) == "yes"


_YES_NO = _one_of("yes", "no")
_DIAMETER = _Column(_number(0, 1000), required=False)
_BASELINE = _Column(_number(0.1, 1000), required=False)

#: What each column holds; the order is that of the problems reported.
COLUMNS: Mapping[str, _Column] = {
    "tumour_id": _Column(str, may_be_empty=False),
    "patient_id": _Column(str, may_be_empty=False),
    "dicom": _Column(str, may_be_empty=False),
    "roi": _Column(str, empty=""),
    "rtstruct_uid": _Column(str, required=False, empty=""),
    "response": _Column(_one_of(*RESPONSES)),
    "baseline_diameter_mm": _BASELINE,
    "follow_up_diameter_mm": _DIAMETER,
    "nadir_diameter_mm": _DIAMETER,
    "follow_up_days": _Column(_number(0, 36500, whole=True)),
    "primary_brain_cancer": _Column(_yes, may_be_empty=False),
    "whole_brain_radiotherapy": _Column(_yes, may_be_empty=False),
    "n_brain_metastases": _Column(_number(1, 1000, whole=True), may_be_empty=False),
    "skull_infiltration": _Column(_yes, may_be_empty=False),
    "longest_diameter_mm": _BASELINE,
    "primary_site": _Column(_one_of("lung", "breast", "rectum", "stomach", "kidney", "other")),
    "location": _Column(_one_of("cerebrum", "cerebellum", "brain_stem")),
    "age": _Column(_number(0, 130)),
    "sex": _Column(_one_of("male", "female")),
    "kps": _Column(_number(0, 100)),
    "primary_controlled": _Column(_YES_NO),
    "extracranial_metastases": _Column(_YES_NO),
    "systemic_therapy": _Column(_YES_NO),
    "total_dose_gy": _Column(_number(0.1, 1000)),
    "fractions": _Column(_number(1, 100, whole=True)),
    "device": _Column(_one_of("cyberknife", "linac")),
    "synthetic": _Column(_yes, required=False, empty=False),
}


def read_table(source: Source, name: str) -> list[Row]:
    """The rows of the cohort table of a name in its source; raises as ``parse_table``."""
    return parse_table(source.read(name), source)


def parse_table(data: bytes, source: Source) -> list[Row]:
    """The rows of a cohort table; unknown columns are dropped.

    Parameters
    ----------
    data
        The file's bytes.
    source
        Below which the folders lie that it names.

    Raises
    ------
    InputError
        ``COHORT_UNREADABLE``, ``COLUMNS_MISSING`` (all at once), ``COHORT_EMPTY``, ``COHORT_INVALID`` (all bad values,
        duplicate tumours and contradictions at once).
    """
    records = csv_records(data)
    header = [cell.strip().casefold() for cell in records[0]] if records else []
    _check_header(header)
    problems: list[str] = []
    rows = []
    for number, record in enumerate(records[1:], start=2):
        cells = dict(zip(header, (cell.strip() for cell in record), strict=False))
        if not any(cells.values()):
            continue
        found = _row(number, cells)
        problems += found if isinstance(found, list) else []
        rows += [found] if isinstance(found, Row) else []
    problems += _contradictions(rows, source)
    if problems:
        raise InputError.collected("COHORT_INVALID", "the cohort table has values that cannot be used:", problems, HINT)
    if not rows:
        raise InputError("COHORT_EMPTY", "the cohort table has no rows", "Give one row per tumour.")
    return rows


def _check_header(header: list[str]) -> None:
    needed = [name for name, column in COLUMNS.items() if column.required and name != "response"]
    missing = [name for name in needed if name not in header]
    if "response" not in header and not {"baseline_diameter_mm", "follow_up_diameter_mm"} <= set(header):
        missing.append("response (or baseline_diameter_mm and follow_up_diameter_mm)")
    doubled = sorted({name for name in header if name in COLUMNS and header.count(name) > 1})
    if missing:
        raise InputError.collected(
            "COLUMNS_MISSING", "the cohort table lacks columns:", missing, "Empty cells are allowed.", most=99
        )
    if doubled:
        raise InputError.collected("COLUMNS_DOUBLED", "the cohort table has columns twice:", doubled)


def _row(number: int, cells: Mapping[str, str]) -> Row | list[str]:
    """The row, or its problems."""
    values: dict[str, Any] = {}
    problems = []
    for name, column in COLUMNS.items():
        text = cells.get(name, "")
        try:
            if not text and not column.may_be_empty:
                raise ValueError("empty")
            values[name] = column.parse(text) if text else column.empty
        except ValueError as error:
            problems.append(f"row {number}, {name}: {error}")
    return problems or Row(number=number, **values)


def _contradictions(rows: Iterable[Row], source: Source) -> list[str]:
    """Problems between rows; two names of one folder are one place."""
    problems = []
    tumours: dict[str, int] = {}
    structures: dict[Hashable, int] = {}
    patients: dict[Hashable, Row] = {}
    for row in rows:
        if (first := tumours.setdefault(row.tumour_id, row.number)) != row.number:
            problems.append(f"row {row.number}, tumour_id: the same as in row {first}")
        place = place_of(source, row.dicom)
        if (first := structures.setdefault((place, row.rtstruct_uid, row.roi.casefold()), row.number)) != row.number:
            problems.append(f"row {row.number}, roi: the same structure as in row {first}")
        other = patients.setdefault(place, row)
        if other.patient_id != row.patient_id:
            problems.append(f"row {row.number}, patient_id: not that of row {other.number}, whose dicom is the same")
    return problems


def place_of(source: Source, dicom: str) -> Hashable:
    """What all names of one folder share; a name that leads nowhere stands for itself."""
    try:
        return locate(source, dicom).key
    except SrsError:
        return dicom
