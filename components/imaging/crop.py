"""Cuts the network's image: a square of an axial CT slice around a tumour, in HU, by a versioned definition.

Preprocessing and the predictor share this code, so the served image is cut exactly like those in training.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from components.common.errors import BundleError
from components.common.files import digest_of
from components.imaging.geometry import Points, SliceGeometry, bounding_box_mm

#: Versions of the definition that this code reproduces exactly.
KNOWN_VERSIONS = (1,)


@dataclasses.dataclass(frozen=True, slots=True)
class ImageDefinition:
    """How a crop is cut (STUDY 2); carried by datasets and bundles as data.

    Parameters
    ----------
    version
        Increased when the meaning of a field changes.
    size_px, size_mm
        Side of the square: pixel centres are ``size_mm / size_px`` apart, the middle one on the centre.
    interpolation
        Method between pixel centres, in HU.
    outside_hu
        Value beyond the scan.
    slice_rule
        ``centre``: the plane nearest the GTV's volume centroid; ``largest``: the plane of largest area.
    centre, axes
        Point at the centre of the square, and the directions of rows and columns.
    """

    version: int = 1
    size_px: int = 151
    size_mm: float = 40.0
    interpolation: str = "linear"
    outside_hu: float = -1000.0
    slice_rule: str = "centre"
    centre: str = "gtv_bounding_box"
    axes: str = "rows +y, columns +x, LPS"

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """A definition read back from JSON.

        Raises
        ------
        BundleError
            ``IMAGE_DEFINITION_UNKNOWN``: another version, a missing, unknown or unsupported field.
        """
        version = fields.get("version")
        if isinstance(version, bool) or version not in KNOWN_VERSIONS:
            raise _unknown(f"the image definition has another version than those supported {KNOWN_VERSIONS}")
        default = cls()
        names = {field.name for field in dataclasses.fields(cls)}
        if set(fields) != names:
            raise _unknown("the image definition has other fields than its version defines")
        wrong = [name for name in ("interpolation", "centre", "axes") if fields[name] != getattr(default, name)] + (
            [] if fields["slice_rule"] in ("centre", "largest") else ["slice_rule"]
        )
        numbers = [fields[name] for name in ("size_px", "size_mm", "outside_hu")]
        if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
            wrong.append("size_px, size_mm or outside_hu")
        elif not (fields["size_px"] == int(fields["size_px"]) >= 1 and fields["size_mm"] > 0):
            wrong.append("size_px or size_mm")
        if wrong:
            raise _unknown(f"the image definition has unsupported values: {', '.join(wrong)}")
        return cls(**fields)

    @property
    def digest(self) -> str:
        """SHA-256 of the fields."""
        return digest_of(self.to_dict())


def cut_crop(
    slice_hu: NDArray[np.float32],
    geometry: SliceGeometry,
    centre_xy_mm: tuple[float, float],
    definition: ImageDefinition,
) -> NDArray[np.float32]:
    """The square around ``centre_xy_mm``, by linear interpolation in HU.

    Parameters
    ----------
    slice_hu
        [rows, cols] HU.
    geometry
        Positions of its pixels; any spacing, and any sign or rotation of the axes in the plane.
    centre_xy_mm
        LPS x, y of the centre of the crop.
    definition
        Size, spacing and value outside the scan.

    Returns
    -------
    [size_px, size_px] float32, HU; rows along +y, columns along +x (LPS).
    """
    offsets = (np.arange(definition.size_px) - (definition.size_px - 1) / 2) * (definition.size_mm / definition.size_px)
    y, x = np.meshgrid(centre_xy_mm[1] + offsets, centre_xy_mm[0] + offsets, indexing="ij")
    pixels = geometry.to_pixel(np.column_stack([x.ravel(), y.ravel()]))
    values = map_coordinates(
        np.asarray(slice_hu, dtype=np.float32), pixels.T, order=1, mode="constant", cval=definition.outside_hu
    )
    return np.asarray(values.reshape(x.shape), dtype=np.float32)


def bounding_box_centre_mm(contours: Sequence[Points]) -> tuple[float, float]:
    """LPS x, y of the centre of the contours' bounding box; each contour is [k, 2] mm."""
    low, high = bounding_box_mm(contours)
    return float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2


def _unknown(message: str) -> BundleError:
    return BundleError("IMAGE_DEFINITION_UNKNOWN", message, "Serve it with the version of srs-response that made it.")
