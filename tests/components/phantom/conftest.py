"""One small phantom for all tests of this package."""

import csv
import dataclasses
from functools import cached_property
from pathlib import Path

import pydicom
import pytest

from components.phantom.phantom import write_cohort

SEED, TUMOURS, PATIENTS = 3, 24, 20


@dataclasses.dataclass(frozen=True)
class Cohort:
    folder: Path

    @cached_property
    def rows(self):
        with (self.folder / "cohort.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def study(self, row):
        """CT datasets by SOPInstanceUID, and the RTSTRUCT."""
        datasets = [pydicom.dcmread(path) for path in sorted((self.folder / row["dicom"]).iterdir())]
        images = {d.SOPInstanceUID: d for d in datasets if d.Modality == "CT"}
        return images, next(d for d in datasets if d.Modality == "RTSTRUCT")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    write_cohort(folder, seed=SEED, tumours=TUMOURS, patients=PATIENTS)
    return Cohort(folder)


@pytest.fixture(scope="session")
def studies(cohort):
    """Row of the first tumour, CT images and RTSTRUCT of every patient."""
    first = {row["dicom"]: row for row in reversed(cohort.rows)}
    return [(row, *cohort.study(row)) for row in first.values()]
