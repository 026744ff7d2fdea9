"""The errors that users can see. Each has a stable code, a message without identity, and a hint.

    SrsError                  something that this platform refuses or cannot do      exit 1
    +-- InputError            a file, table, flag or setting must be fixed first     exit 2
    |   +-- TumourError       one tumour cannot be used; the run continues without it
    +-- StorageError          a folder, bucket or server could not be read or written
    +-- TrainingError         a member could not be trained
    +-- RegistryError         a request to MLflow or to its model registry failed
    +-- BundleError           a bundle is damaged, unknown, or does not reproduce its golden case
    +-- GateRefused           the gate promoted no model                             exit 3

Messages hold no name, patient id, UID or free text of the user's data: a row is named by its number
in the cohort table, a patient or tumour by its pseudonym.
"""

import json
from typing import Self

ERROR_PREFIX = "srs-error "
#: Problems that one message lists unless it says otherwise; how many more there are is said below them.
MOST_PROBLEMS = 20


class SrsError(Exception):
    """An error that is reported to the user.

    Parameters
    ----------
    code
        Stable upper-case name, e.g. ``ROI_AMBIGUOUS``, which tables, logs and HTTP replies contain.
    safe_message
        What happened, without identity.
    hint
        What the user can do about it.
    """

    exit_code = 1

    def __init__(self, code: str, safe_message: str, hint: str = "") -> None:
        super().__init__(code, safe_message, hint)
        self.code = code
        self.safe_message = safe_message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.safe_message} [{self.code}]" + (f" {self.hint}" if self.hint else "")

    def to_line(self) -> str:
        """One log line that ``from_line`` reads back; it carries an error out of a step's process."""
        fields = {"kind": type(self).__name__, "code": self.code, "message": self.safe_message, "hint": self.hint}
        return ERROR_PREFIX + json.dumps(fields)

    @staticmethod
    def from_line(line: str) -> "SrsError | None":
        """The error written by ``to_line``, or None where the line is something else."""
        if not line.startswith(ERROR_PREFIX):
            return None
        try:
            fields = json.loads(line[len(ERROR_PREFIX) :])
            kind = _KINDS.get(fields["kind"], SrsError)
            return kind(fields["code"], fields["message"], fields["hint"])
        except (ValueError, KeyError, TypeError):
            return None


class InputError(SrsError):
    """A file, table, flag or setting that its owner must fix before a run makes sense."""

    exit_code = 2

    @classmethod
    def collected(cls, code: str, heading: str, problems: list[str], hint: str = "", most: int = MOST_PROBLEMS) -> Self:
        """One error that lists many problems: the first ``most`` of them, then how many more there are."""
        shown = problems[:most] + ([f"... and {len(problems) - most} more"] if len(problems) > most else [])
        return cls(code, heading + "".join(f"\n  - {problem}" for problem in shown), hint)


class TumourError(InputError):
    """One tumour that cannot be used: excluded with its code and counted in the flow."""


class StorageError(SrsError):
    """A folder, bucket or server could not be read or written."""


class TrainingError(SrsError):
    """A member could not be trained; its ensemble fails with it."""


class RegistryError(SrsError):
    """A request to MLflow or to its model registry failed."""


class BundleError(SrsError):
    """A bundle is damaged, of an unknown version, or does not reproduce its golden case."""


class GateRefused(SrsError):
    """The run finished, but the gate promoted no model."""

    exit_code = 3


#: Most characters of a foreign exception's text that an error message repeats.
LONGEST_TEXT = 500


def one_line(error: BaseException) -> str:
    """The text of an exception of other code, on one line and cut, as an error message repeats it."""
    return " ".join(str(error).split())[:LONGEST_TEXT]


_KINDS: dict[str, type[SrsError]] = {
    kind.__name__: kind
    for kind in (InputError, TumourError, StorageError, TrainingError, RegistryError, BundleError, GateRefused)
}
