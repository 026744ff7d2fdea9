"""Checks the shape of a cohort table: its header, the length of its rows, and ids that differ only in spelling.

No value is lost: each row must have as many cells as the header, and each cell with a value a column with a name.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from components.common.csv_table import DELIMITERS, INVISIBLE, CsvTable, column_name, column_position
from components.common.errors import InputError
from components.preprocess.columns import COLUMNS

#: Similarity (difflib's ratio) from which an unknown column is suggested for a missing one.
OFFERED_LIKENESS = 0.6
#: Similarity from which an unknown column counts as a misspelt optional one, and is refused because its values would be
#: dropped: just below that of center and centre. The optional columns themselves are less similar to each other.
MISSPELT_LIKENESS = 0.83

_REMEDY = "Rename or remove these columns; docs/data-scientist.md lists the names."
_ALIKE = (
    "differs from that of row {} only in upper and lower case, blanks, dashes, invisible characters or letters of "
    "another script. Write both in the same way, or make them clearly different"
)
_SWALLOWED = "the text between two quotation marks holds a whole row: remove the mark that is not closed in its own row"
_NAMELESS = "a value below a header without a name. Give the column a name, or remove it"
_UNSEEN = dict.fromkeys(map(ord, INVISIBLE))
#: The minus sign, which spreadsheets write for a dash, and Greek and Cyrillic capitals that look like Latin ones, as a
#: keyboard in the other script types them.
_LOOKS_LIKE = str.maketrans("−ΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТУХЅІЈ", "-ABEZHIKMNOPTYXABEKMHOPCTYXSIJ")


def check_header(table: CsvTable) -> None:
    """Refuses a table whose header lacks a column, or has one twice or misspelt.

    Raises
    ------
    InputError
        ``COLUMNS_MISSING``, ``COLUMNS_DOUBLED`` or ``COLUMNS_MISSPELT``: the first that applies, with all problems.
    """
    header = table.header
    if not any(header):
        raise InputError(
            "COLUMNS_MISSING", "the cohort table is empty", "Give a row of column names, and one per tumour."
        )
    missing = [f"{name}{_offer(name, header)}" for name in _missing(header)]
    doubled = [f"{name}: {header.count(name)} times" for name in COLUMNS if header.count(name) > 1]
    misspelt = [
        f"{column_position(index)}: did you mean {name}? Write it so, or remove the column"
        for name, column in COLUMNS.items()
        if not column.required and name not in header and (index := _like(name, header, MISSPELT_LIKENESS)) is not None
    ]
    problems = missing + doubled + misspelt
    if missing:
        heading = "the cohort table lacks columns, or has them twice or misspelt:"
        heading = heading if doubled or misspelt else "the cohort table lacks columns:"
        raise InputError.collected("COLUMNS_MISSING", heading, problems, _where_columns_are(table), most=99)
    if doubled:
        raise InputError.collected("COLUMNS_DOUBLED", "the cohort table has columns twice:", problems, _REMEDY)
    if misspelt:
        heading = "the cohort table has columns that are misspelt:"
        raise InputError.collected("COLUMNS_MISSPELT", heading, problems, _REMEDY)


def _where_columns_are(table: CsvTable) -> str:
    """A hint for missing columns, which may be below a title or joined in a single cell."""
    known = len(set(table.header) & set(COLUMNS))
    for number, cells in table.rows.items():
        if len(set(map(column_name, cells)) & set(COLUMNS)) > max(known, 1):
            return f"Row {number} looks like the header: remove everything above it."
    if len(table.header) == 1:
        return f"The first row is one cell: separate cells by {', '.join(DELIMITERS.values())}."
    return "Empty cells are allowed."


def _missing(header: Sequence[str]) -> list[str]:
    needed = [name for name, column in COLUMNS.items() if column.required and name != "response"]
    missing = [name for name in needed if name not in header]
    if "response" not in header and not {"baseline_diameter_mm", "follow_up_diameter_mm"} <= set(header):
        missing.append("response (or baseline_diameter_mm and follow_up_diameter_mm)")
    return missing


def _offer(missing: str, header: Sequence[str]) -> str:
    index = _like(missing.split()[0], header, OFFERED_LIKENESS)
    return "" if index is None else f": did you mean {column_position(index)}?"


def _like(name: str, header: Sequence[str], likeness: float) -> int | None:
    """Index of the unknown column whose name is most similar to ``name``."""
    strangers = {re.sub(r"[\W_]", "", other): index for index, other in enumerate(header) if other not in COLUMNS}
    found = difflib.get_close_matches(name.replace("_", ""), strangers, n=1, cutoff=likeness)
    return strangers[found[0]] if found else None


def misshapen_rows(table: CsvTable) -> dict[int, str]:
    """Problems of rows whose cells do not align with the header, by row; "" where another row's problem covers it."""
    wrong: dict[int, str] = {}
    for number, cells in table.rows.items():
        if number in wrong:
            continue
        after = table.rows.get(number + 1, [])
        if _is_broken_row(len(cells), len(after), len(table.header)):
            wrong |= {number: _broken_row(number, cells, after, table), number + 1: ""}
        elif len(cells) != len(table.header):
            wrong[number] = f"row {number} has {_cells(cells)}, the header {len(table.header)}: {_why(cells, table)}"
        elif swallowing := [column_position(i) for i, cell in enumerate(cells) if _holds_a_row(cell, table)]:
            wrong[number] = f"row {number}, {swallowing[0]}: {_SWALLOWED}"
        elif [cell.casefold() for cell in cells] == list(table.header):
            wrong[number] = f"row {number} repeats the header: remove it"
    return wrong


