"""Error replies: stable codes, each with its HTTP status, and never the text of an unexpected exception.

``CODES`` lists both, for the replies and for the OpenAPI document alike. The code of any other ``SrsError`` is replied
with status 500, but not its message; ``INTERNAL`` is the code of any unexpected exception.

The reply to a refused study also gives its ``instance`` in the request, under ``unanswered`` the reason for each GTV if
none can be cut, and under ``offer`` its RTSTRUCTs and structures if ``roi`` or ``rtstruct_uid`` must choose one.
gRPC's details are the same JSON as a REST body. gRPC itself answers, with its own texts, RESOURCE_EXHAUSTED to a
message or metadata above the limit, and UNIMPLEMENTED to a compressed message.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect

from components.common.errors import InputError, SrsError
from components.common.kserve_import import ModelNotFound
from components.imaging.reasons import REFUSALS
from serving.telemetry import where

log = logging.getLogger(__name__)

#: Seconds that a caller should wait before it repeats the request.
RETRY_AFTER_SECONDS = 1

_OTHER_THAN_400: dict[int, tuple[str, ...]] = {
    404: ("NOT_FOUND", "MODEL_UNKNOWN"),
    405: ("METHOD_NOT_ALLOWED",),
    408: ("BODY_SLOW",),
    413: ("BODY_TOO_LARGE", "BATCH_TOO_LARGE", "ZIP_TOO_LARGE", "STUDY_TOO_COSTLY"),
    415: ("CONTENT_ENCODING",),
    503: ("BUSY",),
}
_STATUS = {code: status for status, codes in _OTHER_THAN_400.items() for code in codes}
#: HTTP status -> its codes. With 400: first what can be wrong with a request's form, then with a study.
CODES: dict[int, tuple[str, ...]] = {
    400: (
        *("JSON", "FORMAT", "FORM", "OPTION", "BASE64", "CONTENT_EMPTY", "CONTENT_UNREADABLE", "DISCONNECTED"),
        "HTTP_INVALID",
        *("CROP_SHAPE", "CROP_DTYPE", "CROP_NOT_FINITE", "CROP_RANGE"),
        *("V2_HEADER", "V2_DATA", "INPUT_UNKNOWN", "OUTPUT_UNKNOWN"),
        *(code for code in REFUSALS if code not in _STATUS),
    ),
    **_OTHER_THAN_400,
}
#: What a caller can do about a status.
REMEDIES = {
    400: "Fix the request as its message and hint describe.",
    404: "Fix the address.",
    405: "Use POST for predictions, GET for everything else.",
    408: "Send the body faster.",
    413: "Send less at a time; the message names the limit.",
    415: "Send the body as it is.",
    500: "Report the error and its time to the operator.",
    503: "Repeat the request after the seconds given by Retry-After.",
}
_FAILED = "the server failed to process the request"


class Refused(SrsError):
    """A refusal for reasons other than the request's content: too many requests, or a wrong address."""


def busy() -> Refused:
    """``BUSY``: the server's capacity is in use."""
    return Refused("BUSY", "the server is at capacity", "Repeat the request after the seconds given by Retry-After.")


class InstanceRefused(InputError):
    """One of a request's instances cannot be answered.

    Parameters
    ----------
    error
        The reason.
    instance
        Its position in the request.
    unanswered, offer
        Its tumours, each with the reason why it cannot be cut; and the RTSTRUCTs and structures to choose from. They
        hold names of the caller's files: for the reply, never for a log.
    """

    def __init__(
        self,
        error: InputError,
        instance: int,
        unanswered: Sequence[dict[str, Any]] = (),
        offer: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(error.code, error.safe_message, error.hint)
        lists = {"unanswered": list(unanswered), "offer": list(offer)}
        self.details: dict[str, Any] = {"instance": instance, **{name: some for name, some in lists.items() if some}}


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
        """The reply to an exception: message and hint of an ``SrsError`` if the caller can act on it, else a code."""
        if isinstance(error, SrsError):
            status = _STATUS.get(error.code, 400 if isinstance(error, InputError) else 500)
            if status != 500:
                details = error.details if isinstance(error, InstanceRefused) else {}
                return cls(status, error.code, error.safe_message, error.hint, details)
            return cls(500, error.code, _FAILED, REMEDIES[500])
        return cls(500, "INTERNAL", _FAILED, REMEDIES[500])

    def to_dict(self) -> dict[str, Any]:
        """The body of a reply; KServe's clients read the message from ``error``."""
        return {"error": self.message, "code": self.code, "hint": self.hint, **self.details}

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` where waiting helps.

        Only a slow sender's connection is closed: closing it under another's unread body would reset it, and the
        caller would never see why. The rest of such a body is discarded as it arrives.
        """
        if self.status == 503:
            return {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return {"Connection": "close"} if self.status == 408 else {}


def problem_of(error: Exception) -> Problem:
    """Translates an exception; of an unexpected one, type and position in the code are logged."""
    if isinstance(error, ModelNotFound):
        error = Refused(
            "MODEL_UNKNOWN",
            "no such model or version is served here",
            "GET /v2/models lists the models served, and GET /v2/models/NAME the version.",
        )
    if isinstance(error, ClientDisconnect):
        error = InputError(
            "DISCONNECTED", "the caller disconnected while sending", "Send the whole request, and wait for the reply."
        )
    problem = Problem.of(error)
    if problem.status == 500:
        log.error("unforeseen", extra={"fields": where(error) | {"code": problem.code}})
    _release(error)
    return problem


def _release(error: BaseException | None) -> None:
    """Drops the tracebacks: their frames keep all local variables in memory, among them the request's body."""
    while error is not None:
        error.__traceback__, error = None, error.__context__
