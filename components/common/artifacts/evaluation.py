"""The artifact of evaluation: the statistics of a run."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd

from components.common.artifacts.layout import Layout
from components.common.artifacts.metrics import METRICS_FILE, Metrics
from components.common.artifacts.typed_json import read_as
from components.common.files import write_json

#: Files of an evaluation's folder that are written for people.
REPORT, MODEL_CARD = "report.html", "model_card.md"


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation(Layout):
    """Statistics of a run.

    Parameters
    ----------
    scores
        One row per group and tumour: ``group, tumour, patient, label, role, mean, vote, spread, members``; role is
        ``evaluation`` (all the group's members) or ``development`` (the members of the other groups that evaluated it).
    table_iii
        One row per member and ensemble, as Table III of the paper.
    metrics
        All metrics of the run: ``metrics.groups["A"].evaluation.auc`` and so on.
    """

    layout: ClassVar[tuple[str, int]] = ("evaluation", 2)
    scores: pd.DataFrame
    table_iii: pd.DataFrame
    metrics: Metrics
    digest: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder, which may already hold report and model card, and returns its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        self.scores.to_csv(folder / "scores.csv", index=False)
        self.table_iii.to_csv(folder / "table_iii.csv", index=False)
        write_json(folder / "metrics.json", self.metrics.to_dict())
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and verifies a folder; a missing or unknown metric or a wrong type is ``ARTIFACT_DAMAGED`` too."""
        digest = cls._open(folder)
        scores = pd.read_csv(folder / "scores.csv", dtype={"tumour": str, "patient": str, "group": str})
        table = pd.read_csv(folder / "table_iii.csv", dtype={"group": str})
        metrics = read_as(METRICS_FILE, folder / "metrics.json", cls.layout[0])
        return cls(scores=scores, table_iii=table, metrics=metrics, digest=digest)
