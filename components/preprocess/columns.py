"""The columns of a cohort table and what their cells may hold: one reading or none, never a guess.

A cell's text reaches its column without blanks around it. What a spreadsheet program made of a value (a date, an error,
a rounded number) is refused in words that say so, and never by the text itself, which may be a patient's.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from components.preprocess.recist import RESPONSES

#: Words that people and programs write into an empty cell. Names of tumours, patients and structures may be like them.
MISSING_WORDS = frozenset(
    {"na", "n/a", "n.a.", "nan", "n.d.", "nd", "none", "null", "nil", "unknown", "unk", "missing"}
    | {"not available", "not known", "not done", "-", "--", "–", "—", "?", "."}
)

#: Months as spreadsheet programs write them in English, German, French, Italian and Spanish.
_MONTH = (
    "(?:jan|feb|mar|mär|mrz|apr|avr|abr|may|mai|mag|jun|giu|jul|lug|aug|aou|aoû|ago|sep|set|oct|okt|ott|nov|dec|dez|dic"
    r"|déc)\w*"
)
#: 12.03.2021 and 2021-03-12, with or without a time; 3/12; 12. Mar, 12-Mar-21; Mar-12.
_DATE = (
    r"\d{1,4}([-./])\d{1,2}\1\d{1,4}\b.*|\d{1,2}/\d{1,4}"
    rf"|\d{{1,4}}[-. ]*{_MONTH}\W*\d*|{_MONTH}\W*\d+"
)
_GROUPED = r"[+-]?\d{1,3}([.,\s'’]\d{3})+([.,]\d+)?"
_EXPONENT = r"[+-]?\d+([.,]\d*)?e[+-]?\d+"
#: Why a text is no number, by the first form that it has.
_NO_NUMBER = (
    (_DATE, "it is a date, or a spreadsheet made it one: format the column as a number and type it anew"),
    (_GROUPED, "leave out what separates thousands, and write a decimal point"),
    (_EXPONENT, "write it without an exponent"),
)
#: A number as it is read: ASCII digits, and a decimal point or comma.
_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)")
#: One that may also be a whole number with a sign between thousands.
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_MINUS = str.maketrans("−–", "--")

#: A formula, or what spreadsheet programs of several languages show for a failed one.
_SPREADSHEET_ERROR = re.compile(r"=.*|#[¡¿]?[^\W\d_]+(/0)?[!?]|#N/[ADV]|#NV|#+|Err:\d+", re.IGNORECASE | re.DOTALL)
#: A long number as spreadsheet programs shorten it: several patients' may become the same.
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """What a column's cells hold.

    Parameters
    ----------
    parse
        The value of a text that is not empty; ``ValueError`` says what is wrong with it, without the text.
    required
        Whether the table must have the column.
    empty
        The value of an empty cell.
    may_be_empty
        Whether there may be one.
    is_name
        Whether any word may be a name here, also one that elsewhere means a missing value.
    """

    parse: Callable[[str], Any]
    required: bool = True
    empty: Any = None
    may_be_empty: bool = True
    is_name: bool = False

    def read(self, text: str) -> Any:
        """The value of a cell; ``ValueError`` says what is wrong with it, without its text."""
        if not text:
            if not self.may_be_empty:
                raise ValueError("empty")
            return self.empty
        if _SPREADSHEET_ERROR.fullmatch(text):
            raise ValueError("a formula, or a spreadsheet's error: type the value itself")
        if not self.is_name and text.casefold() in MISSING_WORDS:
            remedy = "leave the cell empty" if self.may_be_empty else "this column needs a value"
            raise ValueError(f"a word for a missing value: {remedy}")
        return self.parse(text)


def _name(text: str) -> str:
    """A name of the user's own, in composed Unicode, so that one typed on a Mac and on Windows is one."""
    if _SHORTENED.fullmatch(text):
        raise ValueError("a long number that a spreadsheet has shortened: format the column as text and type it anew")
    return unicodedata.normalize("NFC", text)


