"""Finds dates and times in texts, as people and DICOM write them, and returns ``yyyymmdd`` or ``hhmmss``.

Everything in a text that looks like a date is read in every order of day and month in which it may be meant: 03/04/2014
is both the 3rd of April and the 4th of March.
"""

import datetime
import functools
import itertools
import re
from collections.abc import Iterator

#: Months in English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish, Norwegian, Polish, Czech,
#: Russian, Finnish, Hungarian, Romanian and Turkish, without accents, in the forms that dates use.
_MONTHS = (
    "january januar janvier enero gennaio janeiro januari stycznia styczen jaenner janner ocak"
    " ianuarie tammikuuta ledna января январь",
    "february februar fevrier febrero febbraio fevereiro februari lutego luty feber subat"
    " februarie helmikuuta unora февраля февраль",
    "march marz maerz mars marzo marco maart marts mrt marca marzec mart martie maaliskuuta brezna marcius марта март",
    "april avril abril aprile kwietnia kwiecien nisan aprilie huhtikuuta dubna aprilis апреля апрель",
    "may mai mayo maggio maio mei maj maja mayis toukokuuta kvetna majus мая маи",
    "june juni juin junio giugno junho jun czerwca czerwiec haziran iunie kesakuuta cervna junius июня июнь",
    "july juli juillet julio luglio julho jul lipca lipiec temmuz iulie heinakuuta cervence julius июля июль",
    "august aout agosto augustus augusti sierpnia sierpien agustos elokuuta srpna augusztus августа август",
    "september septembre septiembre settembre setembro wrzesnia wrzesien eylul"
    " septembrie syyskuuta zari szeptember сентября сентябрь",
    "october oktober octobre octubre ottobre outubro pazdziernika pazdziernik ekim"
    " octombrie lokakuuta rijna октября октябрь",
    "november novembre noviembre novembro listopada listopad kasim noiembrie marraskuuta listopadu ноября ноябрь",
    "december dezember desember decembre diciembre dicembre dezembro grudnia grudzien aralik"
    " decembrie joulukuuta prosince декабря декабрь",
)
#: Months as Roman numerals, and the year before the first year of each Japanese era.
_ROMAN_MONTHS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_ERAS = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018}
_YEAR = r"((?:18|19|20)\d\d)"
_ANY_YEAR = r"(\d{4}|\d{2})(?!\d)"
_DAY = r"(\d{1,2})"
_GAP = r"[-./,_' ]*(?:(?:de|del|of) )?"
_MONTH = r"([^\W\d_]{3,})"
#: 8 digits, alone or followed by a time; digits of a longer number are not a date.
_COMPACT = re.compile(r"(?<!\d)(?<!\d\.)(\d{8})(?:\d{4}|\d{6})?(?!\d)")
_SHORT = re.compile(r"(?<![^\W_])(?<!\d\.)(\d{6})(?![^\W_])(?!\.\d)")
#: Forms with separators; they are look-aheads, so that every position of the text is tried.
_YEAR_FIRST = re.compile(rf"(?<!\d)(?={_YEAR} ?[-./_:, 年년] ?{_DAY} ?[-./_:, 月월] ?{_DAY}(?!\d))")
_YEAR_LAST = re.compile(rf"(?<!\d)(?={_DAY} ?([-./_]) ?{_DAY} ?\2 ?{_ANY_YEAR})")
_SPACED = re.compile(rf"(?<!\d)(?={_DAY} {_DAY} (\d{{4}})(?!\d))")
_DAY_MONTH = re.compile(rf"(?<!\d)(?={_DAY}(?:st|nd|rd|th|er|eme|\.)?{_GAP}{_MONTH}{_GAP}{_ANY_YEAR})")
_MONTH_DAY = re.compile(rf"(?<![^\W\d_])(?={_MONTH}[-./,_ ]*{_DAY}(?:st|nd|rd|th)?[-./,_' ]+{_ANY_YEAR})")
_CTIME = re.compile(rf"(?<![^\W\d_])(?={_MONTH} {{1,2}}{_DAY} \d\d:\d\d(?::\d\d)?(?: [a-z]+)? {_YEAR}(?!\d))")
_YEAR_MONTH = re.compile(rf"(?<!\d)(?={_YEAR}[-./,_ ]*{_MONTH}[-./,_ ]*{_DAY}(?!\d))")
_ROMAN = re.compile(rf"(?<!\d)(?={_DAY}[-./ ]{{1,2}}([ivx]{{1,4}})[-./ ]{{1,2}}{_ANY_YEAR})")
_ERA = re.compile(rf"({'|'.join(_ERAS)})(\d{{1,2}}|元)年{_DAY}月{_DAY}")
_TIME = re.compile(r"(?<!\d)(\d\d:\d\d:\d\d)(?!\d)|(?<![^\W_])[Tt]?(\d{6})(?:\.(?:\d{6}|\d{3}))?[Zz]?(?![^\W_])")
#: A DA or DT value (PS3.5 6.2), also with separators.
_VALUE = re.compile(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})(?:\d{2,6}(?:\.\d{1,6})?)?(?:[-+]\d{4})?")


