"""What is wrong with a cohort table as a whole: its header, rows of a wrong length, ids that are one but for spelling.

No cell is dropped: each row has as many cells as the header, and a cell with a value has a column with a name.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from components.common.csv_table import DELIMITERS, INVISIBLE, CsvTable, column_name, place
from components.common.errors import InputError
from components.preprocess.columns import COLUMNS

#: Likeness (difflib's ratio) from which a column without a known name is offered in place of a missing one.
OFFERED_LIKENESS = 0.6
#: Likeness from which it is taken for an optional column misspelt, and refused: its values would be dropped. The
#: optional columns differ from each other by more.
MISSPELT_LIKENESS = 0.85

_ALIKE = (
    "that of row {} but for upper and lower case, blanks, dashes, characters that do not show or letters of another "
    "script. Write both in one way, or tell them apart by more"
)
_SWALLOWED = (
    "the text between two quotation marks holds a whole row: leave out the one that is not closed in its own row"
)
_NAMELESS = "a value below a header without a name. Give the column a name, or remove it"
_UNSEEN = dict.fromkeys(map(ord, INVISIBLE))
#: The minus sign, which spreadsheets write for a dash, and capital letters of Greek and Cyrillic that look like Latin
#: ones: a keyboard left in the other script.
_LOOKS_LIKE = str.maketrans("−ΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТУХЅІЈ", "-ABEZHIKMNOPTYXABEKMHOPCTYXSIJ")


def check_header(table: CsvTable) -> None:
    """Refuses a table whose header lacks columns, or has one twice or misspelt.

    Raises
    ------
    InputError
        ``COLUMNS_MISSING``, ``COLUMNS_DOUBLED`` or ``COLUMNS_MISSPELT``: the first that holds, with all problems.
    """
    header = table.header
    if not any(header):
        raise InputError(
            "COLUMNS_MISSING", "the cohort table is empty", "Give a row of column names, and one per tumour."
        )
    missing = [f"{name}{_offer(name, header)}" for name in _missing(header)]
    doubled = [f"{name}: {header.count(name)} times" for name in COLUMNS if header.count(name) > 1]
    misspelt = [
        f"{place(index)}: did you mean {name}? Write it so, or remove the column"
        for name, column in COLUMNS.items()
        if not column.required and name not in header and (index := _like(name, header, MISSPELT_LIKENESS)) is not None
    ]
    problems = missing + doubled + misspelt
    if missing:
        heading = "the cohort table lacks columns, or has them twice or misspelt:"
        heading = heading if doubled or misspelt else "the cohort table lacks columns:"
        raise InputError.collected("COLUMNS_MISSING", heading, problems, _where_columns_are(table), most=99)
    if doubled:
        raise InputError.collected("COLUMNS_DOUBLED", "the cohort table has columns twice:", problems)
    if misspelt:
        raise InputError.collected("COLUMNS_MISSPELT", "the cohort table has columns that are misspelt:", problems)


def _where_columns_are(table: CsvTable) -> str:
    """What to do where columns are missing: below a title, or in a single cell, they may be there."""
    known = len(set(table.header) & set(COLUMNS))
    for number, cells in table.rows.items():
        if len(set(map(column_name, cells)) & set(COLUMNS)) > max(known, 1):
            return f"Row {number} looks like the header: remove what stands above it."
    if len(table.header) == 1:
        return f"Its first row is one cell: separate cells by {', '.join(DELIMITERS.values())}."
    return "Empty cells are allowed."


def _missing(header: Sequence[str]) -> list[str]:
    needed = [name for name, column in COLUMNS.items() if column.required and name != "response"]
    missing = [name for name in needed if name not in header]
    if "response" not in header and not {"baseline_diameter_mm", "follow_up_diameter_mm"} <= set(header):
        missing.append("response (or baseline_diameter_mm and follow_up_diameter_mm)")
    return missing


def _offer(missing: str, header: Sequence[str]) -> str:
    index = _like(missing.split()[0], header, OFFERED_LIKENESS)
    return "" if index is None else f": did you mean {place(index)}?"


def _like(name: str, header: Sequence[str], likeness: float) -> int | None:
    """The column whose name, none of the known ones, is most like a known one."""
    strangers = {re.sub(r"[\W_]", "", other): index for index, other in enumerate(header) if other not in COLUMNS}
    found = difflib.get_close_matches(name.replace("_", ""), strangers, n=1, cutoff=likeness)
    return strangers[found[0]] if found else None


def misshapen_rows(table: CsvTable) -> dict[int, str]:
    """What is wrong with rows whose cells do not lie below the header's, by row; "" where another row tells it."""
    wrong: dict[int, str] = {}
    for number, cells in table.rows.items():
        if number in wrong:
            continue
        after = table.rows.get(number + 1, [])
        if _is_broken_row(len(cells), len(after), len(table.header)):
            wrong |= {number: _broken_row(number, cells, after, table), number + 1: ""}
        elif len(cells) != len(table.header):
            wrong[number] = f"row {number} has {_cells(cells)}, the header {len(table.header)}: {_why(cells, table)}"
        elif swallowing := [place(i) for i, cell in enumerate(cells) if _holds_a_row(cell, table)]:
            wrong[number] = f"row {number}, {swallowing[0]}: {_SWALLOWED}"
        elif [cell.casefold() for cell in cells] == list(table.header):
            wrong[number] = f"row {number} is the header once more: remove it"
    return wrong


