"""The only door to MLflow: every call of its client and functions passes here, and its errors leave as ``SrsError``.

The first call of a process asks a server briefly whether it answers. Later calls have MLflow's own patience (about four
minutes of retries), so that a step that has worked for hours outlives a restart of the server.
"""

import fcntl
import inspect
import os
import queue
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import mlflow.artifacts
import mlflow.data
import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.models import Model
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from components.common.artifact_store import bound_artifact_store
from components.common.errors import InputError
from components.common.mlflow_errors import from_exception, from_reply
from components.common.sqlite_store import keep_default_experiment_here, require_usable

#: Seconds to reach a server, and to wait for its first answer: many steps that start at once may have to queue for it.
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 7.0
#: Seconds that a command waits for it: with the start of its process, a person waits for ten at most.
PERSON_SECONDS = 3.0
#: Seconds for any later answer, of which each try has as many; MLflow's own 120 would make eight tries last 20 minutes.
LATER_SECONDS = 30
#: Bytes that are read of the first answer, one experiment's description.
LONGEST_ANSWER = 2**20
#: Search that a server answers whatever the caller may see.
PROBE = "/api/2.0/mlflow/experiments/search"

#: Stores that MLflow speaks to without a server of its own.
DATABASES = ("postgresql", "mysql", "mssql", "databricks")

R = TypeVar("R")
_answered: set[str] = set()
_asking = threading.Lock()


def tracking_uri() -> str:
    """The store's URI from ``MLFLOW_TRACKING_URI``; ``TRACKING_URI`` where it is unset, relative or a folder.

    MLflow's own default is a file relative to the current directory, which every step would have of its own.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not _is_address(uri):
        hint = "Set MLFLOW_TRACKING_URI to a server, e.g. https://mlflow.example, or to sqlite:////absolute/mlflow.db."
        raise InputError("TRACKING_URI", "MLFLOW_TRACKING_URI (or --mlflow) is no absolute address", hint)
    return uri


def _is_address(uri: str) -> bool:
    scheme, _, rest = uri.partition("://")
    kind = scheme.partition("+")[0]
    if kind == "sqlite":
        return rest.startswith("//")
    if kind not in ("http", "https"):
        return kind in DATABASES and bool(rest)
    try:
        parts = urlsplit(uri)
        return bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", uri)
    except ValueError:  # a port that is none, or an open bracket
        return False


def store_folder() -> Path | None:
    """The folder of a SQLite store; None for a server."""
    database = database_file()
    return database.parent if database else None


def database_file() -> Path | None:
    """The file of a SQLite store; None for a server."""
    uri = tracking_uri()
    return Path(uri.partition("://")[2][1:].partition("?")[0]) if uri.startswith("sqlite") else None


def client() -> Any:
    """MLflow's client of the store and of its registry, whose calls raise ``SrsError`` only."""
    require_server()
    bound_artifact_store()
    uri = tracking_uri()
    return _Client(call("open the store", MlflowClient, tracking_uri=uri, registry_uri=uri))


def require_server(answer_seconds: float | None = None) -> None:
    """Asks a tracking server once a process whether it answers, in ``ANSWER_SECONDS`` unless others are given.

    Of a SQLite store its file is looked at instead; raises as ``require_usable`` where that cannot be used.

    Raises
    ------
    RegistryError
        ``MLFLOW_UNREACHABLE``, ``MLFLOW_TLS``, ``MLFLOW_TOKEN``, ``MLFLOW_FORBIDDEN``, ``MLFLOW_LOGIN_PAGE``,
        ``MLFLOW_UNAVAILABLE``, ``MLFLOW_BUSY``, ``MLFLOW_UNKNOWN_SERVER`` or ``MLFLOW_FAILED``.
    """
    uri = tracking_uri()
    with _asking:
        if uri in _answered:
            return
        if database := database_file():
            _make(database)
            require_usable(database)
            _answered.add(uri)
        if not uri.startswith(("http://", "https://")):
            return
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(LATER_SECONDS))
        if problem := from_reply(*call("find the server", _ask, uri, answer_seconds or ANSWER_SECONDS)):
            raise problem
        _answered.add(uri)