def date_of(value: str) -> str:
    """``yyyymmdd`` of a whole DA or DT value, "" of anything else."""
    match = _VALUE.fullmatch(value)
    if not match or not "1850" <= match[1] <= "2100":
        return ""
    return next(_dates(*match.groups()[:3]), "")


def time_of(value: str) -> str:
    """``hhmmss`` of a whole TM value with seconds, "" of anything else, and of midnight, which software fills in."""
    match = re.fullmatch(r"(\d{2}):?(\d{2}):?(\d{2})(?:\.\d{1,6})?", value)
    time = "".join(match.groups()) if match else ""
    return time if time != "000000" and time[:2] < "24" and time[2:4] < "60" and time[4:] < "60" else ""


def dates_in(text: str) -> set[str]:
    """Every date that a text may mean.

    Parameters
    ----------
    text
        Lower-case, without accents.
    """
    if sum(map(str.isdigit, text)) < 3:
        return set()
    return {date for parts in _readings(text) for date in _dates(*parts)}


def times_in(text: str) -> set[str]:
    """Every time of day, with seconds, in a text."""
    found = {time_of(match[1] or match[2]) for match in _TIME.finditer(text)}
    return found - {""}


def _readings(text: str) -> Iterator[tuple[str, str, str]]:
    """Year, month and day of everything in a text that may be a date, in every possible order."""
    for match in _COMPACT.finditer(text):
        digits = match[1]
        yield digits[:4], digits[4:6], digits[6:]
        yield from _last(digits[:2], digits[2:4], digits[4:])
    for match in _SHORT.finditer(text):
        yield from _any_order(match[1][:2], match[1][2:4], match[1][4:])
    for match in _YEAR_FIRST.finditer(text):
        yield match[1], match[2], match[3]
    for match in _YEAR_LAST.finditer(text):
        yield from _any_order(match[1], match[3], match[4])
    for match in _SPACED.finditer(text):
        yield from _last(match[1], match[2], match[3])
    for match in _DAY_MONTH.finditer(text):
        yield from ((match[3], month, match[1]) for month in _months(match[2]))
    for match in itertools.chain(_MONTH_DAY.finditer(text), _CTIME.finditer(text)):
        yield from ((match[3], month, match[2]) for month in _months(match[1]))
    for match in _ROMAN.finditer(text):
        yield from ((match[3], str(n), match[1]) for n, roman in enumerate(_ROMAN_MONTHS, start=1) if roman == match[2])
    for match in _ERA.finditer(text):
        yield str(_ERAS[match[1]] + int(match[2].replace("元", "1"))), match[3], match[4]
    for match in _YEAR_MONTH.finditer(text):
        yield from ((match[1], month, match[3]) for month in _months(match[2]))


def _last(one: str, two: str, year: str) -> Iterator[tuple[str, str, str]]:
    yield year, one, two
    yield year, two, one


def _any_order(one: str, two: str, three: str) -> Iterator[tuple[str, str, str]]:
    yield from _last(one, two, three)
    if len(three) == 2:
        yield one, two, three


def _dates(year: str, month: str, day: str) -> Iterator[str]:
    """``yyyymmdd`` if the day exists; a year of two digits is read in both centuries."""
    for century in ("19", "20") if len(year) < 4 else ("",):
        try:
            yield f"{datetime.date(int(century + year.zfill(2)), int(month), int(day)):%Y%m%d}"
        except ValueError:
            continue


@functools.lru_cache(2**10)
def _months(word: str) -> tuple[str, ...]:
    """Numbers of the months whose names begin with a word."""
    named = ((str(number), name) for number, line in enumerate(_MONTHS, start=1) for name in line.split())
    return tuple(sorted({number for number, name in named if name.startswith(word)}))
