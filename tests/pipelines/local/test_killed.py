"""A run that is killed leaves no task behind, no MLflow run open and no temporary file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from components.common import tracking
from components.common.artifacts.splits import Splits
from components.common.presets import resolve
from pipelines.local.home import Home
from pipelines.local.leash import LEASH, lifeline
from pipelines.local.moving import fix
from pipelines.local.session import Session
from pipelines.local.tasks import StepFailed, Tasks
from tests.components.common.test_artifacts import SPLITS, dataset

ROOT = Path(__file__).parents[3]
PARENT = """
import sys
from pathlib import Path
from unittest.mock import Mock
from pipelines.local.tasks import Tasks, stopping
tasks = Tasks(Path(sys.argv[1]), Mock())
with stopping(tasks):
    tasks.run([*sys.argv[2:], "--function_to_execute", "wait", "--executor_input", "{}"])
"""
#: A task as KFP starts it: a shell, in it Python, and of that another process; none ends on SIGTERM.
TASK = (
    "sh",
    "-c",
    """python3 -c "
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(['sleep', '600'])
open(sys.argv[1] + '.part', 'w').write(f'{os.getppid()} {os.getpid()} {child.pid}')
os.rename(sys.argv[1] + '.part', sys.argv[1])
time.sleep(600)
" "$0"; true""",
)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(alive, pids)):
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.fixture
def started(tmp_path) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """A parent process with a running task, and the task's process ids."""
    pid_file = tmp_path / "pids"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "logs"), *TASK, str(pid_file)], env=env
    ) as parent:
        while not pid_file.exists() and parent.poll() is None:
            time.sleep(0.05)
        pids = [int(pid) for pid in pid_file.read_text().split()]
        assert all(map(alive, pids))
        yield parent, pids
        parent.kill()
    assert gone(pids)


def test_no_process_of_a_task_outlives_a_killed_parent(started):
    parent, pids = started
    parent.kill()
    parent.wait()
    assert gone(pids)


def test_a_task_that_saves_its_work_on_sigterm_is_waited_for_and_its_parent_may_be_killed_meanwhile(started):
    parent, pids = started
    parent.send_signal(signal.SIGTERM)
    assert gone(pids[:1])  # the shell; Python still runs
    time.sleep(0.3)
    assert (alive(pids[1]), parent.poll()) == (True, None)
    parent.kill()
    parent.wait()
    assert gone(pids)


def test_a_tasks_answer_output_and_stdin_are_its_own():
    def ran(*command: str) -> tuple[int, str]:
        with (
            lifeline() as end,
            subprocess.Popen(
                [*LEASH, *command], stdin=end, stdout=subprocess.PIPE, text=True, start_new_session=True
            ) as task,
        ):
            assert task.stdout is not None
            output = task.stdout.read()
            return task.wait(), output

    assert ran("sh", "-c", "cat; echo 'a  b'; exit 7") == (7, "a  b\n")
    assert ran("sh", "-c", "kill -KILL $$")[0] == -signal.SIGKILL


def test_background_processes_of_a_task_end_with_it(tmp_path):
    pid_file = tmp_path / "pid"
    with lifeline() as end:
        line = ["sh", "-c", f"sleep 600 >/dev/null 2>&1 & echo $! > {pid_file}"]
        subprocess.run([*LEASH, *line], stdin=end, start_new_session=True, check=True)
        assert alive(int(pid_file.read_text()))
    assert gone([int(pid_file.read_text())])


def test_a_disk_filled_by_logs_is_reported(tmp_path, monkeypatch):
    tasks = Tasks(tmp_path / "logs", Mock())
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": opened(Path("/dev/full") if mode == "w" else path, mode))
    line = ["sh", "-c", "yes | head -c 100000", "--function_to_execute", "wait", "--executor_input", "{}"]
    assert tasks.run(line) == 1
    failure = tasks.failure()
    assert isinstance(failure, StepFailed)
    assert failure.code == "STORAGE_FULL"


def test_runs_of_a_killed_process_are_closed_at_the_next_start_and_a_living_ones_are_not(copied_home, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    fix(copied_home)
    killed, living = Home.open(copied_home), Home.open(copied_home)
    os.environ.update(killed.environment)
    trees = {}
    for home, attempt in ((killed, "7"), (living, "8")):
        splits = Splits(SPLITS, "patient", 0, {"A": [1, 0]})
        trees[home] = tracking.open_tree("srs", resolve("fast"), dataset(), splits, attempt=attempt)
        home.claim.note(attempt=attempt, experiment="srs")
    os.close(killed.claim._lock)  # as the system does when a process ends
    Session.open(copied_home, Console(), 1)
    for home, status in ((killed, "FAILED"), (living, "RUNNING")):
        runs = [tracking.client().get_run(run) for run in (trees[home].parent, *trees[home].groups.values())]
        assert {run.info.status for run in runs} == {status}
    assert (killed.claim.folder.exists(), living.claim.folder.exists()) == (False, True)
    assert "killed" in tracking.client().get_run(trees[killed].parent).data.tags[tracking.FAILURE]
    living.claim.forget()
