"""The table in docs/limits.md agrees with the code and lists all its limits."""

import re
from pathlib import Path

import pytest

from components.common import limits

PAGE = Path(__file__).parents[3] / "docs" / "limits.md"
UNITS = {"KiB": limits.KIB, "MiB": limits.MIB, "GiB": limits.GIB}
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.read_text().splitlines()
    if re.match(r"\|(?! what |-)", line)
]


def number_of(text: str) -> float:
    """The number of a limit, in bytes where it is one of KiB, MiB or GiB."""
    digits, _, unit = text.partition(" ")
    return float(digits.replace(",", "")) * UNITS.get(unit, 1)


@pytest.mark.parametrize("row", ROWS, ids=[row[2] for row in ROWS])
def test_each_row_gives_the_number_of_its_constant(row):
    what, limit, constant, refused_with = row
    assert number_of(limit) == getattr(limits, constant.strip("`"))
    assert what
    assert refused_with


def test_every_constant_has_one_row():
    named = [row[2].strip("`") for row in ROWS]
    public = {name for name, value in vars(limits).items() if name.isupper() and isinstance(value, int | float)}
    assert sorted(named) == sorted(public - {"KIB", "MIB", "GIB"})


def test_each_constant_says_why():
    lines = Path(limits.__file__).read_text().splitlines()
    for at, line in enumerate(lines):
        if re.match(r"[A-Z_]+ = ", line) and not re.match(r"(KIB|MIB|GIB) ", line):
            assert lines[at - 1].startswith("#: ") or re.match(r"[A-Z_]+ = ", lines[at - 1]), line
