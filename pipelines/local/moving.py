"""Makes a copied or moved home stand on its own: the absolute places of artifacts that MLflow keeps become its own."""

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
    """Points a home's database and models to the home itself; the homes that they named are only read, if at all.

    The database is changed as a new file that takes the old one's place at the end: a hard link to another home's stays
    as it is, and a fix that is interrupted changes nothing.

    Returns
    -------
    tuple
        The homes that it pointed to, and the former database, kept beside it; nothing and None where all was right.

    Raises
    ------
    InputError
        ``HOME_UNKNOWN``: there is no database; ``HOME_BUSY``: a run or predictor uses the home.
    RegistryError
        Where the database cannot be used, as ``require_usable``.
    StorageError
        ``STORAGE_FULL`` or ``OUTPUT_UNWRITABLE``.
    """
    home = home.resolve()
    database = home / DATABASE
    if not database.is_file():
        raise InputError("HOME_UNKNOWN", f"{home} is no home: it has no {DATABASE}", "Name the folder by --home.")
    os.umask(UMASK)
    try:
        (home / "tmp").mkdir(exist_ok=True)
        if others_alive(home):
            raise InputError("HOME_BUSY", f"a run or predictor uses the home {home}", "Wait for its end, or end it.")
        return _fixed(home, database)
    except OSError as error:
        told = f"the home {home} cannot be written: {error.strerror}"
        raise disk_error(error) or StorageError("OUTPUT_UNWRITABLE", told) from None


def _fixed(home: Path, database: Path) -> tuple[list[Path], Path | None]:
    new = database.with_name(".mlflow.db.new")
    try:
        with opened(database) as connection, opened(database) as holder:
            strangers = foreign_artifacts(connection, database)
            if not strangers:
                return [], None
            holder.execute("BEGIN IMMEDIATE")  # nobody writes to what is about to be replaced
            with contextlib.closing(sqlite3.connect(new)) as copy:
                connection.backup(copy)
                _replace(copy, strangers, (home / ARTIFACTS).as_uri())
            set_default_artifact_location(new)
        for description in (home / ARTIFACTS).glob("models/*/artifacts/MLmodel"):
            _rewrite(description, strangers, (home / ARTIFACTS).as_uri())
        kept = database.with_name(f"mlflow.db.{time.strftime('%Y%m%d-%H%M%S')}")
        database.replace(kept)
        new.replace(database)
        return sorted(folder_of(uri).parents[1] for uri in strangers), kept
    finally:
        new.unlink(missing_ok=True)


def _replace(connection: sqlite3.Connection, old: list[str], new: str) -> None:
    """Whatever begins with an old place, in any column of any table: MLflow's next release may keep more of them."""
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
