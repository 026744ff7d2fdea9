"""Normalises texts for comparison: decodes them, removes accents, and splits them into words."""

import base64
import binascii
import functools
import html
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator
from typing import NamedTuple

#: Scripts without blanks between words: ideographs, kana, Hangul (with its particles), Thai, Lao, Burmese, Khmer.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"[{UNSPACED}]+|(?:(?![{UNSPACED}])[^\W\d_])+|\d+")
#: Letters that Unicode does not decompose into a base letter and an accent.
_BASE_LETTERS = str.maketrans(
    {"ı": "i", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ħ": "h", "Ħ": "H",
     "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "þ": "th", "Þ": "Th", "ʼ": "'", "ʻ": "'", "’": "'", "‘": "'"}
)  # fmt: skip
#: How German and the Nordic languages write their letters where a keyboard lacks them.
_TWO_LETTERS = str.maketrans(
    {"ä": "ae", "Ä": "Ae", "ö": "oe", "Ö": "Oe", "ü": "ue", "Ü": "Ue", "å": "aa", "Å": "Aa", "ø": "oe", "Ø": "Oe"}
)
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_CAMEL = re.compile(r"(?<![^\W_])[A-Z]?[a-z]+(?:[A-Z][a-z]+)+(?![^\W_])")


class Token(NamedTuple):
    """A run of letters or digits: as written, in lower case, and whether letters or digits precede or follow it."""

    text: str
    key: str
    touched_before: bool
    touched_behind: bool

    @property
    def alone(self) -> bool:
        """Whether it is a whole word."""
        return not (self.touched_before or self.touched_behind)


def spellings(text: str) -> tuple[str, ...]:
    """``text`` without accents, with ASCII digits, and with umlauts as two letters where that differs."""
    if text.isascii():
        return (text,)
    text = "".join("-" if unicodedata.category(c) == "Pd" else c for c in unicodedata.normalize("NFKC", text))
    text = "".join(str(unicodedata.decimal(c, c)) for c in text if unicodedata.category(c) != "Cf")
    return tuple(dict.fromkeys(_without_accents(one) for one in (text, text.translate(_TWO_LETTERS))))


def _without_accents(text: str) -> str:
    apart = unicodedata.normalize("NFD", text.translate(_BASE_LETTERS))
    return unicodedata.normalize("NFC", "".join(c for c in apart if unicodedata.category(c) != "Mn"))


def tokens(spelling: str) -> list[Token]:
    """The runs of letters and digits in a text; a word also begins or ends where an unspaced script does."""
    return [_token(spelling, match) for match in _TOKEN.finditer(spelling)]


def _token(text: str, run: re.Match[str]) -> Token:
    around = text[max(0, run.start() - 2) : run.start()], text[run.end() : run.end() + 2]
    in_decimal = run[0].isdigit() and (re.fullmatch(r"\d\.", around[0]) or re.fullmatch(r"\.\d", around[1]))
    before, behind = (in_decimal or _touches(run[0], one) for one in (around[0][-1:], around[1][:1]))
    return Token(run[0], run[0].casefold(), bool(before), bool(behind))


def _touches(word: str, letter: str) -> bool:
    return letter.isalnum() and is_unspaced(word[0]) == is_unspaced(letter)


@functools.lru_cache(2**14)
def is_unspaced(word: str) -> bool:
    """Whether a word is in a script without blanks between words."""
    return re.fullmatch(f"[{UNSPACED}]+", word) is not None


def compact(spelling: str) -> str:
    """Only the letters and digits of a text, in lower case."""
    return "".join(token.key for token in tokens(spelling))


def readings(text: str) -> Iterator[str]:
    """``text``, and its other readings where parts of it are escaped, encoded or wrongly decoded.

    These are escapes of HTML, JSON and Python, percent encoding, UTF-8 decoded as Windows-1252 or Latin-1, words joined
    as in ``GivenFamily``, and runs of base64 or hexadecimal digits that decode to text.
    """
    yield text
    plain = urllib.parse.unquote(html.unescape(_ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)))
    for other in (plain, _misread(plain), _CAMEL.sub(lambda match: re.sub(r"(?=[A-Z])", " ", match[0]), plain)):
        if other not in (text, ""):
            yield other
    for match in _ENCODED.finditer(text):
        yield from _decoded(match[0])


def _misread(text: str) -> str:
    for encoding in ("cp1252", "latin-1"):
        try:
            return "" if text.isascii() else text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return ""


def _decoded(run: str) -> Iterator[str]:
    for decode in (bytes.fromhex, _from_base64):
        try:
            text = decode(run).decode("utf-8")
        except (ValueError, binascii.Error):
            continue
        if text.isprintable() and len(text) > 2:
            yield text


def _from_base64(run: str) -> bytes:
    run = run.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(run + "=" * (-len(run) % 4), validate=True)
