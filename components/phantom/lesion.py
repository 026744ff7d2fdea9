"""Simulates brain metastases: a smooth irregular shape, its outline in any axial plane, and its enhancement.

Coordinates are LPS millimetres. The appearance depends on the response only through the latent ``necrosis`` in [0, 1]:
0 is homogeneous enhancement, 1 a rim around a necrotic core. Everything else is sampled independently of the response,
unless the phantom has faults: then enhancement may depend on it, and lesions of one patient may be alike.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from components.phantom.patient_effect import UNLIKE, Likeness

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

BRAIN_HU = 35.0
EDGE_MM = 1.2  # partial volume of a lesion's border
CORE_EDGE_MM = 2.0  # necrosis has no sharp border
POINT_STEP_MM = 1.2  # between contour points, as planning systems export them
POLE = 0.25  # sections below this fraction of the largest one are not contoured, as in practice
HARMONICS = np.arange(2, 6)
#: Ranges of what is sampled: amplitudes (times their harmonic) and phases, flattening, HU of a homogeneous lesion, of
#: the rim and of the core (with opposite sign), parts of rim and oedema.
RANGES = np.array(
    [(0, 0.16)] * 4 + [(0, 2 * np.pi)] * 4 + [(0.8, 1.05), (25, 40), (30, 40), (10, 20), (0.2, 0.36), (0.1, 0.8)]
)


@dataclasses.dataclass(frozen=True, slots=True)
class Lesion:
    """One metastasis.

    Parameters
    ----------
    centre_mm
        (x, y, z), LPS.
    diameter_mm
        Longest diameter of its largest axial section.
    radius_mm
        Mean radius of that section.
    necrosis
        Latent appearance, 0 (homogeneous) to 1 (rim and core).
    amplitudes, phases
        Amplitudes and phases of the outline's harmonics 2 to 5, [4] each; amplitudes are relative to the radius.
    flattening
        Half the height relative to the mean radius.
    enhancement_hu, rim_hu, core_hu
        HU above brain: of a homogeneous lesion, and of the rim and the core of a necrotic one.
    rim_part
        Thickness of the rim relative to the radius.
    oedema_part
        Extent of the oedema beyond the border relative to the radius.
    """

    centre_mm: tuple[float, float, float]
    diameter_mm: float
    radius_mm: float
    necrosis: float
    amplitudes: Floats
    phases: Floats
    flattening: float
    enhancement_hu: float
    rim_hu: float
    core_hu: float
    rim_part: float
    oedema_part: float

    @property
    def half_height_mm(self) -> float:
        """Half the extent along z."""
        return self.radius_mm * self.flattening

    def outline_mm(self, z_mm: float, margin_mm: float = 0.0, start: float = 0.0) -> Floats | None:
        """Outline in an axial plane, grown by ``margin_mm``; None where the plane misses it.

        Parameters
        ----------
        z_mm
            Position of the plane.
        margin_mm
            Growth in all directions.
        start
            Angle of the first point, rad.

        Returns
        -------
        [k, 2] (x, y), counter-clockwise in LPS seen from +z.
        """
        shrink = self._shrink(z_mm, margin_mm)
        if shrink < POLE:
            return None
        count = int(np.clip(np.pi * self.diameter_mm * shrink / POINT_STEP_MM, 24, 128))
        angles = start + np.linspace(0, 2 * np.pi, count, endpoint=False)
        radii = (self.radius_mm * _shape(angles, self.amplitudes, self.phases) + margin_mm) * shrink
        return np.stack([self.centre_mm[0] + radii * np.cos(angles), self.centre_mm[1] + radii * np.sin(angles)], 1)

    def reaches(self, z_mm: float) -> bool:
        """Whether the lesion or its oedema touches the plane."""
        return abs(z_mm - self.centre_mm[2]) < self.half_height_mm * (1.2 + self.oedema_part)

    def paint(self, hu: Image, x_mm: Image, y_mm: Image, z_mm: float, texture_hu: Image) -> Image:
        """Tissue ``hu`` [rows, columns] with the lesion in it; ``x_mm`` [columns], ``y_mm`` [rows]."""
        dx, dy = x_mm[None, :] - self.centre_mm[0], y_mm[:, None] - self.centre_mm[1]
        angles, radius = np.arctan2(dy, dx), self.radius_mm
        height = (z_mm - self.centre_mm[2]) / self.half_height_mm
        part = np.sqrt((np.hypot(dx, dy) / radius / _shape(angles, self.amplitudes, self.phases)) ** 2 + height**2)
        inside = np.clip(0.5 + (1 - part) * radius / EDGE_MM, 0, 1)
        wobble = 0.06 * np.cos(2 * angles + self.phases[1])
        core = np.clip(0.5 + (1 - self.rim_part - part - wobble) * radius / CORE_EDGE_MM, 0, 1)
        border_hu = (1 - self.necrosis) * self.enhancement_hu + self.necrosis * self.rim_hu
        centre_hu = (1 - self.necrosis) * self.enhancement_hu + self.necrosis * self.core_hu
        lesion_hu = BRAIN_HU + border_hu + (centre_hu - border_hu) * core + texture_hu
        fingers = 1 + 0.5 * np.cos(3 * angles + self.phases[2])
        oedema_hu = -8.0 * np.clip(1.2 - (part - 1) / (self.oedema_part * fingers), 0, 1)
        soft = (hu > 0) & (hu < 80)
        return np.asarray((1 - inside) * (hu + soft * oedema_hu) + inside * lesion_hu, np.float32)

    def _shrink(self, z_mm: float, margin_mm: float) -> float:
        height = (z_mm - self.centre_mm[2]) / (self.half_height_mm + margin_mm)
        return float(np.sqrt(max(0.0, 1 - height**2)))


def sample_lesion(
    rng: np.random.Generator,
    centre_mm: tuple[float, float, float],
    diameter_mm: float,
    necrosis: float,
    likeness: Likeness = UNLIKE,
    enhancement: float = 1.0,
) -> Lesion:
    """Samples a lesion of given position, size and latent appearance.

    Parameters
    ----------
    rng
        Samples the rest of the appearance.
    centre_mm, diameter_mm, necrosis
        As in ``Lesion``.
    likeness
        What it has in common with the other lesions of its patient.
    enhancement
        Relative to contrast agent at 120 kV.
    """
    low, high = RANGES.T
    values = low + (high - low) * likeness.blend_appearance(rng.random(len(RANGES)))
    amplitudes, phases = values[:4] / HARMONICS, values[4:8]
    flattening, homogeneous_hu, rim_hu, core_depth_hu, rim_part, oedema_part = (float(value) for value in values[8:])
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1) * _shape(angles, amplitudes, phases)[:, None]
    return Lesion(
        centre_mm=centre_mm,
        diameter_mm=diameter_mm,
        radius_mm=diameter_mm / longest_diameter_mm([unit]),
        necrosis=necrosis,
        amplitudes=amplitudes,
        phases=phases,
        flattening=flattening,
        enhancement_hu=enhancement * homogeneous_hu,
        rim_hu=enhancement * rim_hu,
        core_hu=-core_depth_hu,
        rim_part=rim_part,
        oedema_part=oedema_part,
    )


def longest_diameter_mm(outlines: list[Floats]) -> float:
    """Longest distance between two points of one plane's outline; 0 where there is none."""
    return max((float(np.linalg.norm(o[:, None] - o[None], axis=2).max()) for o in outlines), default=0.0)


def _shape(angles: NDArray[np.floating], amplitudes: Floats, phases: Floats) -> NDArray[np.floating]:
    """Radius relative to the mean radius, for each angle."""
    shape = np.ones_like(angles)
    for order, amplitude, phase in zip(HARMONICS, amplitudes, phases, strict=True):
        shape += amplitude * np.cos(order * angles + phase)
    return shape
