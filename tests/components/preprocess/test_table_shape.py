"""No value is lost: checks of headers, rows of a wrong length, and ids that differ only in spelling."""

import pytest

from components.common.csv_table import column_position
from components.preprocess.columns import COLUMNS
from components.preprocess.table_shape import alike_ids
from tests.components.preprocess.cohort_rows import GOOD, good, lines_of, read_text, refused_text, written

WIDTH = len(GOOD)


def problems(text, code="COHORT_INVALID"):
    error = refused_text(text)
    assert error.code == code
    return error.safe_message.split("\n  - ")[1:]


def joined(lines, delimiter=","):
    """Lines without quotation marks, as people and careless programs write them."""
    return "\n".join(delimiter.join(cells) for cells in lines) + "\n"


# --- rows ---


def test_a_decimal_comma_in_a_comma_table_is_one_cell_too_many():
    lines = lines_of({**good(1), "longest_diameter_mm": "18.6"}, {**good(2), "longest_diameter_mm": "18,6"})
    (problem,) = problems(joined(lines))
    assert problem.startswith(f"row 3 has {WIDTH + 2} cells, the header {WIDTH + 1}: a decimal comma")
    assert "quotation marks" in problem


def test_a_quoted_decimal_comma_is_read():
    (row,) = read_text(written(lines_of({**GOOD, "longest_diameter_mm": "18,6"})))
    assert row.longest_diameter_mm == 18.6


def test_a_cell_too_many_is_refused_though_the_last_one_is_empty():
    """The surplus cell at the end is blank, but the others would be read one column off."""
    lines = lines_of({**GOOD, "longest_diameter_mm": "18,6", "note": ""})
    (problem,) = problems(joined(lines))
    assert problem.startswith(f"row 2 has {WIDTH + 3} cells, the header {WIDTH + 2}: it ends with an empty cell")


def test_a_text_with_a_semicolon_and_a_decimal_comma_have_different_messages():
    (problem,) = problems(joined(lines_of({**GOOD, "roi": "GTV;left"}), ";"))
    assert f"row 2 has {WIDTH + 1} cells, the header {WIDTH}: semicolons inside a text" in problem


def test_a_short_row_is_reported_once():
    lines = lines_of(good(1), good(2), good(3))
    (problem,) = problems(joined([lines[0], lines[1], lines[2][:7], lines[3]]))
    assert problem.startswith(f"row 3 has 7 cells, the header {WIDTH}")


@pytest.mark.parametrize("at", range(2, WIDTH))
@pytest.mark.parametrize("before", [0, 1])
def test_a_row_broken_in_two_is_recognised(at, before):
    """Before, behind or inside a cell: the parts have as many cells as the header, or one more."""
    lines = lines_of(good(1), good(2), good(3))
    broken = [lines[2][:at], lines[2][at:] if before else ["", *lines[2][at:]]]
    (problem,) = problems(joined([lines[0], lines[1], *broken, lines[3]]))
    assert problem.startswith(f"rows 3 and 4 have {at} and {len(broken[1])} cell")
    assert "broken in two by a line break" in problem


def test_a_row_with_another_separator_than_the_header():
    lines = lines_of(good(1), good(2))
    (problem,) = problems(joined(lines[:2], ";") + joined(lines[2:]))
    assert (
        problem == f"row 3 has 1 cell, the header {WIDTH}: it seems to be separated by commas, the header by semicolons"
    )


def test_a_value_in_a_nameless_column_is_refused_but_blank_columns_are_not():
    lines = lines_of(good(1), good(2))
    padded = [[*cells, "", "", ""] for cells in lines]
    assert len(read_text(joined(padded, ";") + ";" * 40)) == 2
    padded[2][WIDTH + 1] = "a note"
    (problem,) = problems(joined(padded, ";"))
    assert problem.startswith(f"row 3, column {WIDTH + 2} (W): a value below a header without a name")


def test_a_nameless_column_of_row_numbers_is_reported_once():
    """As pandas writes its index."""
    lines = lines_of(*(good(number) for number in range(50)))
    (problem,) = problems(joined([[str(i - 1) if i else "", *cells] for i, cells in enumerate(lines)]))
    assert problem.startswith("row 2 and 49 more, column 1 (A): a value below a header without a name")


def test_a_quotation_mark_that_is_not_closed_does_not_swallow_a_row():
    """Row 2's opens and row 3's closes: the cells are as many as they should be, and the response that of row 3."""
    lines = lines_of(good(1, roi='"GTV', response="PR"), good(2, roi='GTV"', response="PD"), good(3))
    (problem,) = problems(joined(lines))
    assert problem.startswith("row 2, column 4 (D): the text between two quotation marks holds a whole row")


def test_a_note_of_several_lines_is_not_taken_for_a_row():
    assert len(read_text(written(lines_of({**GOOD, "note": "stable, then,\ngrown; see, there"})))) == 1


def test_a_repeated_header_is_reported_once():
    lines = lines_of(good(1), good(2))
    assert problems(joined([*lines, [name.upper() for name in lines[0]], *lines_of(good(3))[1:]])) == [
        "row 4 repeats the header: remove it"
    ]


def test_rows_of_a_wrong_length_are_reported_with_all_other_problems():
    lines = lines_of(good(1), good(2, age="x"), good(1, dicom="elsewhere", patient_id="p9"))
    lines.insert(2, lines[1][:3])
    found = problems(joined(lines))
    assert [one.split(":")[0] for one in found] == [
        f"row 3 has 3 cells, the header {WIDTH}", "row 4, age", "row 5, tumour_id",
    ]  # fmt: skip


