"""A client of the predictor: reads its settings, sends it a study, and reads the predictions or the errors."""

import contextlib
import dataclasses
import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.common.addresses import http_address
from components.common.errors import InputError, SrsError
from components.common.settings import PreprocessSettings
from pipelines.commands.study_files import MIB, Wanted, how_to_send_less, pack_study, require_study

MAX_REPLY_BYTES = 64 * 2**20
#: Time limits, seconds: for the predictor's metadata, and for its answer to a study.
METADATA_SECONDS, ANSWER_SECONDS = 20.0, 120.0
#: Errors of a connection that the other side closed while data were being sent.
BROKEN = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, ssl.SSLEOFError)
#: Codes of a study that is too large for the predictor or for a proxy in front of it.
TOO_LARGE = ("BODY_TOO_LARGE", "ZIP_TOO_LARGE", "HTTP_413")


class StudyRefused(InputError):
    """The predictor refused a study; its reply lists the GTVs that cannot be cropped, or the structures to choose from.

    ``unanswered`` and ``offer`` hold names and UIDs of the user's files: print them, but never log them.
    """

    def __init__(self, error: SrsError, reply: Mapping[str, Any]) -> None:
        super().__init__(error.code, error.safe_message, error.hint)
        self.unanswered: list[dict[str, Any]] = list(reply.get("unanswered", []))
        self.offer: list[dict[str, Any]] = list(reply.get("offer", []))


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """The predictor's reply to a study: a dict per tumour predicted, and one per tumour that it could not crop."""

    predictions: list[dict[str, Any]]
    unanswered: list[dict[str, Any]]


def ask(url: str, model_name: str, path: Path, *, roi: str = "", rtstruct_uid: str = "") -> Answers:
    """The predictor's answers to a study on this machine; only the files that they depend on are sent.

    Raises
    ------
    SrsError
        Those of ``pack_study`` and ``predict``.
    """
    http_address(url, "--url")
    require_study(path)
    wanted = _wanted(url, model_name, roi, rtstruct_uid)
    return predict(url, model_name, pack_study(path, wanted), roi=roi, rtstruct_uid=rtstruct_uid)


def predict(
    url: str, model_name: str, study: bytes, *, roi: str = "", rtstruct_uid: str = "", seconds: float = ANSWER_SECONDS
) -> Answers:
    """The answers to a zipped study.

    Raises
    ------
    SrsError
        ``PREDICTOR_UNREACHABLE``, ``PREDICTOR_SLOW``, ``PREDICTOR_UNKNOWN``, ``CONNECTION_BROKEN``, or as
        ``StudyRefused`` the code that the predictor replied.
    """
    options = {name: value for name, value in (("roi", roi), ("rtstruct_uid", rtstruct_uid)) if value}
    query = f"?{urllib.parse.urlencode(options)}" if options else ""
    request = _request(url, f"/v1/models/{urllib.parse.quote(model_name, '')}:predict{query}", study)
    try:
        reply = _reply(request, seconds)
        return Answers(list(reply["predictions"]), list(reply.get("unanswered", [])))
    except urllib.error.HTTPError as error:
        raise _refusal(error, len(study), roi) from None
    except (ValueError, KeyError, TypeError):
        raise _unknown(url) from None


def _wanted(url: str, model_name: str, roi: str, rtstruct_uid: str) -> Wanted:
    """The request, with the predictor's settings and limits; an older predictor, or a proxy, may not report them."""
    try:
        request = _request(url, f"/v2/models/{urllib.parse.quote(model_name, '')}")
        parameters = _reply(request, METADATA_SECONDS)["parameters"]
        settings = PreprocessSettings(**json.loads(parameters["preprocess"]))
        return Wanted(roi, rtstruct_uid, settings, int(parameters["max_body_bytes"]))
    except urllib.error.HTTPError as error:
        error.close()
    except (ValueError, KeyError, TypeError, InputError) as error:
        if isinstance(error, InputError) and error.code == "PREDICTOR_UNREACHABLE":
            raise
    return Wanted(roi, rtstruct_uid)


def _request(url: str, path: str, body: bytes | None = None) -> urllib.request.Request:
    headers = {} if body is None else {"Content-Type": "application/zip"}
    return urllib.request.Request(http_address(url, "--url") + path, body, headers)  # noqa: S310


def _reply(request: urllib.request.Request, seconds: float) -> Any:
    with _translated(request, seconds), _OPENER.open(request, timeout=seconds) as reply:
        return json.loads(reply.read(MAX_REPLY_BYTES))


@contextlib.contextmanager
def _translated(request: urllib.request.Request, seconds: float) -> Iterator[None]:
    """Raises errors of the connection as ``SrsError``; a reply of the server, whatever its status, is left as it is."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _broken(request, getattr(error, "reason", error), seconds) from None


def _broken(request: urllib.request.Request, reason: Any, seconds: float) -> SrsError:
    where = f"{request.type}://{request.host}"
    if request.data and isinstance(reason, TimeoutError):
        message = f"the predictor at {where} did not answer within {seconds:.0f} s"
        return SrsError("PREDICTOR_SLOW", message, "It may be busy: try again, or name one GTV by --roi.")
    if isinstance(request.data, bytes) and isinstance(reason, BROKEN):
        message = f"the connection broke while {len(request.data) / MIB:.1f} MiB were sent"
        hint = f"The predictor, or a proxy before it, may accept less at a time. {how_to_send_less('')}"
        return SrsError("CONNECTION_BROKEN", message, hint)
    hint = "`srs serve` starts the predictor."
    if getattr(reason, "reason", "") == "WRONG_VERSION_NUMBER":  # OpenSSL's word for an answer that is not TLS
        hint = "That port speaks plain HTTP: begin the address with http://."
    return InputError("PREDICTOR_UNREACHABLE", f"no predictor answers at {where}: {reason}", hint)


def _refusal(error: urllib.error.HTTPError, size: int, roi: str) -> SrsError:
    reply = _reply_of(error)
    code, message, hint = (str(reply.get(name, "")) for name in ("code", "error", "hint"))
    if code in TOO_LARGE:
        message, hint = f"{message} ({size / MIB:.1f} MiB were sent)", how_to_send_less(roi)
    return StudyRefused(InputError(code, message, hint), reply) if error.code < 500 else SrsError(code, message, hint)


def _reply_of(error: urllib.error.HTTPError) -> dict[str, Any]:
    """The predictor's JSON reply, or a substitute if a proxy replied."""
    with error, contextlib.suppress(ValueError, OSError, http.client.HTTPException):
        reply = json.loads(error.read(MAX_REPLY_BYTES))
        if isinstance(reply, dict) and "code" in reply:
            return reply
    return {"code": f"HTTP_{error.code}", "error": f"the predictor answered {error.code} {error.reason}"}


def _unknown(url: str) -> SrsError:
    hint = "Give the address that `srs serve` prints as --url."
    return SrsError("PREDICTOR_UNKNOWN", f"the server at {url} is not this predictor", hint)


class _LenientConnection(http.client.HTTPConnection):
    """Reads the reply even if the connection broke while the body was sent: the reply says why."""

    def send(self, data: Any) -> None:
        """Sends as much as the server accepts."""
        try:
            super().send(data)
        except BROKEN:
            if self.sock is None:  # there never was a connection
                raise


class _LenientTlsConnection(_LenientConnection, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_LenientConnection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_LenientTlsConnection, request, context=getattr(self, "_context", None))


_OPENER = urllib.request.build_opener(_Http, _Https)
