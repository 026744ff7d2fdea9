"""Checks the SQLite file of a local MLflow store before MLflow opens it: MLflow retries a broken one for minutes.

MLflow stores absolute paths of artifacts in it, even where relative ones are given (MLflow 3.17). A home that is copied
or moved would therefore write into the original one; ``require_usable`` refuses it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from components.common.disk import disk_full
from components.common.errors import InputError, RegistryError, SrsError

#: Seconds to wait for the lock of another writer, which holds it for milliseconds.
LOCK_SECONDS = 5.0
#: A home's database and artifacts, below the home.
DATABASE, ARTIFACTS = Path("mlflow", "mlflow.db"), Path("mlflow", "artifacts")


def file_of(uri: str) -> Path | None:
    """The file of a SQLite store's URI; None for the URI of a server."""
    return Path(uri.partition("://")[2][1:].partition("?")[0]) if uri.startswith("sqlite") else None


@contextlib.contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection to an existing database, without SQLAlchemy; errors are translated by ``from_sqlite``."""
    try:
        uri = f"{database.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise from_sqlite(error, database) from None


def set_default_artifact_location(database: Path) -> None:
    """Puts the artifacts of MLflow's experiment ``Default`` beside the database, not under the current directory."""
    location = (database.parent / ARTIFACTS.name).as_uri()
    with opened(database) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", (location,))


def require_usable(database: Path) -> None:
    """Refuses a database that cannot be written, or that belongs to another home; accepts a missing one.

    Raises
    ------
    InputError
        ``HOME_MOVED``.
    RegistryError
        ``MLFLOW_LOCKED``, ``MLFLOW_READONLY``, ``MLFLOW_DAMAGED`` or ``MLFLOW_DISK``.
    StorageError
        ``STORAGE_FULL``.
    """
    if not database.is_file():
        return
    with opened(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
        foreign = foreign_artifacts(connection, database)
    if foreign:
        raise _moved(database, folder_of(foreign[0]).parents[1])


def foreign_artifacts(connection: sqlite3.Connection, database: Path) -> list[str]:
    """URIs of other homes' artifacts that a home's database still contains; none for any other database."""
    home = database.parent.parent
    if (
        database != home / DATABASE
        or not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone()
    ):
        return []
    rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments ORDER BY 1").fetchall()
    named = [uri for (uri,) in rows if uri and uri.startswith("file:///") and folder_of(uri).match(str(ARTIFACTS))]
    return [uri for uri in named if not _same(folder_of(uri), home / ARTIFACTS)]


def folder_of(uri: str) -> Path:
    """The folder of a ``file:`` URI."""
    return Path(url2pathname(urlsplit(uri).path))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are the same folder, which may be mounted at both."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _moved(database: Path, origin: Path) -> InputError:
    home = database.parent.parent
    how = f"is a copy of {origin}, and MLflow would write there" if origin.exists() else f"was moved from {origin}"
    hint = f"Make it independent: srs home fix --home '{home}'. This changes nothing in any other folder."
    return InputError("HOME_MOVED", f"the home {home} {how}", hint)


def from_sqlite(error: sqlite3.Error, database: Path | str) -> SrsError:
    """The error for a database, by SQLite's result code."""
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary code, without the extended one
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        hint = f"Another program holds its lock (`fuser {database}` shows which): end it, or wait, then try again."
        return RegistryError("MLFLOW_LOCKED", f"the database {database} is locked", hint)
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        hint = "Give yourself write permission for the file and its folder, or choose another folder with --home."
        return RegistryError("MLFLOW_READONLY", f"the database {database} cannot be written", hint)
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        hint = (
            "Restore it from a backup. Or move the file away: the next run creates a new one, without the former runs "
            "and versions, and reuses crops and members from the home as before."
        )
        return RegistryError("MLFLOW_DAMAGED", f"the database {database} is damaged", hint)
    if kind == sqlite3.SQLITE_FULL:
        return disk_full()
    failing = kind == sqlite3.SQLITE_IOERR
    hint = "Check that the disk is not full or failing." if failing else "Check that it is an intact MLflow database."
    return RegistryError("MLFLOW_DISK", f"the database {database} could not be used: {name}", hint)
