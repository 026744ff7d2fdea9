"""Reads the contours of a structure from an RTSTRUCT: whole or not at all, never clipped or silently repaired."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from components.common.errors import TumourError
from components.common.limits import (
    MAX_CONTOURS,
    MAX_CONTOURS_IN_ALL,
    MAX_COORDINATE_MM,
    MAX_POINTS,
    MAX_POINTS_IN_ALL,
)
from components.imaging.attributes import text
from components.imaging.ct import NO_FRAME
from components.imaging.elements import Header
from components.imaging.geometry import Points
from components.imaging.structure import CONTOUR_DATA

#: Contour types that enclose an area (PS3.3 C.8.8.6.3), written without blanks and underscores.
CLOSED = ("CLOSEDPLANAR", "CLOSEDPLANARXOR")
#: Types outside the standard that are read as closed outlines: interpolated between drawn slices, or not given.
TAKEN_AS_CLOSED = ("INTERPOLATEDPLANAR", "CLOSED", "")
#: Points and open lines (PS3.3 C.8.8.6.3).
OPEN = ("POINT", "OPENPLANAR", "OPENNONPLANAR")
#: Contours whose z positions differ by less than this lie in one plane, mm: above rounding, below the thinnest slices.
SAME_PLANE_MM = 0.1


class Note(NamedTuple):
    """A warning about a GTV that can still be used: a stable code, and a sentence without identity."""

    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Contour:
    """A closed polygon: [k, 3] LPS mm, and the SOPInstanceUID and frame that it references ("", NO_FRAME: none)."""

    points_mm: Points
    sop_instance_uid: str
    frame: int

    @property
    def z_mm(self) -> float:
        """Median z of its points, LPS mm."""
        return float(np.median(self.points_mm[:, 2]))


@dataclasses.dataclass(frozen=True, slots=True)
class ClosedContours:
    """The closed contours of a structure, or ``problem``: why it cannot be used."""

    contours: tuple[Contour, ...] = ()
    problem: TumourError | None = None
    notes: tuple[Note, ...] = ()


class ContourBudget:
    """Contours and points that the structures of one RTSTRUCT may still have together, beside a limit for each one."""

    def __init__(self) -> None:
        self.contours, self.points = MAX_CONTOURS_IN_ALL, MAX_POINTS_IN_ALL

    def check(self, items: Sequence[Header]) -> None:
        """Counts a structure before its numbers are decoded to ten times their size; raises ``CONTOURS_TOO_MANY``."""
        numbers = sum(_count(_data(item)) for item in items)
        if len(items) > MAX_CONTOURS or numbers > 3 * MAX_POINTS:
            raise _too_many(f"the GTV has more than {MAX_CONTOURS} contours or {MAX_POINTS} points")
        self.contours, self.points = self.contours - len(items), self.points - numbers // 3
        if min(self.contours, self.points) < 0:
            most = f"{MAX_CONTOURS_IN_ALL} contours or {MAX_POINTS_IN_ALL} points"
            raise _too_many(f"the GTVs of the RTSTRUCT have more than {most} together")


def read_contours(items: Sequence[Header], budget: ContourBudget | None = None) -> ClosedContours:
    """The closed contours among the items of a ContourSequence.

    Parameters
    ----------
    items
        Items of one structure.
    budget
        Contours and points left for this structure and those after it; None allows one structure's limit.

    Returns
    -------
    The contours, or the problem for which they cannot be used: one of ``ROI_EMPTY``, ``CONTOURS_TOO_MANY``,
    ``CONTOUR_DAMAGED``, ``CONTOUR_TYPE`` (a type outside the standard) and ``ROI_NOT_CLOSED`` (open lines on planes
    without a closed contour).
    """
    if not items:
        return ClosedContours(problem=_no_outline(has_points=False))
    try:
        (budget or ContourBudget()).check(items)
        return _sorted_by_kind([(_kind(item), read_contour(item)) for item in items])
    except TumourError as error:
        return ClosedContours(problem=error)


def _too_many(message: str) -> TumourError:
    hint = "Thin out the outlines in the planning system and export them again."
    return TumourError("CONTOURS_TOO_MANY", message, hint)


def _sorted_by_kind(contours: Sequence[tuple[str, Contour]]) -> ClosedContours:
    filled = [(kind, contour) for kind, contour in contours if len(contour.points_mm)]
    lines = [contour for kind, contour in filled if kind in OPEN]
    unknown = [kind for kind, _ in filled if kind not in (*OPEN, *CLOSED, *TAKEN_AS_CLOSED)]
    closed = [contour for kind, contour in filled if kind not in OPEN and len(contour.points_mm) >= 3]
    untyped = [kind for kind, contour in filled if kind in TAKEN_AS_CLOSED and len(contour.points_mm) >= 3]
    if unknown:
        return ClosedContours(problem=_unknown_type(len(unknown), len(filled)))
    if not closed:
        return ClosedContours(problem=_no_outline(has_points=bool(filled)))
    if isolated := [line for line in lines if len(line.points_mm) >= 3 and not _beside(line, closed)]:
        return ClosedContours(problem=_not_closed(len(isolated), len(filled)))
    notes = []
    if untyped:
        message = f"{len(untyped)} of {len(filled)} contours have no type that DICOM defines, and are taken as closed"
        notes.append(Note("CONTOUR_TYPE", message))
    if lines:
        message = f"{len(lines)} of {len(filled)} contours are points or open lines, and are left out"
        notes.append(Note("CONTOURS_NOT_CLOSED", message))
    return ClosedContours(tuple(closed), notes=tuple(notes))


def _unknown_type(count: int, total: int) -> TumourError:
    message = f"{count} of the GTV's {total} contours have a type that DICOM does not define"
    return TumourError("CONTOUR_TYPE", message, "Export the GTV as closed planar contours.")


def _not_closed(count: int, total: int) -> TumourError:
    message = f"{count} of the GTV's {total} contours are open lines on planes without a closed contour"
    return TumourError("ROI_NOT_CLOSED", message, "Close them in the planning system.")


def _no_outline(*, has_points: bool) -> TumourError:
    if has_points:
        hint = "Draw closed contours in the planning system, and export the RTSTRUCT again."
        return TumourError("ROI_NOT_CLOSED", "the GTV has only points or open lines", hint)
    hint = "Draw the GTV in the planning system, and export the RTSTRUCT again; or name another structure by roi."
    return TumourError("ROI_EMPTY", "the GTV is listed, but has no contour", hint)


def _beside(line: Contour, closed: Sequence[Contour]) -> bool:
    return any(abs(line.z_mm - contour.z_mm) <= SAME_PLANE_MM for contour in closed)


def _kind(item: Header) -> str:
    return text(item, "ContourGeometricType").upper().replace("_", "").replace(" ", "")


def read_contour(item: Header) -> Contour:
    """One item of a ContourSequence, of any type; raises ``CONTOUR_DAMAGED``."""
    numbers = contour_numbers(item)
    if len(numbers) % 3:
        raise _damaged(f"holds {len(numbers)} numbers, which is not a multiple of three (x, y, z)")
    if _declared_points(item) not in (None, len(numbers) // 3):
        raise _damaged(f"holds {len(numbers) // 3} points, but declares another NumberOfContourPoints")
    if not np.isfinite(numbers).all() or np.abs(numbers).max(initial=0) > MAX_COORDINATE_MM:
        raise _damaged(f"has coordinates beyond {MAX_COORDINATE_MM:g} mm, which is outside any patient")
    return Contour(numbers.reshape(-1, 3), *_image(item))


def contour_numbers(item: Header) -> Points:
    """All coordinates of a contour in their order; ``CONTOUR_DAMAGED`` where one is not a number."""
    data = _data(item)
    if _count(data) > 3 * MAX_POINTS:  # before decoding, which takes ten times the size of the text
        raise _too_many(f"a contour has more than {MAX_POINTS} points")
    try:
        if isinstance(data, bytes) and b"_" in data:  # Python reads 1_0 as 10, DICOM does not
            raise ValueError
        # from the stored text, since pydicom's DSfloat objects take a second for a typical structure set
        parts = data.decode("ascii").strip(" \0\r\n").rstrip("\\").split("\\") if isinstance(data, bytes) else data
        return np.array([] if len(data) == 0 or parts == [""] else [float(v) for v in parts], dtype=np.float64)
    except (ValueError, TypeError):
        raise _damaged("has a coordinate that is not a number") from None


def _declared_points(item: Header) -> float | None:
    """NumberOfContourPoints; None where it is absent."""
    try:
        number = text(item, "NumberOfContourPoints")
        return float(number) if number else None
    except (ValueError, TumourError):
        raise _damaged("has a NumberOfContourPoints that is not a number") from None


def _damaged(what: str) -> TumourError:
    return TumourError("CONTOUR_DAMAGED", f"a contour of the GTV {what}", "Export the RTSTRUCT again.")


def _data(item: Header) -> bytes | Sequence[float]:
    """ContourData without decoding it."""
    _, value = item.elements.get(CONTOUR_DATA, (None, None))
    if value is None or isinstance(value, bytes):
        return value or b""
    return [float(value)] if isinstance(value, str | int | float) else value


def _count(data: bytes | Sequence[float]) -> int:
    return data.count(b"\\") + 1 if isinstance(data, bytes) else len(data)


def _image(item: Header) -> tuple[str, int]:
    """SOPInstanceUID and frame that a contour references; ("", NO_FRAME) where these are missing or unreadable."""
    try:
        image = (item.items("ContourImageSequence") or [Header({})])[0]
        frame = int(text(image, "ReferencedFrameNumber") or NO_FRAME + 1) - 1
        return text(image, "ReferencedSOPInstanceUID"), frame
    except Exception:  # whatever pydicom raises on broken bytes
        return "", NO_FRAME
