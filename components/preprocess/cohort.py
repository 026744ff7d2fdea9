"""From a cohort's table and DICOM to a dataset: exclusions counted, one crop per tumour, pseudonyms only."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import pandas as pd

from components.common.artifacts import TUMOUR_COLUMNS, Dataset, Flow
from components.common.errors import InputError, TumourError
from components.common.settings import PreprocessSettings
from components.common.sources import Source, locate, open_cohort
from components.preprocess.crop import ImageDefinition
from components.preprocess.deidentify import Pseudonymiser
from components.preprocess.exclusions import TABLE_RULES, flow_lines, table_exclusion
from components.preprocess.gtv import Candidate, check_size, measure, size_refusal
from components.preprocess.plan import Plan, open_plan, read_folder
from components.preprocess.recist import bed10_gy, label_of
from components.preprocess.roi import choose_roi, gtvs_of, roi_rule
from components.preprocess.table import Row, read_table

__all__ = ["is_synthetic", "preprocess_cohort", "read_table"]

Progress = Callable[[int, int, str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a row: a candidate with its crop, or the error that excludes it."""

    row: Row
    candidate: Candidate | None = None
    error: InputError | None = None

    @property
    def code(self) -> str:
        return self.error.code if self.error else ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Patient:
    """One DICOM folder: the rows still to be read, and the structures that any row names."""

    dicom: str
    rows: tuple[Row, ...]
    listed: tuple[str, ...]


def is_synthetic(rows: Sequence[Row]) -> bool:
    """Whether no row is of a real patient."""
    return all(row.synthetic for row in rows)


def preprocess_cohort(
    cohort_uri: str, settings: PreprocessSettings, key: bytes, *, workers: int = 2, progress: Progress | None = None
) -> Dataset:
    """The dataset of a cohort: exclusions of STUDY 1, crops of STUDY 2.

    Parameters
    ----------
    cohort_uri
        See ``open_cohort``.
    settings
        Rules of the study.
    key
        Secret of the pseudonyms; the same key gives the same ones.
    workers
        Patients read side by side. Memory holds as many patients, and one crop per tumour.
    progress
        Called as ``progress(patients done, patients, note)``.

    Raises
    ------
    InputError
        Of the table, or where every row fails for one technical reason, or nothing is left (``NOTHING_LEFT``).
    TumourError
        The first tumour that cannot be read, where ``settings.strict``.
    StorageError
        Where the storage stops answering.
    """
    source, name = open_cohort(cohort_uri)
    rows = read_table(source, name)
    excluded = {row.number: code for row in rows if (code := table_exclusion(row, settings))}
    _check_outcomes([row for row in rows if row.number not in excluded])
    outcomes, unlisted = _read_patients(source, _patients(rows, excluded), settings, workers, progress)
    codes = [*excluded.values(), *(outcome.code for outcome in outcomes if outcome.error)]
    _check_any_left(outcomes, codes)
    return _dataset(rows, outcomes, codes, unlisted, settings, Pseudonymiser(key))


def _check_outcomes(rows: Sequence[Row]) -> None:
    """Every row that the table's rules leave in needs a response."""
    problems = [f"row {row.number}, response: empty, and no diameters to compute it" for row in rows if not row.outcome]
    if problems:
        hint = "Only rows that a rule of the study excludes may have none."
        raise InputError.collected("COHORT_INVALID", "the cohort table lacks responses:", problems, hint)


def _patients(rows: Sequence[Row], excluded: dict[int, str]) -> list[_Patient]:
    by_folder: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_folder[row.dicom].append(row)
    patients = [
        _Patient(dicom, tuple(r for r in all_rows if r.number not in excluded), tuple(r.roi for r in all_rows if r.roi))
        for dicom, all_rows in by_folder.items()
    ]
    return [patient for patient in patients if patient.rows]


def _read_patients(
    source: Source, patients: Sequence[_Patient], settings: PreprocessSettings, workers: int, progress: Progress | None
) -> tuple[list[_Outcome], int]:
    """Outcomes by row number, and the GTVs that no row names."""
    outcomes: list[_Outcome] = []
    unlisted = 0
    with ThreadPoolExecutor(max_workers=workers) as pool:
        jobs = [pool.submit(_read_patient, source, patient, settings) for patient in patients]
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                found, extra = job.result()
                outcomes += found
                unlisted += extra
                _stop_if_strict(found, settings)
                if progress:
                    progress(done, len(patients), f"{len(outcomes)} tumours")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return sorted(outcomes, key=lambda outcome: outcome.row.number), unlisted


def _stop_if_strict(outcomes: Sequence[_Outcome], settings: PreprocessSettings) -> None:
    for outcome in outcomes:
        if settings.strict and outcome.error and outcome.code not in TABLE_RULES:
            error = outcome.error
            raise TumourError(error.code, f"row {outcome.row.number}: {error.safe_message}", error.hint)


