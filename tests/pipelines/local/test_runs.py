"""The local runner writes logs, shows progress, reports failures as errors and restores kfp afterwards."""

import builtins
import logging
import os
import signal
import threading
import time

import pytest
from kfp import dsl
from kfp.local import logging_utils, subprocess_task_handler

from components.common.errors import InputError
from components.common.files import read_json, write_json
from pipelines.local.home import Home
from pipelines.local.runs import Run, latest, run_pipeline
from pipelines.local.tasks import StepFailed, Stopped


@dsl.component(base_image="python", install_kfp_package=False)
def make(names: dsl.Output[dsl.Artifact]) -> list[str]:
    from pathlib import Path

    from components.common.steps import step

    with step("make") as progress:
        Path(names.path).write_text("a b c")
        progress(1, 1, "three names")
        return ["a", "b", "c"]


@dsl.component(base_image="python", install_kfp_package=False)
def use(name: str, names: dsl.Input[dsl.Artifact], used: dsl.Output[dsl.Artifact]):
    from pathlib import Path

    from components.common.errors import InputError
    from components.common.steps import step

    with step("use"):
        if name == "b" and Path(names.path).with_name("fail").exists():
            raise InputError("B_IS_BAD", "b cannot be used", "Take a.")
        Path(used.path).write_text(name)


@dsl.component(base_image="python", install_kfp_package=False)
def crash():
    import os

    print("the last words")
    os._exit(9)


@dsl.pipeline(name="toy")
def toy():
    made = make().set_caching_options(False)
    with dsl.ParallelFor(made.outputs["Output"]) as name:
        use(name=name, names=made.outputs["names"]).set_caching_options(False)


@dsl.component(base_image="python", install_kfp_package=False)
def refuse():
    from components.common.errors import InputError
    from components.common.steps import step

    with step("refuse"):
        raise InputError("B_IS_BAD", "b cannot be used", "Take a.")


@dsl.pipeline(name="toy-refusing")
def refusing():
    refuse().set_caching_options(False)


@dsl.pipeline(name="toy-crashing")
def crashing():
    crash().set_caching_options(False)


@dsl.component(base_image="python", install_kfp_package=False)
def wait(attempt: str):
    import time

    print("waiting", flush=True)
    time.sleep(300)


@dsl.pipeline(name="toy-waiting")
def waiting():
    wait(attempt="7").set_caching_options(False)


class Recorder:
    """A display that records its calls."""

    def __init__(self):
        self.calls = []

    def begin(self, step):
        self.calls.append(("begin", step))

    def advance(self, step, task, done, total, note):  # noqa: ARG002
        self.calls.append(("advance", step, done, total, note))

    def end(self, step, *, failed):
        self.calls.append(("end", step, failed))

    def stopping(self):
        self.calls.append(("stopping",))


@pytest.fixture
def home(tmp_path):
    return Home.open(tmp_path / "home")


@pytest.mark.filterwarnings("ignore::Warning")
def test_run_records_artifacts_logs_and_progress(home, capsys):
    display = Recorder()
    run = run_pipeline(toy, {}, home, display)
    assert [path.read_text() for path in sorted(run.paths("used"), key=lambda p: p.read_text())] == ["a", "b", "c"]
    assert ("advance", "make", 1, 1, "three names") in display.calls
    assert display.calls.count(("end", "use", False)) == 3
    assert sorted(p.name for p in (run.folder / "logs").glob("*.log")) == [
        "01-make.log", "02-use.log", "03-use.log", "04-use.log", "kfp.log",
    ]  # fmt: skip
    assert capsys.readouterr().out == ""
    assert Run.read(run.folder) == run
    assert latest(home, "toy") == run


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_steps_own_error_is_reported(home):
    with pytest.raises(StepFailed) as caught:
        run_pipeline(refusing, {}, home, Recorder())
    assert caught.value.safe_message == "step refuse failed: b cannot be used"
    assert (caught.value.code, caught.value.hint, caught.value.exit_code) == ("B_IS_BAD", "Take a.", 2)
    assert caught.value.log.is_file()


