"""The columns of a cohort table and the values of their cells: a text is read in one way or refused, never guessed.

A cell's text arrives here without surrounding blanks. A value that a spreadsheet program has changed (to a date, an
error, a rounded number) is refused with an explanation. Messages never quote the text, which may identify a patient.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from components.preprocess.recist import RESPONSES

#: Words that people and programs write into an empty cell. Names of tumours, patients and structures may equal them.
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
#: Reason why a text is not a number, by the first pattern that it matches.
_NO_NUMBER = (
    (
        _DATE,
        "it is a date, or a spreadsheet turned it into one: format the column as a number and enter the value again",
    ),
    (_GROUPED, "leave out the thousands separator, and write a decimal point"),
    (_EXPONENT, "write it without an exponent"),
)
#: A valid number: ASCII digits, and a decimal point or comma.
_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)")
#: A number that may also be a whole number with a thousands separator.
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_MINUS = str.maketrans("−–", "--")

#: A formula, or the error that spreadsheet programs of several languages show for a failed one.
_SPREADSHEET_ERROR = re.compile(r"=.*|#[¡¿]?[^\W\d_]+(/0)?[!?]|#N/[ADV]|#NV|#+|Err:\d+", re.IGNORECASE | re.DOTALL)
#: A long number shortened by a spreadsheet program: the numbers of several patients may become equal.
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """The type of a column's cells.

    Parameters
    ----------
    parse
        Converts a text that is not empty; raises ``ValueError`` with the reason, without the text.
    required
        Whether the table must have the column.
    empty
        The value of an empty cell.
    may_be_empty
        Whether a cell may be empty.
    is_name
        Whether the cells are names, which may equal a word that elsewhere means a missing value.
    own_words
        Words, in lower case, that elsewhere mean a missing value but are values of this column.
    """

    parse: Callable[[str], Any]
    required: bool = True
    empty: Any = None
    may_be_empty: bool = True
    is_name: bool = False
    own_words: frozenset[str] = frozenset()

    def read(self, text: str) -> Any:
        """The value of a cell; raises ``ValueError`` with the reason, without its text."""
        if not text:
            if not self.may_be_empty:
                raise ValueError("empty")
            return self.empty
        if _SPREADSHEET_ERROR.fullmatch(text):
            raise ValueError("a formula, or an error of a spreadsheet: enter the value itself")
        if not self.is_name and text.casefold() in MISSING_WORDS - self.own_words:
            remedy = "leave the cell empty" if self.may_be_empty else "this column needs a value"
            raise ValueError(f"a word for a missing value: {remedy}")
        return self.parse(text)


def _name(text: str) -> str:
    """A name in composed Unicode, so that a name typed on macOS equals the same name typed on Windows."""
    if _SHORTENED.fullmatch(text):
        raise ValueError("a long number that a spreadsheet has shortened: format the column as text and enter it again")
    return unicodedata.normalize("NFC", text)


def _text(text: str) -> str:
    """A text for comparison with DICOM or with names of folders, kept in its own Unicode form."""
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
            raise ValueError(
                f"not {kind} that can be read in only one way (thousands, or three decimals?): write only digits"
            )
        value = float(plain.replace(",", "."))
        if not fits(value):
            raise ValueError(f"not {kind} from {low:g} to {high:g}")
        return int(value) if whole else value

    return parse


def _why_no_number(text: str) -> str:
    otherwise = "write only digits from 0 to 9, without a unit, a blank or a sign before them"
    return next((reason for form, reason in _NO_NUMBER if re.fullmatch(form, text, re.IGNORECASE)), otherwise)


#: English words for yes and no. Not 1 and 0: some code books use 1 (yes) and 0 (no), others 1 (yes) and 2 (no), and a
#: table does not say which one it follows.
_YES_NO_WORDS = {"yes": "yes", "y": "yes", "true": "yes", "no": "no", "n": "no", "false": "no"}


def _yes_no(text: str) -> str:
    if text.casefold() not in _YES_NO_WORDS:
        raise ValueError("not one of yes, no")
    return _YES_NO_WORDS[text.casefold()]


def _yes(text: str) -> bool:
    return _yes_no(text) == "yes"


#: Kinds of systemic therapy; ``several`` where a patient received more than one kind.
THERAPY_KINDS = ("none", "chemotherapy", "targeted", "immunotherapy", "endocrine", "several", "other")

_DIAMETER = Column(_number(0, 1000), required=False)
_BASELINE = Column(_number(0.1, 1000), required=False)

#: All columns, in the order in which problems are reported.
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
    "centre": Column(_name, required=False),
    "pseudoprogression": Column(_yes_no, required=False),
    "later_response": Column(_one_of(*RESPONSES), required=False),
    "later_follow_up_days": Column(_number(1, 36500, whole=True), required=False),
    "systemic_therapy_kind": Column(_one_of(*THERAPY_KINDS), required=False, own_words=frozenset({"none"})),
    "synthetic": Column(_yes, required=False, empty=False),
}
