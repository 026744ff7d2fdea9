"""The contours of a structure as an RTSTRUCT has them: read whole or refused, never clipped or repaired in silence."""

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
from components.imaging.ct import NO_FRAME
from components.imaging.dicom_io import text
from components.imaging.elements import Header
from components.imaging.geometry import Points
from components.imaging.structure import CONTOUR_DATA

#: Contour types that enclose an area, without blanks and underscores (PS3.3 C.8.8.6.3).
CLOSED = ("CLOSEDPLANAR", "CLOSEDPLANARXOR")
#: Types that are not in the standard and are closed outlines all the same: between drawn slices; not written.
TAKEN_AS_CLOSED = ("INTERPOLATEDPLANAR", "CLOSED", "")
#: Points and open lines (PS3.3 C.8.8.6.3).
OPEN = ("POINT", "OPENPLANAR", "OPENNONPLANAR")
#: Contour heights nearer than this are one plane, mm: above rounding, below the thinnest slices (0.2 mm).
SAME_PLANE_MM = 0.1


class Note(NamedTuple):
    """What a user should know of a GTV that is used all the same: a stable code, and a sentence without identity."""

    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Contour:
    """A closed polygon: [k, 3] LPS mm, and the SOPInstanceUID it says it lies on ("" where it says none)."""

    points_mm: Points
    sop_instance_uid: str
    frame: int

    @property
    def z_mm(self) -> float:
        """Its height: the median of its points'."""
        return float(np.median(self.points_mm[:, 2]))


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """The closed contours of a structure, or ``problem``: why it cannot be used."""

    contours: tuple[Contour, ...] = ()
    problem: TumourError | None = None
    notes: tuple[Note, ...] = ()


class Room:
    """What the structures of one RTSTRUCT may still have together; each has a bound of its own beside it."""

    def __init__(self) -> None:
        self.contours, self.points = MAX_CONTOURS_IN_ALL, MAX_POINTS_IN_ALL

    def check(self, items: Sequence[Header]) -> None:
        """Before a number is decoded, since text takes ten times its size; ``CONTOURS_TOO_MANY``."""
        numbers = sum(_count(_data(item)) for item in items)
        if len(items) > MAX_CONTOURS or numbers > 3 * MAX_POINTS:
            raise _too_many(f"the GTV has more than {MAX_CONTOURS} contours or {MAX_POINTS} points")
        self.contours, self.points = self.contours - len(items), self.points - numbers // 3
        if min(self.contours, self.points) < 0:
            most = f"{MAX_CONTOURS_IN_ALL} contours or {MAX_POINTS_IN_ALL} points"
            raise _too_many(f"the GTVs of the RTSTRUCT have more than {most} together")


def read_contours(items: Sequence[Header], room: Room | None = None) -> Drawn:
    """The closed contours among the items of a ContourSequence.

    Parameters
    ----------
    items
        Of one structure.
    room
        What it and those before it may have together.

    Returns
    -------
    The contours, or why they cannot be used.


    The problem is one of ``ROI_EMPTY``, ``CONTOURS_TOO_MANY``, ``CONTOUR_DAMAGED``, ``CONTOUR_TYPE`` (neither closed
    nor open by the standard) and ``ROI_NOT_CLOSED`` (open lines where no closed contour lies).
    """
    if not items:
        return Drawn(problem=_no_outline(has_points=False))
    try:
        (room or Room()).check(items)
        return _sorted_by_kind([(_kind(item), read_contour(item)) for item in items])
    except TumourError as error:
        return Drawn(problem=error)


def _too_many(words: str) -> TumourError:
    hint = "Thin out the outlines in the planning system and export them again."
    return TumourError("CONTOURS_TOO_MANY", words, hint)


