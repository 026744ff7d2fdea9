"""Every call to MLflow goes through this module, which translates MLflow's exceptions into ``SrsError``.

The first call of a process checks briefly whether the server responds. Later calls retry as long as MLflow does (about
four minutes), so that a step that has worked for hours survives a restart of the server.
"""

import fcntl
import inspect
import os
import queue
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import mlflow.artifacts
import mlflow.data
import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.models import Model
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from components.common.addresses import problem_of_address
from components.common.artifact_store import bound_artifact_store
from components.common.errors import InputError
from components.common.mlflow_errors import from_exception, from_reply
from components.common.sqlite_store import file_of, require_usable, set_default_artifact_location

#: Seconds to reach a server, and to wait for its first reply: many steps that start at once may have to queue for it.
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 7.0
#: Seconds that an interactive command waits for it: with the start of its process, a user waits for ten at most.
INTERACTIVE_SECONDS = 3.0
#: Seconds for each try of any later request; with MLflow's own 120, eight tries would last 20 minutes.
LATER_SECONDS = 30
#: Bytes that are read of the first reply, one experiment's description.
LONGEST_ANSWER = 2**20
#: A search that a server answers whatever the caller is allowed to see.
PROBE = "/api/2.0/mlflow/experiments/search"

#: Databases that MLflow can use directly, without a tracking server.
DATABASES = ("postgresql", "mysql", "mssql", "databricks")

#: Subject of a message about a call whose arguments name no object.
UNNAMED = "the requested object"

R = TypeVar("R")
_reachable: set[str] = set()
_probe_lock = threading.Lock()


def tracking_uri() -> str:
    """The store's URI from ``MLFLOW_TRACKING_URI``; ``TRACKING_URI`` where it is unset, relative or a folder.

    MLflow's own default is a file relative to the current directory, so that every step would have another store.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not _is_address(uri):
        hint = "Set MLFLOW_TRACKING_URI to a server, e.g. https://mlflow.example, or to sqlite:////absolute/mlflow.db."
        raise InputError("TRACKING_URI", "MLFLOW_TRACKING_URI (or --mlflow) is not an absolute address", hint)
    return uri


def _is_address(uri: str) -> bool:
    scheme, _, rest = uri.partition("://")
    kind = scheme.partition("+")[0]
    if kind == "sqlite":
        return rest.startswith("//")
    if kind not in ("http", "https"):
        return kind in DATABASES and bool(rest)
    return not problem_of_address(uri, credentials=True)


def store_folder() -> Path | None:
    """The folder of a SQLite store; None for a server."""
    database = database_file()
    return database.parent if database else None


def database_file() -> Path | None:
    """The file of a SQLite store; None for a server."""
    return file_of(tracking_uri())


def client() -> Any:
    """MLflow's client for the store and its registry; its calls raise only ``SrsError``."""
    require_server()
    bound_artifact_store()
    uri = tracking_uri()
    return _Client(call("open the store", MlflowClient, tracking_uri=uri, registry_uri=uri))


def require_server(answer_seconds: float | None = None) -> None:
    """Checks once per process that the tracking server responds, within ``ANSWER_SECONDS`` by default.

    For a SQLite store, checks its file instead; raises as ``require_usable`` where the file cannot be used.

    Raises
    ------
    RegistryError
        ``MLFLOW_UNREACHABLE``, ``MLFLOW_TLS``, ``MLFLOW_TOKEN``, ``MLFLOW_FORBIDDEN``, ``MLFLOW_LOGIN_PAGE``,
        ``MLFLOW_UNAVAILABLE``, ``MLFLOW_BUSY``, ``MLFLOW_UNKNOWN_SERVER`` or ``MLFLOW_FAILED``.
    """
    uri = tracking_uri()
    with _probe_lock:
        if uri in _reachable:
            return
        if database := database_file():
            _create(database)
            require_usable(database)
            _reachable.add(uri)
        if not uri.startswith(("http://", "https://")):
            return
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(LATER_SECONDS))
        if problem := from_reply(*call("find the server", _probe, uri, answer_seconds or ANSWER_SECONDS)):
            raise problem
        _reachable.add(uri)


