import io
import threading

import pytest
from rich.console import Console

from pipelines.local.display import ConsoleDisplay


@pytest.fixture
def screen():
    return io.StringIO()


def test_a_step_that_ends_says_how(screen):
    with ConsoleDisplay(Console(file=screen)) as display:
        for step, failed in (("split", False), ("train", True)):
            display.begin(step)
            display.end(step, failed=failed)
    assert screen.getvalue().splitlines() == [
        "split        started", "split        done after 0 s", "train        started", "train        failed after 0 s",
    ]  # fmt: skip


def test_a_step_whose_tasks_follow_one_another_is_done_once(screen):
    with ConsoleDisplay(Console(file=screen)) as display:
        for step in ("train", "train", "evaluate"):
            display.begin(step)
            display.end(step, failed=False)
    assert screen.getvalue().splitlines() == [
        "train        started", "train        done after 0 s", "evaluate     started", "evaluate     done after 0 s",
    ]  # fmt: skip


def test_a_step_that_a_person_stopped_has_not_failed(screen):
    with ConsoleDisplay(Console(file=screen)) as display:
        display.begin("train")
        display.stopping()
        display.end("train", failed=True)
    assert screen.getvalue().splitlines()[1:] == [
        "stopping: the steps save or undo their work, in at most a minute", "train        stopped after 0 s",
    ]  # fmt: skip


def test_the_time_left_is_told_after_a_tenth_of_the_work(screen, monkeypatch):
    monkeypatch.setattr("pipelines.local.display.QUIET_SECONDS", 0.0)
    with ConsoleDisplay(Console(file=screen)) as display:
        display.begin("train")
        for done in (0, 4, 5, 50):
            display.advance("train", "task", done, 50, "note")
    assert [line.split(maxsplit=1)[1] for line in screen.getvalue().splitlines()[1:5]] == [
        "0/50 note", "4/50 note", "5/50 note, 0 s left", "50/50 note",
    ]  # fmt: skip


def test_steps_may_begin_at_the_same_time():
    """Two threads that begin steps: one goes through them, to say which are done, while the other adds its own."""
    entered, others = threading.Event(), []

    class SlowScreen(io.StringIO):
        def write(self, text):
            if "split        done" in text and not others:
                others.append(threading.Thread(target=display.begin, args=("deploy",)))
                others[0].start()
                entered.wait(0.2)  # the other thread adds its step now, unless it has to wait
            return super().write(text)

    with ConsoleDisplay(Console(file=SlowScreen())) as display:
        display.begin("split")
        display.end("split", failed=False)
        display.begin("train")
        others[0].join()
