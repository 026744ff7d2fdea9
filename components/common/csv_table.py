"""Reads the cells of a CSV table with the separators, encodings and line ends that spreadsheet programs write.

Messages name rows, column numbers and known columns, never the text of a cell or the name of an unknown column, since
either may be a patient's name.
"""

import contextlib
import csv
import dataclasses
import io
import itertools
import re
import string
import unicodedata
from collections.abc import Collection, Iterator, Mapping

from components.common.csv_text import SAVE_AS, UNREADABLE, encoding_of, text_of
from components.common.errors import InputError

#: Separators of cells, in the order in which they are tried.
DELIMITERS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

#: Rows at the top that are searched for the header, by which the separator is recognised.
TOP_ROWS = 10
#: A first line that names the separator for Excel. The header shows it too, and decides where the two disagree.
_SEP_LINE = re.compile(r'\A[ \t]*"?sep=[^\r\n]"?[,;\t|]*[ ]*(\r\n|\r|\n|\Z)', re.IGNORECASE)
#: A byte that is not UTF-8, the replacement character of a lost one, or a zero byte.
_BROKEN = re.compile("[\udc80-\udcff\ufffd\x00]")
#: Invisible characters: blanks of any width, direction marks, byte order marks, control characters. The zero byte is
#: not among them, since it is a sign of damage.
INVISIBLE = "".join(
    chr(code) for code in range(1, 0x10000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zs", "Zl", "Zp")
)


@dataclasses.dataclass(frozen=True, slots=True)
class CsvTable:
    """A header and the rows below it that are not blank.

    Parameters
    ----------
    header
        Names in lower case, without blanks around them; "" for a column without one.
    header_number
        Number of the header's row, counted as in ``rows``.
    rows
        Cells, without blanks around them, by the row's number as a spreadsheet shows it, counted from 1. A row may have
        more or fewer cells than the header.
    delimiter
        One of ``DELIMITERS``.
    """

    header: tuple[str, ...]
    header_number: int
    rows: Mapping[int, list[str]]
    delimiter: str


def read_csv_table(data: bytes, names: Collection[str]) -> CsvTable:
    """The table in a file's bytes.

    Parameters
    ----------
    data
        UTF-8 with or without a byte order mark, or UTF-16 with one; any line ends.
    names
        Known columns: the separator is the one that yields the most of them in a row at the top.

    Raises
    ------
    InputError
        ``COHORT_UNREADABLE``.
    """
    text = _SEP_LINE.sub("", text_of(data), count=1)
    delimiter = max(DELIMITERS, key=lambda one: _fit(text, one, names))
    records = {number: record for number, record in _records(text, delimiter).items() if any(map(clean, record))}
    header_number = next(iter(records), 1)
    header = tuple(map(column_name, records.get(header_number, [])))
    _refuse_mixture(header, delimiter, names)
    _refuse_broken(data, records, header, names)
    rows = {number: list(map(clean, record)) for number, record in records.items() if number != header_number}
    return CsvTable(header, header_number, rows, delimiter)


def clean(cell: str) -> str:
    """A cell without blanks and other invisible characters around it."""
    return cell.strip(INVISIBLE)


def column_position(index: int) -> str:
    """A column by its number and its letters in a spreadsheet, such as ``column 28 (AB)``."""
    letters, rest = "", index + 1
    while rest:
        rest, letter = divmod(rest - 1, len(string.ascii_uppercase))
        letters = string.ascii_uppercase[letter] + letters
    return f"column {index + 1} ({letters})"


def column_name(cell: str) -> str:
    """A column's name as it is compared: without blanks around it, in lower case and usual letters."""
    return unicodedata.normalize("NFKC", clean(cell)).casefold()


def _reader(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)


def _fit(text: str, delimiter: str, names: Collection[str]) -> tuple[int, int]:
    """How many known columns and how many cells the header has with this separator; a title may precede the header."""
    fits = ((len({column_name(cell) for cell in record} & set(names)), len(record)) for record in _top(text, delimiter))
    return max(fits, default=(0, 0))


def _top(text: str, delimiter: str) -> Iterator[list[str]]:
    """The first rows that are not blank, up to one that cannot be read with this separator."""
    with contextlib.suppress(csv.Error):
        rows = (record for record in _reader(text, delimiter) if any(map(clean, record)))
        yield from itertools.islice(rows, TOP_ROWS)


def _records(text: str, delimiter: str) -> dict[int, list[str]]:
    records: dict[int, list[str]] = {}
    try:
        records.update(enumerate(_reader(text, delimiter), start=1))
    except csv.Error:
        message = f"row {len(records) + 1} of the cohort table has a quotation mark that is unclosed or inside a cell"
        hint = "Remove it, or put the whole cell in quotation marks and double each quotation mark inside it."
        raise InputError(UNREADABLE, message, hint) from None
    return records


def _refuse_mixture(header: tuple[str, ...], delimiter: str, names: Collection[str]) -> None:
    """Refuses a header that uses two separators."""
    for other in (one for one in DELIMITERS if one != delimiter):
        inside = {column_name(part) for cell in header if other in cell for part in cell.split(other)}
        if inside & (set(names) - set(header)):
            both = f"{DELIMITERS[delimiter]} and {DELIMITERS[other]}"
            hint = "Use one separator throughout. " + SAVE_AS
            raise InputError(UNREADABLE, f"the header of the cohort table is separated by both {both}", hint)


def _refuse_broken(
    data: bytes, records: Mapping[int, list[str]], header: tuple[str, ...], names: Collection[str]
) -> None:
    """Refuses damaged characters, naming each cell that has one and the first damaged byte."""
    problems = [
        f"row {number}, {header[index] if index < len(header) and header[index] in names else column_position(index)}"
        for number, record in records.items()
        for index, cell in enumerate(record)
        if _BROKEN.search(cell)
    ]
    if problems:
        heading = f"the cohort table holds characters that are damaged or not in UTF-8{_first_broken(data)}:"
        raise InputError.collected(UNREADABLE, heading, problems, SAVE_AS)


def _first_broken(data: bytes) -> str:
    try:
        data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        return f" (the first is byte {error.start + 1} of the file)"
    return ""
