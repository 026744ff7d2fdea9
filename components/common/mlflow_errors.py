"""Translates MLflow's failures into errors that name the request, the reason, and what the user can do about it.

MLflow's own texts are not repeated, since they may quote what was sent. The replies known here are those of MLflow
3.17's server (error codes in JSON), of its Python client (exceptions around those of ``requests``), and of proxies in
front of a server (a status alone, or a page).
"""

import json
import os
import re
import socket
import sqlite3
import ssl
from collections.abc import Iterator

from mlflow.exceptions import MlflowException

from components.common.artifact_store import ARTIFACT_ERRORS
from components.common.disk import disk_error
from components.common.errors import BundleError, RegistryError, SrsError
from components.common.pages import is_page
from components.common.sqlite_store import from_sqlite

#: HTTP status that corresponds to each of MLflow's error codes.
STATUS_OF = {
    "UNAUTHENTICATED": 401,
    "CUSTOMER_UNAUTHORIZED": 401,
    "PERMISSION_DENIED": 403,
    "ENDPOINT_NOT_FOUND": 404,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_EXHAUSTED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
MISSING = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
TAKEN = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "RESOURCE_CONFLICT")
#: Codes of errors from this module that callers handle.
NOT_FOUND, EXISTS = "MLFLOW_NOT_FOUND", "MLFLOW_EXISTS"
#: Part of MLflow's message when a write goes to a deleted run or experiment.
DELETED = "must be in the 'active' state"

_TOKEN = "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."  # noqa: S105 a hint
_UP = "Check that the server is running and that MLFLOW_TRACKING_URI (or --mlflow) is its address."
_HOSTS = "Start the MLflow server with this host name in its --allowed-hosts."


class Ignoring:
    """A context manager that suppresses ``RegistryError`` of the given codes.

    A class, since mypy takes no generator's context manager for one that suppresses exceptions.
    """

    def __init__(self, *codes: str) -> None:
        self._codes = codes

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: object, _traceback: object) -> bool:
        return isinstance(error, RegistryError) and error.code in self._codes


def from_exception(error: Exception, what: str, subject: str) -> SrsError:
    """The error of a call that failed.

    Parameters
    ----------
    error
        Whatever MLflow's client, its artifact store or its SQL store raised.
    what
        The call, as it reads in the message, e.g. ``get model version``.
    subject
        The object that it acted on, e.g. ``version 99 of model srs-response``.
    """
    if isinstance(error, SrsError):
        return error
    if isinstance(error, ARTIFACT_ERRORS):
        return _artifacts_unreachable(what, type(error).__name__)
    if isinstance(error, MlflowException) and (known := _by_code(error, what, subject)):
        return known
    return _by_disk(error) or _by_cause(error) or _unknown(error, what)


def from_status(status: int, text: str = "") -> RegistryError:
    """The error for a reply with an HTTP status other than success; ``text`` is its body."""
    where = server_name()
    if status == 401:
        return RegistryError("MLFLOW_TOKEN", f"MLflow at {where} does not accept the credentials (401)", _TOKEN)
    if status == 403:
        hint = f"Ask for permission, or log in as another user: {_TOKEN[0].lower()}{_TOKEN[1:]}"
        return RegistryError(
            "MLFLOW_FORBIDDEN",
            f"MLflow at {where} does not allow this (403)",
            _HOSTS if "Host header" in text else hint,
        )
    if status in (404, 405):
        hint = "Check the path of MLFLOW_TRACKING_URI, and that the server's version is the one in requirements.lock."
        return RegistryError("MLFLOW_UNKNOWN_SERVER", f"no MLflow API answers at {where} ({status})", hint)
    if status == 429:
        message = f"MLflow at {where} has too many requests to answer (429)"
        return RegistryError("MLFLOW_BUSY", message, "Try again in a few minutes.")
    if status in (408, 502, 503, 504):
        message = f"MLflow at {where} is not available ({status})"
        hint = "A proxy or the server itself returned this: check that MLflow is running and has finished starting."
        return RegistryError("MLFLOW_UNAVAILABLE", message, hint)
    if 300 <= status < 400:
        return login_page()
    proxies = "Check MLFLOW_TRACKING_URI and any proxy in front of the server."
    hint = "The server's log says why." if status >= 500 else proxies
    return RegistryError("MLFLOW_FAILED", f"the server at {where} returned status {status}", hint)


def login_page() -> RegistryError:
    """``MLFLOW_LOGIN_PAGE``: a proxy redirects to a login page, which is meant for browsers."""
    hint = f"{_TOKEN} Or use the server's own address behind the login, e.g. through a port-forward."
    return RegistryError("MLFLOW_LOGIN_PAGE", f"a login page answers at {server_name()}, not MLflow's API", hint)


def from_reply(status: int, text: str) -> RegistryError | None:
    """The problem with a server's reply to a search for experiments; None where it is a valid reply of MLflow."""
    if not 200 <= status < 300:
        return from_status(status, text)
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and set(body) <= {"experiments", "next_page_token"}:
        return None
    if is_page(text):
        return login_page()
    hint = "Check the port and path in MLFLOW_TRACKING_URI (or --mlflow), and any proxy in front of the server."
    return RegistryError("MLFLOW_UNKNOWN_SERVER", f"the server at {server_name()} is not MLflow", hint)