def nameless_values(table: CsvTable) -> list[str]:
    """Columns without a name that hold values, which would be lost, with their first row.

    Rows of a wrong length are left out: their cells may lie below the wrong columns.
    """
    problems, width = [], len(table.header)
    for index in (index for index, name in enumerate(table.header) if not name):
        rows = [number for number, cells in table.rows.items() if len(cells) == width and cells[index]]
        if rows:
            more = f" and {len(rows) - 1} more" if rows[1:] else ""
            problems.append(f"row {rows[0]}{more}, {place(index)}: {_NAMELESS}")
    return problems


def _is_broken_row(first: int, second: int, expected: int) -> bool:
    """Whether two rows may be one, broken inside a cell (which then counts twice) or between two."""
    return 0 < second < expected and first < expected and first + second in (expected, expected + 1)


def _holds_a_row(cell: str, table: CsvTable) -> bool:
    """Whether a quoted cell reaches over the end of its row into another: it then has the separators of a whole one."""
    return len(cell.splitlines()) > 1 and cell.count(table.delimiter) >= len(table.header) - 1


def _broken_row(number: int, cells: Sequence[str], after: Sequence[str], table: CsvTable) -> str:
    counts = f"rows {number} and {number + 1} have {len(cells)} and {_cells(after)}, the header {len(table.header)}"
    return f"{counts}: probably one row, broken in two by a line break inside a cell. Put that cell in quotation marks"


def _cells(cells: Sequence[str]) -> str:
    return f"{len(cells)} cell{'s' * (len(cells) != 1)}"


def _why(cells: Sequence[str], table: CsvTable) -> str:
    """What probably made a row longer or shorter than the header, and what to do."""
    others = [one for one in DELIMITERS if one != table.delimiter and sum(cell.count(one) for cell in cells) > 1]
    if len(cells) < len(table.header):
        if others:
            return f"it seems to be separated by {DELIMITERS[others[0]]}, the header by {DELIMITERS[table.delimiter]}"
        return "a cell is missing, or a line break stands inside a cell. Write an empty cell for a missing value"
    if not any(cells[len(table.header) :]):
        return "it ends with an empty one, so that there is a separator too many, there or further to the left"
    if table.delimiter == ",":
        reason = "a decimal comma, or a comma inside a text?"
        return f"{reason} Write a decimal point, and put a text with a comma in quotation marks"
    return f"{DELIMITERS[table.delimiter]} inside a text, or cells to the right of the last column?"


def alike_ids(column: str, ids: Iterable[tuple[int, str]]) -> list[str]:
    """Problems of ids, given with their rows, that differ only in what people do not see, or that occur twice.

    One tumour has one row. A patient has as many as tumours, but under one spelling: under two, the patient's tumours
    would lie on both sides of a split.
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
    """What a person tells ids apart by: letters whatever their case, form and script, digits, marks, and no blanks."""
    latin = unicodedata.normalize("NFKC", text).upper().translate(_LOOKS_LIKE)
    plain = unicodedata.normalize("NFKC", latin.casefold()).translate(_UNSEEN)
    return "".join("-" if unicodedata.category(char) == "Pd" else char for char in plain)
