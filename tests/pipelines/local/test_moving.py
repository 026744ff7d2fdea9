"""A copied home is repaired to use only its own files, and the original is not changed."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.common import sqlite_store
from components.common.errors import SrsError
from components.common.files import digest_of_file
from components.common.sqlite_store import DATABASE, require_usable
from components.promote import registry
from pipelines.commands.cli import app
from pipelines.local.claims import Claim
from pipelines.local.moving import fix
from pipelines.local.predictor_process import free_port
from tests.registry_store import MODEL


@pytest.fixture
def origin(registry_home) -> Path:
    return registry_home


@pytest.fixture
def copy(copied_home, monkeypatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copied_home / DATABASE}")
    return copied_home


def digests(home: Path) -> dict[Path, str]:
    return {path: digest_of_file(path) for path in home.rglob("*") if path.is_file()}


def places(home: Path) -> list[str]:
    """All text in the home's database that names a folder of this machine."""
    with contextlib.closing(sqlite3.connect(home / DATABASE)) as connection:
        return [line for line in connection.iterdump() if "file:///" in line]


def test_a_copy_is_fixed_once_and_names_no_other_home(origin, copy):
    before = digests(origin)
    assert places(copy)
    origins, kept = fix(copy)
    assert origins == [origin]
    assert kept is not None
    assert digest_of_file(kept) == before[origin / DATABASE]
    require_usable(copy / DATABASE)
    assert not [line for line in places(copy) if origin.as_uri() in line]
    assert len(places(copy)) == len(places(origin))
    assert not [
        path for path in (copy / "mlflow" / "artifacts").rglob("MLmodel") if origin.as_uri() in path.read_text()
    ]
    assert fix(copy) == ([], None)
    assert digests(origin) == before


def test_a_fixed_copy_reads_and_writes_its_own_files_alone(origin, copy, tmp_path):
    before = digests(origin)
    fix(copy)
    aside = origin.rename(origin.with_name("aside"))  # whatever would be read there is missing
    try:
        folder = registry.download(MODEL, "champion", tmp_path / "served")
        assert (folder / "manifest.json").is_file()
        assert registry.rollback(MODEL) == "2"
        assert not origin.exists()
    finally:
        aside.rename(origin)
    assert digests(origin) == before


def test_the_first_experiment_of_a_former_release_comes_into_the_home_too(copy):
    with contextlib.closing(sqlite3.connect(copy / DATABASE)) as connection, connection:
        moved = "UPDATE experiments SET artifact_location = 'file:///home/someone/mlruns/0' WHERE experiment_id = 0"
        connection.execute(moved)
    fix(copy)
    assert not [line for line in places(copy) if "someone" in line]


def test_a_database_that_is_a_hard_link_to_the_origins_leaves_that_as_it_is(origin, tmp_path):
    before = digests(origin)
    shutil.copytree(origin, tmp_path / "copy", copy_function=os.link)
    fix(tmp_path / "copy")
    require_usable(tmp_path / "copy" / DATABASE)
    require_usable(origin / DATABASE)
    assert digests(origin) == before


def test_a_home_in_use_is_not_fixed(copy):
    (copy / "tmp").mkdir()
    claim = Claim.take(copy)
    with pytest.raises(SrsError) as caught:
        fix(copy)
    claim.release()
    assert caught.value.code == "HOME_BUSY"
    assert fix(copy)[1] is not None


def test_a_home_into_whose_database_another_writes_is_not_fixed(copy, monkeypatch):
    monkeypatch.setattr(sqlite_store, "LOCK_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(copy / DATABASE)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SrsError, match="MLFLOW_LOCKED"):
            fix(copy)
    assert fix(copy)[1] is not None


def test_a_fix_that_fails_half_way_changes_nothing(copy, monkeypatch):
    before = digests(copy)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.local.moving._rewrite", full)
    with pytest.raises(SrsError, match="STORAGE_FULL"):
        fix(copy)
    left = digests(copy)
    left.pop(copy / "tmp" / ".lock")
    assert left == before


def test_a_folder_that_is_not_a_home_is_refused(tmp_path):
    with pytest.raises(SrsError, match="HOME_UNKNOWN"):
        fix(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_error_names_the_command_that_fixes_the_home(origin, copy, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    runner = CliRunner()
    for command in (
        ["champion"],
        ["rollback"],
        ["promote", "1", "--reason", "a test"],
        ["serve", "--port", str(free_port())],
    ):
        error = runner.invoke(app, [*command, "--home", str(copy)]).exception
        assert (error.code, f"srs home fix --home '{copy}'" in error.hint) == ("HOME_MOVED", True)
    result = runner.invoke(app, ["home", "fix", "--home", str(copy)])
    assert str(origin) in result.output.replace("\n", "")
    assert "already" in runner.invoke(app, ["home", "fix", "--home", str(copy)]).output
