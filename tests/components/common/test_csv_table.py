"""Cells of a table whatever program wrote it: separators, line ends, quotation marks, blank rows."""

import pytest

from components.common.csv_table import column_position, read_csv_table
from components.common.errors import InputError

NAMES = ("tumour_id", "patient_id", "age")


def read(text, encoding="utf-8"):
    return read_csv_table(text.encode(encoding), NAMES)


def refusal(data):
    with pytest.raises(InputError) as caught:
        read_csv_table(data, NAMES)
    assert caught.value.code == "COHORT_UNREADABLE"
    return caught.value


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(delimiter, end):
    text = end.join(delimiter.join(cells) for cells in (NAMES, ("t1", "p1", "61"), ("t2", "p2", "")))
    table = read(text)
    assert (table.header, table.header_number, table.delimiter) == (NAMES, 1, delimiter)
    assert table.rows == {2: ["t1", "p1", "61"], 3: ["t2", "p2", ""]}


def test_the_header_decides_the_separator_and_not_its_frequency():
    table = read("tumour_id;a,b,c,d,e;patient_id\nt1;1,2,3,4,5,6;p1\n")
    assert table.delimiter == ";"
    assert table.rows == {2: ["t1", "1,2,3,4,5,6", "p1"]}


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_with_many_other_separators_does_not_hide_the_headers(row):
    lines = ["tumour_id;patient_id;age", "t1;p1;61"]
    lines.insert(row, "a, b, c, d, e, f, g")
    assert read("\n".join(lines)).delimiter == ";"


def test_a_damaged_row_does_not_hide_the_separator():
    error = refusal(b'tumour_id;patient_id;age\nt1;"p"1;61\n')
    assert "row 2 of the cohort table has a quotation mark" in error.safe_message


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;", "\ufeffsep=;", "sep=,", "sep=\t"])
def test_the_sep_line_for_excel_is_not_a_row(first):
    table = read(f"{first}\r\ntumour_id;patient_id\r\nt1;p1\r\n")
    assert (table.header_number, table.rows) == (1, {2: ["t1", "p1"]})


def test_blank_rows_are_numbered_but_skipped():
    table = read("\n,,\ntumour_id,patient_id,age\n\n , \t,\u00a0\nt1,p1,\n,,,,,,\n\x1a")
    assert (table.header_number, table.rows) == (3, {6: ["t1", "p1", ""]})


def test_quoted_cells_hold_separators_quotation_marks_and_line_breaks():
    table = read('tumour_id, "age", note\n"t,1","6""1", "a\nb"\nt2,,\n')
    assert table.rows == {2: ["t,1", '6"1', "a\nb"], 3: ["t2", "", ""]}


def test_blanks_of_any_kind_around_cells_and_names():
    table = read("\u200b Tumour_ID \u00a0,PATIENT_ID\ufeff,ａｇｅ\n\u2003t1\u200b,\u200f p 1,\u202f61\n")
    assert (table.header, table.rows) == (NAMES, {2: ["t1", "p 1", "61"]})


def test_an_empty_file_is_a_table_without_columns():
    for data in (b"", b"\n\n", b"\xef\xbb\xbf", b" \n"):
        assert read_csv_table(data, NAMES).header == ()


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('tumour_id,age\nt1,1\n"t2,2\nt3,3\n', 3),
        ('tumour_id,age\n"t1" x,1\n', 2),
        ('tumour_id,age\nt1,1\nt2,2\n"t"3,4\n', 4),
    ],
)
def test_quotation_marks_in_the_wrong_place_are_named_by_row(text, row):
    assert f"row {row} of the cohort table has a quotation mark" in refusal(text.encode()).safe_message


def test_each_cell_that_is_not_utf_8_is_named_with_the_first_byte():
    data = "tumour_id;patient_id;Müller\nt1;Müller;x\nt2;Böhm;é\n".encode("cp1252")
    error = refusal(data)
    assert f"byte {data.index(0xFC) + 1} of the file" in error.safe_message
    assert error.safe_message.split("\n  - ")[1:] == [
        "row 1, column 3 (C)", "row 2, patient_id", "row 3, patient_id", "row 3, column 3 (C)",
    ]  # fmt: skip
    assert "CSV UTF-8" in error.hint
    assert "ller" not in str(error)


@pytest.mark.parametrize("broken", ["\0", "\ufffd"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_damaged_characters_are_named(broken, encoding):
    text = f"tumour_id,patient_id,age,sex,roi\nt1,p1,61,male,GTV\nt2,p{broken}2,,,\n"
    error = refusal(text.encode(encoding))
    assert "row 3, patient_id" in error.safe_message
    assert "byte" not in error.safe_message


@pytest.mark.parametrize(
    "header", ["tumour_id;patient_id,age", "tumour_id,patient_id;age,x", "tumour_id\tx\tage|patient_id"]
)
def test_a_header_with_two_separators_is_refused(header):
    assert "header of the cohort table is separated by" in refusal(header.encode()).safe_message


def test_columns_have_the_letters_of_a_spreadsheet():
    assert [column_position(index) for index in (0, 25, 26, 701, 702)] == [
        "column 1 (A)", "column 26 (Z)", "column 27 (AA)", "column 702 (ZZ)", "column 703 (AAA)",
    ]  # fmt: skip