def _sorted_by_kind(found: Sequence[tuple[str, Contour]]) -> Drawn:
    drawn = [(kind, contour) for kind, contour in found if len(contour.points_mm)]
    lines = [contour for kind, contour in drawn if kind in OPEN]
    unknown = [kind for kind, _ in drawn if kind not in (*OPEN, *CLOSED, *TAKEN_AS_CLOSED)]
    closed = [contour for kind, contour in drawn if kind not in OPEN and len(contour.points_mm) >= 3]
    taken = [kind for kind, contour in drawn if kind in TAKEN_AS_CLOSED and len(contour.points_mm) >= 3]
    if unknown:
        words = f"{len(unknown)} of the GTV's {len(drawn)} contours are of a type that DICOM does not have"
        return Drawn(problem=TumourError("CONTOUR_TYPE", words, "Export the GTV as closed planar contours."))
    if not closed:
        return Drawn(problem=_no_outline(has_points=bool(drawn)))
    if alone := [line for line in lines if len(line.points_mm) >= 3 and not _beside(line, closed)]:
        words = f"{len(alone)} of the GTV's {len(drawn)} contours are open lines on planes without a closed contour"
        return Drawn(problem=TumourError("ROI_NOT_CLOSED", words, "Close them in the planning system."))
    notes = []
    if taken:
        words = f"{len(taken)} of {len(drawn)} contours have no type that DICOM knows, and are taken as closed"
        notes.append(Note("CONTOUR_TYPE", words))
    if lines:
        words = f"{len(lines)} of {len(drawn)} contours are points or open lines, and are left out"
        notes.append(Note("CONTOURS_NOT_CLOSED", words))
    return Drawn(tuple(closed), notes=tuple(notes))


def _no_outline(*, has_points: bool) -> TumourError:
    if has_points:
        return TumourError("ROI_NOT_CLOSED", "the GTV has only points or open lines")
    return TumourError("ROI_EMPTY", "the GTV is listed, but has no contour")


def _beside(line: Contour, closed: Sequence[Contour]) -> bool:
    return any(abs(line.z_mm - contour.z_mm) <= SAME_PLANE_MM for contour in closed)


def _kind(item: Header) -> str:
    return text(item, "ContourGeometricType").upper().replace("_", "").replace(" ", "")


def read_contour(item: Header) -> Contour:
    """One item of a ContourSequence, whatever its type; ``CONTOUR_DAMAGED`` says what is wrong with it."""
    numbers = contour_numbers(item)
    if len(numbers) % 3:
        raise _damaged(f"holds {len(numbers)} numbers, which are no triples of x, y, z")
    if _stated(item) not in (None, len(numbers) // 3):
        raise _damaged(f"holds {len(numbers) // 3} points, but says that it has another number of them")
    if not np.isfinite(numbers).all() or np.abs(numbers).max(initial=0) > MAX_COORDINATE_MM:
        raise _damaged(f"has coordinates beyond {MAX_COORDINATE_MM:g} mm, which are no place in a patient")
    return Contour(numbers.reshape(-1, 3), *_image(item))


def contour_numbers(item: Header) -> Points:
    """All coordinates of a contour, as they stand; ``CONTOUR_DAMAGED`` where one is no number."""
    data = _data(item)
    if _count(data) > 3 * MAX_POINTS:  # before a number is made: text takes ten times its size
        raise _too_many(f"a contour has more than {MAX_POINTS} points")
    try:
        if isinstance(data, bytes) and b"_" in data:  # Python reads 1_0 as 10, DICOM does not
            raise ValueError
        # text as stored, since a DSfloat object for every number takes a second for a usual structure set
        parts = data.decode("ascii").strip(" \0\r\n").rstrip("\\").split("\\") if isinstance(data, bytes) else data
        return np.array([] if len(data) == 0 or parts == [""] else [float(v) for v in parts], dtype=np.float64)
    except (ValueError, TypeError):
        raise _damaged("has a coordinate that is not a number") from None


def _stated(item: Header) -> float | None:
    """NumberOfContourPoints; None where it is absent."""
    try:
        stated = text(item, "NumberOfContourPoints")
        return float(stated) if stated else None
    except (ValueError, TumourError):
        raise _damaged("does not say in a number how many points it has") from None


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
    """SOPInstanceUID and frame that a contour names, ("", NO_FRAME) where they cannot be read: it then names none."""
    try:
        image = (item.items("ContourImageSequence") or [Header({})])[0]
        frame = int(text(image, "ReferencedFrameNumber") or NO_FRAME + 1) - 1
        return text(image, "ReferencedSOPInstanceUID"), frame
    except Exception:  # whatever pydicom raises on broken bytes
        return "", NO_FRAME
