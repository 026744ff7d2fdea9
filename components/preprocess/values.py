"""A value that an output holds, and whether it needs to be compared with the identities of a cohort."""

import enum
from typing import NamedTuple


class Verdict(enum.Enum):
    """Whether a value is ours by its kind, a free text to be compared, bytes, or nothing that its place may hold."""

    OURS = "ours"
    FREE = "free"
    BYTES = "bytes"
    FOREIGN = "foreign"


class Value(NamedTuple):
    """A value, and where it stands in words that name nobody."""

    place: str
    text: str
    verdict: Verdict


def freely(place: str, text: str) -> Value:
    """A free text."""
    return Value(place, text, Verdict.FREE)


def foreign(place: str) -> Value:
    """Something that may not stand in an output, whatever it says."""
    return Value(place, "", Verdict.FOREIGN)
