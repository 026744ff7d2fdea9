"""A table has the same content in every spreadsheet dialect, and is refused if a separator is lost or added."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.csv_table import DELIMITERS, clean
from components.common.errors import InputError
from components.preprocess.columns import COLUMNS
from tests.components.preprocess.cohort_rows import good, lines_of, read_bytes, refusal_of, written

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")
ENDS = ("\n", "\r\n", "\r")
#: Characters of a name, including those with a meaning in CSV.
NAMES = st.text("aZ9 .#-üß\u0301\u00a0\u200b,;\t|\"'\n\r", min_size=1, max_size=8)
NUMBERS = st.decimals(1, 99, places=1).map(str)


@st.composite
def cohorts(draw, names=NAMES):
    """Rows of cells that are all valid, with numbers as texts with a decimal point."""
    rows = []
    for number in range(draw(st.integers(1, 4))):
        optional = {
            name: draw(st.just("") | NUMBERS) for name in ("age", "kps", "total_dose_gy", "longest_diameter_mm")
        }
        roi = draw(names.filter(lambda text: not clean(text).startswith("#")))
        note = draw(names | st.just(""))
        dicom = f"p{number}/{draw(names)}x"
        rows.append(
            {**good(number, roi=roi, dicom=dicom, response=draw(st.sampled_from(("CR", "PD")))), **optional, "n": note}
        )
    return rows


@st.composite
def dialects(draw):
    """Separator, encoding, line end, quoting, a line for Excel, blank rows, blank columns."""
    return {
        "delimiter": draw(st.sampled_from(list(DELIMITERS))),
        "encoding": draw(st.sampled_from(ENCODINGS)),
        "end": draw(st.sampled_from(ENDS)),
        "quote_all": draw(st.booleans()),
        "sep": draw(st.booleans()),
        "comma": draw(st.booleans()),
        "columns": draw(st.integers(0, 3)),
        "blank": draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=4)),
        "order": draw(st.randoms(use_true_random=False)),
    }


def encoded(rows, dialect):
    """A table's bytes in a dialect."""
    lines = lines_of(*rows)
    places = list(range(len(lines[0])))
    dialect["order"].shuffle(places)
    lines = [[line[place] for place in places] + [""] * dialect["columns"] for line in lines]
    if dialect["comma"]:
        numbers = [lines[0].index(name) for name in ("age", "kps", "total_dose_gy", "longest_diameter_mm")]
        lines[1:] = [[c.replace(".", ",") if i in numbers else c for i, c in enumerate(line)] for line in lines[1:]]
    for at, width in dialect["blank"]:
        lines.insert(min(at, len(lines)), [""] * width)
    text = written(lines, delimiter=dialect["delimiter"], end=dialect["end"], quote_all=dialect["quote_all"])
    first = f"sep={dialect['delimiter']}{dialect['end']}" if dialect["sep"] else ""
    return (first + text).encode(dialect["encoding"])


@settings(max_examples=150)
@given(cohorts(), dialects())
def test_a_table_reads_to_the_same_rows_in_every_dialect(rows, dialect):
    read = read_bytes(encoded(rows, dialect))
    assert len(read) == len(rows)
    for given_row, row in zip(rows, read, strict=True):
        for name in set(given_row) & set(COLUMNS) - {"tumour_id", "patient_id"}:
            assert getattr(row, name) == COLUMNS[name].read(clean(given_row[name]))
        assert row.patient_id == unicodedata.normalize("NFC", given_row["patient_id"])


#: Names without any mark of CSV: each separator in the text is one between cells.
PLAIN = st.text("aZ9 .-üß", min_size=1, max_size=8)


@settings(max_examples=150)
@given(cohorts(PLAIN), st.sampled_from(list(DELIMITERS)), st.integers(0, 3), st.data())
def test_a_separator_added_or_removed_is_refused_and_never_read(rows, delimiter, columns, data):
    lines = [delimiter.join([*cells, *[""] * columns]) for cells in lines_of(*rows)]
    assert len(read_bytes("\n".join(lines).encode())) == len(rows)
    index = data.draw(st.integers(1, len(lines) - 1))
    line = lines[index]
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(line)))
        lines[index] = line[:at] + delimiter + line[at:]
    else:
        at = data.draw(st.sampled_from([place for place, char in enumerate(line) if char == delimiter]))
        lines[index] = line[:at] + line[at + 1 :]
    error = refusal_of("\n".join(lines).encode())
    assert error.code == "COHORT_INVALID"
    assert f"row {index + 1} has" in error.safe_message
    assert error.safe_message.count("\n") == 1


@settings(max_examples=200)
@given(
    cohorts(PLAIN),
    st.sampled_from(list(DELIMITERS)),
    st.lists(st.sampled_from('"\n,;\t|'), min_size=1, max_size=2),
    st.data(),
)
def test_stray_csv_characters_change_no_value_silently(rows, delimiter, marks, data):
    """With one or two anywhere, header included, a table is refused, or has the same rows with the same values."""
    text = "\n".join(delimiter.join(cells) for cells in lines_of(*rows)) + "\n"
    before = read_bytes(text.encode())
    for mark in marks:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + mark + text[at:]
    try:
        after = read_bytes(text.encode())
    except InputError:
        return
    free = {"number", "tumour_id", "patient_id", "dicom", "roi"}
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        changed = [name for name in COLUMNS if name not in free and getattr(one, name) != getattr(other, name)]
        assert not changed or ("," in marks and delimiter != ",")  # 24 may have become 2,4


def test_no_value_of_the_table_is_lost():
    with pytest.raises(InputError, match="COHORT_EMPTY"):
        read_bytes(written([list(COLUMNS)]).encode())