def nameless_values(table: CsvTable) -> list[str]:
    """Problems of columns without a name that hold values, which would be lost, each with its first row.

    Rows of a wrong length are left out, since their cells may be in the wrong columns.
    """
    problems, width = [], len(table.header)
    for index in (index for index, name in enumerate(table.header) if not name):
        rows = [number for number, cells in table.rows.items() if len(cells) == width and cells[index]]
        if rows:
            more = f" and {len(rows) - 1} more" if rows[1:] else ""
            problems.append(f"row {rows[0]}{more}, {column_position(index)}: {_NAMELESS}")
    return problems


def _is_broken_row(first: int, second: int, expected: int) -> bool:
    """Whether two rows may be one row, broken inside a cell (which then counts twice) or between two cells."""
    return 0 < second < expected and first < expected and first + second in (expected, expected + 1)


def _holds_a_row(cell: str, table: CsvTable) -> bool:
    """Whether a quoted cell extends into the next row, so that it contains the separators of a whole row."""
    return len(cell.splitlines()) > 1 and cell.count(table.delimiter) >= len(table.header) - 1


def _broken_row(number: int, cells: Sequence[str], after: Sequence[str], table: CsvTable) -> str:
    counts = f"rows {number} and {number + 1} have {len(cells)} and {_cells(after)}, the header {len(table.header)}"
    return f"{counts}: probably one row, broken in two by a line break inside a cell. Put that cell in quotation marks"


def _cells(cells: Sequence[str]) -> str:
    return f"{len(cells)} cell{'s' * (len(cells) != 1)}"


def _why(cells: Sequence[str], table: CsvTable) -> str:
    """The probable reason why a row is longer or shorter than the header, and the remedy."""
    others = [one for one in DELIMITERS if one != table.delimiter and sum(cell.count(one) for cell in cells) > 1]
    if len(cells) < len(table.header):
        if others:
            return f"it seems to be separated by {DELIMITERS[others[0]]}, the header by {DELIMITERS[table.delimiter]}"
        return "a cell is missing, or there is a line break inside a cell. Write an empty cell for a missing value"
    if not any(cells[len(table.header) :]):
        return "it ends with an empty cell, so there is one separator too many, there or further to the left"
    if table.delimiter == ",":
        reason = "a decimal comma, or a comma inside a text?"
        return f"{reason} Write a decimal point, and put a text with a comma in quotation marks"
    return f"{DELIMITERS[table.delimiter]} inside a text, or cells to the right of the last column?"


def alike_ids(column: str, ids: Iterable[tuple[int, str]]) -> list[str]:
    """Problems of ids, given with their rows, that differ only in ways that people overlook, or that occur twice.

    A tumour has one row. A patient has one row per tumour, but only one spelling: with two, the patient's tumours could
    be on both sides of a split.
    """
    problems = []
    spellings: dict[str, dict[str, int]] = {}
    for number, text in ids:
        known = spellings.setdefault(_seen(text), {})
        first = next(iter(known.values()), number)
        if text not in known and known:
            problems.append(f"row {number}, {column}: {_ALIKE.format(first)}")
        elif text in known and column == "tumour_id":
            problems.append(f"row {number}, {column}: the same as in row {known[text]}")
        known.setdefault(text, number)
    return problems


def _seen(text: str) -> str:
    """An id normalised for comparison: no case, Unicode form, script or blanks, but letters, digits and punctuation."""
    latin = unicodedata.normalize("NFKC", text).upper().translate(_LOOKS_LIKE)
    plain = unicodedata.normalize("NFKC", latin.casefold()).translate(_UNSEEN)
    return "".join("-" if unicodedata.category(char) == "Pd" else char for char in plain)
