import io

import pytest
from rich.console import Console

from pipelines.local.display import ConsoleDisplay


@pytest.fixture
def screen():
    return io.StringIO()


@pytest.fixture
def display(screen):
    with ConsoleDisplay(Console(file=screen)) as display:
        yield display


def test_a_step_that_ends_says_how(display, screen):
    for step in ("split", "train"):
        display.begin(step)
    display.end("split", failed=False)
    display.end("train", failed=True)
    assert screen.getvalue().splitlines() == [
        "split        started", "train        started", "split        done after 0 s", "train        failed after 0 s",
    ]  # fmt: skip


def test_a_step_that_a_person_stopped_has_not_failed(display, screen):
    display.begin("train")
    display.stopping()
    display.end("train", failed=True)
    assert screen.getvalue().splitlines()[1:] == [
        "stopping: the steps save or undo their work, in at most a minute", "train        stopped after 0 s",
    ]  # fmt: skip
