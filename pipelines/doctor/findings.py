"""The lines that ``srs doctor`` prints: the result of each check, ok or what to fix."""

import dataclasses
from collections.abc import Callable

from components.common.errors import SrsError

#: Time limit of each request of a check.
SECONDS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was checked, whether it is ok, and the details or what to fix."""

    what: str
    ok: bool
    text: str


class Problem(Exception):
    """A check failed; the text says what is wrong and what to fix."""


def finding(what: str, check: Callable[[], str]) -> Finding:
    """Runs a check, which returns its details or raises ``Problem`` or an ``SrsError``."""
    try:
        return Finding(what, ok=True, text=check())
    except (Problem, SrsError) as error:
        return Finding(what, ok=False, text=str(error))
