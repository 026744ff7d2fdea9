"""Finds where the edges of outlines cross horizontal lines, the basis of all even-odd measures; near linear in time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from components.common.errors import TumourError
from components.common.limits import MAX_CROSSINGS

Points = NDArray[np.float64]
Indices = NDArray[np.intp]

#: Crossings that are computed at once; limits the memory, about 100 bytes for each.
BLOCK = 1_000_000


class _Work:
    """Number of crossings that may still be computed."""

    def __init__(self) -> None:
        self.left = MAX_CROSSINGS


_WORK: ContextVar[_Work | None] = ContextVar("work on outlines", default=None)


@contextmanager
def bounded_work() -> Iterator[None]:
    """Limits the work on outlines inside the block: more than ``MAX_CROSSINGS`` raise ``CONTOURS_TOO_MANY``.

    A nested block shares the limit of the outer one.
    """
    if _WORK.get():
        yield
        return
    token = _WORK.set(_Work())
    try:
        yield
    finally:
        _WORK.reset(token)


def spend(crossings: int) -> None:
    """Counts work that takes as long as ``crossings`` crossings; raises as ``bounded_work`` says."""
    if work := _WORK.get():
        work.left -= crossings
        if work.left < 0:
            hint = "Thin out the outlines in the planning system and export them again, or name one GTV by roi."
            message = f"the GTV's outlines are folded too often to be measured: more than {MAX_CROSSINGS} crossings"
            raise TumourError("CONTOURS_TOO_MANY", message, hint)


def edges_of(contours: Sequence[Points]) -> tuple[Points, Points]:
    """Starts and ends of all edges, each contour closed by a line from its last point to its first."""
    arrays = [np.asarray(contour, dtype=np.float64) for contour in contours]
    return np.concatenate(arrays), np.concatenate([np.roll(array, -1, axis=0) for array in arrays])


def count_crossings(starts: Points, ends: Points, lines: Points) -> int:
    """Number of crossings that ``crossings`` would yield."""
    first, last = _lines_of_edges(starts, ends, lines)
    return int((last - first).sum())


def crossings(starts: Points, ends: Points, lines: Points) -> Iterator[tuple[Indices, Points]]:
    """Line index and x of every crossing, in blocks; all crossings of a line are in one block.

    Parameters
    ----------
    starts, ends
        [n, 2] x, y. An edge includes its lower end but not its upper one, so that closed outlines cross each line an
        even number of times.
    lines
        [m] y, ascending.

    Raises
    ------
    TumourError
        As ``bounded_work`` says.
    """
    first, last = _lines_of_edges(starts, ends, lines)
    spend(int((last - first).sum()) + len(starts))
    rise = ends[:, 1] - starts[:, 1]
    slope = (ends[:, 0] - starts[:, 0]) / np.where(rise == 0, np.inf, rise)
    for low, high in _blocks(first, last, len(lines)):
        begin = np.clip(first, low, high)
        counts = np.clip(last, low, high) - begin
        edge = np.repeat(np.arange(len(starts)), counts)
        line = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts - begin, counts)
        yield line, starts[edge, 0] + (lines[line] - starts[edge, 1]) * slope[edge]


def _lines_of_edges(starts: Points, ends: Points, lines: Points) -> tuple[Indices, Indices]:
    """For each edge the first line that it crosses, and the line after the last one."""
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    return np.searchsorted(lines, low), np.searchsorted(lines, high)


def _blocks(first: Indices, last: Indices, lines: int) -> Iterator[tuple[int, int]]:
    """Ranges of lines with about ``BLOCK`` crossings each."""
    change = np.bincount(first, minlength=lines + 1) - np.bincount(last, minlength=lines + 1)
    before = np.concatenate([[0], np.cumsum(np.cumsum(change[:lines]))])
    low = 0
    while low < lines:
        high = max(low + 1, int(np.searchsorted(before, before[low] + BLOCK, side="right")) - 1)
        yield low, high
        low = high