def test_rows_are_counted_from_the_header_of_the_file():
    error = refused_text("\n\n" + joined(lines_of(good(1, age="x"))))
    assert "row 4, age" in error.safe_message
    assert "the header being row 3" in error.hint


# --- header ---


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("response", "respose"), ("tumour_id", "tumor_id"), ("patient_id", "patientid"), ("patient_id", "Patient ID"),
        ("follow_up_days", "Follow-up days"), ("total_dose_gy", "total_dose"), ("roi", "roi_name"),
        ("dicom", "dicom_dir"),
    ],
)  # fmt: skip
def test_a_misspelt_column_is_suggested_for_the_missing_one(name, typed):
    row = {typed if key == name else key: value for key, value in GOOD.items()}
    (problem,) = problems(joined(lines_of(row)), "COLUMNS_MISSING")
    assert problem.startswith(name)
    assert problem.endswith(f": did you mean {column_position(list(GOOD).index(name))}?")


def test_missing_doubled_and_misspelt_columns_are_named_at_once():
    lines = lines_of({**{key: value for key, value in GOOD.items() if key != "age"}, "nadir_diameter": "1"})
    lines = [[*cells, cells[0]] for cells in lines]
    assert problems(joined(lines), "COLUMNS_MISSING") == [
        "age",
        "tumour_id: 2 times",
        "column 21 (U): did you mean nadir_diameter_mm? Write it so, or remove the column",
    ]


@pytest.mark.parametrize("name", [name for name, column in COLUMNS.items() if not column.required])
def test_an_optional_column_misspelt_is_refused_since_its_values_would_be_lost(name):
    for typed in {name.replace("_", " "), name.replace("_mm", ""), name[:-1], name + "s"} - {name}:
        (problem,) = problems(joined(lines_of({**GOOD, typed: "20"})), "COLUMNS_MISSPELT")
        assert f"column {WIDTH + 1} (V): did you mean {name}?" in problem


#: Values of optional columns that take no number.
OPTIONAL = {
    "rtstruct_uid": "1.2.3", "synthetic": "no", "nadir_diameter_mm": "", "pseudoprogression": "no",
    "later_response": "PD", "later_follow_up_days": "200", "systemic_therapy_kind": "",
}  # fmt: skip


def test_optional_columns_are_not_taken_for_each_other():
    for name, column in COLUMNS.items():
        if not column.required:
            value = OPTIONAL.get(name, "20")
            more = {"baseline_diameter_mm": "30"} if name == "follow_up_diameter_mm" else {}
            assert len(read_text(joined(lines_of({**GOOD, **more, name: value})))) == 1


def test_a_centre_in_american_spelling_is_refused_since_its_values_would_be_lost():
    (problem,) = problems(joined(lines_of({**GOOD, "center": "north"})), "COLUMNS_MISSPELT")
    assert "did you mean centre?" in problem


@pytest.mark.parametrize(
    "name", ["notes", "max_diameter_mm", "volume_mm3", "rtplan_uid", "stage", "patient_name", "gender"]
)
def test_other_columns_are_kept_out(name):
    assert len(read_text(joined(lines_of({**GOOD, name: "20"})))) == 1


def test_the_error_for_a_table_in_one_column_lists_the_separators():
    error = refused_text("\n".join(":".join(cells) for cells in lines_of(GOOD)))
    assert "separate cells by commas, semicolons, tabs, vertical bars" in error.hint


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_title_above_the_header_is_reported(delimiter):
    error = refused_text("Cohort of 2024\n\n" + joined(lines_of(GOOD), delimiter))
    assert error.code == "COLUMNS_MISSING"
    assert error.hint == "Row 3 looks like the header: remove everything above it."


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_a_file_without_text_is_reported_as_empty(text):
    error = refused_text(text)
    assert (error.code, error.safe_message) == ("COLUMNS_MISSING", "the cohort table is empty")


# --- ids ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P1", "p1"), ("Müller", "MÜLLER"), ("M\u00fcller", "Mu\u0308ller"), ("Weiß", "WEISS"), ("P1", "P\u200b1"),
        ("P1", "P 1"), ("P 1", "P\u00a01"), ("P1", "P１"), ("P-1", "P\u20131"), ("P1", "P\u00ad1"), ("ﬁn", "fin"),
        ("P1", "P\ufeff1"), ("P\u22121", "P-1"), ("\u0420\u04211", "PC1"), ("\u0391\u03921", "ab1"),
    ],
)  # fmt: skip
def test_ids_that_look_alike_are_one(one, other):
    (problem,) = alike_ids("patient_id", [(2, one), (3, one), (4, other), (5, other)])
    assert problem.startswith("row 4, patient_id: differs from that of row 2 only in upper and lower case, blanks")
    assert alike_ids("tumour_id", [(2, one), (4, other)])


@pytest.mark.parametrize(("one", "other"), [("007", "7"), ("P1", "P11"), ("P-1", "P1"), ("P_1", "P-1"), ("P1.0", "P1")])
def test_other_ids_are_two(one, other):
    assert alike_ids("patient_id", [(2, one), (3, other)]) == []


def test_a_patient_has_many_rows_and_a_tumour_one():
    assert alike_ids("patient_id", [(2, "P1"), (3, "P1")]) == []
    assert alike_ids("tumour_id", [(2, "T1"), (3, "T1"), (4, "T1")]) == [
        "row 3, tumour_id: the same as in row 2",
        "row 4, tumour_id: the same as in row 2",
    ]
