import io

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
