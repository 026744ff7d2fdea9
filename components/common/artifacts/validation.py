"""The artifact of a validation: a registered model's predictions for another cohort, and their metrics."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd

from components.common.artifacts.layout import Layout
from components.common.artifacts.typed_json import read_as
from components.common.artifacts.validation_metrics import VALIDATION_FILE, ValidationMetrics
from components.common.files import write_json

SCORES_FILE, METRICS_JSON = "scores.csv", "metrics.json"
#: The page in a validation's folder that is written for people.
REPORT = "report.html"
#: Columns of the predictions: both scores, the spread of the members' probabilities, and the probability after Platt
#: scaling, which is empty for a model without one.
SCORE_COLUMNS = ("tumour", "patient", "label", "mean", "vote", "spread", "calibrated")


@dataclasses.dataclass(frozen=True, slots=True)
class Validation(Layout):
    """A registered model's predictions for another cohort, and their metrics.

    Parameters
    ----------
    scores
        One row per evaluated tumour, with the columns ``SCORE_COLUMNS``.
    metrics
        All metrics.
    """

    layout: ClassVar[tuple[str, int]] = ("validation", 1)
    scores: pd.DataFrame
    metrics: ValidationMetrics
    digest: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder, which may already hold the report, and returns its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        self.scores.to_csv(folder / SCORES_FILE, index=False)
        write_json(folder / METRICS_JSON, self.metrics.to_dict())
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and verifies a folder; an unknown or missing metric is ``ARTIFACT_DAMAGED`` too."""
        digest = cls._open(folder)
        scores = pd.read_csv(folder / SCORES_FILE, dtype={"tumour": str, "patient": str})
        return cls(scores, read_as(VALIDATION_FILE, folder / METRICS_JSON, cls.layout[0]), digest)