def artifacts_missing(model: str, version: str) -> BundleError:
    """``ARTIFACTS_MISSING``: the files of a registered version are gone."""
    hint = "Restore them in MLflow's artifact store, or promote another version: `srs promote VERSION --reason TEXT`."
    return BundleError("ARTIFACTS_MISSING", f"the files of version {version} of model {model} are gone", hint)


def server_name() -> str:
    """Host and port of the tracking server, without the password that its address may hold."""
    match = re.search(r"://(?:[^/]*@)?([^/?#@]+)", os.environ.get("MLFLOW_TRACKING_URI", ""))
    return match[1] if match else "the tracking URI"


def _artifacts_unreachable(what: str, why: str) -> RegistryError:
    hint = "Check the artifact root's bucket, MLFLOW_S3_ENDPOINT_URL, and the credentials and their permissions."
    return RegistryError("ARTIFACTS_UNREACHABLE", f"MLflow's artifact store failed to {what}: {why}", hint)


def _by_download(text: str, what: str, subject: str) -> RegistryError:
    """The error for files that could not be downloaded, by the text in which MLflow collects the store's errors."""
    if re.search(r"\b404 Client Error|No such artifact|\((404|NoSuchKey)\)", text):
        return RegistryError(NOT_FOUND, f"{subject} does not exist", "")
    status = re.search(r"\b(\d{3}) (?:Client|Server) Error", text)
    return from_status(int(status[1])) if status else _artifacts_unreachable(what, "files could not be downloaded")


def _by_code(error: MlflowException, what: str, subject: str) -> SrsError | None:
    """The error by MLflow's error code and message; None where these do not name the cause."""
    code = error.error_code
    if DELETED in str(error):
        hint = "Restore it in MLflow (`mlflow experiments restore`), or start a new run with another --experiment."
        return RegistryError("MLFLOW_DELETED", f"{subject} or its experiment was deleted in MLflow", hint)
    if "occurred while downloading" in str(error):
        return _by_download(str(error), what, subject)
    if code in MISSING:
        return RegistryError(
            NOT_FOUND, f"{subject} does not exist", "It may have been deleted in MLflow, or its name may be misspelt."
        )
    if code in TAKEN:
        return RegistryError(EXISTS, f"{subject} exists already")
    if code in STATUS_OF:
        return from_status(STATUS_OF[code], str(error))
    if code == "INTERNAL_ERROR":
        return None
    hint = "Check that the server's version is the one in requirements.lock."
    return RegistryError("MLFLOW_REFUSED", f"MLflow refused to {what} for {subject}: {code}", hint)


def _by_disk(error: Exception) -> SrsError | None:
    """The error by SQLite's or the disk's exception; None where there is neither."""
    for cause in _causes(error):
        if isinstance(cause, sqlite3.Error):
            return from_sqlite(cause, os.environ.get("MLFLOW_TRACKING_URI", "").partition("///")[2])
        if storage_error := disk_error(cause):
            return storage_error
    return None


def _by_cause(error: Exception) -> RegistryError | None:
    """The error by the network's or a proxy's failure; None where there is neither."""
    where = server_name()
    causes = list(_causes(error))
    for cause in causes:
        if status := re.search(r"too many (\d{3}) error responses|failed with error code (\d{3})", str(cause)):
            return from_status(int(status[1] or status[2]), str(cause))
    if any(isinstance(cause, ssl.SSLError) or type(cause).__name__ == "SSLError" for cause in causes):
        hint = "Set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate authority's file; check https:// and the host."
        return RegistryError("MLFLOW_TLS", f"the certificate or TLS of {where} is not trusted", hint)
    if any(isinstance(cause, socket.gaierror) or type(cause).__name__ == "NameResolutionError" for cause in causes):
        hint = "Check the host name in MLFLOW_TRACKING_URI (or --mlflow), and whether this network can resolve it."
        return RegistryError("MLFLOW_UNREACHABLE", f"the host name of {where} cannot be resolved", hint)
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes):
        return RegistryError("MLFLOW_UNREACHABLE", f"MLflow at {where} did not respond in time", _UP)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return RegistryError("MLFLOW_UNREACHABLE", f"nothing listens at {where}", _UP)
    if any(type(cause).__name__ == "TooManyRedirects" for cause in causes):
        return login_page()
    if any("not in a valid JSON format" in str(cause) for cause in causes):
        return login_page() if "Response body: '<" in str(error) else from_reply(200, "")
    if any(type(cause).__module__.startswith(("requests", "urllib3", "http.")) for cause in causes):
        kind = type(causes[-1]).__name__
        return RegistryError("MLFLOW_UNREACHABLE", f"the connection to MLflow at {where} was lost ({kind})", _UP)
    return None


def _unknown(error: Exception, what: str) -> RegistryError:
    kind = getattr(error, "error_code", type(error).__name__)
    hint = "The MLflow server's log may say why."
    return RegistryError("MLFLOW_FAILED", f"MLflow could not {what}: {kind}", hint)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and all that it wraps, outermost first: urllib3 stores a cause as ``reason``, requests as argument."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
