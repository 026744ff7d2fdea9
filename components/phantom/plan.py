"""Samples the patients of a phantom cohort, with their tumours, covariates and exclusions as in STUDY 1.

No pixels are made here. The response has an effect in two ways, which both vanish at ``signal`` 0: on the latent
appearance by a shift of its normal score, and on size and covariates by ``source``, the class of Table I to sample.
Faults may relate it further to the patient, the centre and the contrast agent, and with these to the image.
Faults are sampled by generators of their own, so that a cohort without faults does not depend on them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from components.common.errors import InputError
from components.phantom.conditions import USUAL, Conditions, sample_conditions
from components.phantom.covariates import sample_patient, sample_tumour
from components.phantom.faults import NO_FAULTS, Faults
from components.phantom.patient_effect import UNLIKE, Likeness, sample_labels, sample_likeness

#: The reason for the exclusion of one patient, or "", and the labels of the tumours.
Group = tuple[str, tuple[int, ...]]

PAPER_TUMOURS, PAPER_RESPONDERS = 110, 57
MOST_PER_PATIENT = 5
MOST_TUMOURS = 20_000
#: Mean of a non-responder's normal score; a responder's has the opposite sign. The latent's AUC is Phi(sqrt(2) * this).
LATENT_SHIFT = 0.75

#: Number of tumours excluded for each reason of STUDY 1, for 110 eligible ones.
EXCLUDED: Mapping[str, int] = {
    "no_follow_up": 5,
    "primary_brain_cancer": 2,
    "whole_brain_radiotherapy": 4,
    "too_many_metastases": 3,
    "skull_infiltration": 2,
    "too_large": 2,
    "too_small": 3,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Tumour:
    """One row of the table, and the parameters of its image.

    Parameters
    ----------
    label
        1 for a non-responder, 0 for a responder.
    necrosis
        Latent appearance, 0 to 1.
    diameter_mm
        Longest axial diameter to simulate.
    location
        ``cerebrum``, ``cerebellum`` or ``brain_stem``.
    exclusion
        Reason in ``EXCLUDED``, or "".
    columns
        Further columns of the table.
    """

    label: int
    necrosis: float
    diameter_mm: float
    location: str
    exclusion: str
    columns: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Patient:
    """One DICOM folder.

    Parameters
    ----------
    folder
        Its name.
    entropy
        Seeds all random numbers for it.
    columns
        Columns of the table that all tumours share.
    tumours
        The tumours that are contoured.
    conditions
        How the patient was examined.
    likeness
        What the tumours' appearances have in common.
    """

    folder: str
    entropy: tuple[int, ...]
    columns: Mapping[str, Any]
    tumours: tuple[Tumour, ...]
    conditions: Conditions
    likeness: Likeness


def check_numbers(seed: int, tumours: int, patients: int, signal: float, faults: Faults = NO_FAULTS) -> None:
    """Refuses impossible numbers of tumours, patients or centres, and a seed, signal or fault out of range.

    Raises
    ------
    InputError
        ``PHANTOM_INVALID``, naming all problems at once.
    """
    problems = []
    if not 0 <= seed < 2**31:
        problems.append(f"seed {seed}: not from 0 to 2147483647")
    if not 4 <= tumours <= MOST_TUMOURS:
        problems.append(f"{tumours} tumours: not from 4 to {MOST_TUMOURS}")
    if not 1 <= patients <= tumours:
        problems.append(f"{patients} patients: must be at least 1, and at most the {tumours} tumours")
    elif tumours > MOST_PER_PATIENT * patients:
        problems.append(f"{tumours} tumours in {patients} patients: a patient has at most {MOST_PER_PATIENT}")
    if not 0 <= signal <= 10:
        problems.append(f"signal {signal:g}: not from 0 (none) to 10; the default is 1")
    problems += faults.problems(patients)
    if problems:
        heading, hint = "a phantom cohort cannot have these numbers:", "`srs phantom --help` shows the defaults."
        raise InputError.collected("PHANTOM_INVALID", heading, problems, hint)


def plan_cohort(seed: int, tumours: int, patients: int, signal: float, faults: Faults = NO_FAULTS) -> list[Patient]:
    """Eligible and excluded patients in the order of their folders.

    Parameters
    ----------
    seed
        Seed of all random numbers.
    tumours, patients
        Numbers of eligible ones.
    signal
        Difference between responders and non-responders: 1 as calibrated, 0 none.
    faults
        What goes wrong on purpose.
    """
    rng = np.random.default_rng([seed, 0])
    alike, examined = np.random.default_rng([seed, 5]), np.random.default_rng([seed, 6])
    eligible, excluded = _eligible(rng, alike, tumours, patients, faults.patient_effect), _excluded(rng, tumours)
    conditions = [one for some in (eligible, excluded) for one in _conditions(examined, some, faults)]
    groups = eligible + excluded
    patients_in_order = [
        _patient(rng, (seed, 2, int(index)), groups[index], signal, conditions[index], faults.patient_effect)
        for index in rng.permutation(len(groups))
    ]
    planned = _with_missing_values(rng, patients_in_order)
    width = len(str(len(planned)))
    return [dataclasses.replace(p, folder=f"patient_{i:0{max(3, width)}d}") for i, p in enumerate(planned, start=1)]


def plan_unseen(seed: int, signal: float) -> Patient:
    """One eligible patient with one tumour, in no cohort of any seed."""
    rng = np.random.default_rng([seed, 1])
    patient = _patient(rng, (seed, 3), ("", (int(rng.integers(0, 2)),)), signal, USUAL, 0.0)
    return dataclasses.replace(patient, folder="unseen_patient")


def sample_necrosis(rng: np.random.Generator, label: int, signal: float, likeness: Likeness = UNLIKE) -> float:
    """The latent appearance in [0, 1]: Phi of a normal score, shifted up for a non-responder, down for a responder."""
    shift = LATENT_SHIFT * signal * (1 if label else -1)
    return float(ndtr(likeness.blend_necrosis(rng.standard_normal()) + shift))


def _eligible(
    rng: np.random.Generator, alike: np.random.Generator, tumours: int, patients: int, patient_effect: float
) -> list[Group]:
    responders = round(tumours * PAPER_RESPONDERS / PAPER_TUMOURS)
    labels = rng.permutation(np.repeat([0, 1], [responders, tumours - responders]))
    sizes = _lesions_per_patient(rng, tumours, patients)
    if patient_effect:
        labels = sample_labels(alike, np.repeat(np.arange(patients), sizes), responders, patient_effect)
    return [("", tuple(own)) for own in np.split(labels, np.cumsum(sizes)[:-1])]


def _excluded(rng: np.random.Generator, tumours: int) -> list[Group]:
    """Patients for each reason of STUDY 1, in proportion to the eligible tumours, but at least one."""
    groups: list[Group] = []
    for reason, usual in EXCLUDED.items():
        count = max(1, round(usual * tumours / PAPER_TUMOURS))
        sizes = _split(count, 3) if reason == "too_many_metastases" else [1] * count
        groups += [(reason, tuple(rng.integers(0, 2, size))) for size in sizes]
    return groups


def _conditions(rng: np.random.Generator, groups: Sequence[Group], faults: Faults) -> list[Conditions]:
    return sample_conditions(rng, np.array([np.mean(labels) for _, labels in groups]), faults)


def _patient(
    rng: np.random.Generator,
    entropy: tuple[int, ...],
    group: Group,
    signal: float,
    conditions: Conditions,
    patient_effect: float,
) -> Patient:
    exclusion, labels = group
    signal *= conditions.relation
    likeness = sample_likeness(np.random.default_rng([*entropy, 3]), patient_effect)
    source = _source(rng, labels[0], signal)
    columns = sample_patient(rng, source, exclusion, len(labels))
    tumours = tuple(_tumour(rng, int(label), exclusion, signal, likeness) for label in labels)
    return Patient("", entropy, {**columns, "source": source}, tumours, conditions, likeness)


def _tumour(rng: np.random.Generator, label: int, exclusion: str, signal: float, likeness: Likeness) -> Tumour:
    necrosis = sample_necrosis(rng, label, signal, likeness)
    columns = sample_tumour(rng, label, _source(rng, label, signal), exclusion, likeness)
    diameter, location = columns.pop("diameter_mm"), columns["location"]
    return Tumour(label, necrosis, diameter, location, exclusion, columns)


def _source(rng: np.random.Generator, label: int, signal: float) -> int:
    """The class to sample: the tumour's own with probability ``signal``, otherwise one of both at random."""
    pooled = int(rng.random() >= PAPER_RESPONDERS / PAPER_TUMOURS)
    return label if rng.random() < signal else pooled


def _lesions_per_patient(rng: np.random.Generator, tumours: int, patients: int) -> list[int]:
    """Numbers of tumours of the patients: one each, the rest at random, at most five for each."""
    counts = np.ones(patients, int)
    for _ in range(tumours - patients):
        counts[rng.choice(np.flatnonzero(counts < MOST_PER_PATIENT))] += 1
    return [int(count) for count in counts]


def _split(count: int, size: int) -> list[int]:
    return [min(size, count - start) for start in range(0, count, size)]


def _with_missing_values(rng: np.random.Generator, patients: list[Patient]) -> list[Patient]:
    """Clears four covariates of two eligible patients with the non-responders' covariates, as in Table I."""
    missing = ("kps", "primary_controlled", "extracranial_metastases", "systemic_therapy")
    candidates = [i for i, p in enumerate(patients) if p.columns["source"] == 1 and not p.tumours[0].exclusion]
    chosen = set(rng.permutation(candidates)[:2]) if len(patients) > 20 else set()
    return [
        dataclasses.replace(p, columns={**p.columns, **dict.fromkeys(missing, "")}) if i in chosen else p
        for i, p in enumerate(patients)
    ]
