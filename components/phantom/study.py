"""Simulates one planned patient: positions of the lesions, CT slices, and contoured structures."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from components.phantom.head import AIR_HU, BRAIN_DEPTH_MM, Head, sample_head, stem_mm
from components.phantom.lesion import Floats, Image, Lesion, longest_diameter_mm, sample_lesion
from components.phantom.plan import Patient, Tumour
from components.phantom.scanner import Scan, sample_scan

GTV_NAMES = ("GTV", "GTV1", "GTV_1", "GTV_Mass", "GTV-1")
GTV_SERIES = ("GTV{}", "GTV_{}", "GTV-{}")
TRIES = 300
#: Regions of tumours relative to the head's centre, (low, high) of x, y, z in mm.
REGIONS = {
    "cerebrum": ((-58, 58), (-72, 72), (2, 58)),
    "cerebellum": ((-42, 42), (34, 74), (-52, -28)),
    "brain_stem": ((-6, 6), (8, 20), (-44, -10)),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Structure:
    """An ROI: contours by slice index, each [k, 2] (x, y) in the patient's millimetres; or one point (x, y, z)."""

    name: str
    kind: str
    contours: tuple[tuple[int, Floats], ...] = ()
    point_mm: tuple[float, float, float] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Study:
    """The content of one DICOM folder. ``couch_mm`` is the head's centre in the patient's coordinates."""

    patient: Patient
    head: Head
    lesions: tuple[Lesion, ...]
    scan: Scan
    couch_mm: tuple[float, float, float]
    gtv_names: tuple[str, ...]
    margin_mm: float
    clockwise: bool

    def slices_hu(self) -> Iterator[Image]:
        """The slices [rows, columns] in HU, from low to high z, with air around the head; the same on every call."""
        rng = np.random.default_rng([*self.patient.entropy, 1])
        x, y = self.scan.x_mm - self.couch_mm[0], self.scan.y_mm - self.couch_mm[1]
        window = self.head.window(x, y)
        for z in self.scan.z_mm - self.couch_mm[2]:
            hu = np.full((len(y), len(x)), AIR_HU, np.float32)
            section = self.head.slice_hu(x[window[1]], y[window[0]], float(z), self.lesions)
            hu[window] = self.scan.acquire(section, rng)
            yield hu

    def structures(self) -> list[Structure]:
        """GTVs, PTVs, brain stem, skin and isocentre."""
        couch = np.array(self.couch_mm[:2])
        heights = [float(z) for z in self.scan.z_mm - self.couch_mm[2]]

        def contoured(name: str, kind: str, outlines: Sequence[Floats | None]) -> Structure:
            turn = -1 if self.clockwise else 1
            planes = ((i, np.round(o[::turn] + couch, 2)) for i, o in enumerate(outlines) if o is not None)
            return Structure(name, kind, tuple(planes))

        structures = [contoured("External", "EXTERNAL", [self.head.skin_mm(z) for z in heights])]
        structures.append(contoured("BrainStem", "ORGAN", [stem_mm(z) for z in heights]))
        for name, lesion in zip(self.gtv_names, self.lesions, strict=True):
            structures.append(contoured(name, "GTV", [lesion.outline_mm(z) for z in heights]))
            target = name.replace("GTV", "PTV")
            structures.append(contoured(target, "PTV", [lesion.outline_mm(z, self.margin_mm) for z in heights]))
        centre = np.mean([lesion.centre_mm for lesion in self.lesions], axis=0) + np.array(self.couch_mm)
        point = (round(float(centre[0]), 2), round(float(centre[1]), 2), round(float(centre[2]), 2))
        structures.append(Structure("Isocentre", "ISOCENTER", point_mm=point))
        return [one for one in structures if one.contours or one.point_mm]

    def diameters_mm(self) -> list[float]:
        """Longest axial diameter of each GTV, from its contours."""
        gtvs = [one for one in self.structures() if one.kind == "GTV"]
        return [longest_diameter_mm([points for _, points in one.contours]) for one in gtvs]


def make_study(patient: Patient) -> Study:
    """Simulates the study of a planned patient. The response acts only through what the plan made of it."""
    rng = np.random.default_rng([*patient.entropy, 0])
    head = sample_head(rng, patient.conditions.enhancement)
    lesions = _place(rng, head, patient)
    couch = (float(rng.uniform(-10, 10)), float(rng.uniform(-160, -60)), float(rng.uniform(-60, 900)))
    margin = float(rng.choice([0.0, 1.0, 1.5, 2.0]))
    reach = margin + 3
    low = min(one.centre_mm[2] - one.half_height_mm for one in lesions) - reach
    high = max(one.centre_mm[2] + one.half_height_mm for one in lesions) + reach
    scan = sample_scan(rng, couch, low, high, lesions[0].centre_mm[2], patient.conditions.protocol)
    names = _gtv_names(rng, len(lesions))
    return Study(patient, head, lesions, scan, couch, names, margin, bool(rng.random() < 0.5))


def _gtv_names(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    if count == 1:
        return (str(rng.choice(GTV_NAMES)),)
    pattern = str(rng.choice(GTV_SERIES))
    return tuple(pattern.format(number) for number in range(1, count + 1))


def _place(rng: np.random.Generator, head: Head, patient: Patient) -> tuple[Lesion, ...]:
    """Positions lesions in the brain apart from each other; in a crowded head, at the largest distance found."""
    placed: list[Lesion] = []
    likeness, enhancement = patient.likeness, patient.conditions.enhancement
    for tumour in patient.tumours:
        candidates = (_candidate(rng, head, tumour) for _ in range(TRIES))
        best, best_room = None, -np.inf
        for candidate in candidates:
            room = _room_mm(head, tumour, candidate, placed)
            if room > best_room:
                best, best_room = candidate, room
            if best_room >= 0:
                break
        assert best is not None
        placed.append(sample_lesion(rng, best, tumour.diameter_mm, tumour.necrosis, likeness, enhancement))
    return tuple(placed)


def _candidate(rng: np.random.Generator, head: Head, tumour: Tumour) -> tuple[float, float, float]:
    x, y, z = (float(rng.uniform(low, high)) for low, high in REGIONS[tumour.location])
    if tumour.exclusion != "skull_infiltration":
        return x, y, z
    angle, height = rng.uniform(0, 2 * np.pi), min(z, 45.0)
    skin = head.skin_mm(height, 360)[int(angle / (2 * np.pi) * 360)]
    inwards = 1 - (BRAIN_DEPTH_MM + 0.25 * tumour.diameter_mm) / float(np.linalg.norm(skin))
    return float(skin[0]) * inwards, float(skin[1]) * inwards, height


def _room_mm(head: Head, tumour: Tumour, centre: tuple[float, float, float], others: Sequence[Lesion]) -> float:
    """Smallest distance to the inner table and to other lesions beyond the required one; negative if too close."""
    radius = tumour.diameter_mm / 2
    gaps = [
        float(np.linalg.norm(np.subtract(centre, other.centre_mm))) - radius - other.diameter_mm / 2 - 5
        for other in others
    ]
    gaps += [28 - abs(centre[2] - other.centre_mm[2]) for other in others if tumour.location == "cerebrum"]
    if tumour.exclusion != "skull_infiltration":
        top = head.depth_mm(np.array([centre[0]]), np.array([centre[1]]), centre[2] + radius)
        middle = head.depth_mm(np.array([centre[0]]), np.array([centre[1]]), centre[2])
        gaps += [float(middle[0]) - BRAIN_DEPTH_MM - 2 - radius, float(top[0]) - BRAIN_DEPTH_MM]
    return min(gaps, default=0.0)
