"""Parses the cohort table, and reports its problems together, by row and column but never by value."""

import dataclasses
from collections.abc import Hashable, Iterable, Sequence, Set
from typing import Any

from components.common.csv_table import CsvTable, read_csv_table
from components.common.errors import InputError, SrsError
from components.common.store.base import Source
from components.preprocess.agreement import LATER, THERAPY, later_contradictions, therapy_contradictions
from components.preprocess.centres import centres_of
from components.preprocess.columns import COLUMNS
from components.preprocess.locating import locate
from components.preprocess.recist import contradictions, response_of
from components.preprocess.table_shape import alike_ids, check_header, misshapen_rows, nameless_values

#: Columns that identify a row, and columns from which the response comes. Rows, and responses, are compared only where
#: all of these are valid.
NAMES = {"tumour_id", "patient_id", "dicom", "roi", "rtstruct_uid"}
OUTCOME = {"response", "baseline_diameter_mm", "follow_up_diameter_mm", "nadir_diameter_mm"}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One tumour of the cohort table; None where an optional value is empty. Diameters are in mm."""

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
    centre: str | None
    pseudoprogression: str | None
    later_response: str | None
    later_follow_up_days: int | None
    systemic_therapy_kind: str | None
    synthetic: bool

    @property
    def outcome(self) -> str | None:
        """The response in the table, otherwise by RECIST 1.1 from the diameters; None where both are missing."""
        if self.response is None and self.baseline_diameter_mm and self.follow_up_diameter_mm is not None:
            return response_of(self.baseline_diameter_mm, self.follow_up_diameter_mm, self.nadir_diameter_mm)
        return self.response


def parse_table(data: bytes, source: Source) -> list[Row]:
    """The rows of a cohort table; unknown columns are dropped.

    Parameters
    ----------
    data
        The file's bytes.
    source
        Source of the folders that the table names.

    Raises
    ------
    InputError
        ``COHORT_UNREADABLE``; ``COLUMNS_MISSING``, ``COLUMNS_DOUBLED`` or ``COLUMNS_MISSPELT`` (with all
        problems of the header); ``COHORT_EMPTY``; ``COHORT_INVALID`` (with all rows of a wrong length, bad values, ids
        or centres that differ only in spelling, and contradictions).
    """
    table = read_csv_table(data, COLUMNS)
    check_header(table)
    misshapen = misshapen_rows(table)
    read = [_row(number, table) for number in table.rows if number not in misshapen]
    problems = [problem for problem in misshapen.values() if problem] + nameless_values(table)
    problems += [f"row {row.number}, {column}: {wrong}" for row, bad in read for column, wrong in bad.items()]
    problems += alike_ids("tumour_id", ((row.number, row.tumour_id) for row, bad in read if "tumour_id" not in bad))
    problems += alike_ids("patient_id", ((row.number, row.patient_id) for row, bad in read if "patient_id" not in bad))
    problems += _centre_problems([row for row, bad in read if not bad.keys() & {"patient_id", "centre"}])
    problems += _contradictions((row for row, bad in read if not bad.keys() & NAMES), source)
    if problems:
        hint = f"Rows are counted as a spreadsheet shows them, the header being row {table.header_number}."
        raise InputError.collected("COHORT_INVALID", "the cohort table has values that cannot be used:", problems, hint)
    if not read:
        raise InputError("COHORT_EMPTY", "the cohort table has no rows", "Give one row per tumour.")
    return [row for row, _ in read]


def _row(number: int, table: CsvTable) -> tuple[Row, dict[str, str]]:
    """A row, and its problems by column; a bad value is replaced by that of an empty cell."""
    cells = dict(zip(table.header, table.rows[number], strict=True))
    values: dict[str, Any] = {}
    bad: dict[str, str] = {}
    for name, column in COLUMNS.items():
        try:
            values[name] = column.read(cells.get(name, ""))
        except ValueError as error:
            values[name], bad[name] = column.empty, str(error)
    row = Row(number=number, **values)
    return row, bad | _contradictions_within(row, bad.keys())


def _contradictions_within(row: Row, bad: Set[str]) -> dict[str, str]:
    """Contradictions between the columns of a row, by column; columns with bad values are not compared."""
    wrong: dict[str, str] = {}
    if OUTCOME.isdisjoint(bad):
        given = (row.response, row.baseline_diameter_mm, row.follow_up_diameter_mm, row.nadir_diameter_mm)
        wrong |= contradictions(*given)
    if (OUTCOME | LATER).isdisjoint(bad | wrong.keys()):
        days = (row.follow_up_days, row.later_follow_up_days)
        wrong |= later_contradictions(row.outcome, row.later_response, *days, row.pseudoprogression)
    if THERAPY.isdisjoint(bad):
        wrong |= therapy_contradictions(row.systemic_therapy, row.systemic_therapy_kind)
    return wrong


def _centre_problems(rows: Sequence[Row]) -> list[str]:
    """Centres that differ only in spelling, otherwise patients with several centres."""
    named = [(row.number, row.centre) for row in rows if row.centre]
    return alike_ids("centre", named) or centres_of((row.number, row.patient_id, row.centre) for row in rows)[1]


def _contradictions(rows: Iterable[Row], source: Source) -> list[str]:
    """Contradictions between rows; different names of one folder count as one."""
    problems = []
    structures: dict[Hashable, int] = {}
    patients: dict[Hashable, Row] = {}
    for row in rows:
        location = location_key(source, row.dicom)
        if (first := structures.setdefault((location, row.rtstruct_uid, row.roi), row.number)) != row.number:
            problems.append(f"row {row.number}, roi: the same structure as in row {first}. Give each tumour one row")
        other = patients.setdefault(location, row)
        if other.patient_id != row.patient_id:
            problems.append(
                f"row {row.number}, patient_id: not that of row {other.number}, whose dicom is the same. "
                "Give all rows of a patient one patient_id"
            )
    return problems


def location_key(source: Source, dicom: str) -> Hashable:
    """The common key of all names of one folder; a name that cannot be located is its own key."""
    try:
        return locate(source, dicom).key
    except SrsError:
        return dicom
