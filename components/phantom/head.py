"""Simulates a head on planning CT: mask, scalp, skull, brain and fluid, with given lesions.

Coordinates are LPS millimetres relative to the centre of the head; values are HU. All shapes are analytic, so that
contours can be computed without pixels.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from components.phantom.lesion import BRAIN_HU, Floats, Image, Lesion

AIR_HU, FLUID_HU, PETROUS_HU, CONTRAST_HU = -1000.0, 8.0, 700.0, 40.0
BRAIN_DEPTH_MM = 13.0  # from skin to brain
MASK_MM = 7.0  # beyond the skin
EGG = 0.1  # relative widening towards the back of the head
STEM_CENTRE_MM, STEM_AXES_MM = (0.0, 14.0), (15.0, 13.0)  # of the brain stem, (x, y)
STEM_Z_MM = (-60.0, 2.0)
_DEPTH_MM = np.array([-5.0, -4.7, -3.9, -3.6, -0.5, 0.5, 3.0, 5.0, 5.8, 6.6, 7.4, 9.4, 10.2, 11.0, 11.8, 13.6, 14.4])
_HU = np.array([-1000, -420, -420, -1000, -1000, 35, -40, 30, 1150, 1150, 720, 720, 1100, 1100, FLUID_HU, FLUID_HU, 0])


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """One person's head.

    Parameters
    ----------
    half_axes_mm
        (x, y, z) of the skin.
    ventricle
        Relative size of the ventricles; 1 is normal.
    waves
        [2, k, 5] of two textures, each a sum of k plane waves: wave vector (x, y, z) in rad/mm, phase, amplitude.
    vessel_hu
        HU of vessels above brain.
    """

    half_axes_mm: tuple[float, float, float]
    ventricle: float
    waves: Floats
    vessel_hu: float

    def section(self, z_mm: float) -> float:
        """Size of the axial section relative to the largest one."""
        if z_mm < 0:
            return 1 - 0.12 * (z_mm / 70) ** 2
        return float(np.sqrt(max(0.04, 1 - (z_mm / self.half_axes_mm[2]) ** 2)))

    def skin_mm(self, z_mm: float, points: int = 90) -> Floats:
        """Outline of the skin [points, 2] in an axial plane."""
        angles, size = np.linspace(0, 2 * np.pi, points, endpoint=False), self.section(z_mm)
        back = size * np.sin(angles)
        across = self.half_axes_mm[0] * (1 + EGG * back) * size * np.cos(angles)
        return np.stack([across, self.half_axes_mm[1] * back], axis=1)

    def depth_mm(self, x_mm: NDArray[np.floating], y_mm: NDArray[np.floating], z_mm: float) -> NDArray[np.floating]:
        """Approximate depth of points below the skin, mm; negative outside."""
        back = y_mm / self.half_axes_mm[1]
        part = np.sqrt((x_mm / (self.half_axes_mm[0] * (1 + EGG * np.clip(back, -2, 2)))) ** 2 + back**2)
        return np.asarray((self.section(z_mm) - part) * float(np.sqrt(self.half_axes_mm[0] * self.half_axes_mm[1])))

    def window(self, x_mm: Floats, y_mm: Floats) -> tuple[slice, slice]:
        """Rows and columns that contain the head and its mask; everything else is air."""
        wide, deep = self.half_axes_mm[0] * (1 + EGG / 2) + MASK_MM, self.half_axes_mm[1] + MASK_MM
        return _near(y_mm, 0.0, deep), _near(x_mm, 0.0, wide)

    def slice_hu(self, x_mm: Floats, y_mm: Floats, z_mm: float, lesions: tuple[Lesion, ...]) -> Image:
        """The noise-free axial slice [rows, columns] at pixel centres ``x_mm`` [columns] and ``y_mm`` [rows]."""
        x, y = x_mm.astype(np.float32), y_mm.astype(np.float32)
        folds, grain = (_texture(waves, x, y, z_mm) for waves in self.waves)
        depth = self.depth_mm(x[None, :], y[:, None], z_mm)
        hu: Image = np.interp(depth, _DEPTH_MM, _HU).astype(np.float32)
        brain = np.clip(depth - BRAIN_DEPTH_MM, 0, 1)
        hu += brain * (_cortex(depth, folds, grain) - hu)
        self._add_fluid(hu, x, y, z_mm, brain)
        self._add_landmarks(hu, x, y, z_mm, depth)
        for lesion in lesions:
            if lesion.reaches(z_mm):
                window = _window(lesion, x, y)
                hu[window] = lesion.paint(hu[window], x[window[1]], y[window[0]], z_mm, 2.5 * grain[window])
        return hu

    def _add_fluid(self, hu: Image, x: Image, y: Image, z_mm: float, brain: NDArray[np.floating]) -> None:
        """Ventricles, and the cisterns around the brain stem."""
        across, along, size = np.abs(x)[None, :], y[:, None], self.ventricle
        horns = ((across - 6 - 9 * (along / 38) ** 2) / (5 * size)) ** 2 + (along / (34 * size)) ** 2
        fluid = _fill(horns + ((z_mm - 12) / (17 * size)) ** 2, 3)
        if -9 < z_mm < 9:
            fluid = np.maximum(fluid, _fill((across / (2.2 * size)) ** 2 + (along / 14) ** 2, 3))
        if STEM_Z_MM[0] < z_mm < STEM_Z_MM[1]:
            stem = np.hypot(across / STEM_AXES_MM[0], (along - STEM_CENTRE_MM[1]) / STEM_AXES_MM[1])
            fluid = np.maximum(fluid, 0.8 * np.clip(1 - np.abs(stem - 1.15) / 0.16, 0, 1))
            fluid = np.maximum(fluid, _fill((across / 6) ** 2 + ((along - 33) / 4) ** 2, 3))
        hu += fluid * brain * (FLUID_HU - hu)

    def _add_landmarks(self, hu: Image, x: Image, y: Image, z_mm: float, depth: NDArray[np.floating]) -> None:
        """Falx and sagittal sinus, which take up contrast, and the petrous bones."""
        across, along = np.abs(x)[None, :], y[:, None]
        if z_mm > 4:
            falx = np.clip(1.6 - across, 0, 1) * ((np.abs(along) > 42) | (z_mm > 34)) * (depth > BRAIN_DEPTH_MM)
            hu += 0.6 * falx * (BRAIN_HU + self.vessel_hu - hu)
        back = self.half_axes_mm[1] * self.section(z_mm) - BRAIN_DEPTH_MM - 2
        sinus = _fill((across / 5) ** 2 + ((along - back) / 3.5) ** 2, 2)
        hu += sinus * (BRAIN_HU + self.vessel_hu - hu)
        if z_mm < -24:
            slant = along - 4 + 0.7 * (across - 38)
            bone = _fill((slant / 9) ** 2 + ((across - 42) / 24) ** 2 + ((z_mm + 42) / 16) ** 2, 3)
            hu += np.where(depth > 6, bone, 0) * (PETROUS_HU - hu)


def stem_mm(z_mm: float, points: int = 48) -> Floats | None:
    """Outline of the brain stem [points, 2], about the head's centre, or None where the plane misses it."""
    if not STEM_Z_MM[0] < z_mm < STEM_Z_MM[1]:
        return None
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(circle * STEM_AXES_MM + STEM_CENTRE_MM)


