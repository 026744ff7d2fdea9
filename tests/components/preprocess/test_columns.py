"""A cell is read in one way or refused: numbers, words for yes and no, and values changed by a spreadsheet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.columns import COLUMNS, MISSING_WORDS

TEXTS = {"tumour_id", "patient_id", "dicom", "roi"}


def refusal(column, text):
    with pytest.raises(ValueError, match=r".") as caught:
        COLUMNS[column].read(text)
    assert text not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("61", 61), ("61.5", 61.5), ("61,5", 61.5), ("061", 61), ("+61", 61), (".5", 0.5), ("61.", 61),
        ("61,25", 61.25), ("18,634", 18.634), ("18.634", 18.634), ("0,500", 0.5), ("61.0000", 61),
    ],
)  # fmt: skip
def test_unambiguous_numbers_are_read(text, value):
    assert COLUMNS["age"].read(text) == value


@pytest.mark.parametrize(("text", "value"), [("60", 60), ("60.0", 60), ("60,0", 60), ("60.000", 60)])
def test_whole_numbers_written_with_decimals_are_read(text, value):
    found = COLUMNS["follow_up_days"].read(text)
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize(
    "text",
    [
        "inf", "-inf", "infinity", "1e1", "1E+01", "6_1", "６１", "٦١", "0x3d", "6 1", "6\u00a01", "61 years", ">61",
        "~61", "61%", "61..5", "6,1,5", "--61", "+-61", "½", "²", "61:00", "1/2", "(61)", "'61",
    ],
)  # fmt: skip
def test_numbers_that_only_python_accepts_are_refused(text):
    assert refusal("age", text).startswith("not a number")


@pytest.mark.parametrize("text", ["-3", "−3", "131", "0131"])
def test_the_error_for_a_number_out_of_range_gives_the_range(text):
    assert refusal("age", text) == "not a number from 0 to 130"


@pytest.mark.parametrize("text", ["1.234,5", "1,234.5", "1 234", "1\u202f234", "1'234,5", "1’234", "1.234.567"])
def test_the_error_for_a_thousands_separator_names_it(text):
    assert "thousands" in refusal("follow_up_days", text)


@pytest.mark.parametrize("text", ["1,234", "1.234", "1,000", "30.000"])
def test_a_number_with_thousands_or_decimals_is_refused_where_both_are_in_range(text):
    assert "thousands, or three decimals" in refusal("follow_up_days", text)


@pytest.mark.parametrize(
    "text",
    [
        "12.Mar", "12. Mär", "12-Mar", "12-Mar-21", "Mar-12", "Mrz 21", "Dez 21", "03/12/2021", "2021-03-12",
        "12.03.21", "12.03.2021 00:00", "3/12",
    ],
)  # fmt: skip
def test_the_error_for_a_number_turned_into_a_date_names_the_date(text):
    for column in ("age", "follow_up_days", "total_dose_gy"):
        assert "date" in refusal(column, text)


@pytest.mark.parametrize(
    "text",
    [
        "=A1", '="007"', "=SUM(A1:\nA3)", "#REF!", "#N/A", "#NAME?", "#DIV/0!", "#VALUE!", "#WERT!", "#BEZUG!", "#NV",
        "#¡VALOR!", "####", "Err:502",
    ],
)  # fmt: skip
def test_errors_and_formulas_of_spreadsheets_are_refused_in_every_column(text):
    for column in COLUMNS:
        assert "spreadsheet" in refusal(column, text)


@pytest.mark.parametrize("column", ["tumour_id", "patient_id", "dicom", "roi", "rtstruct_uid"])
@pytest.mark.parametrize("text", ["1.23457E+11", "1,2E+15", "5E+10"])
def test_numbers_shortened_by_a_spreadsheet_are_refused_as_ids(column, text):
    assert "shortened" in refusal(column, text)


@pytest.mark.parametrize("column", sorted(COLUMNS))
@pytest.mark.parametrize("word", sorted(MISSING_WORDS))
def test_words_for_missing_values_are_refused_unless_they_may_be_names(column, word):
    if word in COLUMNS[column].own_words:
        assert COLUMNS[column].read(word.upper()) == word
    elif column in TEXTS:
        assert COLUMNS[column].read(word.upper()) == word.upper()
    else:
        remedy = "leave the cell empty" if COLUMNS[column].may_be_empty else "needs a value"
        assert remedy in refusal(column, word.upper())


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("Y", True), ("TRUE", True), ("No", False), ("n", False), ("false", False)]
)
def test_yes_and_no(text, value):
    assert COLUMNS["skull_infiltration"].read(text) is value
    assert COLUMNS["systemic_therapy"].read(text) == ("yes" if value else "no")


@pytest.mark.parametrize("text", ["1", "0", "ja", "nein", "oui", "WAHR", "x", "t", "f", "j", "yes, partly", "+"])
def test_other_words_for_yes_and_no_are_refused_with_those_allowed(text):
    for column in ("skull_infiltration", "primary_controlled", "synthetic"):
        with pytest.raises(ValueError, match="not one of yes, no"):
            COLUMNS[column].read(text)


def test_centres_are_names_in_composed_unicode_but_a_word_for_a_missing_value_is_no_centre():
    assert COLUMNS["centre"].read("Ko\u0308ln 2") == "Köln 2"
    assert "leave the cell empty" in refusal("centre", "unknown")
    assert "shortened" in refusal("centre", "1.2E+11")


@pytest.mark.parametrize("text", ["0", "-5", "36501", "90.5"])
def test_a_later_follow_up_lies_after_the_day_of_srs(text):
    with pytest.raises(ValueError, match="not a whole number from 1 to 36500"):
        COLUMNS["later_follow_up_days"].read(text)


@pytest.mark.parametrize("text", ["007", "#7", "7", "0", "GTV=1", "#T1", "a=b", "1E5x", "12-Mar", "P1?"])
def test_names_are_not_changed(text):
    for column in TEXTS:
        assert COLUMNS[column].read(text) == text


def test_ids_are_normalised_to_composed_unicode():
    assert COLUMNS["patient_id"].read("Mu\u0308ller") == "Müller"


@given(st.text(max_size=8))
def test_a_number_is_the_one_written_in_plain_digits(text):
    """For any text: if it is accepted, its value is that of its digits with a decimal point."""
    try:
        value = COLUMNS["total_dose_gy"].read(text)
    except ValueError:
        return
    plain = text.replace("−", "-").replace("–", "-").replace(",", ".")
    assert (value is None) == (text == "")
    assert text == "" or (plain.isascii() and set(plain) <= set("+-.0123456789") and value == float(plain))
