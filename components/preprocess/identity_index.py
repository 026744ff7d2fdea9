"""An index of the identities in a cohort, which finds them in free text.

It compares values, not bytes, and finds in any case, with or without accents, and in any script:

- names of persons by their parts of two or more letters, in every component group (``Hong^Gildong=洪^吉洞=홍^길동``),
  joined (``GildongHong``, ``ghong``) or separate; one-letter parts only in the whole name, single ideographs as words;
- identifiers as whole words, with or without separators and leading zeros; from 8 characters also inside words;
- dates and times in the forms of ``components.preprocess.dates``;
- every other text of 4 or more letters, as a whole.

It cannot find: digits inside a longer number; parts of a comment, an address or an institution's name; nicknames,
translations, misspellings and other romanisations; an age, a date without its day, a date counted in days or seconds;
a name such as An or No written in lower case within a sentence; anything shorter than 8 characters among the
bytes of an array. Short or decimal numbers and flags in private attributes ("18.0", "FALSE") come from the scanner,
identify nobody, and are not searched for.
"""

import functools
import re
import threading
from collections import defaultdict
from collections.abc import Iterator

from pydicom.datadict import dictionary_VR, tag_for_keyword

from components.preprocess.dates import date_of, dates_in, time_of, times_in
from components.preprocess.identity import UID_FORM
from components.preprocess.names import name_parts
from components.preprocess.words import Token, compact, is_unspaced, readings, spellings, tokens

#: Length from which a value that contains a digit or sign is also found inside words.
ANYWHERE_LENGTH = 8
#: Longest word that is searched for among bytes, and the length of a run of bytes that is searched.
LONGEST_WORD, LONGEST_RUN = 24, 4096
#: Shortest text, other than names and identifiers, that is searched for: shorter ones are codes such as CT or HU.
SHORTEST_TEXT = 4
#: Smallest number of digits of a number that is searched for: in the identifiers below, other and private attributes.
SHORTEST_ID, SHORTEST_NUMBER, SHORTEST_PRIVATE_NUMBER = 1, 4, 6
#: Identifiers of patients, tumours and visits, which are searched for at any length.
IDENTIFIERS = frozenset(["patient_id", "tumour_id", "dicom", "PatientID", "OtherPatientIDs", "AccessionNumber"])
#: Number of digits of a country code, which domestic telephone numbers leave out.
COUNTRY_CODE_DIGITS = (1, 2, 3)
PRIVATE = "private attribute"
#: Values of attributes that are flags or are filled in by software.
FLAGS = frozenset("true false yes no on off none null unknown undefined default anonymous anonymized other n/a".split())  # noqa: SIM905
#: English words of two letters; they count as parts of a name only where they are capitalised or alone.
SMALL_WORDS = frozenset("an as at be by do go he if in is it me my no of on or so to up us we am".split())  # noqa: SIM905
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)
_DECIMAL = re.compile(r"(?<![\w.])[-+]?(\d+)\.(\d+)(?:e[-+]?\d+)?(?!\w)(?!\.\d)", re.IGNORECASE)
_PARTED_DIGITS = re.compile(r"(?<![^\W_])(?<!\d\.)\d+(?:[-./ _]\d+)+(?![^\W_])")
#: Hashes and pseudonyms, in which letters between digits may spell a word by chance.
_HASH = re.compile(r"(?<![^\W_])(?:(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{12,}|[CPT]-(?=[a-z]*[2-7])[a-z2-7]{10})(?![^\W_])")
#: Digits from which an integer written as a decimal is an identifier or date that a table turned into a float.
FLOAT_DIGITS = 6


@functools.lru_cache(2**12)
def _is_name(attribute: str) -> bool:
    tag = tag_for_keyword(attribute)
    return dictionary_VR(tag) == "PN" if tag is not None else "name" in attribute.casefold()