def _make(database: Path) -> None:
    """Makes a missing SQLite store whole or not at all: MLflow's own making takes a second, and never mends a half."""
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own each time: MLflow remembers an engine for each, and whether its tables are there.
    new = database.with_name(f".{database.name}.{secrets.token_hex(4)}.making")
    with (database.parent / ".making.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if database.exists():  # another process was faster
            return
        for left in database.parent.glob(f".{database.name}.*.making"):  # by a process that was killed
            left.unlink()
        try:
            made = call(
                "make the database", MlflowClient, tracking_uri=f"sqlite:///{new}", registry_uri=f"sqlite:///{new}"
            )
            call("make the database", made.search_experiments, max_results=1)
            call("make the database", made.search_registered_models, max_results=1)
            keep_default_experiment_here(new)
            new.replace(database)
        finally:
            new.unlink(missing_ok=True)


def _ask(uri: str, answer_seconds: float) -> tuple[int, str]:
    """Status and text of a server's answer, asked for with MLflow's own credentials and TLS settings.

    A server may send on and on, a little at a time, and each wait of its own is bounded only: a thread is left behind.
    """
    answered: queue.SimpleQueue[tuple[int, str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        limits = {"timeout": (CONNECT_SECONDS, answer_seconds), "max_retries": 0, "raise_on_status": False}
        try:
            creds = get_default_host_creds(uri)
            with http_request(creds, PROBE, "POST", json={"max_results": 1}, stream=True, **limits) as reply:
                start = next(reply.iter_content(LONGEST_ANSWER), b"")
                answered.put((int(reply.status_code), start.decode("utf-8", "replace")))
        except Exception as error:
            answered.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answered.get(timeout=CONNECT_SECONDS + answer_seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return found


class _Client:
    """MLflow's client behind the door."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            asked = inspect.signature(method).bind(*args, **kwargs).arguments
            return call(name.replace("_", " "), method, *args, subject=_subject(name, asked), **kwargs)

        return called


def call(what: str, function: Callable[..., R], *args: Any, subject: str = "what was asked for", **kwargs: Any) -> R:
    """Calls ``function`` of MLflow; whatever it raises leaves as the error that ``mlflow_errors`` makes of it.

    ``what`` is the call in words and ``subject`` what it is about, both for the error.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise from_exception(error, what, subject) from error


def _subject(method: str, asked: dict[str, Any]) -> str:
    """What a client's method is about, in words, by the names of its arguments."""
    if "version" in asked:
        return f"version {asked['version']} of model {asked.get('name', '')}"
    if "run_id" in asked:
        return f"run {asked['run_id']}"
    if "experiment" in method:
        return f"the experiment {asked.get('name', asked.get('experiment_id', ''))}".rstrip()
    if "registered_model" in method and "name" in asked:
        return f"the model {asked['name']}"
    return "what was asked for"


def download_artifacts(uri: str, folder: Path) -> Path:
    """Fetches the files at an artifact URI into ``folder``."""
    fetch = mlflow.artifacts.download_artifacts
    return Path(call("download", fetch, uri, dst_path=str(folder), tracking_uri=tracking_uri(), subject="the files"))


def load_model_description(folder: Path) -> Any:
    """What ``MLmodel`` in a fetched folder says."""
    return call("read the model", Model.load, str(folder), subject="the model's description")


def save_python_model(**options: Any) -> None:
    """Writes a model of Python code to a folder of this machine, with MLflow's ``save_model``."""
    call("write the model", mlflow.pyfunc.save_model, **options)


def describe_table(*arguments: Any) -> Any:
    """A table's schema, size and digest as MLflow keeps them of a run's input."""
    return call("describe the table", mlflow.data.from_pandas, *arguments)
