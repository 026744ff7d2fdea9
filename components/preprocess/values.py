"""A value in an output, and whether it must be compared with the identities in a cohort."""

import enum
from typing import NamedTuple


class Verdict(enum.Enum):
    """Whether a value is expected in its field, a free text or bytes to be compared, or not allowed at all."""

    EXPECTED = "expected"
    FREE_TEXT = "free text"
    BYTES = "bytes"
    FORBIDDEN = "forbidden"


class Value(NamedTuple):
    """A value, and its location described without identity."""

    location: str
    text: str
    verdict: Verdict


def free_text(location: str, text: str) -> Value:
    """A free text, to be compared with the identities."""
    return Value(location, text, Verdict.FREE_TEXT)


def forbidden(location: str) -> Value:
    """Content that is not allowed in an output, whatever its text."""
    return Value(location, "", Verdict.FORBIDDEN)