def _read_patient(source: Source, patient: _Patient, settings: PreprocessSettings) -> tuple[list[_Outcome], int]:
    """All rows of one folder; what is wrong with the folder is wrong with each of them."""
    try:
        where, prefix = locate(source, patient.dicom)
        folder = read_folder(where, prefix)
    except InputError as error:
        return [_Outcome(row, error=error) for row in patient.rows], 0
    outcomes = []
    unlisted = 0
    by_rtstruct: dict[str, list[Row]] = defaultdict(list)
    for row in patient.rows:
        by_rtstruct[row.rtstruct_uid].append(row)
    for uid, rows in by_rtstruct.items():
        try:
            plan = open_plan(folder, roi_rule(settings, patient.listed), uid)
        except InputError as error:
            outcomes += [_Outcome(row, error=error) for row in rows]
            continue
        outcomes += [_read_row(plan, row, settings) for row in rows]
        unlisted += _unlisted(plan, patient, rows, settings)
    return outcomes, unlisted


def _read_row(plan: Plan, row: Row, settings: PreprocessSettings) -> _Outcome:
    try:
        roi = choose_roi(plan, settings, row.roi)
    except InputError as error:
        return _Outcome(row, error=error)
    candidate = measure(plan, roi, settings, ImageDefinition(slice_rule=settings.slice_rule))
    candidate = check_size(candidate, settings, row.longest_diameter_mm)
    if candidate.status == "ok":
        return _Outcome(row, dataclasses.replace(candidate, contours_xy_mm=()))
    # the study's own rules come first in the flow, also for a tumour that could not have been cut
    diameter = row.longest_diameter_mm or candidate.longest_diameter_mm
    size = size_refusal(diameter, settings) if diameter is not None else None
    return _Outcome(row, error=size or TumourError(candidate.code, candidate.message))


def _unlisted(plan: Plan, patient: _Patient, rows: Sequence[Row], settings: PreprocessSettings) -> int:
    """GTVs with contours that no row names; a row without a name takes one."""
    try:
        gtvs = [roi for roi in gtvs_of(plan, settings) if not roi.skipped]
    except InputError:
        return 0
    listed = {name.casefold() for name in patient.listed}
    free = [roi for roi in gtvs if roi.name.strip().casefold() not in listed]
    return max(0, len(free) - sum(not row.roi for row in rows))


def _check_any_left(outcomes: Sequence[_Outcome], codes: Sequence[str]) -> None:
    """Words for a cohort without a usable tumour; one cause for all that were read is most likely one mistake."""
    if any(outcome.error is None for outcome in outcomes):
        return
    technical = [o.error for o in outcomes if o.error and o.code not in TABLE_RULES]
    if technical and len({error.code for error in technical}) == 1 and len(technical) == len(outcomes):
        error = technical[0]
        raise InputError(error.code, f"all {len(outcomes)} tumours that were read: {error.safe_message}", error.hint)
    lines = [f"{line.code}: {line.tumours} ({line.reason})" for line in flow_lines(codes) if line.tumours]
    raise InputError.collected("NOTHING_LEFT", f"none of {len(codes)} tumours is left:", lines)


def _dataset(
    rows: Sequence[Row],
    outcomes: Sequence[_Outcome],
    codes: Sequence[str],
    unlisted: int,
    settings: PreprocessSettings,
    pseudonyms: Pseudonymiser,
) -> Dataset:
    used = [(outcome.row, outcome.candidate) for outcome in outcomes if outcome.candidate is not None]
    named = sorted(((pseudonyms.tumour(row.tumour_id), row, found) for row, found in used), key=lambda item: item[0])
    flow = Flow(
        listed=len(rows),
        listed_patients=len({row.patient_id for row in rows}),
        exclusions=flow_lines(codes),
        used=len(used),
        used_patients=len({row.patient_id for row, _ in used}),
        unlisted_gtvs=unlisted,
    )
    records = [_record(name, pseudonyms.patient(row.patient_id), row, found) for name, row, found in named]
    return Dataset(
        crops=np.stack([found.crop for _, _, found in named if found.crop is not None]),
        tumours=pd.DataFrame(records, columns=list(TUMOUR_COLUMNS)),
        flow=flow,
        image_definition=ImageDefinition(slice_rule=settings.slice_rule).to_dict(),
        synthetic=any(row.synthetic for row in rows),
    )


def _record(tumour: str, patient: str, row: Row, found: Candidate) -> dict[str, object]:
    """A line of the tumour table: the kept columns of the row, then what was measured."""
    kept = {name: getattr(row, name) for name in TUMOUR_COLUMNS if hasattr(row, name)}
    response = row.outcome or ""
    dose, fractions = row.total_dose_gy, row.fractions
    measured = {name: getattr(found, name) for name in TUMOUR_COLUMNS if hasattr(found, name)}
    return {
        **kept,
        **measured,
        "tumour": tumour,
        "patient": patient,
        "response": response,
        "label": label_of(response),
        "diameter_mm": row.longest_diameter_mm or found.longest_diameter_mm,
        "bed10_gy": bed10_gy(dose, fractions) if dose and fractions else math.nan,
        "roi_planes": found.planes,
        "pixel_spacing_mm": max(found.pixel_spacing_mm or (math.nan,)),
    }