def _text(text: str) -> str:
    """A text to be compared with DICOM or with names of folders, which may be in any Unicode form."""
    _name(text)
    return text


def _one_of(*values: str) -> Callable[[str], str]:
    known = {value.casefold(): value for value in values}

    def parse(text: str) -> str:
        if text.casefold() not in known:
            raise ValueError(f"not one of {', '.join(values)}")
        return known[text.casefold()]

    return parse


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[str], float]:
    kind = "a whole number" if whole else "a number"

    def fits(value: float) -> bool:
        return low <= value <= high and not (whole and value != round(value))

    def parse(text: str) -> float:
        plain = text.translate(_MINUS)
        if not _NUMBER.fullmatch(plain):
            raise ValueError(f"not {kind}: {_why_no_number(plain)}")
        if _THOUSANDS.fullmatch(plain) and fits(float(re.sub("[.,]", "", plain))):
            raise ValueError(f"not {kind} that reads in one way: thousands, or three decimals? Write digits alone")
        value = float(plain.replace(",", "."))
        if not fits(value):
            raise ValueError(f"not {kind} from {low:g} to {high:g}")
        return int(value) if whole else value

    return parse


def _why_no_number(text: str) -> str:
    otherwise = "write digits from 0 to 9 alone, without a unit, a blank or a sign before it"
    return next((reason for form, reason in _NO_NUMBER if re.fullmatch(form, text, re.IGNORECASE)), otherwise)


#: Yes and no, and what people and spreadsheet programs write for them in English. Not 1 and 0: beside a code book of
#: 0 and 1 there is the one of 1 (yes) and 2 (no), and a table does not say which is meant.
_YES_NO_WORDS = {"yes": "yes", "y": "yes", "true": "yes", "no": "no", "n": "no", "false": "no"}


def _yes_no(text: str) -> str:
    if text.casefold() not in _YES_NO_WORDS:
        raise ValueError("not one of yes, no")
    return _YES_NO_WORDS[text.casefold()]


def _yes(text: str) -> bool:
    return _yes_no(text) == "yes"


_DIAMETER = Column(_number(0, 1000), required=False)
_BASELINE = Column(_number(0.1, 1000), required=False)

#: What each column holds; the order is that of the problems reported.
COLUMNS: Mapping[str, Column] = {
    "tumour_id": Column(_name, may_be_empty=False, is_name=True),
    "patient_id": Column(_name, may_be_empty=False, is_name=True),
    "dicom": Column(_text, may_be_empty=False, is_name=True),
    "roi": Column(_text, empty="", is_name=True),
    "rtstruct_uid": Column(_text, required=False, empty=""),
    "response": Column(_one_of(*RESPONSES)),
    "baseline_diameter_mm": _BASELINE,
    "follow_up_diameter_mm": _DIAMETER,
    "nadir_diameter_mm": _DIAMETER,
    "follow_up_days": Column(_number(0, 36500, whole=True)),
    "primary_brain_cancer": Column(_yes, may_be_empty=False),
    "whole_brain_radiotherapy": Column(_yes, may_be_empty=False),
    "n_brain_metastases": Column(_number(1, 1000, whole=True), may_be_empty=False),
    "skull_infiltration": Column(_yes, may_be_empty=False),
    "longest_diameter_mm": _BASELINE,
    "primary_site": Column(_one_of("lung", "breast", "rectum", "stomach", "kidney", "other")),
    "location": Column(_one_of("cerebrum", "cerebellum", "brain_stem")),
    "age": Column(_number(0, 130)),
    "sex": Column(_one_of("male", "female")),
    "kps": Column(_number(0, 100)),
    "primary_controlled": Column(_yes_no),
    "extracranial_metastases": Column(_yes_no),
    "systemic_therapy": Column(_yes_no),
    "total_dose_gy": Column(_number(0.1, 1000)),
    "fractions": Column(_number(1, 100, whole=True)),
    "device": Column(_one_of("cyberknife", "linac")),
    "synthetic": Column(_yes, required=False, empty=False),
}
