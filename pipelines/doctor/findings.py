"""What a doctor says: one finding a line, each ok or what to do."""

import dataclasses
from collections.abc import Callable

from components.common.errors import SrsError


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, and what was found or is to be done."""

    what: str
    ok: bool
    text: str


class Mend(Exception):
    """Something is not well; its text says what to do."""


def finding(what: str, look: Callable[[], str]) -> Finding:
    """The finding of a look that returns what it saw, or raises ``Mend`` or an error in words."""
    try:
        return Finding(what, ok=True, text=look())
    except (Mend, SrsError) as error:
        return Finding(what, ok=False, text=str(error))
