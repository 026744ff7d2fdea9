"""The frame of a step's process: progress lines, error reports and the summary page."""

import signal
from pathlib import Path

import pytest

from components.common import mlflow_client
from components.common.errors import InputError, SrsError, StorageError
from components.common.steps import (
    at_most_every,
    ends_on_sigterm,
    parse_progress,
    progress_line,
    step,
    write_summary,
)
from tests.mlflow_api import serving


def test_progress_lines_are_read_back():
    assert parse_progress(progress_line("train", 3, 25, "restarts 2, best 0.82")) == (3, 25, "restarts 2, best 0.82")
    assert parse_progress(progress_line("train", 3, 25)) == (3, 25, "")
    assert parse_progress("srs-progress train nonsense") is None
    assert parse_progress("epoch 3/25") is None


@pytest.mark.parametrize("error", [InputError("A_CODE", "what\nhappened", "do this"), StorageError("B", "c")])
def test_errors_are_passed_between_processes_unchanged(error):
    read = SrsError.from_line(error.to_line())
    assert (type(read), read.code, read.safe_message, read.hint) == (type(error), *error.args)


def test_other_lines_are_not_read_as_errors():
    assert SrsError.from_line("srs-error {broken") is None
    assert SrsError.from_line("something else") is None


def test_step_reports_an_error_without_a_traceback(capsys):
    with pytest.raises(SystemExit) as caught, step("split"):
        raise InputError("TOO_FEW_TUMOURS", "seven are left")
    assert caught.value.code == 1
    assert "seven are left" in capsys.readouterr().out


def test_unexpected_error_does_not_show_its_text(capsys):
    with pytest.raises(SystemExit), step("preprocess"):
        raise ValueError("Doe^Jane 1950-01-01")
    out = capsys.readouterr().out
    assert "Doe" not in out
    assert "ValueError" in out
    assert "test_steps.py" in out


def test_a_full_disk_is_reported_as_storage_full(capsys):
    with pytest.raises(SystemExit), step("preprocess"), Path("/dev/full").open("w") as file:
        file.write("a crop")
    error = SrsError.from_line(capsys.readouterr().out)
    assert (type(error), error.code) == (StorageError, "STORAGE_FULL")


def test_limited_progress_never_drops_the_last_call():
    calls = []
    limited = at_most_every(3600, lambda done, *_: calls.append(done))
    for done in range(5):
        limited(done, 4)
    assert calls == [0, 4]


def test_summary_escapes_and_labels(tmp_path):
    page = tmp_path / "summary.html"
    write_summary(str(page), "A <b>title</b>", {"fact": 0.123456}, [{"code": "X"}], synthetic=True)
    text = page.read_text()
    assert "SYNTHETIC" in text
    assert "0.123" in text
    assert "<b>title" not in text


def test_summary_shows_figures_and_scrolls_a_wide_table_in_its_own_box(tmp_path):
    page = tmp_path / "summary.html"
    write_summary(str(page), "Title", {}, [{"code": "X"}], figures=["<svg></svg>"], synthetic=False)
    text = page.read_text()
    assert "<figure><svg></svg></figure>" in text
    assert '<div class="scroll"><table>' in text
    assert 'name="viewport"' in text


def test_a_tracked_step_requires_mlflow_before_its_work(monkeypatch, capsys):
    """And does not log the failure there, where it would wait again."""
    monkeypatch.setattr(mlflow_client, "_reachable", set())
    with serving() as api:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", api.address)
        api.status = 503
        with pytest.raises(SystemExit) as caught, step("train", tracked_by="splits"):
            raise AssertionError("the work began")
        assert len(api.calls) == 1
    assert caught.value.code == 1
    assert "MLFLOW_UNAVAILABLE" in capsys.readouterr().out
    with pytest.raises(SystemExit), step("preprocess"):
        raise InputError("A_CODE", "MLflow is not required")


def test_sigterm_raises_system_exit_and_the_former_handler_is_restored():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, ends_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def stopped_twice(done: list[str]) -> None:
    with ends_on_sigterm():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            done.append("undone")


def test_a_second_sigterm_does_not_interrupt_the_cleanup_of_the_first():
    before, done = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(SystemExit) as caught:
        stopped_twice(done)
    assert (done, caught.value.code) == (["undone"], 128 + signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
