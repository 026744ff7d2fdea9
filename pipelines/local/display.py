"""Shows the progress of a local run: a bar per step on a terminal, else plain lines."""

import sys
import threading
import time
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

COLOURS = {"done": "green", "stopped": "yellow", "failed": "red"}
EARLIEST = 0.1  # part of the work after which the time that is left can be estimated
QUIET_SECONDS = 15.0  # between two lines of one step when the output is not a terminal


class ConsoleDisplay:
    """A bar per step on a terminal; elsewhere a line when a step starts, at intervals, and when it ends.

    Tasks that run at the same time call it from threads of their own.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._steps: dict[str, _Step] = {}
        self._lock = threading.RLock()
        self._file: IO[str] | None = None
        self._stopping = False
        columns = (TextColumn("{task.description:<12}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, TextColumn("{task.fields[note]}"), console=console)

    def __enter__(self) -> "ConsoleDisplay":
        own = self.console.file
        self._file = None if own is sys.stdout else own  # None: whatever standard output is later
        self.console.file = own  # keeps the terminal while kfp's own output is redirected
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish_idle()
        if self.console.is_terminal:  # elsewhere it would print an empty line
            self._bars.stop()
        self.console.file = self._file  # type: ignore[assignment]  # rich takes None for standard output

    def begin(self, step: str) -> None:
        """A task of ``step`` started; steps of which none runs any more are done."""
        with self._lock:
            self._finish_idle(but=step)
            if step not in self._steps:
                self._steps[step] = _Step(self._bars.add_task(step, total=1, note=""))
                self._line(step, "started")
            self._steps[step].running += 1

    def advance(self, step: str, task: str, done: int, total: int, note: str) -> None:
        """A task of ``step`` is at ``done`` of ``total``."""
        with self._lock:
            state = self._steps[step]
            state.tasks[task] = (done, total, note)
            all_done = sum(done for done, _, _ in state.tasks.values())
            all_total = sum(total for _, total, _ in state.tasks.values())
            text = self._note(state, all_done, all_total)
            self._bars.update(state.bar, completed=all_done, total=all_total, note=text)
            if time.monotonic() - state.last_line >= QUIET_SECONDS:
                self._line(step, f"{all_done}/{all_total} {text}".rstrip())

    def end(self, step: str, *, failed: bool) -> None:
        """A task of ``step`` ended."""
        with self._lock:
            state = self._steps[step]
            state.running -= 1
            state.failed |= failed
            state.ended = time.monotonic()
            if state.failed:
                self._finish_idle()

    def stopping(self) -> None:
        """The run is being stopped; the tasks that have begun will end soon, as failed."""
        self._stopping = True
        self.console.print("stopping: the steps save or undo their work, in at most a minute", soft_wrap=True)

    def _finish_idle(self, but: str = "") -> None:
        """Says how the steps ended of which no task runs; a task of the step ``but`` may follow another one."""
        for step, state in self._steps.items():
            if step == but or state.running or state.finished:
                continue
            state.finished = True
            total = sum(total for _, total, _ in state.tasks.values()) or 1
            word = "done" if not state.failed else "stopped" if self._stopping else "failed"
            note = f"[{COLOURS[word]}]{word}[/]"
            self._bars.update(state.bar, total=total, completed=None if state.failed else total, note=note)
            self._line(step, f"{word} after {state.ended - state.started:.0f} s")

    def _note(self, state: "_Step", done: int, total: int) -> str:
        notes = "; ".join(dict.fromkeys(note for _, _, note in state.tasks.values() if note))
        elapsed = time.monotonic() - state.started
        left = f", {elapsed / done * (total - done):.0f} s left" if total * EARLIEST <= done < total else ""
        return (notes + left).removeprefix(", ")

    def _line(self, step: str, text: str) -> None:
        self._steps[step].last_line = time.monotonic()
        if not self.console.is_terminal:
            self.console.print(Text(f"{step:<12} {text}"), soft_wrap=True)


class _Step:
    """State of a step: its bar and the progress of each of its tasks."""

    def __init__(self, bar: TaskID) -> None:
        self.bar = bar
        self.tasks: dict[str, tuple[int, int, str]] = {}
        self.running = 0
        self.failed = self.finished = False
        self.started = time.monotonic()
        self.last_line = self.ended = self.started