def sample_head(rng: np.random.Generator, enhancement: float = 1.0) -> Head:
    """Samples a head of normal size; ``enhancement`` of vessels is relative to contrast agent at 120 kV."""
    half_axes = (rng.uniform(72, 80), rng.uniform(90, 99), rng.uniform(96, 106))
    return Head(
        half_axes_mm=(float(half_axes[0]), float(half_axes[1]), float(half_axes[2])),
        ventricle=float(rng.uniform(0.7, 1.15)),
        waves=np.stack([_waves(rng, 10, 30), _waves(rng, 5, 11)]),
        vessel_hu=CONTRAST_HU * enhancement,
    )


def _waves(rng: np.random.Generator, shortest_mm: float, longest_mm: float, count: int = 8) -> Floats:
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vectors = directions * 2 * np.pi / rng.uniform(shortest_mm, longest_mm, (count, 1))
    return np.column_stack([vectors, rng.uniform(0, 2 * np.pi, count), np.full(count, np.sqrt(2 / count))])


def _texture(waves: Floats, x: Image, y: Image, z_mm: float) -> Image:
    """A sum of plane waves with variance 1, each computed as products of lines, much faster than a cosine per pixel."""
    total = np.zeros((len(y), len(x)), np.float32)
    for kx, ky, kz, phase, amplitude in waves.astype(np.float32):
        along_x, along_y = kx * x, ky * y + kz * np.float32(z_mm) + phase
        total += (amplitude * np.cos(along_y))[:, None] * np.cos(along_x)[None, :]
        total -= (amplitude * np.sin(along_y))[:, None] * np.sin(along_x)[None, :]
    return total


def _cortex(depth: NDArray[np.floating], folds: Image, grain: Image) -> Image:
    """Grey and white matter, and the sulci near the surface."""
    near = np.clip((30 - depth) / 14, 0, 1)
    sulci = np.clip(1.4 - np.abs(folds) * 4, 0, 1) * near
    white = np.clip(0.5 + 0.5 * folds, 0, 1) * (1 - near)
    return np.asarray(BRAIN_HU + 2 + 0.8 * grain - 7 * white - 22 * sulci, np.float32)


def _fill(part: NDArray[np.floating], sharpness: float) -> NDArray[np.floating]:
    """1 well inside an ellipse (``part`` is the squared relative radius), 0 outside, with a soft edge."""
    return np.asarray(np.clip(0.5 + sharpness * (1 - part), 0, 1))


def _window(lesion: Lesion, x: Image, y: Image) -> tuple[slice, slice]:
    """Rows and columns that the lesion and its oedema may cover."""
    reach = lesion.diameter_mm * (1.1 + lesion.oedema_part)
    return _near(y, lesion.centre_mm[1], reach), _near(x, lesion.centre_mm[0], reach)


def _near(line: NDArray[np.floating], centre: float, reach: float) -> slice:
    near = np.flatnonzero(np.abs(line - centre) < reach)
    return slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0)
