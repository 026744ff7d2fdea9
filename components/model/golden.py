"""The golden case: a phantom's slice and contour, the crop that must result, and the members' probabilities for it."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.common.errors import BundleError
from components.common.files import float32_array, strict_json, write_json
from components.common.settings import IMAGE_SIZE_PX
from components.imaging.crop import ImageDefinition, bounding_box_centre_mm, cut_crop
from components.imaging.geometry import SliceGeometry

#: Files below ``golden/``: the input, which ``GoldenInput`` writes, and the expected crop and probabilities.
SLICE, GEOMETRY, CROP, PROBABILITIES = "slice_hu.npy", "golden.json", "crop.npy", "probabilities.npy"
GOLDEN = "golden"
GOLDEN_FILES = tuple(f"{GOLDEN}/{name}" for name in (SLICE, GEOMETRY, CROP, PROBABILITIES))
#: Largest coordinate of a golden contour and of the first pixel of its slice, mm: ten times a scanner's table.
FARTHEST_MM = 20_000.0


@dataclasses.dataclass(frozen=True, slots=True)
class GoldenInput:
    """A synthetic slice with one contour.

    Parameters
    ----------
    slice_hu
        [rows, columns] float32, HU.
    origin_xy_mm
        LPS x and y of the centre of pixel (0, 0), mm.
    column_step_xy_mm, row_step_xy_mm
        Change of x and y from one column (or row) to the next, mm.
    contour_xy_mm
        [points, 2] LPS x and y of the contour, mm.
    """

    slice_hu: NDArray[np.float32]
    origin_xy_mm: tuple[float, float]
    column_step_xy_mm: tuple[float, float]
    row_step_xy_mm: tuple[float, float]
    contour_xy_mm: NDArray[np.float64]

    def cut(self, definition: ImageDefinition) -> NDArray[np.float32]:
        """The crop [151, 151] in HU that ``definition`` cuts from slice and contour."""
        geometry = SliceGeometry(self.origin_xy_mm, self.column_step_xy_mm, self.row_step_xy_mm)
        centre = bounding_box_centre_mm([self.contour_xy_mm])
        return cut_crop(self.slice_hu, geometry, centre, definition)

    def write(self, folder: Path) -> None:
        """Writes ``slice_hu.npy`` and ``golden.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / SLICE, self.slice_hu.astype(np.float32), allow_pickle=False)
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["slice_hu"]
        write_json(folder / GEOMETRY, {name: np.asarray(value).tolist() for name, value in fields.items()})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what ``write`` wrote; raises as ``parse``."""
        return cls.parse((folder / SLICE).read_bytes(), (folder / GEOMETRY).read_bytes())

    @classmethod
    def parse(cls, slice_npy: bytes, geometry_json: bytes) -> Self:
        """Parses the bytes of both files; ``ValueError`` where ``write`` cannot have written them."""
        fields = strict_json(geometry_json)
        names = {field.name for field in dataclasses.fields(cls)} - {"slice_hu"}
        if not isinstance(fields, dict) or set(fields) != names:
            raise ValueError
        arrays = {name: _millimetres(fields[name]) for name in names}
        contour, slice_hu = arrays.pop("contour_xy_mm"), float32_array(slice_npy)
        if contour.ndim != 2 or contour.shape[1] != 2 or slice_hu.ndim != 2:
            raise ValueError
        if any(array.shape != (2,) for array in arrays.values()):
            raise ValueError
        pairs = {name: (float(array[0]), float(array[1])) for name, array in arrays.items()}
        return cls(slice_hu=slice_hu, contour_xy_mm=contour, **pairs)


def _millimetres(value: Any) -> NDArray[np.float64]:
    array = np.array(value, np.float64)
    if not array.size or not (np.abs(array) <= FARTHEST_MM).all():
        raise ValueError
    return array


@dataclasses.dataclass(frozen=True, slots=True)
class GoldenCase:
    """The golden input with the expected crop [151, 151] in HU and the expected probabilities [members]."""

    given: GoldenInput
    crop: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @classmethod
    def parse(cls, content: Mapping[str, bytes], members: int) -> Self:
        """Parses the bytes of a bundle's files; raises ``BundleError`` ``GOLDEN_CASE``."""
        slice_npy, geometry, crop_npy, answers_npy = (content[name] for name in GOLDEN_FILES)
        try:
            given = GoldenInput.parse(slice_npy, geometry)
            crop, answers = float32_array(crop_npy), float32_array(answers_npy)
            if crop.shape != (IMAGE_SIZE_PX, IMAGE_SIZE_PX) or answers.shape != (members,):
                raise ValueError
        except (ValueError, TypeError, OverflowError):
            hint = "Fetch or export the bundle again."
            raise BundleError("GOLDEN_CASE", "the golden case has not the format of a bundle's", hint) from None
        return cls(given, crop, answers)

    def difference(self, answers: ArrayLike) -> float:
        """Largest difference of ``answers`` [members] from the expected ones; infinity for another shape, or NaN."""
        probabilities = np.asarray(answers, np.float64)
        if probabilities.shape != self.probabilities.shape or np.isnan(probabilities).any():
            return math.inf
        return float(np.abs(probabilities - self.probabilities).max())
