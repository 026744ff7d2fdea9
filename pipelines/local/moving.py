"""Repairs a copied or moved home: makes the absolute artifact paths in MLflow's store point to the home itself."""

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from components.common.disk import disk_error, write_whole
from components.common.errors import InputError, StorageError
from components.common.sqlite_store import (
    ARTIFACTS,
    DATABASE,
    folder_of,
    foreign_artifacts,
    opened,
    set_default_artifact_location,
)
from pipelines.local.claims import others_alive
from pipelines.local.home import UMASK


def fix(home: Path) -> tuple[list[Path], Path | None]:
    """Points a home's database and models to the home itself; other homes are not changed.

    A rewritten copy replaces the database at the end: a database that is a hard link to another home's leaves that one
    unchanged, and an interrupted fix changes nothing.

    Returns
    -------
    tuple
        The homes that it pointed to, and the path of the former database; ([], None) if nothing had to be fixed.

    Raises
    ------
    InputError
        ``HOME_UNKNOWN``: there is no database; ``HOME_BUSY``: a run or predictor uses the home.
    RegistryError
        If the database cannot be used, as ``require_usable``.
    StorageError
        ``STORAGE_FULL`` or ``OUTPUT_UNWRITABLE``.
    """
    home = home.resolve()
    database = home / DATABASE
    if not database.is_file():
        raise InputError("HOME_UNKNOWN", f"{home} is not a home: it has no {DATABASE}", "Name the folder by --home.")
    os.umask(UMASK)
    try:
        (home / "tmp").mkdir(exist_ok=True)
        if others_alive(home):
            raise InputError("HOME_BUSY", f"a run or predictor uses the home {home}", "Wait until it ends, or stop it.")
        return _fixed(home, database)
    except OSError as error:
        message = f"the home {home} cannot be written: {error.strerror}"
        raise disk_error(error) or StorageError("OUTPUT_UNWRITABLE", message) from None


def _fixed(home: Path, database: Path) -> tuple[list[Path], Path | None]:
    new = database.with_name(".mlflow.db.new")
    try:
        with opened(database) as connection, opened(database) as holder:
            foreign = foreign_artifacts(connection, database)
            if not foreign:
                return [], None
            holder.execute("BEGIN IMMEDIATE")  # no other process may write to the database that is about to be replaced
            with contextlib.closing(sqlite3.connect(new)) as copy:
                connection.backup(copy)
                _replace(copy, foreign, (home / ARTIFACTS).as_uri())
            set_default_artifact_location(new)
        for description in (home / ARTIFACTS).glob("models/*/artifacts/MLmodel"):
            _rewrite(description, foreign, (home / ARTIFACTS).as_uri())
        former = database.with_name(f"mlflow.db.{time.strftime('%Y%m%d-%H%M%S')}")
        database.replace(former)
        new.replace(database)
        return sorted(folder_of(uri).parents[1] for uri in foreign), former
    finally:
        new.unlink(missing_ok=True)


def _replace(connection: sqlite3.Connection, old: list[str], new: str) -> None:
    """Replaces the old prefixes in every column of every table: a future MLflow may store paths in further columns."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    with connection:
        for (table,) in tables.fetchall():
            for column in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                name = f'"{column[1]}"'
                change = (
                    f'UPDATE "{table}" SET {name} = ? || substr({name}, ?) WHERE {name} = ? OR substr({name}, 1, ?) = ?'  # noqa: S608 names of MLflow's own tables
                )
                for uri in old:
                    connection.execute(change, (new, len(uri) + 1, uri, len(uri) + 1, f"{uri}/"))


def _rewrite(description: Path, old: list[str], new: str) -> None:
    before = text = description.read_text()
    for uri in old:
        text = text.replace(f"{uri}/", f"{new}/")
    if text != before:
        write_whole(description, text.encode())
