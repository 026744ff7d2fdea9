"""Homes that are copied, moved, killed, locked, filled or damaged give the same result, or an error with a hint."""

import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.common.files import digest_of_file
from components.common.sqlite_store import DATABASE
from components.phantom.phantom import write_cohort
from tests.e2e.test_whole_way import ROOT, SMALL, runs_of, srs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("homes")
    (folder / "study.yaml").write_text(SMALL)
    write_cohort(folder / "cohort", seed=3, tumours=40, patients=34, signal=3.0)
    return folder


def command(place: Path, home: Path) -> list[str]:
    study = ("--cohort", str(place / "cohort"), "--study", str(place / "study.yaml"))
    return ["run", *study, "--home", str(home), "--json"]


def table(done: subprocess.CompletedProcess[str]) -> bytes:
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["report"]).with_name("table_iii.csv").read_bytes()


@pytest.fixture(scope="module")
def made(place) -> tuple[Path, bytes]:
    """A home after its first run, and that run's Table III. Tests must not change it."""
    home = place / "home"
    return home, table(srs(*command(place, home)))


@pytest.fixture
def copy(made, tmp_path) -> Path:
    """A copy of the home that uses only its own files."""
    shutil.copytree(made[0], tmp_path / "copy")
    done = srs("home", "fix", "--home", str(tmp_path / "copy"))
    assert done.returncode == 0, done.stderr
    return tmp_path / "copy"


def digests(home: Path) -> dict[Path, str]:
    return {path: digest_of_file(path) for path in home.rglob("*") if path.is_file()}


def store(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home / DATABASE}")


def temporary(home: Path) -> list[str]:
    return [path.name for path in (home / "tmp").iterdir() if path.name != ".lock"]


def refused(done: subprocess.CompletedProcess[str], code: str) -> None:
    assert done.returncode in (1, 2), done.stdout
    assert code in done.stderr, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_nothing_in_a_home_can_be_read_by_others_and_no_temporary_file_is_left(made):
    home, _ = made
    wide = [path for path in (home, *home.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert wide == []
    assert temporary(home) == []


def test_a_copy_runs_on_its_own_while_the_original_is_away_and_stays_as_it_is(place, made, tmp_path):
    home, first = made
    before = digests(home)
    copied = tmp_path / "copy"
    shutil.copytree(home, copied)
    for line in (command(place, copied), ["champion", "--home", str(copied)], ["rollback", "--home", str(copied)]):
        refused(srs(*line), "HOME_MOVED")
    assert srs("home", "fix", "--home", str(copied)).returncode == 0
    away = home.rename(place / "away")
    try:
        assert table(srs(*command(place, copied))) == first
        assert srs("champion", "--home", str(copied)).returncode == 0
        assert srs("report", "--home", str(copied)).returncode == 0
        other = "2" if json.loads(srs("champion", "--home", str(copied), "--json").stdout)["version"] == "1" else "1"
        assert srs("promote", other, "--reason", "a test", "--home", str(copied)).returncode == 0
        assert srs("rollback", "--home", str(copied)).returncode == 0
        assert not home.exists()
    finally:
        away.rename(home)
    assert digests(home) == before


def test_a_moved_home_reuses_all_its_members(place, made, copy, tmp_path):
    moved = copy.rename(tmp_path / "moved")
    refused(srs(*command(place, moved)), "HOME_MOVED")
    assert srs("home", "fix", "--home", str(moved)).returncode == 0
    done = srs(*command(place, moved))
    assert table(done) == made[1]
    assert json.loads(done.stdout)["reused"] == 6
    assert not copy.exists()


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_a_home_whose_caches_are_all_damaged_makes_the_same_table_anew(place, made, copy):
    table(srs(*command(place, copy)))  # a copy stores its dataset under its own path
    patterns = ("members/*/*.zip", "pipeline/*/preprocess/**/*", "pipeline/.kfp_cache/*")
    cached = [path for pattern in patterns for path in copy.glob(pattern) if path.is_file()]
    assert len(cached) > 40
    for path in cached:
        damaged(path)
    done = srs(*command(place, copy))
    assert table(done) == made[1]
    outcome = json.loads(done.stdout)
    assert (outcome["reused"], outcome["preprocessed"]) == (0, True)


def processes(session: int) -> list[int]:
    """Ids of the living processes that a run has started, recognised by a mark in their environment."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SRS_TEST={session}".encode() in (folder / "environ").read_bytes():
                pids.append(int(folder.name))
    return pids


@pytest.mark.parametrize(("phase", "whole_tree"), [("train", False), ("promote", True)])
def test_a_killed_run_leaves_nothing_running_and_the_next_ends_right(place, made, copy, phase, whole_tree):
    shutil.rmtree(copy / "members" / "members")
    mark = os.getpid() + hash(phase) % 1000 * 10**7 + whole_tree
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SRS_TEST": str(mark)}
    line = [sys.executable, "-m", "pipelines.commands.cli", *command(place, copy)]
    before = set(copy.glob("srs-response-*"))
    with subprocess.Popen(line, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None:
            fresh = set(copy.glob("srs-response-*")) - before
            if any(list(folder.glob(f"logs/*-{phase}.log")) for folder in fresh):
                break
            time.sleep(0.05)
        time.sleep(2)
        for pid in processes(mark) if whole_tree else [run.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes(mark) == []
    assert srs("report", "--home", str(copy)).returncode == 0  # a command that reads closes them too
    assert "RUNNING" not in {run.info.status for run in runs_of(store(copy), "srs-response")}
    assert temporary(copy) == []
    assert table(srs(*command(place, copy))) == made[1]


def test_two_runs_at_once_on_one_home_both_end_right(place, made, copy):
    shutil.rmtree(copy / "members" / "members")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "pipelines.commands.cli", *command(place, copy)]
    both = [subprocess.Popen(line, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    reports = [Path(json.loads(run.communicate()[0])["report"]) for run in both]
    assert [report.with_name("table_iii.csv").read_bytes() for report in reports] == [made[1]] * 2
    assert {run.info.status for run in runs_of(store(copy), "srs-response")} == {"FINISHED"}
    assert temporary(copy) == []


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_locked_database_is_reported_by_every_command(place, copy, lock):
    with contextlib.closing(sqlite3.connect(copy / DATABASE)) as other:
        other.execute(f"BEGIN {lock}")
        for line in (command(place, copy), ["champion", "--home", str(copy)], ["home", "fix", "--home", str(copy)]):
            started = time.monotonic()
            done = srs(*line)
            if line[0] == "home" and lock == "IMMEDIATE":
                assert done.returncode == 0  # it reads that there is nothing to do
                continue
            refused(done, "MLFLOW_LOCKED")
            assert str(copy / DATABASE) in done.stderr
            assert time.monotonic() - started < 60  # MLflow alone would try for minutes


def test_a_full_disk_is_reported_and_the_next_run_continues(place, made, tmp_path):
    """The file size limit of a process stands in for a full disk; it can be set without privileges."""
    home = tmp_path / "home"
    line = [sys.executable, "-m", "pipelines.commands.cli", *command(place, home)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    for largest in (20_000, 2_000_000):  # stored crops do not fit; then the dataset does not

        def limited(largest: int = largest) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

        done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=ROOT, preexec_fn=limited)
        refused(done, "STORAGE_FULL")
        assert [path for path in home.rglob("*") if ".partial-" in path.name or path.name == "layout.json"] == []
    assert table(srs(*command(place, home))) == made[1]
