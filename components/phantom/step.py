"""Runs the phantom step on files: writes a phantom cohort to a URI, and its summary page."""

import tempfile
from pathlib import Path

from components.common.steps import Progress, at_most_every, write_summary
from components.common.store.bucket import upload_folder
from components.phantom.faults import Faults
from components.phantom.folder import is_phantom
from components.phantom.phantom import cohort_facts, write_cohort


def run(
    cohort_uri: str,
    seed: int,
    tumours: int,
    patients: int,
    signal: float,
    faults: Faults,
    summary: str,
    progress: Progress,
) -> None:
    """Writes the cohort to a folder, or through a temporary one to ``s3://bucket/prefix``.

    A folder that already holds the same phantom is not rewritten, so that changes by the user remain.
    """
    throttled = at_most_every(0.5, progress)
    numbers = {"seed": seed, "tumours": tumours, "patients": patients}
    if cohort_uri.startswith("s3://"):
        with tempfile.TemporaryDirectory() as scratch:
            write_cohort(Path(scratch) / "cohort", **numbers, signal=signal, faults=faults, progress=throttled)
            upload_folder(Path(scratch) / "cohort", cohort_uri)
    elif is_phantom(Path(cohort_uri), cohort_facts(seed, tumours, patients, signal, faults)):
        progress(1, 1, "there already")
    else:
        write_cohort(Path(cohort_uri), **numbers, signal=signal, faults=faults, progress=throttled)
    facts = {"cohort": cohort_uri, **numbers, "signal": signal, **faults.facts()}
    write_summary(summary, "Phantom cohort", facts, synthetic=True)
