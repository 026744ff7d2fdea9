"""Samples the covariates of a phantom cohort so that they resemble Tables I and II of the paper (STUDY 1).

``source`` is the column of the table that is sampled: 0 for responders, 1 for non-responders.
"""

from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from components.phantom.patient_effect import UNLIKE, Likeness

SITES = ("lung", "breast", "rectum", "stomach", "kidney", "other")
SITE_COUNTS = ((20, 23, 4, 3, 2, 5), (16, 13, 6, 0, 5, 13))
LOCATIONS = ("cerebrum", "cerebellum", "brain_stem")
LOCATION_COUNTS = ((43, 13, 1), (37, 13, 3))
MALE_OF_NOT_BREAST = (22 / 34, 22 / 40)
AGE = ((59, 12, 14, 92), (57, 8, 43, 76))  # mean, sd, minimum, maximum
SIZE_MM = ((20.0, 0.28, 10.6, 33.0), (22.0, 0.26, 12.0, 33.0))  # median, sd of the logarithm, minimum, maximum
KPS = (40, 50, 60, 70, 80, 90, 100)
KPS_PARTS = ((0.02, 0.02, 0.04, 0.12, 0.22, 0.38, 0.2), (0.0, 0.04, 0.04, 0.12, 0.22, 0.38, 0.2))
CONTROLLED, EXTRACRANIAL, SYSTEMIC = (32 / 57, 37 / 51), (29 / 57, 37 / 51), (27 / 57, 14 / 51)
CYBERKNIFE = (51 / 57, 49 / 53)
#: Fractions, total dose in Gy, weight. Chosen to match the medians and ranges of dose, fractions and BED in Table II.
REGIMENS = (
    ((1, 19, 2), (1, 20, 6), (1, 22, 5), (2, 24, 4), (3, 20, 2), (3, 24, 8), (3, 27, 8), (3, 30, 8), (3, 36, 5),
     (4, 40, 3), (5, 35, 3), (5, 48, 1)),
    ((1, 16, 3), (1, 18, 4), (1, 20, 6), (1, 22, 5), (1, 25, 2), (2, 26, 3), (3, 19, 1), (3, 21, 7), (3, 27, 7),
     (3, 30, 7), (3, 36, 3), (4, 32, 3)),
)  # fmt: skip
GIVEN_AS_DIAMETERS, WITHOUT_SIZE = 0.25, 0.1  # probability for each row
FOLLOW_UP_DAYS = (25, 92)


def sample_patient(rng: np.random.Generator, source: int, exclusion: str, tumours: int) -> dict[str, Any]:
    """Columns that all tumours of a patient share."""
    site = _pick(rng, SITES, SITE_COUNTS[source])
    male = rng.random() < (0 if site == "breast" else MALE_OF_NOT_BREAST[source])
    mean, sd, least, most = AGE[source]
    further = rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1])
    many = exclusion == "too_many_metastases"
    return {
        "primary_brain_cancer": _yes(exclusion == "primary_brain_cancer"),
        "whole_brain_radiotherapy": _yes(exclusion == "whole_brain_radiotherapy"),
        "n_brain_metastases": int(6 + further) if many else int(min(5, tumours + further)),
        "primary_site": "other" if exclusion == "primary_brain_cancer" else site,
        "age": round(_within(rng, mean, sd, least, most)),
        "sex": "male" if male else "female",
        "kps": _pick(rng, KPS, KPS_PARTS[source]),
        "primary_controlled": _yes(rng.random() < CONTROLLED[source]),
        "extracranial_metastases": _yes(rng.random() < EXTRACRANIAL[source]),
        "systemic_therapy": _yes(rng.random() < SYSTEMIC[source]),
        "device": "cyberknife" if rng.random() < CYBERKNIFE[source] else "linac",
    }


def sample_tumour(
    rng: np.random.Generator, label: int, source: int, exclusion: str, likeness: Likeness = UNLIKE
) -> dict[str, Any]:
    """Columns of one tumour, and its ``diameter_mm`` for the image, which may resemble others of its patient."""
    fractions, dose, _ = _pick(rng, REGIMENS[source], tuple(weight for _, _, weight in REGIMENS[source]))
    location = _pick(rng, LOCATIONS, LOCATION_COUNTS[source])
    diameter = _diameter_mm(rng, source, exclusion, likeness)
    return {
        "diameter_mm": diameter,
        **_outcome(rng, label, exclusion, diameter),
        "skull_infiltration": _yes(exclusion == "skull_infiltration"),
        "size_given": bool(rng.random() >= WITHOUT_SIZE) or bool(exclusion),
        "location": "cerebrum" if exclusion == "skull_infiltration" else location,
        "total_dose_gy": dose,
        "fractions": fractions,
    }


def _outcome(rng: np.random.Generator, label: int, exclusion: str, diameter_mm: float) -> dict[str, Any]:
    """The response, or two diameters from which RECIST 1.1 gives it, and the day of the follow-up."""
    days = int(rng.integers(FOLLOW_UP_DAYS[0], FOLLOW_UP_DAYS[1] + 1))
    response = str(rng.choice(["SD", "PD"], p=[0.7, 0.3]) if label else rng.choice(["CR", "PR"], p=[0.12, 0.88]))
    ratios = {"CR": (0, 0), "PR": (0.25, 0.66), "SD": (0.76, 1.14), "PD": (1.25, 1.7)}
    baseline = round(diameter_mm, 1)
    follow_up = baseline * rng.uniform(*ratios[response])
    if response == "PD":
        follow_up = max(follow_up, baseline + 5.5)
    by_diameters = rng.random() < GIVEN_AS_DIAMETERS
    late = rng.random() < 0.4
    if exclusion == "no_follow_up":
        if not late:
            return dict.fromkeys(("response", "baseline_diameter_mm", "follow_up_diameter_mm", "follow_up_days"), "")
        days += FOLLOW_UP_DAYS[1]
    given = {"baseline_diameter_mm": baseline, "follow_up_diameter_mm": round(follow_up, 1)} if by_diameters else {}
    blank = {"baseline_diameter_mm": "", "follow_up_diameter_mm": ""}
    return {"response": "" if by_diameters else response, **blank, **given, "follow_up_days": days}


def _diameter_mm(rng: np.random.Generator, source: int, exclusion: str, likeness: Likeness) -> float:
    median, spread, least, most = SIZE_MM[source]
    logarithm = _within(rng, np.log(median), spread, np.log(least), np.log(most))
    if likeness.share:
        low, at, high = ndtr((np.array([np.log(least), logarithm, np.log(most)]) - np.log(median)) / spread)
        blended = low + (high - low) * likeness.blend_size((at - low) / (high - low))
        logarithm = np.log(median) + spread * ndtri(blended)
    usual = float(np.exp(logarithm))
    other = {"too_large": (36.5, 42.0), "too_small": (6.0, 9.2)}.get(exclusion)
    return float(rng.uniform(*other)) if other else usual


def _within(rng: np.random.Generator, mean: float, sd: float, least: float, most: float) -> float:
    """A sample of a normal distribution truncated to a range (by rejection)."""
    while not least <= (value := rng.normal(mean, sd)) <= most:
        pass
    return float(value)


def _pick(rng: np.random.Generator, of: tuple[Any, ...], weights: tuple[float, ...]) -> Any:
    return of[int(rng.choice(len(of), p=_parts(list(weights))))]


def _parts(weights: list[float]) -> Any:
    return np.array(weights, float) / sum(weights)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
