"""Splits outputs into values for the identity audit, each with its location and whether it is expected there.

Files are split by their structure: cells of a CSV table, keys and leaves of JSON, text and attribute values of HTML and
SVG, numbers of an array, and lines of anything else.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.common.artifacts.dataset import TUMOUR_COLUMNS
from components.preprocess.arrays import values_of_array
from components.preprocess.kinds import (
    COLUMN_KINDS,
    DATASET_FILES,
    JSON_KINDS,
    PAGE_NAMES,
    JsonNumber,
    Kind,
    is_log_line,
)
from components.preprocess.pages import values_of_page
from components.preprocess.values import Value, Verdict, forbidden

#: Smallest number of digits of a whole number that is compared in a column of unknown name; ages and doses have fewer.
SHORTEST_WHOLE_NUMBER = 4
_BARE_NUMBER = re.compile(r"(?=[-+]?[.,]?\d)[-+]?(\d*)(?:[.,](\d*))?(?:e[-+]?\d+)?", re.IGNORECASE)
_MARKUP = re.compile(r"\s*<(?:!doctype|html|svg|\?xml)", re.IGNORECASE)


def values_of_text(name: str, text: str, *, strict: bool = False) -> Iterator[Value]:
    """The values of a text by its format: CSV by its name, JSON, HTML and SVG by their start, otherwise lines.

    ``strict``: whether the text is a file of a dataset, in which unexpected values are refused.
    """
    if name.endswith(".csv"):
        yield from _of_table(text, strict=strict)
    elif name.endswith(".json") or text.lstrip()[:1] in ("{", "["):
        yield from _of_json(text, strict=strict)
    elif _MARKUP.match(text):
        yield from values_of_page(text)
    else:
        yield from _of_lines(text)


def values_of_file(path: Path, name: str, *, sealed: bool) -> Iterator[Value]:
    """The values of a file; ``sealed``: whether its folder is a dataset, in which files of other names are refused."""
    strict = name in DATASET_FILES
    if sealed and not strict and name not in PAGE_NAMES:
        yield forbidden("a file that a dataset does not have")
    if path.suffix == ".npy":
        yield from values_of_array(path)
        return
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        yield forbidden("not a text")
    else:
        yield from values_of_text(name, text, strict=strict)


def name_value(name: str) -> Value:
    """The name of a file as a value: an expected name or a free text."""
    is_expected = name in DATASET_FILES or name in PAGE_NAMES
    return Value("the file's name", name, Verdict.EXPECTED if is_expected else Verdict.FREE_TEXT)


def _verdict(kind: Kind | None, text: str, *, strict: bool) -> Verdict:
    if kind is not None and kind(text):
        return Verdict.EXPECTED
    return Verdict.FORBIDDEN if strict else Verdict.FREE_TEXT


# tables -------------------------------------------------------------------------------------------------------------


def _of_table(text: str, *, strict: bool) -> Iterator[Value]:
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error:
        yield Value("not a table", text, Verdict.FORBIDDEN)
        return
    header = rows[0] if rows else []
    named = not all(map(_is_measure, header))
    for column, name in enumerate(header, start=1):
        verdict = Verdict.EXPECTED if name in TUMOUR_COLUMNS else _of_cell(name, None, strict=strict, named=False)
        yield Value(f"header of column {column}", name, verdict)
    columns = [name if name in TUMOUR_COLUMNS else "" for name in header]
    for number, row in enumerate(rows[1:], start=2):
        for column, (name, cell) in enumerate(itertools.zip_longest(columns, row, fillvalue=""), start=1):
            verdict = _of_cell(
                cell, COLUMN_KINDS.get(name), strict=strict and name not in _OPEN_COLUMNS, named=named and not name
            )
            yield Value(f"row {number}, column {name or column}", cell, verdict)


#: Columns of the tumour table without a kind: their cells are free text.
_OPEN_COLUMNS = frozenset(TUMOUR_COLUMNS) - set(COLUMN_KINDS)
_WORD_KINDS = tuple(COLUMN_KINDS[name] for name in ("response", "primary_site", "location", "device", "match_level"))


def _of_cell(cell: str, kind: Kind | None, *, strict: bool, named: bool) -> Verdict:
    """``named``: whether the cell's column has an unknown name; whole numbers may be identifiers there."""
    verdict = _verdict(kind, cell, strict=strict)
    if verdict is not Verdict.FREE_TEXT or any(one(cell) for one in _WORD_KINDS):
        return Verdict.EXPECTED if verdict is Verdict.FREE_TEXT else verdict
    may_be_id = cell.strip().isdigit() and (named or kind is not None)
    return Verdict.EXPECTED if _is_measure(cell) and not may_be_id else Verdict.FREE_TEXT


def _is_measure(cell: str) -> bool:
    """Whether a cell is a number as short as a dose or an age, or with decimals as a measurement, or empty."""
    match = _BARE_NUMBER.fullmatch(cell.strip())
    if not match:
        return cell.strip() in ("", "nan", "inf", "-inf")
    if (match[2] or "").strip("0"):
        return True
    return len(match[1]) < SHORTEST_WHOLE_NUMBER + (2 if match[2] else 0)


# JSON ---------------------------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written, with keys that occur twice."""


def _of_json(text: str, *, strict: bool) -> Iterator[Value]:
    try:
        whole = json.loads(text, object_pairs_hook=_Pairs, parse_int=JsonNumber, parse_float=JsonNumber)
    except (ValueError, RecursionError):
        if strict:
            yield forbidden("not JSON")
        yield from _of_lines(text)
        return
    yield from _of_json_value("", whole, strict=strict)


def _of_json_value(key: str, value: Any, *, strict: bool) -> Iterator[Value]:
    if isinstance(value, _Pairs):
        for name, inner in value:
            yield Value("a key", name, _verdict(JSON_KINDS.__contains__, name, strict=strict))
            yield from _of_json_value(name, inner, strict=strict)
    elif isinstance(value, list):
        for inner in value:
            yield from _of_json_value(key, inner, strict=strict)
    elif isinstance(value, str):
        kind = JSON_KINDS.get(key)
        shown = f"key {key}" if kind and key else "a value"
        free = key in ("code", "")  # a code that is not known yet is compared like any text
        verdict = _verdict(kind, value, strict=strict and not free)
        measure = not strict and isinstance(value, JsonNumber) and _is_measure(value)
        yield Value(shown, value, Verdict.EXPECTED if measure else verdict)


# lines ------------------------------------------------------------------------------------------------------------


def _of_lines(text: str) -> Iterator[Value]:
    for number, line in enumerate(text.splitlines(), start=1):
        yield Value(f"line {number}", line, _verdict(is_log_line, line, strict=False))