@pytest.mark.filterwarnings("ignore::Warning")
def test_crash_shows_the_tail_of_its_log(home):
    with pytest.raises(StepFailed, match="the last words") as caught:
        run_pipeline(crashing, {}, home, Recorder())
    assert caught.value.exit_code == 1


@pytest.mark.filterwarnings("ignore::Warning")
def test_kfp_and_logging_are_left_as_they_were(home):
    state = (builtins.print, logging.getLogger().handlers[:], logging_utils.indented_print)
    runner = subprocess_task_handler.run_local_subprocess
    with pytest.raises(StepFailed):
        run_pipeline(refusing, {}, home, Recorder())
    assert state == (builtins.print, logging.getLogger().handlers[:], logging_utils.indented_print)
    assert subprocess_task_handler.run_local_subprocess is runner


@pytest.mark.filterwarnings("ignore::Warning")
def test_sigterm_ends_the_tasks_before_it_ends_the_run(home):
    class Killer(Recorder):
        def begin(self, step):  # noqa: ARG002
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()

    started, display = time.monotonic(), Killer()
    with pytest.raises(Stopped) as caught:
        run_pipeline(waiting, {}, home, display)
    assert display.calls == [("stopping",), ("end", "wait", True)]
    assert time.monotonic() - started < 60
    assert caught.value.parameters == {"attempt": "7"}


def test_unwritable_home_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        Home.open(tmp_path / "file" / "runs")
    assert (caught.value.code, caught.value.exit_code) == ("OUTPUT_UNWRITABLE", 2)


def test_a_run_is_read_where_its_home_is_now(home, tmp_path):
    """The record may be of this release, or of a former one with absolute paths."""
    folder = home.path / "toy-1"
    folder.mkdir()
    dataset = home.path / "pipeline" / "toy" / "dataset"
    dataset.mkdir(parents=True)
    Run(folder, {"dataset": [str(dataset)]}, ["make"], 1.0).write()
    record = read_json(folder / "run.json")
    assert record["artifacts"] == {"dataset": ["pipeline/toy/dataset"]}
    moved = home.path.rename(tmp_path / "moved")
    for written in ("pipeline/toy/dataset", str(dataset)):
        write_json(moved / "toy-1" / "run.json", {**record, "artifacts": {"dataset": [written]}})
        assert Run.read(moved / "toy-1").path("dataset") == moved / "pipeline" / "toy" / "dataset"


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, "[]", '{"artifacts": 1}', '{"artifacts": {"a": [1]}, "steps": []}']
)
def test_a_damaged_record_is_reported(home, text):
    (home.path / "toy-1").mkdir()
    (home.path / "toy-1" / "run.json").write_text(text)
    with pytest.raises(InputError, match="RUN_DAMAGED"):
        Run.read(home.path / "toy-1")


@pytest.mark.parametrize(
    ("artifacts", "code"),
    [({}, "RUN_UNKNOWN"), ({"evaluation": []}, "RUN_UNKNOWN"), ({"evaluation": ["gone"]}, "RUN_DAMAGED")],
)
def test_a_run_without_the_requested_artifact_is_reported(home, artifacts, code):
    (home.path / "toy-1").mkdir()
    write_json(home.path / "toy-1" / "run.json", {"artifacts": artifacts, "steps": [], "seconds": 1.0})
    with pytest.raises(InputError, match=code):
        Run.read(home.path / "toy-1").path("evaluation")


def test_a_stopped_run_is_reported_as_stopped(home):
    (home.path / "toy-1" / "logs").mkdir(parents=True)
    with pytest.raises(InputError, match="was stopped"):
        Run.read(home.path / "toy-1")


def test_unknown_run_is_refused(home):
    with pytest.raises(InputError, match="no finished run"):
        latest(home)
