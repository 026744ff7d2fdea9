"""A phantom cohort on disk, as a reader sees it."""

import csv
import dataclasses
from functools import cached_property
from pathlib import Path

import pydicom


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
