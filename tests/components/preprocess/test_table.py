import csv
import io
from pathlib import Path

import pytest

from components.common.errors import MOST_PROBLEMS, InputError
from components.common.store.memory import MemoryStore
from components.preprocess.columns import COLUMNS
from components.preprocess.table import parse_table
from tests.components.preprocess.cohort_rows import GOOD, good, lines_of, read_bytes, refusal_of, written


def table(*rows, columns=None, delimiter=",", encoding="utf-8"):
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns or list(rows[0]), delimiter=delimiter, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return MemoryStore({"cohort.csv": buffer.getvalue().encode(encoding)})


def read(*rows, **options):
    source = table(*rows, **options)
    return parse_table(source.read("cohort.csv"), source)


def refusal(*rows, **options):
    with pytest.raises(InputError) as caught:
        read(*rows, **options)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_row_is_typed():
    (row,) = read(GOOD)
    assert (row.number, row.response, row.n_brain_metastases, row.age, row.skull_infiltration) == (
        2,
        "PR",
        1,
        61,
        False,
    )
    assert (row.systemic_therapy, row.longest_diameter_mm, row.rtstruct_uid, row.synthetic) == (None, None, "", False)


def test_unknown_columns_are_dropped_and_case_does_not_matter():
    (row,) = read({**GOOD, "Name": "Brunhilde", "sex": "Male", "response": "pd"})
    assert (row.sex, row.response) == ("male", "PD")


def test_missing_columns_are_named_all_at_once():
    error = refusal({key: GOOD[key] for key in ("tumour_id", "patient_id")})
    assert error.code == "COLUMNS_MISSING"
    for name, column in COLUMNS.items():
        if column.required and name not in ("tumour_id", "patient_id"):
            assert f"- {name}" in error.safe_message


def test_diameters_may_replace_the_response():
    columns = [key for key in GOOD if key != "response"]
    rest = {key: GOOD[key] for key in columns}
    (row,) = read({**rest, "baseline_diameter_mm": "20", "follow_up_diameter_mm": "26"})
    assert (row.response, row.outcome) == (None, "PD")
    (row,) = read({**rest, "baseline_diameter_mm": "20", "follow_up_diameter_mm": "17", "nadir_diameter_mm": "11"})
    assert row.outcome == "PD"
    (row,) = read({**rest, "baseline_diameter_mm": "20", "follow_up_diameter_mm": "0"})
    assert row.outcome == "CR"
    assert "response (or" in refusal(rest).safe_message


