"""Writes a phantom cohort: planning CT, RTSTRUCT and table of invented patients (STUDY 7), all labelled SYNTHETIC."""

import csv
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from components.common.defaults import COHORT_TABLE
from components.common.files import digest_of_sources
from components.model.golden import GoldenInput
from components.phantom.dicom_writer import Uids, write_study
from components.phantom.faults import NO_FAULTS, Faults
from components.phantom.folder import new_folder
from components.phantom.identity import sample_identity
from components.phantom.plan import Patient, check_numbers, plan_cohort, plan_unseen
from components.phantom.study import make_study

__all__ = ["COLUMNS", "golden_case", "write_cohort", "write_unseen_patient"]

Progress = Callable[[int, int, str], None]
WORKERS = 2  # threads suffice, since NumPy, SciPy and zlib release the interpreter lock

COLUMNS = (
    "tumour_id", "patient_id", "dicom", "roi", "rtstruct_uid", "response", "baseline_diameter_mm",
    "follow_up_diameter_mm", "follow_up_days", "primary_brain_cancer", "whole_brain_radiotherapy",
    "n_brain_metastases", "skull_infiltration", "longest_diameter_mm", "primary_site", "location", "age", "sex", "kps",
    "primary_controlled", "extracranial_metastases", "systemic_therapy", "total_dose_gy", "fractions", "device",
    "synthetic",
)  # fmt: skip
CENTRE = "centre"  # the column that a cohort of several centres has besides


def write_cohort(
    out: Path,
    *,
    seed: int = 1,
    tumours: int = 110,
    patients: int = 89,
    signal: float = 1.0,
    faults: Faults = NO_FAULTS,
    progress: Progress | None = None,
) -> Path:
    """Writes ``out/cohort.csv`` and ``out/dicom/<patient>/``; the same arguments give the same bytes and file times.

    Parameters
    ----------
    out
        Folder to write; an earlier phantom there is replaced. It is written completely or not at all.
    seed
        Seed of all random numbers.
    tumours, patients
        Numbers of eligible ones; tumours that each rule of STUDY 1 excludes are added.
    signal
        Strength of the tendency of non-responders to necrosis: 1 as calibrated, 0 none (then covariates do not differ
        either).
    faults
        What goes wrong on purpose; by default nothing.
    progress
        Called as ``progress(patients done, patients, note)``: with 0 done once nothing can be refused any more.

    Returns
    -------
    Path of the table.

    Raises
    ------
    InputError
        ``PHANTOM_INVALID``, ``FOLDER_FOREIGN`` or ``FOLDER_UNWRITABLE``.
    """
    check_numbers(seed, tumours, patients, signal, faults)
    facts = cohort_facts(seed, tumours, patients, signal, faults)
    planned = plan_cohort(seed, tumours, patients, float(signal), faults)
    with new_folder(out, facts) as folder:
        if progress:
            progress(0, len(planned), "")
        rows = _write_patients(folder, planned, Uids(json.dumps(facts)), progress)
        with (folder / COHORT_TABLE).open("w", newline="") as file:
            columns = (*COLUMNS, CENTRE) if faults.centres > 1 else COLUMNS
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: row[name] for name in columns} for row in rows)
    return out / COHORT_TABLE


def cohort_facts(seed: int, tumours: int, patients: int, signal: float, faults: Faults = NO_FAULTS) -> dict[str, Any]:
    """The arguments of a cohort and the digest of this code: equal facts give equal bytes."""
    code = digest_of_sources(Path(__file__).parent)
    numbers = {"seed": seed, "tumours": tumours, "patients": patients, "signal": float(signal)}
    return {**numbers, **faults.facts(), "code": code}


def write_unseen_patient(out: Path, *, seed: int = 1, signal: float = 1.0) -> Path:
    """Writes one further patient with one GTV, who is in no cohort, and returns the folder with the DICOM files.

    Raises
    ------
    InputError
        As ``write_cohort``.
    """
    check_numbers(seed, 4, 1, signal)
    patient = plan_unseen(seed, float(signal))
    facts = {"seed": seed, "unseen": True, "signal": float(signal)}
    with new_folder(out, facts) as folder:
        _write_patient(folder, patient, 0, Uids(json.dumps(facts)))
    return out / "dicom" / patient.folder


def golden_case(seed: int = 0) -> GoldenInput:
    """The golden case of a seed: a section through the first lesion of an unseen patient, coarsely sampled."""
    study = make_study(plan_unseen(seed, 0.0))
    lesion, pixels, spacing = study.lesions[0], 256, 0.9375
    line = (np.arange(pixels, dtype=np.float64) - (pixels - 1) / 2) * spacing
    hu = study.head.slice_hu(line, line, lesion.centre_mm[2], study.lesions)
    contour = lesion.outline_mm(lesion.centre_mm[2])
    assert contour is not None
    return GoldenInput(
        slice_hu=study.scan.acquire(hu, np.random.default_rng([seed, 4])).astype(np.float32),
        origin_xy_mm=(float(line[0]), float(line[0])),
        column_step_xy_mm=(spacing, 0.0),
        row_step_xy_mm=(0.0, spacing),
        contour_xy_mm=contour,
    )


def _write_patients(
    folder: Path, patients: Sequence[Patient], uids: Uids, progress: Progress | None
) -> list[dict[str, Any]]:
    """Rows of the table in the order of the patients."""
    rows: dict[int, list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = {pool.submit(_write_patient, folder, one, i, uids): i for i, one in enumerate(patients, start=1)}
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                rows[jobs[job]] = job.result()
                if progress:
                    progress(done, len(patients), "patients written")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [row for index in sorted(rows) for row in rows[index]]


def _write_patient(folder: Path, patient: Patient, number: int, uids: Uids) -> list[dict[str, Any]]:
    """Writes one DICOM folder and returns its rows."""
    rng = np.random.default_rng([*patient.entropy, 2])
    age, sex, centre = int(patient.columns["age"]), str(patient.columns["sex"]), patient.conditions.centre
    identity = sample_identity(rng, number, age, sex, centre)
    study, own = make_study(patient), Uids(f"{uids.root} {patient.folder}")
    dicom = Path("dicom") / patient.folder
    write_study(folder / dicom, study, identity, own)
    rows = []
    for index, (tumour, diameter) in enumerate(zip(patient.tumours, study.diameters_mm(), strict=True), start=1):
        columns = {**patient.columns, **tumour.columns}
        columns |= {"tumour_id": f"{identity.patient_id}-{index}", "patient_id": identity.patient_id}
        columns |= {"dicom": dicom.as_posix(), "rtstruct_uid": own.of("RTSTRUCT"), "synthetic": "yes"}
        columns["roi"] = study.gtv_names[index - 1] if len(patient.tumours) > 1 or rng.random() < 0.5 else ""
        columns["longest_diameter_mm"] = f"{diameter:.1f}" if tumour.columns["size_given"] else ""
        rows.append({**columns, CENTRE: f"centre_{centre}"})
    return rows
