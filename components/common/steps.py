"""Shared by all steps' processes: progress lines, error reports and a small HTML summary page."""

import contextlib
import html
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from components.common.disk import disk_error
from components.common.errors import SrsError
from components.common.narrow import NARROW_STYLE, labelled
from components.common.pages import POLICY_TAG

PROGRESS_PREFIX = "srs-progress "

#: ``progress(done, total, note)``; the note is a short text such as ``restarts 2, best 0.82``.
Progress = Callable[[int, int, str], None]


@contextlib.contextmanager
def step(name: str, *, tracked_by: str = "") -> Iterator[Progress]:
    """Runs a step's body and gives it a ``progress`` function.

    An ``SrsError`` or a full disk is printed as one line on stdout and ends the process with exit code 1, without a
    traceback. Any other exception is a bug: its type and location are printed, but not its message, which could
    contain a patient's data (``SRS_DEBUG=1`` raises it).

    Parameters
    ----------
    name
        The step's name, as users know it.
    tracked_by
        Folder of the run's splits, which names its MLflow tree: the reason for a failure is logged there too, and an
        unreachable server is reported before the work and not after it.
    """

    def progress(done: int, total: int, note: str = "") -> None:
        print(progress_line(name, done, total, note), flush=True)

    try:
        if tracked_by:
            _require_mlflow()
        yield progress
    except SrsError as error:
        _fail(error, tracked_by)
    except Exception as error:
        if os.environ.get("SRS_DEBUG") == "1":
            raise
        if full_disk := disk_error(error):
            _fail(full_disk, tracked_by)
        for frame in traceback.extract_tb(error.__traceback__):
            print(f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}")
        _fail(SrsError("UNEXPECTED", f"{name} stopped on a {type(error).__name__}", "The log shows where."), tracked_by)


@contextlib.contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """Turns SIGTERM (a pod's eviction) into ``SystemExit``, so that the block can save or undo its work.

    Another SIGTERM before the block ends is ignored, as it would interrupt the saving or undoing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    former = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _require_mlflow() -> None:
    from components.common import tracking

    tracking.require_server()


def progress_line(name: str, done: int, total: int, note: str = "") -> str:
    """One log line of a step's progress, for people and for ``parse_progress``."""
    return f"{PROGRESS_PREFIX}{name} {done}/{total} {note}".rstrip()


def parse_progress(line: str) -> tuple[int, int, str] | None:
    """``(done, total, note)`` of a ``progress_line``, or None for any other line."""
    if not line.startswith(PROGRESS_PREFIX):
        return None
    with contextlib.suppress(ValueError):
        _, counts, *note = line.removeprefix(PROGRESS_PREFIX).strip().split(" ", 2)
        done, total = counts.split("/")
        return int(done), int(total), "".join(note)
    return None


def at_most_every(seconds: float, progress: Progress) -> Progress:
    """``progress`` that drops calls within ``seconds`` of the previous one, but never the last one."""
    last = float("-inf")

    def limited(done: int, total: int, note: str = "") -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= seconds:
            last = time.monotonic()
            progress(done, total, note)

    return limited


def write_summary(
    path: str,
    title: str,
    facts: Mapping[str, Any],
    table: Sequence[Mapping[str, Any]] = (),
    *,
    figures: Sequence[str] = (),
    synthetic: bool,
) -> None:
    """Writes ``summary_page`` to a file."""
    page = summary_page(title, facts, table, figures=figures, synthetic=synthetic)
    Path(path).write_text(page, encoding="utf-8")


def summary_page(
    title: str,
    facts: Mapping[str, Any],
    table: Sequence[Mapping[str, Any]] = (),
    *,
    figures: Sequence[str] = (),
    synthetic: bool,
) -> str:
    """A step's summary page for the KFP UI: a title, facts, figures (inline SVG) and at most one table."""
    rows = "".join(f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in facts.items())
    body = f"<h1>{_text(title)}</h1><table>{rows}</table>"
    if figures:
        body += '<div class="figures">' + "".join(f"<figure>{svg}</figure>" for svg in figures) + "</div>"
    if table:
        head = "".join(f"<th>{_text(key)}</th>" for key in table[0])
        lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row.values()) + "</tr>" for row in table)
        table_text = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
        body += labelled(f'<div class="scroll">{table_text}</div>')
    banner = '<p class="synthetic">SYNTHETIC: phantom data, no patient</p>' if synthetic else ""
    head = f'<meta charset="utf-8">{POLICY_TAG}<meta name="viewport" content="width=device-width">'
    head += f"<title>{_text(title)}</title>"
    return f'<!doctype html><html lang="en">{head}<style>{STYLE}{NARROW_STYLE}</style>{banner}{body}</html>\n'


STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:1rem;color:#222;background:#fff}
h1{font-size:1.15rem}table{border-collapse:collapse;margin:.8rem 0}th,td{text-align:left;padding:.2rem .8rem .2rem 0;
border-bottom:1px solid #ddd;vertical-align:top}td{overflow-wrap:anywhere}.scroll{overflow-x:auto}
.scroll td{overflow-wrap:normal;font-variant-numeric:tabular-nums}figure{margin:.8rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));gap:0 1rem}
svg{max-width:100%;height:auto}.synthetic{background:#fde9c8;padding:.3rem .6rem}"""


def _text(value: Any) -> str:
    return html.escape(f"{value:.3f}" if isinstance(value, float) else str(value))


def _fail(error: SrsError, tracked_by: str) -> NoReturn:
    print(error.to_line(), flush=True)
    if tracked_by and not error.code.startswith("MLFLOW_"):  # MLflow would fail again
        with contextlib.suppress(Exception):  # the error printed above matters more
            from components.common import tracking
            from components.common.artifacts.splits import Splits

            tracking.note_failure(Splits.read(Path(tracked_by)).tracking, str(error))
    sys.exit(1)