class IdentityIndex:
    """Collects identities, from several threads at once if needed, and finds them in texts."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._numbers: dict[str, str] = {}
        self._days: dict[str, str] = {}
        self._times: dict[str, str] = {}
        self._phrases: dict[str, dict[tuple[str, ...], str]] = defaultdict(dict)
        self._inside: dict[str, dict[str, str]] = defaultdict(dict)
        self._lock = threading.Lock()

    def learn(self, text: str, attribute: str) -> None:
        """Adds a value and its attribute: a DICOM keyword, or a description such as ``column patient_id``."""
        text = text.strip(" \0\r\n\t")
        if not text or UID_FORM.fullmatch(text):
            return
        with self._lock:
            if _is_name(attribute) or "^" in text:
                self._learn_name(text, attribute)
            else:
                for line in {text, *text.splitlines()}:
                    self._learn_value(line.strip(), attribute)

    def found_in(self, text: str) -> set[str]:
        """The attributes of the identities that a free text holds, and "a UID" where it holds one."""
        found = {"a UID"} if UID_FORM.search(text) else set()
        for reading in readings(text):
            for spelling in spellings(reading):
                found |= set(self._found(spelling))
        return found

    def found_inside(self, text: str) -> set[str]:
        """The attributes of identities in a run of arbitrary bytes; only those too long to occur there by chance."""
        text = "".join(filter(str.isalnum, text[:LONGEST_RUN].casefold()))
        known = (self._names, self._words, self._numbers, self._days)
        found = set(self._long(text))
        for start in range(len(text)):
            for end in range(start + ANYWHERE_LENGTH, min(start + LONGEST_WORD, len(text)) + 1):
                found |= {one[text[start:end]] for one in known if text[start:end] in one}
        return found

    # learning -------------------------------------------------------------------------------------------------------

    def _learn_value(self, text: str, attribute: str) -> None:
        is_id = attribute.removeprefix("column ") in IDENTIFIERS
        days = dates_in(text.casefold()) if attribute.endswith("Date") else {date_of(text)} - {""}
        self._days |= dict.fromkeys(days, attribute)
        if (attribute.endswith("Time") or ":" in text) and (time := time_of(text) or time_of(text[8:14])):
            self._times[time] = attribute
        for spelling in spellings(text):
            if not re.search(r"[^\W\d_]", spelling) or _NUMBER.fullmatch(spelling):
                self._learn_number(spelling, attribute, is_id=is_id)
            elif is_id or text.casefold() not in FLAGS:
                self._learn_text(spelling, attribute, is_id=is_id)

    def _learn_number(self, spelling: str, attribute: str, *, is_id: bool) -> None:
        whole = re.sub(r"\.0+$", "", spelling)
        if _DECIMAL.search(whole):
            if is_id:
                self._phrases[spelling][(spelling,)] = attribute
            return
        digits = re.sub(r"\D", "", whole)
        least = SHORTEST_PRIVATE_NUMBER if attribute.startswith(PRIVATE) else SHORTEST_NUMBER
        if len(digits) >= (SHORTEST_ID if is_id else least):
            self._numbers[_plain(digits)] = attribute
        if attribute.endswith("TelephoneNumbers") and spelling.startswith(("+", "00")):
            national = (digits.removeprefix("00")[code:] for code in COUNTRY_CODE_DIGITS)
            self._numbers |= {_plain(one): attribute for one in national if len(one) >= ANYWHERE_LENGTH}

    def _learn_text(self, spelling: str, attribute: str, *, is_id: bool) -> None:
        words = _keys(tokens(spelling))
        joined = compact(spelling)
        if not words or (len(joined) < SHORTEST_TEXT and not is_id and not is_unspaced(joined)):
            return
        if len(words) == 1:
            self._words[joined] = attribute
        self._phrases[words[0]][words] = attribute
        if is_unspaced(joined) and len(joined) > 2:
            self._inside[joined[:2]][joined] = attribute
        if len(joined) >= ANYWHERE_LENGTH and not spelling.isalpha():
            self._inside[joined[:ANYWHERE_LENGTH]][joined] = attribute
        if is_id:  # as written without separators, and its number without the prefix
            together = _keys(tokens(joined))
            self._phrases[together[0]][together] = attribute
            self._numbers |= {_plain(word): attribute for word in words if word.isdigit() and len(word) >= FLOAT_DIGITS}

    def _learn_name(self, text: str, attribute: str) -> None:
        for spelling in (spelling for group in text.split("=") for spelling in spellings(group)):
            for part in name_parts(spelling):
                self._learn_part(part, attribute)
            words = _keys(tokens(spelling))
            if len(words) > 1:
                self._phrases[words[0]][words] = attribute
            if re.search(r"\d", spelling):
                self._learn_value(spelling.strip("^ "), attribute)

    def _learn_part(self, part: str, attribute: str) -> None:
        if len(part) > 1 or (part and is_unspaced(part)):
            self._names[part] = attribute
        if len(part) > 1 and is_unspaced(part):
            self._inside[part[:2]][part] = attribute

    # finding --------------------------------------------------------------------------------------------------------

    def _found(self, spelling: str) -> Iterator[str]:
        lower = _DECIMAL.sub(_whole, spelling).casefold()
        yield from (self._days[day] for day in dates_in(lower) if day in self._days)
        yield from (self._times[time] for time in times_in(spelling) if time in self._times)
        yield from (self._phrases[m[0]][(m[0],)] for m in _DECIMAL.finditer(spelling) if m[0] in self._phrases)
        without_hashes = _HASH.sub(" ", _DECIMAL.sub(_whole, spelling))
        found = tokens(without_hashes)
        yield from self._of_tokens(found)
        yield from self._long("".join(token.key for token in found))
        joined = (_plain(re.sub(r"\D", "", m[0])) for m in _PARTED_DIGITS.finditer(without_hashes))
        yield from (self._numbers[n] for n in joined if len(n) >= FLOAT_DIGITS and n in self._numbers)

    def _of_tokens(self, found: list[Token]) -> Iterator[str]:
        for position, token in enumerate(found):
            if token.key.isdigit():
                number = _plain(token.key)
                if number in self._numbers and _is_number(token):
                    yield self._numbers[number]
            elif _is_word(token, alone=len(found) == 1):
                yield from (names[token.key] for names in (self._names, self._words) if token.key in names)
            if is_unspaced(token.key):
                yield from self._unspaced(token.key)
            (first,) = _keys([token])
            for words, attribute in list(self._phrases.get(first, {}).items()):
                if len(words) > 1 and _is_phrase(found[position : position + len(words)], words):
                    yield attribute

    def _unspaced(self, run: str) -> Iterator[str]:
        for start in range(len(run) - 1):
            known = self._inside.get(run[start : start + 2], {})
            yield from (attribute for part, attribute in list(known.items()) if run.startswith(part, start))

    def _long(self, text: str) -> Iterator[str]:
        for start in range(len(text) - ANYWHERE_LENGTH + 1):
            known = self._inside.get(text[start : start + ANYWHERE_LENGTH], {})
            yield from (attribute for value, attribute in list(known.items()) if text.startswith(value, start))


def _keys(found: list[Token]) -> tuple[str, ...]:
    return tuple(_plain(token.key) if token.key.isdigit() else token.key for token in found)


def _is_phrase(found: list[Token], words: tuple[str, ...]) -> bool:
    return _keys(found) == words and not (found[0].touched_before or found[-1].touched_behind)


def _is_number(token: Token) -> bool:
    """Whether a run of digits may be an identifier: alone, 4 or more after letters, or too long to occur by chance."""
    behind_letters = len(token.key) >= SHORTEST_NUMBER and not token.touched_behind
    return token.alone or behind_letters or len(token.key) >= ANYWHERE_LENGTH


def _is_word(token: Token, *, alone: bool) -> bool:
    """Whether a run of letters may be a word; short runs before digits only where they are capitalised."""
    is_capital = token.text != token.key
    if len(token.key) < SHORTEST_TEXT and (token.touched_before or (token.touched_behind and not is_capital)):
        return False
    return alone or is_capital or token.key not in SMALL_WORDS


def _plain(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _whole(match: re.Match[str]) -> str:
    """The part of a decimal number that may be identity: an identifier stored as a float, or the date of a DT value."""
    digits, decimals = match[1], match[2]
    is_date_time = len(digits) in (12, 14) and date_of(digits)
    return digits if is_date_time or (len(digits) >= FLOAT_DIGITS and not decimals.strip("0")) else " "
