"""Runs of the whole pipeline on phantoms with faults, by the commands that a user types."""

import dataclasses
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.clinical_metrics import Subgroup
from components.common.artifacts.evaluation import MODEL_CARD, REPORT, Evaluation
from components.common.artifacts.metrics import Metrics
from components.common.artifacts.promotion import Promotion
from components.preprocess.recist import label_of, response_of
from components.stats.permutation import permute_labels, strata_of
from pipelines.local.runs import Run
from tests.e2e.test_whole_way import srs

#: What a row of the cohort table says of its tumour's response.
OUTCOME = ["response", "baseline_diameter_mm", "follow_up_diameter_mm", "follow_up_days"]
#: Key of the pseudonyms, by which a test knows the pseudonym of a centre.
KEY = "key of the tests"
LONGEST_S = 3600
#: Random exchanges of outcomes, of which one is taken.
EXCHANGES = 100


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished run, as the gate and its reader see it."""

    run: Run

    @cached_property
    def promotion(self) -> Promotion:
        return Promotion.read(self.run.path("promotion"))

    @cached_property
    def metrics(self) -> Metrics:
        return Evaluation.read(self.run.path("evaluation")).metrics

    @cached_property
    def report(self) -> str:
        return (self.run.path("evaluation") / REPORT).read_text()

    @cached_property
    def card(self) -> str:
        return (self.run.path("evaluation") / MODEL_CARD).read_text()

    @property
    def verdict(self) -> str:
        return self.promotion.verdict

    def reason(self, rule: str) -> str:
        """What the gate says of a rule, with the rule's outcome."""
        (reason,) = [one for one in self.promotion.reasons if one.startswith(f"{rule} (")]
        return reason

    @property
    def failed(self) -> set[str]:
        """Names of the rules that the run failed."""
        return {one.partition(" ")[0] for one in self.promotion.reasons if "(FAILED): " in one}

    def subgroups(self, covariate: str) -> list[Subgroup]:
        """Performance in the subgroups by a covariate that are large enough for an AUC."""
        return [one for one in self.metrics.clinical.subgroups if one.covariate == covariate and one.auc is not None]

    def figures(self) -> dict[str, Any]:
        """What docs/inference.md quotes."""
        values = {"mean_auc": self.metrics.mean_auc, "bound": self.metrics.mean_auc_lower_bound}
        values |= {name: one.evaluation.auc for name, one in self.metrics.groups.items()}
        rounded = {name: round(value, 3) for name, value in values.items()}
        return {**rounded, "verdict": self.verdict, "failed": sorted(self.failed), "seconds": round(self.run.seconds)}


def write_phantom(folder: Path, **options: float) -> Path:
    """Writes a cohort by `srs phantom`; returns its table."""
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    done = srs("phantom", "--out", str(folder), *flags, seconds=LONGEST_S)
    assert done.returncode == 0, done.stderr
    return folder / "cohort.csv"


def run_study(table: Path, home: Path, settings: Mapping[str, Any]) -> Finished:
    """Runs the study on a cohort by `srs run`, with a registry model of its own and so without a champion before it."""
    flags = [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]
    model = f"{table.parent.name}-{table.stem}-{settings.get('split.split_unit', 'patient')}"
    names = ("--model-name", model, "--experiment", model)
    where = ("--cohort", str(table), "--home", str(home), *names, "--json")
    done = srs("run", *where, *flags, seconds=LONGEST_S, SRS_PSEUDONYM_KEY=KEY)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return Finished(Run.read(Path(json.loads(done.stdout)["run"])))


def exchange_outcomes(table: Path, seed: int) -> Path:
    """Writes a table in which patients with as many tumours have exchanged their tumours' outcomes.

    Of many random exchanges, the one is taken after which a tumour's response goes least with its former one: an
    exchange that happens to keep some of the relation leaves something to learn, and is not the fault that is meant.
    """
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    labels, strata = np.array([_label(*row) for row in rows[OUTCOME].to_numpy()]), strata_of(list(rows["patient_id"]))
    rng = np.random.default_rng(seed)
    orders = [permute_labels(np.arange(len(rows)), strata, rng) for _ in range(EXCHANGES)]
    rows[OUTCOME] = rows[OUTCOME].to_numpy()[min(orders, key=lambda order: _relation(labels, labels[order]))]
    exchanged = table.with_name("exchanged.csv")
    rows.to_csv(exchanged, index=False)
    return exchanged


def _label(response: str, baseline_mm: str, follow_up_mm: str, follow_up_days: str) -> float:
    """The label that a row's outcome gives; NaN where it has none."""
    if not follow_up_days:
        return np.nan
    return label_of(response or response_of(float(baseline_mm), float(follow_up_mm)))


def _relation(labels: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """How strongly two labels of the same tumours go together, 0 to 1, where both are known."""
    known = np.isfinite(labels) & np.isfinite(others)
    return float(abs(np.corrcoef(labels[known], others[known])[0, 1]))
