"""One small phantom for all tests of this package."""

import pytest

from components.phantom.phantom import write_cohort
from tests.components.phantom.written import Cohort

SEED, TUMOURS, PATIENTS = 3, 24, 20


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