def test_bad_values_are_named_by_row_and_column_without_the_value():
    bad = {**GOOD, "tumour_id": "t2", "roi": "GTV2", "response": "Lindqvist", "age": "SECRET", "fractions": "2.5"}
    error = refusal(GOOD, bad)
    assert error.code == "COHORT_INVALID"
    assert "row 3, response: not one of CR, PR, SD, PD" in error.safe_message
    assert "row 3, age: not a number" in error.safe_message
    assert "row 3, fractions: not a whole number" in error.safe_message
    assert "Lindqvist" not in str(error)
    assert "SECRET" not in str(error)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tumour_id", ""), ("patient_id", ""), ("dicom", ""), ("n_brain_metastases", ""), ("primary_brain_cancer", ""),
        ("skull_infiltration", "maybe"), ("follow_up_days", "-3"), ("age", "nan"), ("age", "inf"), ("kps", "101"),
        ("total_dose_gy", "0"), ("fractions", "0"), ("device", "gamma"), ("location", "spine"), ("primary_site", "x"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_used_are_refused(column, value):
    assert f"row 2, {column}: " in refusal({**GOOD, column: value}).safe_message


def test_covariates_may_be_empty():
    empty = dict.fromkeys(list(GOOD)[10:], "")
    (row,) = read({**GOOD, **empty})
    assert (row.age, row.device, row.fractions, row.sex) == (None, None, None, None)


def test_contradictions_between_rows():
    again = {**GOOD, "roi": "GTV2"}
    assert "row 3, tumour_id: the same as in row 2" in refusal(GOOD, again).safe_message
    other_patient = {**again, "tumour_id": "t2", "patient_id": "p2"}
    assert "row 3, patient_id: not that of row 2" in refusal(GOOD, other_patient).safe_message
    same_gtv = {**GOOD, "tumour_id": "t2"}
    assert "row 3, roi: the same structure as in row 2" in refusal(GOOD, same_gtv).safe_message


LATER = {**GOOD, "follow_up_days": "60", "later_response": "PD", "later_follow_up_days": "200"}


def test_optional_columns_of_a_row():
    more = {"centre": "St Elsewhere", "pseudoprogression": "No", "systemic_therapy": "yes"}
    (row,) = read({**LATER, **more, "systemic_therapy_kind": "Targeted"})
    assert (row.centre, row.pseudoprogression, row.systemic_therapy_kind) == ("St Elsewhere", "no", "targeted")
    assert (row.later_response, row.later_follow_up_days) == ("PD", 200)
    (row,) = read(GOOD)
    assert (row.centre, row.pseudoprogression, row.systemic_therapy_kind) == (None, None, None)
    assert (row.later_response, row.later_follow_up_days) == (None, None)


@pytest.mark.parametrize("days", ["60", "59"])
def test_a_later_follow_up_that_is_not_later_is_refused(days):
    problem = "row 2, later_follow_up_days: not above follow_up_days"
    assert problem in refusal({**LATER, "later_follow_up_days": days}).safe_message


@pytest.mark.parametrize("empty", ["later_response", "later_follow_up_days", "follow_up_days"])
def test_a_later_follow_up_may_be_known_in_part(empty):
    assert len(read({**LATER, empty: ""})) == 1


@pytest.mark.parametrize("later", ["", "CR", "PR"])
def test_pseudoprogression_of_a_lesion_that_only_shrank_is_refused(later):
    row = {**LATER, "pseudoprogression": "yes", "response": "PR", "later_response": later}
    assert "row 2, pseudoprogression: yes, but the lesion has only shrunk" in refusal(row).safe_message
    diameters = {"response": "", "baseline_diameter_mm": "20", "follow_up_diameter_mm": "9"}
    assert "row 2, pseudoprogression: yes" in refusal({**row, **diameters}).safe_message


@pytest.mark.parametrize(
    ("response", "later", "judged"),
    [
        ("PD", "", "yes"), ("PD", "PR", "yes"), ("SD", "", "yes"), ("PR", "PD", "yes"), ("CR", "SD", "yes"),
        ("PR", "", "no"),
    ],
)  # fmt: skip
def test_growth_may_be_judged_pseudoprogression(response, later, judged):
    (row,) = read({**LATER, "response": response, "later_response": later, "pseudoprogression": judged})
    assert row.pseudoprogression == judged


@pytest.mark.parametrize(
    ("therapy", "kind", "expected"),
    [
        ("no", "targeted", "systemic_therapy is no: write yes there"), ("yes", "none", "is yes: write no there"),
        ("", "none", "is empty: write no there"), ("", "several", "is empty: write yes there"),
    ],
)  # fmt: skip
def test_a_kind_of_systemic_therapy_that_contradicts_its_yes_or_no_is_refused(therapy, kind, expected):
    row = {**GOOD, "systemic_therapy": therapy, "systemic_therapy_kind": kind}
    message = refusal(row).safe_message
    assert "row 2, systemic_therapy_kind: " in message
    assert expected in message


@pytest.mark.parametrize(("therapy", "kind"), [("yes", "chemotherapy"), ("no", "none"), ("yes", ""), ("", "")])
def test_a_kind_of_systemic_therapy_that_agrees_is_read(therapy, kind):
    (row,) = read({**GOOD, "systemic_therapy": therapy, "systemic_therapy_kind": kind})
    assert row.systemic_therapy_kind == (kind or None)


def test_bad_values_are_not_reported_as_contradictions_too():
    more = {"pseudoprogression": "yes", "systemic_therapy_kind": "none"}
    bad = {**LATER, **more, "follow_up_days": "x", "systemic_therapy": "x"}
    lines = refusal(bad).safe_message.split("\n  - ")[1:]
    assert [line.split(":")[0] for line in lines] == ["row 2, follow_up_days", "row 2, systemic_therapy"]


def at(number, centre, patient="p1"):
    names = {"tumour_id": f"t{number}", "patient_id": patient, "dicom": patient, "roi": f"GTV{number}"}
    return {**GOOD, **names, "centre": centre}


def test_a_patient_of_two_centres_is_refused_by_row():
    message = refusal(at(1, "north"), at(2, ""), at(3, "south")).safe_message
    assert "row 4, centre: not that of row 2, which is of the same patient" in message
    assert "north" not in message
    assert len(read(at(1, "north"), at(2, ""), at(3, "north"), at(4, "south", "p2"))) == 4


@pytest.mark.parametrize("other", ["NORTH", "nor\u200bth", "ΝORTH"])
def test_one_centre_under_two_spellings_is_refused(other):
    message = refusal(at(1, "north"), at(2, other, "p2")).safe_message
    assert "row 3, centre: differs from that of row 2 only in upper and lower case" in message


def test_a_response_that_contradicts_the_diameters_is_refused():
    grown = {**GOOD, "response": "CR", "baseline_diameter_mm": "18", "follow_up_diameter_mm": "30"}
    message = refusal(grown).safe_message
    assert "row 2, response: baseline_diameter_mm and follow_up_diameter_mm give PD by RECIST 1.1" in message
    (row,) = read({**grown, "response": "PD"})
    assert row.outcome == "PD"
    assert "row 2, nadir_diameter_mm: above" in refusal({**grown, "nadir_diameter_mm": "18.5"}).safe_message
    (row,) = read({**GOOD, "response": "CR", "follow_up_days": ""})
    assert row.follow_up_days is None


def test_unreadable_diameters_are_not_reported_as_a_contradiction():
    error = refusal({**GOOD, "response": "CR", "baseline_diameter_mm": "18 mm", "follow_up_diameter_mm": "30"})
    assert error.safe_message.count("\n") == 1


def test_all_problems_of_a_table_are_named_at_once():
    bad = {
        **GOOD,
        "patient_id": "P1",
        "dicom": "",
        "age": "x",
        "baseline_diameter_mm": "18",
        "follow_up_diameter_mm": "30",
    }
    error = refusal(GOOD, bad, {**GOOD, "tumour_id": "T1 ", "dicom": "other", "patient_id": "p3"}, columns=list(bad))
    assert [line.split(":")[0] for line in error.safe_message.split("\n  - ")[1:]] == [
        "row 3, dicom", "row 3, age", "row 3, response", "row 3, tumour_id", "row 4, tumour_id", "row 3, patient_id",
    ]  # fmt: skip


@pytest.mark.parametrize("other", ["P1", "p\u200b1", "p 1"])
def test_one_patient_under_two_spellings_is_refused(other):
    rows = (GOOD, {**GOOD, "tumour_id": "t2", "patient_id": other, "dicom": "elsewhere"})
    assert "row 3, patient_id: differs from that of row 2 only in upper and lower case" in refusal(*rows).safe_message


def test_ids_keep_leading_zeros_but_not_surrounding_blanks():
    rows = [{**GOOD, "tumour_id": one, "patient_id": one, "dicom": one} for one in ("007", "7", " 07\u00a0")]
    assert [row.patient_id for row in read(*rows)] == ["007", "7", "07"]


def test_rows_are_counted_as_in_the_file():
    data = table(GOOD, {**GOOD, "tumour_id": "t2", "roi": "GTV2", "age": "x"}).read("cohort.csv").decode()
    lines = data.splitlines()
    spaced = "\n".join([lines[0], lines[1], "", lines[2], ""])
    with pytest.raises(InputError) as caught:
        read_bytes(spaced.encode())
    assert "row 4, age" in caught.value.safe_message


def test_semicolons_and_a_byte_order_mark_are_read():
    assert len(read(GOOD, delimiter=";", encoding="utf-8-sig")) == 1


def test_files_that_are_not_tables_are_refused():
    for data, code in ((b"", "COLUMNS_MISSING"), (b"\xff\xfe\x00\xd8", "COHORT_UNREADABLE")):
        with pytest.raises(InputError) as caught:
            read_bytes(data)
        assert caught.value.code == code
    assert refusal(columns=list(GOOD)).code == "COHORT_EMPTY"
    assert refusal(GOOD, columns=[*GOOD, "age"]).code == "COLUMNS_DOUBLED"


def test_many_problems_are_listed_as_the_documentation_says():
    bad = [good(number, age="old") for number in range(MOST_PROBLEMS + 51)]
    message = refusal_of(written(lines_of(*bad)).encode()).safe_message
    assert message.count("\n  - row ") == MOST_PROBLEMS
    assert message.endswith("... and 51 more")
    page = (Path(__file__).parents[3] / "docs" / "data-scientist.md").read_text()
    assert f"the first {MOST_PROBLEMS}, and how many more there are" in page