def _create(database: Path) -> None:
    """Creates a missing SQLite store atomically: MLflow takes a second for it, and never repairs a partial one."""
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    # A new name each time: MLflow caches an engine for each name, and whether its tables exist.
    new = database.with_name(f".{database.name}.{secrets.token_hex(4)}.making")
    with (database.parent / ".making.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if database.exists():  # another process was faster
            return
        for leftover in database.parent.glob(f".{database.name}.*.making"):  # by a process that was killed
            leftover.unlink()
        try:
            store = call(
                "make the database", MlflowClient, tracking_uri=f"sqlite:///{new}", registry_uri=f"sqlite:///{new}"
            )
            call("make the database", store.search_experiments, max_results=1)
            call("make the database", store.search_registered_models, max_results=1)
            set_default_artifact_location(new)
            new.replace(database)
        finally:
            new.unlink(missing_ok=True)


def _probe(uri: str, answer_seconds: float) -> tuple[int, str]:
    """Status and text of a server's reply to ``PROBE``, sent with MLflow's own credentials and TLS settings.

    The time-outs of ``requests`` limit each read only, and a server may keep sending a little at a time. So a thread
    makes the request, and is abandoned when the time is over.
    """
    replies: queue.SimpleQueue[tuple[int, str] | Exception] = queue.SimpleQueue()

    def request() -> None:
        limits = {"timeout": (CONNECT_SECONDS, answer_seconds), "max_retries": 0, "raise_on_status": False}
        try:
            creds = get_default_host_creds(uri)
            with http_request(creds, PROBE, "POST", json={"max_results": 1}, stream=True, **limits) as reply:
                start = next(reply.iter_content(LONGEST_ANSWER), b"")
                replies.put((int(reply.status_code), start.decode("utf-8", "replace")))
        except Exception as error:
            replies.put(error)

    threading.Thread(target=request, daemon=True).start()
    try:
        reply_or_error = replies.get(timeout=CONNECT_SECONDS + answer_seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(reply_or_error, Exception):
        raise reply_or_error
    return reply_or_error


class _Client:
    """MLflow's client, each of whose methods is called through ``call``."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            arguments = inspect.signature(method).bind(*args, **kwargs).arguments
            return call(name.replace("_", " "), method, *args, subject=_subject(name, arguments), **kwargs)

        return called


def call(what: str, function: Callable[..., R], *args: Any, subject: str = UNNAMED, **kwargs: Any) -> R:
    """Calls a function of MLflow and translates any exception with ``mlflow_errors``.

    ``what`` and ``subject`` describe the call and its object in the error's message.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise from_exception(error, what, subject) from error


def _subject(method: str, arguments: dict[str, Any]) -> str:
    """The object that a client's method acts on, for messages, by the names of its arguments."""
    if "version" in arguments:
        return f"version {arguments['version']} of model {arguments.get('name', '')}"
    if "run_id" in arguments:
        return f"run {arguments['run_id']}"
    if "experiment" in method:
        return f"the experiment {arguments.get('name', arguments.get('experiment_id', ''))}".rstrip()
    if "registered_model" in method and "name" in arguments:
        return f"the model {arguments['name']}"
    return UNNAMED


def download_artifacts(uri: str, folder: Path) -> Path:
    """Downloads the files at an artifact URI into ``folder``."""
    fetch = mlflow.artifacts.download_artifacts
    return Path(call("download", fetch, uri, dst_path=str(folder), tracking_uri=tracking_uri(), subject="the files"))


def load_model_description(folder: Path) -> Any:
    """The contents of ``MLmodel`` in a downloaded folder."""
    return call("read the model", Model.load, str(folder), subject="the model's description")


def save_python_model(**options: Any) -> None:
    """Writes a pyfunc model to a local folder with MLflow's ``save_model``."""
    call("write the model", mlflow.pyfunc.save_model, **options)


def describe_table(*arguments: Any) -> Any:
    """A table's schema, size and digest as MLflow stores them for a run's input."""
    return call("describe the table", mlflow.data.from_pandas, *arguments)
