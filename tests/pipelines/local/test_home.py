"""A home is readable by its user only; one that cannot be used is refused with the reason."""

import errno
import os
import stat
from pathlib import Path

import pytest

from components.common.errors import SrsError
from components.common.sqlite_store import DATABASE
from pipelines.local import home as home_module
from pipelines.local.home import Home
from tests.components.common.test_sqlite_store import database


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(path: Path) -> SrsError:
    with pytest.raises(SrsError) as caught:
        Home.open(path)
    return caught.value


def test_files_under_a_home_are_readable_by_their_user_only(tmp_path):
    home = Home.open(tmp_path / "home")
    (home.path / "mlflow" / "file").write_text("x")
    wide = [path for path in (home.path, *home.path.rglob("*")) if mode(path) & 0o077]
    assert wide == []
    assert mode(home.path / "mlflow" / "file") == 0o600


def test_a_home_of_a_former_release_is_closed_to_others_and_the_users_own_folders_are_not(tmp_path):
    os.umask(0o022)
    for name in ("mlflow", "members", "pipeline", "srs-response-20260101-000000", "slides"):
        (tmp_path / name).mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    Home.open(tmp_path)
    assert {path.name for path in tmp_path.iterdir() if mode(path) & 0o077} == {"slides"}
    assert mode(tmp_path) == 0o755


def test_a_copy_is_refused_before_anything_is_written(tmp_path):
    database(tmp_path / "copy", f"file://{tmp_path}/origin/mlflow/artifacts")
    before = sorted(tmp_path.rglob("*"))
    assert refused(tmp_path / "copy").code == "HOME_MOVED"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, _content):
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert refused(tmp_path / "home").code == "STORAGE_FULL"
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("number", "code"), [(errno.EROFS, "STORAGE_READONLY"), (errno.EACCES, "OUTPUT_UNWRITABLE")])
def test_a_home_that_cannot_be_written_is_reported(tmp_path, monkeypatch, number, code):
    def refuse(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert refused(tmp_path / "home").code == code


def test_a_damaged_database_of_the_home_is_reported_by_name(tmp_path):
    path = tmp_path / DATABASE
    path.parent.mkdir()
    path.write_bytes(b"no database" * 200)
    error = refused(tmp_path)
    assert (error.code, str(path) in error.safe_message) == ("MLFLOW_DAMAGED", True)


def test_a_homes_probe_is_larger_than_an_empty_file():
    assert len(home_module.PROBE) >= 4096
