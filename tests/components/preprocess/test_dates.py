import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.dates import date_of, dates_in, time_of, times_in

FORMS = (
    "%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y_%m_%d", "%d.%m.%Y", "%d. %m. %Y", "%d/%m/%Y", "%m/%d/%Y",
    "%d-%m-%Y",
    "%d.%m.%y", "%m/%d/%y", "%y-%m-%d", "%y%m%d", "%d%m%y", "%d%m%Y", "%m%d%Y", "%d %m %Y", "%d %b %Y", "%d-%b-%y",
    "%d%b%Y", "%B %d, %Y", "%b %d %y", "%Y %b %d", "%A, %d %B %Y", "%c", "%Y%m%d101112.500000+0100",
    "%Y-%m-%dT10:11:12Z",
)  # fmt: skip


@given(
    st.dates(datetime.date(1901, 1, 1), datetime.date(2099, 12, 31)),
    st.sampled_from(FORMS),
    st.sampled_from(["", "at ", "("]),
)
def test_a_date_is_found_in_every_usual_form(date, form, before):
    if "%y" in form:
        date = date.replace(year=date.year % 100 + (1900 if date.year < 2000 else 2000))
    assert f"{date:%Y%m%d}" in dates_in(f"{before}{date.strftime(form)}.".casefold())


@pytest.mark.parametrize(
    "text",
    [
        "2. januar 2025", "2 janvier 2025", "2 de enero de 2025", "2 gennaio 2025", "2 stycznia 2025", "2 ocak 2025",
        "2. ledna 2025", "2 января 2025", "2. tammikuuta 2025", "2025:01:02 10:11", "date(2025, 1, 2)",
        "jan. 2nd, 2025",
        "2nd of january 2025", "2025년 1월 2일", "2025年1月2日", "02/01/2025", "01/02/2025", "2.1.25", "2025-jan-02",
        "d:20250102090807", "2-i-2025", "2. i. 25", "令和7年1月2日",
    ],
)  # fmt: skip
def test_a_date_is_found_in_other_languages_and_orders(text):
    assert "20250102" in dates_in(text)


def test_irregular_months_and_japanese_eras_are_found():
    assert "19600304" in dates_in("den 4. marts 1960") & dates_in("昭和35年3月4日") & dates_in("4.iii.1960")
    assert "20191231" in dates_in("31. desember 2019") & dates_in("令和元年12月31日") & dates_in("31 xii 2019")


@given(st.floats(-1e6, 1e6), st.floats(0, 1e-3))
def test_the_digits_of_a_decimal_number_are_not_a_date(number, small):
    assert not dates_in(f"{number!r} {small!r}")


@pytest.mark.parametrize(
    "text", ["29.20250102565705278", "9120250102", "20250102123", "version 3.11.7", "20251302", "12 of 34 tumours"]
)
def test_other_digits_are_not_a_date(text):
    assert "20250102" not in dates_in(text)


def test_values_of_dicom():
    assert date_of("20250102") == date_of("2025.01.02") == date_of("20250102101112.123456+0100") == "20250102"
    assert not any(map(date_of, ["2025", "20251302", "12345678", "18.0", "7781234"]))
    assert time_of("101530") == time_of("10:15:30") == time_of("101530.25") == "101530"
    assert not any(map(time_of, ["10", "1015", "000000", "250000", "106100"]))
    assert times_in("at 10:15:30.25, T111530Z and 121530") == {"101530", "111530", "121530"}
