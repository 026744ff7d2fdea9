"""A local store that is locked, damaged, read-only, full, or another home's is reported within seconds."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from components.common import mlflow_client, sqlite_store
from components.common.errors import SrsError
from components.common.mlflow_errors import from_exception
from components.common.sqlite_store import DATABASE, from_sqlite, require_usable


def database(home: Path, *locations: str) -> Path:
    path = home / DATABASE
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE experiments (artifact_location TEXT)")
        connection.executemany("INSERT INTO experiments VALUES (?)", [[one] for one in locations])
    return path


def code(path: Path) -> str:
    with pytest.raises(SrsError) as caught:
        require_usable(path)
    assert str(path.parent.parent) in str(caught.value)
    return caught.value.code


def test_a_missing_store_and_a_homes_own_are_accepted(tmp_path):
    require_usable(tmp_path / DATABASE)
    require_usable(
        database(tmp_path, f"file://{tmp_path}/mlflow/artifacts", "s3://bucket/mlflow/artifacts", "/mlruns/0")
    )


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_locked_store_is_reported_in_time(tmp_path, monkeypatch, lock):
    monkeypatch.setattr(sqlite_store, "LOCK_SECONDS", 0.2)
    path = database(tmp_path)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(f"BEGIN {lock}")
        started = time.monotonic()
        assert code(path) == "MLFLOW_LOCKED"
        assert time.monotonic() - started < 3
    require_usable(path)


def test_a_lock_is_waited_for_only_seconds():
    assert sqlite_store.LOCK_SECONDS <= 5


def test_the_store_is_checked_before_mlflow_opens_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_store, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(mlflow_client, "_reachable", set())
    path = database(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SrsError, match="MLFLOW_LOCKED"):
            mlflow_client.client()


def test_a_damaged_store_is_reported(tmp_path):
    path = database(tmp_path)
    path.write_bytes(b"no database" * 100)
    assert code(path) == "MLFLOW_DAMAGED"


def test_a_copy_and_a_moved_home_are_distinguished(tmp_path):
    origin, copy = tmp_path / "a home", tmp_path / "copy"
    database(copy, f"{(origin / 'mlflow' / 'artifacts').as_uri()}")
    assert code(copy / DATABASE) == "HOME_MOVED"
    with pytest.raises(SrsError, match="was moved from") as caught:
        require_usable(copy / DATABASE)
    assert f"srs home fix --home '{copy}'" in caught.value.hint
    origin.mkdir()
    with pytest.raises(SrsError, match=r"is a copy of .*a home"):
        require_usable(copy / DATABASE)


def test_a_home_mounted_at_two_paths_is_not_a_copy(tmp_path):
    database(tmp_path / "home", f"file://{tmp_path}/home/mlflow/artifacts")
    (tmp_path / "home" / "mlflow" / "artifacts").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "home")
    require_usable(tmp_path / "other" / DATABASE)


def test_a_database_outside_a_home_may_store_artifacts_anywhere(tmp_path):
    path = database(tmp_path, "file:///elsewhere/mlflow/artifacts").rename(tmp_path / "mlflow" / "tracking.db")
    require_usable(path)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (sqlite3.SQLITE_BUSY, "MLFLOW_LOCKED"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "MLFLOW_LOCKED"),
        (sqlite3.SQLITE_READONLY, "MLFLOW_READONLY"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "MLFLOW_READONLY"),
        (sqlite3.SQLITE_CANTOPEN, "MLFLOW_READONLY"),
        (sqlite3.SQLITE_CORRUPT, "MLFLOW_DAMAGED"),
        (sqlite3.SQLITE_FULL, "STORAGE_FULL"),
        (sqlite3.SQLITE_IOERR_WRITE, "MLFLOW_DISK"),
        (sqlite3.SQLITE_ERROR, "MLFLOW_DISK"),
    ],
)
def test_a_later_error_of_sqlite_is_translated_by_its_code(number, expected):
    cause = sqlite3.OperationalError("text that may hold what was written")
    cause.sqlite_errorcode = number
    outer = RuntimeError("wrapped")
    outer.__cause__ = cause
    assert from_sqlite(cause, "mlflow.db").code == expected
    error = from_exception(outer, "log", "run 1")
    assert error.code == expected
    assert "text that" not in str(error)
