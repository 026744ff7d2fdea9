"""A tumour candidate: the measurements of a GTV, and whether it can be used."""

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.common.errors import TumourError
from components.imaging.geometry import Points


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A GTV: the measurements on its chosen slice, how that was scanned, and whether it can be used.

    Measured fields are None only where the contours could not be matched to CT planes (HU: where the slice could not
    be read). ``contrast_agent``, ``kvp``, ``slice_thickness_mm`` and ``kernel`` are the ``ScanFacts`` of that slice,
    None where unknown. ``longest_diameter_mm`` is the largest distance between two contour points in any one axial
    plane. ``crop`` is [151, 151] float32 HU; a refused candidate has one too where it could be cut. ``warnings`` are
    the codes of irregularities that do not exclude the GTV; ``message`` gives the reason for a refusal, then the
    warnings.
    """

    roi_name: str
    roi_number: str = ""
    planes: int = 0
    slice_sop_instance_uid: str | None = None
    z_mm: float | None = None
    area_mm2: float | None = None
    centroid_lps_mm: tuple[float, float, float] | None = None
    width_mm: float | None = None
    height_mm: float | None = None
    hu_mean: float | None = None
    hu_sd: float | None = None
    longest_diameter_mm: float | None = None
    match_level: str | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    contrast_agent: str | None = None
    kvp: float | None = None
    slice_thickness_mm: float | None = None
    kernel: str | None = None
    status: Literal["ok", "refused"] = "ok"
    code: str = ""
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    crop: NDArray[np.float32] | None = None
    contours_xy_mm: tuple[Points, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The candidate as values that JSON can hold, without its arrays."""
        names = [f.name for f in dataclasses.fields(self) if f.name not in ("crop", "contours_xy_mm")]
        values = ((name, getattr(self, name)) for name in names)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    def refused(self, error: TumourError) -> "Candidate":
        """The same candidate, refused; an earlier refusal is not overwritten."""
        if self.status == "refused":
            return self
        message = "; ".join(filter(None, (error.safe_message, self.message)))
        return dataclasses.replace(self, status="refused", code=error.code, message=message, hint=error.hint)

    def warned(self, code: str, message: str) -> "Candidate":
        """The same candidate with one more warning."""
        warnings = tuple(dict.fromkeys((*self.warnings, code)))
        return dataclasses.replace(self, warnings=warnings, message="; ".join(filter(None, (self.message, message))))
