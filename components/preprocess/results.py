"""Collects the outcomes of a cohort's patients, and makes the dataset of them."""

import dataclasses
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.common.errors import InputError
from components.common.settings import PreprocessSettings
from components.imaging.crop import ImageDefinition
from components.preprocess.centres import centres_of
from components.preprocess.deidentify import Pseudonymiser
from components.preprocess.distinct import EVIDENCE_KINDS, RowEvidence, check_distinct
from components.preprocess.exclusions import TABLE_RULES, flow_lines, warning_lines
from components.preprocess.parts import Outcome, Part
from components.preprocess.patients import Patient
from components.preprocess.recist import bed10_gy, label_of
from components.preprocess.table import Row


class Results:
    """The outcomes so far. Crops are in an anonymous file, in the order of the tumours' pseudonyms."""

    def __init__(self, rows: Sequence[Row], excluded: Mapping[int, str], pseudonyms: Pseudonymiser) -> None:
        self._rows, self._codes, self._pseudonyms = rows, list(excluded.values()), pseudonyms
        self._unlisted = 0
        self._outcomes: dict[int, Outcome] = {}
        self._evidence: dict[int, tuple[str, ...]] = {}
        included = [row for row in rows if row.number not in excluded]
        self._order = sorted(included, key=lambda row: pseudonyms.tumour(row.tumour_id))
        self._positions = {row.number: position for position, row in enumerate(self._order)}
        with tempfile.TemporaryFile() as file:
            shape = (max(1, len(included)), *[ImageDefinition().size_px] * 2)
            if hasattr(os, "posix_fallocate"):  # on a full disk, writing to the map would end the process by a signal
                os.posix_fallocate(file.fileno(), 0, 4 * math.prod(shape))
            self._crops: NDArray[np.float32] = np.memmap(file, np.float32, "w+", shape=shape)

    @property
    def count(self) -> int:
        """Number of rows with an outcome."""
        return len(self._outcomes)

    def add(self, patient: Patient, part: Part) -> None:
        """Adds a patient's part, and moves its crops to the file."""
        self._unlisted += part.unlisted
        for row, outcome in zip(patient.rows, part.outcomes, strict=True):
            if outcome.crop is not None:
                self._crops[self._positions[row.number]] = outcome.crop
            self._outcomes[row.number] = dataclasses.replace(outcome, crop=None)
            self._evidence[row.number] = part.evidence
            self._codes += [outcome.code] if outcome.code else []

    def dataset(self, settings: PreprocessSettings) -> Dataset:
        """The dataset of all parts; raises ``NOTHING_LEFT`` and the like where no tumour is left."""
        _check_any_left(list(self._outcomes.values()), self._codes)
        used = [row for row in self._order if not self._outcomes[row.number].code]
        for position, row in enumerate(used):  # closes the gaps left by excluded tumours
            self._crops[position] = self._crops[self._positions[row.number]]
        crops = self._crops[: len(used)]
        patients = self._check_distinct(used, crops, settings)
        centres = self._centres(patients)
        flow = Flow(
            listed=len(self._rows),
            listed_patients=len({patients.get(row.patient_id, row.patient_id) for row in self._rows}),
            exclusions=flow_lines(self._codes),
            used=len(used),
            used_patients=len({patients[row.patient_id] for row in used}),
            unlisted_gtvs=self._unlisted,
            warnings=warning_lines(code for row in used for code in self._outcomes[row.number].warnings),
        )
        records = [
            {
                **_record(row, self._outcomes[row.number].measures),
                "tumour": self._pseudonyms.tumour(row.tumour_id),
                "patient": self._pseudonyms.patient(patients[row.patient_id]),
                "centre": centres.get(patients[row.patient_id]),
            }
            for row in used
        ]
        return Dataset(
            crops=crops,
            tumours=pd.DataFrame(records, columns=list(TUMOUR_COLUMNS)),
            flow=flow,
            image_definition=ImageDefinition(slice_rule=settings.slice_rule).to_dict(),
            synthetic=any(row.synthetic for row in self._rows),
            distinguished_by=tuple(kind for kind in EVIDENCE_KINDS if kind not in settings.shared),
            pseudonym_key=self._pseudonyms.fingerprint,
        )

    def _check_distinct(
        self, used: Sequence[Row], crops: NDArray[np.float32], settings: PreprocessSettings
    ) -> dict[str, str]:
        """For each patient_id the one to use instead; raises where one patient or tumour is listed as several."""
        evidence = [
            RowEvidence(row.number, row.patient_id, self._evidence[row.number], self._outcomes[row.number].structure)
            for row in used
        ]
        return check_distinct(evidence, crops, shared=settings.shared, merge=settings.one_patient == "merge")

    def _centres(self, patients: Mapping[str, str]) -> dict[str, str]:
        """Pseudonym of each patient's centre, where it is known; raises where merged patients have several."""
        named = ((row.number, patients.get(row.patient_id, row.patient_id), row.centre) for row in self._rows)
        centres, problems = centres_of(named)
        if problems:
            heading = "the cohort table gives patients that are merged more than one centre:"
            hint = "A split by centre would divide the tumours of such a patient."
            raise InputError.collected("COHORT_INVALID", heading, problems, hint)
        return {patient: self._pseudonyms.centre(centre) for patient, centre in centres.items()}


def _check_any_left(outcomes: Sequence[Outcome], codes: Sequence[str]) -> None:
    """Refuses a cohort without a usable tumour; a technical problem of all its tumours is most likely one mistake."""
    if any(not outcome.code for outcome in outcomes):
        return
    technical = [one for one in outcomes if one.code not in TABLE_RULES]
    if technical and len({one.code for one in technical}) == 1 and len(technical) == len(outcomes):
        first = technical[0]
        raise InputError(first.code, f"all {len(outcomes)} tumours that were read: {first.message}", first.hint)
    lines = [f"{line.code}: {line.tumours} ({line.reason})" for line in flow_lines(codes) if line.tumours]
    raise InputError.collected(
        "NOTHING_LEFT", f"none of {len(codes)} tumours is left:", lines, "docs/errors.md explains each code."
    )


def _record(row: Row, measures: Mapping[str, Any]) -> dict[str, object]:
    """A line of the tumour table, to which the pseudonyms are added: columns of the cohort table, then measurements."""
    copied = {name: getattr(row, name) for name in TUMOUR_COLUMNS if hasattr(row, name)}
    response = row.outcome or ""
    dose, fractions = row.total_dose_gy, row.fractions
    return {
        **copied,
        **{name: value for name, value in measures.items() if name in TUMOUR_COLUMNS},
        "response": response,
        "label": label_of(response),
        "diameter_mm": row.longest_diameter_mm or measures["longest_diameter_mm"],
        "bed10_gy": bed10_gy(dose, fractions) if dose and fractions else math.nan,
        "roi_planes": measures["planes"],
        "pixel_spacing_mm": max(measures["pixel_spacing_mm"]),
    }
