"""Simulates CT scanners and protocols: matrix, spacing, slice thickness, noise, kernel, and the storage of HU."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import DeflatedExplicitVRLittleEndian as Deflated
from pydicom.uid import ExplicitVRLittleEndian as Explicit
from scipy.ndimage import gaussian_filter

from components.phantom.lesion import Floats, Image

LEAST_HU, MOST_HU = -1024, 3071


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A scanner model and its protocol.

    Parameters
    ----------
    matrix
        Rows and columns.
    thickness_mm
        Slice thicknesses to choose from; slices are contiguous.
    noise_hu, blur_mm
        Range of the standard deviation of the noise, and the standard deviation of the Gaussian that correlates it.
    signed, slope, intercept
        Pixel representation, and HU = slope * stored + intercept.
    """

    manufacturer: str
    name: str
    matrix: int
    thickness_mm: tuple[float, ...]
    noise_hu: tuple[float, float]
    blur_mm: float
    signed: bool
    slope: float
    intercept: float
    transfer_syntax: str


MODELS = (
    Model("Northlight", "Axis 16", 256, (1.5, 2.0), (5.5, 7.5), 0.7, True, 1.0, 0.0, Explicit),
    Model("Northlight", "Axis 64", 512, (2.0, 2.5), (5.0, 7.0), 0.6, False, 1.0, -1024.0, Deflated),
    Model("Helicon", "RT Wide", 256, (2.0, 3.0), (5.5, 8.0), 0.8, True, 1.0, -1000.0, Deflated),
    Model("Helicon", "RT One", 256, (1.25, 2.5), (5.0, 7.5), 0.9, False, 1.0, -1024.0, Explicit),
    Model("Orbis", "Plan", 256, (1.0, 2.0), (5.0, 7.0), 0.6, False, 0.5, -1024.0, Explicit),
)  # fmt: skip


#: HU of iodine relative to those at 120 kV, roughly, by tube voltage in kV.
IODINE = {100: 1.25, 120: 1.0, 140: 0.85}


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """A reconstruction kernel: its name, and its noise and blur relative to the standard one."""

    name: str
    noise: float
    blur: float


SOFT, STANDARD, SHARP = Kernel("Soft", 0.75, 1.5), Kernel("Standard", 1.0, 1.0), Kernel("Sharp", 1.6, 0.5)


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """How a centre acquires CT.

    Parameters
    ----------
    model
        The scanner; None for any of ``MODELS``.
    tube_kv
        Tube voltage (DICOM's KVP).
    kernel
        Reconstruction kernel.
    offset_hu
        Error of the calibration, added to all values.
    """

    model: Model | None = None
    tube_kv: int = 120
    kernel: Kernel = STANDARD
    offset_hu: float = 0.0

    @property
    def iodine(self) -> float:
        """HU of iodine relative to those at 120 kV."""
        return IODINE[self.tube_kv]


COMMON = Protocol()
#: The centres' own protocols, in their order.
PROTOCOLS = (
    Protocol(MODELS[0], 120, STANDARD, 0.0),
    Protocol(MODELS[1], 140, SHARP, -6.0),
    Protocol(MODELS[2], 100, SOFT, 6.0),
    Protocol(MODELS[3], 120, SHARP, 3.0),
    Protocol(MODELS[4], 140, SOFT, -3.0),
    Protocol(MODELS[0], 100, STANDARD, -6.0),
    Protocol(MODELS[2], 120, SOFT, 6.0),
    Protocol(MODELS[3], 140, STANDARD, 3.0),
    Protocol(MODELS[4], 100, SHARP, -3.0),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """The planes of one CT series.

    Parameters
    ----------
    first_mm
        Centre of the pixel in the first row and column of the first slice, LPS.
    step
        +1 or -1 along x and y (columns, rows): -1 for a prone patient.
    """

    model: Model
    protocol: Protocol
    spacing_mm: float
    thickness_mm: float
    noise_hu: float
    prone: bool
    first_mm: tuple[float, float, float]
    slices: int

    @property
    def step(self) -> int:
        """Direction of rows and columns along x and y."""
        return -1 if self.prone else 1

    @property
    def x_mm(self) -> Floats:
        """Centre of each column."""
        return self.first_mm[0] + self.step * self.spacing_mm * np.arange(self.model.matrix, dtype=np.float64)

    @property
    def y_mm(self) -> Floats:
        """Centre of each row."""
        return self.first_mm[1] + self.step * self.spacing_mm * np.arange(self.model.matrix, dtype=np.float64)

    @property
    def z_mm(self) -> Floats:
        """Position of each slice, upwards."""
        return np.round(self.first_mm[2] + self.thickness_mm * np.arange(self.slices), 3)

    def acquire(self, hu: Image, rng: np.random.Generator) -> Image:
        """``hu`` at the scanner's resolution and calibration, with noise, and clipped to the range that it stores."""
        sigma = self.model.blur_mm * self.protocol.kernel.blur / self.spacing_mm
        noise = gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), sigma)
        noise *= self.noise_hu * self.protocol.kernel.noise / noise.std()
        measured = gaussian_filter(hu, 0.5 * sigma) + noise + np.float32(self.protocol.offset_hu)
        return np.asarray(np.clip(measured, LEAST_HU, MOST_HU), np.float32)

    def store(self, hu: Image) -> NDArray[np.integer]:
        """Stored values of a slice, int16 or uint16."""
        values = np.rint((hu - self.model.intercept) / self.model.slope)
        return np.asarray(values, "<i2" if self.model.signed else "<u2")


def sample_scan(
    rng: np.random.Generator,
    couch_mm: tuple[float, float, float],
    low_mm: float,
    high_mm: float,
    centre_mm: float,
    protocol: Protocol = COMMON,
) -> Scan:
    """Samples a series whose slices cover ``low_mm`` to ``high_mm``, with one near ``centre_mm``.

    Parameters
    ----------
    rng
        Samples model, spacing, thickness, noise and position.
    couch_mm
        The head's centre in the patient's coordinates.
    low_mm, high_mm, centre_mm
        z relative to the head's centre.
    protocol
        Protocol of the centre; it may name the model.
    """
    any_model = MODELS[int(rng.integers(len(MODELS)))]
    model = protocol.model or any_model
    spacing = round(float(rng.uniform(250, 310)) / model.matrix, 6)
    thickness = float(rng.choice(model.thickness_mm))
    noise, prone = float(rng.uniform(*model.noise_hu)), bool(rng.random() < 0.03)
    below = int(np.ceil((centre_mm - low_mm) / thickness))
    above = int(np.ceil((high_mm - centre_mm) / thickness))
    off = rng.uniform(-0.25, 0.25) * thickness  # no plane passes exactly through the lesion's centre
    half = (model.matrix - 1) / 2 * spacing * (-1 if prone else 1)
    x, y = (round(float(couch_mm[i] + rng.uniform(-6, 6) - half), 3) for i in (0, 1))
    first = (x, y, round(float(couch_mm[2] + centre_mm + off - below * thickness), 3))
    return Scan(model, protocol, spacing, thickness, noise, prone, first, below + above + 1)
