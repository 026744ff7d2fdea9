"""Makes a dataset from a cohort's table and DICOM: counted exclusions, one crop per tumour, and pseudonyms."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from components.common.artifacts.dataset import Dataset
from components.common.errors import InputError, TumourError
from components.common.settings import PreprocessSettings
from components.common.store.base import Source
from components.preprocess.deidentify import Audit, Pseudonymiser
from components.preprocess.exclusions import TABLE_RULES, table_exclusion
from components.preprocess.locating import open_cohort, table_digest
from components.preprocess.parts import Part, PartStore
from components.preprocess.patients import Patient, Reader, patients_of
from components.preprocess.results import Results
from components.preprocess.table import Row, parse_table

__all__ = ["Cohort", "preprocess_cohort", "read_cohort"]

Progress = Callable[[int, int, str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort's table, read once, and the source of its DICOM files."""

    source: Source
    rows: list[Row]
    table_digest: str = ""

    @property
    def is_synthetic(self) -> bool:
        """Whether no row belongs to a real patient."""
        return all(row.synthetic for row in self.rows)


def read_cohort(cohort_uri: str) -> Cohort:
    """The cohort whose table is at a location that ``open_cohort`` accepts; raises as it and ``parse_table`` do."""
    source, name = open_cohort(cohort_uri)
    data = source.read(name)
    return Cohort(source, parse_table(data, source), table_digest(data))


def preprocess_cohort(
    cohort: Cohort | str,
    settings: PreprocessSettings,
    key: bytes,
    *,
    workers: int = 2,
    progress: Progress | None = None,
    store: PartStore | None = None,
    audit: Audit | None = None,
) -> Dataset:
    """The dataset of a cohort: exclusions of STUDY 1, crops of STUDY 2.

    Parameters
    ----------
    cohort
        From ``read_cohort``, or the location that it takes.
    settings
        Rules of the study.
    key
        Secret for the pseudonyms; the same key gives the same pseudonyms.
    workers
        Patients that are read in parallel, and so held in memory. The dataset's crops are in an anonymous file.
    progress
        Called as ``progress(patients done, patients, note)``.
    store
        Stores each finished patient, so that a later attempt does not read it again.
    audit
        Collects the identity in the cohort, so that the caller can check the dataset's files for it.

    Raises
    ------
    InputError
        The code of a technical problem that all rows share; ``NOTHING_LEFT`` where no tumour is left;
        ``COHORT_DUPLICATES`` where one patient or tumour is listed as several; ``IDENTITY_LEFT`` where a patient's
        results still hold identity.
    TumourError
        With ``settings.strict``, the problem of the first tumour that cannot be read.
    StorageError
        The storage stopped responding.
    """
    cohort = read_cohort(cohort) if isinstance(cohort, str) else cohort
    rows = cohort.rows
    audit = audit or Audit()
    audit.learn_rows(rows, Pseudonymiser(key))
    excluded = {row.number: code for row in rows if (code := table_exclusion(row, settings))}
    _check_outcomes([row for row in rows if row.number not in excluded])
    pseudonyms, patients = Pseudonymiser(key), patients_of(cohort.source, rows, excluded)
    reader = Reader(settings, pseudonyms, store or PartStore(), audit)
    results, resumed = Results(rows, excluded, pseudonyms), 0
    for done, (patient, (part, was_stored)) in enumerate(_in_parallel(reader, patients, workers), start=1):
        resumed += was_stored
        _stop_if_strict(patient, part, settings)
        results.add(patient, part)
        if progress:
            earlier = f", {resumed} patients read earlier" if resumed else ""
            progress(done, len(patients), f"{results.count} tumours{earlier}")
    return results.dataset(settings)


def _check_outcomes(rows: Sequence[Row]) -> None:
    """Refuses a table in which a row that no rule of the study excludes has no response."""
    problems = [f"row {row.number}, response: empty, and no diameters to compute it" for row in rows if not row.outcome]
    if problems:
        hint = "Only rows that a rule of the study excludes may lack a response."
        raise InputError.collected("COHORT_INVALID", "the cohort table lacks responses:", problems, hint)


def _in_parallel(
    reader: Reader, patients: Sequence[Patient], workers: int
) -> Iterator[tuple[Patient, tuple[Part, bool]]]:
    """Yields patients with their parts as they finish; at most twice ``workers`` are in progress at a time."""
    waiting = iter(patients)
    running: dict[Future[tuple[Part, bool]], Patient] = {}
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            while True:
                for patient in itertools.islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(reader.read, patient)] = patient
                if not running:
                    return
                for job in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(job), job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _stop_if_strict(patient: Patient, part: Part, settings: PreprocessSettings) -> None:
    for row, outcome in zip(patient.rows, part.outcomes, strict=True):
        if settings.strict and outcome.code and outcome.code not in TABLE_RULES:
            raise TumourError(outcome.code, f"row {row.number}: {outcome.message}", outcome.hint)
