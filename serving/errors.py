"""What a caller is told: stable codes, each with its HTTP status, and never the text of an unforeseen exception.

code                                       HTTP  gRPC                what the caller can do
INTERNAL                                    500  INTERNAL            report it with the time
BUSY                                        503  UNAVAILABLE         wait as Retry-After says
NOT_FOUND, MODEL_UNKNOWN                    404  NOT_FOUND           fix the address
METHOD_NOT_ALLOWED                          405  -                   use POST to ask, GET to look
BODY_SLOW                                   408  DEADLINE_EXCEEDED   send the body faster
BODY_TOO_LARGE, BATCH_TOO_LARGE,            413  RESOURCE_EXHAUSTED  send less at once; the message names the limit
ZIP_TOO_LARGE, STUDY_TOO_COSTLY
CONTENT_ENCODING                            415  -                   send the body as it is
every other code of an InputError           400  INVALID_ARGUMENT    fix the request, as message and hint say
every other code of another SrsError        500  INTERNAL            as INTERNAL; the code is told, the message is not

A refused study also names its ``instance`` in the request, under ``unanswered`` each GTV with the reason where none can
be cut, and under ``offer`` its RTSTRUCTs and structures where ``roi`` or ``rtstruct_uid`` has to choose.
gRPC's details are the same JSON as a REST body. gRPC itself answers, in its own words, RESOURCE_EXHAUSTED to a message
or metadata above the limit, and UNIMPLEMENTED to a compressed message; bytes that are no HTTP get 400 in text.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from kserve.errors import ModelNotFound
from starlette.requests import ClientDisconnect

from components.common.errors import InputError, SrsError
from serving.telemetry import where

log = logging.getLogger(__name__)

#: Seconds a caller should wait before it asks again.
RETRY_AFTER_SECONDS = 1

_STATUS = {
    "BUSY": 503,
    "NOT_FOUND": 404,
    "MODEL_UNKNOWN": 404,
    "METHOD_NOT_ALLOWED": 405,
    "BODY_SLOW": 408,
    "BODY_TOO_LARGE": 413,
    "BATCH_TOO_LARGE": 413,
    "ZIP_TOO_LARGE": 413,
    "STUDY_TOO_COSTLY": 413,
    "CONTENT_ENCODING": 415,
}


class Refused(SrsError):
    """A request that is not at fault in its content: too early, too many, or to the wrong address."""


def busy() -> Refused:
    """``BUSY``: what is scarce is taken."""
    return Refused("BUSY", "the server has as much to do as it accepts", "Ask again after the seconds of Retry-After.")


class InstanceRefused(InputError):
    """One of a request's instances cannot be answered.

    Parameters
    ----------
    error
        Why.
    instance
        Its position in the request.
    unanswered, offer
        Its tumours, each with the reason why it cannot be cut; and the RTSTRUCTs and structures to choose from. They
        hold the caller's own names: for the reply, never for a log.
    """

    def __init__(
        self,
        error: InputError,
        instance: int,
        unanswered: Sequence[dict[str, Any]] = (),
        offer: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(error.code, error.safe_message, error.hint)
        told = {"unanswered": list(unanswered), "offer": list(offer)}
        self.details: dict[str, Any] = {"instance": instance, **{name: some for name, some in told.items() if some}}


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """An error as a caller sees it; ``details`` are further fields of the reply."""

    status: int
    code: str
    message: str
    hint: str = ""
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, error: Exception) -> "Problem":
        """What to tell of an exception: words of an ``SrsError`` the caller can act on, else only a code."""
        if isinstance(error, SrsError):
            status = _STATUS.get(error.code, 400 if isinstance(error, InputError) else 500)
            if status != 500:
                details = error.details if isinstance(error, InstanceRefused) else {}
                return cls(status, error.code, error.safe_message, error.hint, details)
            return cls(500, error.code, "the server could not answer")
        return cls(500, "INTERNAL", "the server could not answer")

    def to_dict(self) -> dict[str, Any]:
        """The body of a reply; ``error`` is where KServe's clients look."""
        return {"error": self.message, "code": self.code, "hint": self.hint, **self.details}

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` where waiting helps.

        Only a slow sender's connection is closed: closing it under another's unread body would reset it, and the
        caller would never see why. The rest of such a body is thrown away as it comes.
        """
        if self.status == 503:
            return {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return {"Connection": "close"} if self.status == 408 else {}


def problem_of(error: Exception) -> Problem:
    """What to tell of an exception; where we did not foresee it, its type and place are logged."""
    if isinstance(error, ModelNotFound):
        error = Refused("MODEL_UNKNOWN", "no such model or version is served here", "GET /v2/models lists what is.")
    if isinstance(error, ClientDisconnect):
        error = InputError("DISCONNECTED", "the caller went away while sending")
    problem = Problem.of(error)
    if problem.status == 500:
        log.error("unforeseen", extra={"fields": where(error) | {"code": problem.code}})
    return problem
