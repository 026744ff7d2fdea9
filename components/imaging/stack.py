"""Checks that the planes of a CT series form one axial stack, with no plane duplicated or missing inside a lesion."""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from components.common.errors import TumourError
from components.imaging.ct import CtSeries

#: Largest difference of direction cosines within a series, and of the normal from the body's long axis (0.3 degrees).
ORIENTATION_TOLERANCE = 0.005
#: Planes closer than this have one position, mm.
DUPLICATE_TOLERANCE_MM = 0.01
#: Ratio from which one step counts as longer than another: above rounding (0.7 to 0.6 mm), below a doubled step (2),
#: and below the ratio for a slice lost where 2 mm steps change to 4 mm ones (6 to 4 mm).
GAP_FACTOR = 1.4
#: Number of planes on each side of a lesion whose steps and InstanceNumbers are compared with those inside.
NEIGHBOURS = 3


def check_series(series: CtSeries) -> None:
    """Refuses a series whose planes are not one axial stack.

    ImageOrientationPatient decides, not GantryDetectorTilt, which is "not intended for mathematical computations"
    (PS3.3 C.8.2.1) and remains in series that were resampled to axial planes. In a tilted series the planes are tilted.
    Contours and pixels share the plane's coordinates in any case, so that a crop shows the contoured tissue.

    Raises
    ------
    TumourError
        ``DICOM_DAMAGED``, ``NO_FRAME_OF_REFERENCE``, ``MIXED_ORIENTATION`` or ``OBLIQUE``.
    """
    if series.problem:
        raise series.problem
    if not series.frame_of_reference_uid:
        raise TumourError("NO_FRAME_OF_REFERENCE", "the CT has no FrameOfReferenceUID", "Export the series again.")
    directions = np.array([plane.orientation for plane in series.planes])
    if np.ptp(directions, axis=0).max() > ORIENTATION_TOLERANCE:
        hint = "Keep only the axial slices of one series, without localizers and reformats."
        raise TumourError("MIXED_ORIENTATION", "the planes of the CT series have different orientations", hint)
    row, column = directions[0, :3], directions[0, 3:]
    lengths = abs(np.linalg.norm(row) - 1) + abs(np.linalg.norm(column) - 1) + abs(float(row @ column))
    if lengths > ORIENTATION_TOLERANCE or max(abs(row[2]), abs(column[2])) > ORIENTATION_TOLERANCE:
        raise TumourError("OBLIQUE", "the CT planes are not axial", "Reformat the series to axial planes.")


def check_lesion(series: CtSeries, z_low_mm: float, z_high_mm: float) -> None:
    """Refuses duplicate or missing planes between the first and the last plane of a lesion.

    Spacing may change along a series. A plane is missing where a step is longer than both neighbouring steps, since no
    scanner samples a single position more sparsely than both sides of it. A plane is also missing where InstanceNumber
    skips although it does not skip on either side, and the step is longer than one of its neighbours.

    Raises
    ------
    TumourError
        ``DUPLICATE_SLICE`` or ``MISSING_SLICE``.
    """
    z = np.array([plane.z_mm for plane in series.planes])
    first = int(np.searchsorted(z, z_low_mm - DUPLICATE_TOLERANCE_MM))
    last = int(np.searchsorted(z, z_high_mm + DUPLICATE_TOLERANCE_MM, side="right"))
    steps = np.diff(z[max(0, first - 1) : last + 1])
    if steps.size and steps.min() <= DUPLICATE_TOLERANCE_MM:
        raise TumourError(
            "DUPLICATE_SLICE",
            "two CT slices share one position inside the lesion",
            "Keep only the phase or reconstruction that the RTSTRUCT was drawn on.",
        )
    begin = max(0, first - NEIGHBOURS)
    near = series.planes[begin : last + NEIGHBOURS]
    missing = _missing(np.diff([plane.z_mm for plane in near]), [plane.instance_number for plane in near])
    if missing[first - begin : last - 1 - begin].any():
        hint = "Export the whole series. If no slice was acquired there, the tumour cannot be used."
        raise TumourError("MISSING_SLICE", "CT slices are missing inside the lesion", hint)


def _missing(steps: NDArray[np.float64], numbers: list[int | None]) -> NDArray[np.bool_]:
    """For each step between planes, whether a plane is missing in it, as ``check_lesion`` defines."""
    before, after = np.append(np.nan, steps[:-1]), np.append(steps[1:], np.nan)
    longest, shortest = (
        np.fmax(before, after),
        np.fmin(before, after),
    )  # at the ends the only neighbour; NaN is never longer
    missing: NDArray[np.bool_] = (steps > GAP_FACTOR * longest) | (_skips(numbers) & (steps > GAP_FACTOR * shortest))
    return missing


def _skips(numbers: list[int | None]) -> NDArray[np.bool_]:
    """For each step, whether the number changes by more than before and after; never where numbers are unordered."""
    known = np.array([number for number in numbers if number is not None])
    steps = np.diff(known) if len(known) == len(numbers) else np.zeros(max(0, len(numbers) - 1), dtype=np.int64)
    if not steps.size or not ((steps > 0).all() or (steps < 0).all()):
        return np.zeros(len(steps), dtype=np.bool_)
    runs = [(step, len(list(run))) for step, run in groupby(np.abs(steps).tolist())]
    inner = zip(runs, runs[1:], runs[2:], strict=False)
    peaks = [False, *(before[0] < here[0] > after[0] for before, here, after in inner), False][: len(runs)]
    return np.repeat(np.array(peaks, dtype=np.bool_), [length for _, length in runs])
