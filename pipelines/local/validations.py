"""A validation on this machine: a user's options, checked before a home is made, and what is printed of its outcome."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from components.common import defaults
from components.common.artifacts.validation import REPORT, Validation
from components.common.artifacts.validation_metrics import ValidationMetrics
from components.common.counted import counted
from components.common.disk import require_text
from components.common.presets import require_used_by_validation, resolve
from components.evaluate.tables import lower_first
from components.preprocess.cohort import read_cohort
from components.validate.centre_words import centre_warning
from components.validate.few import by_class, few_warning
from components.validate.overlap import seen_sentence, unchecked_warning
from pipelines.definitions.parameters import ValidateParameters
from pipelines.local.runs import Run


@dataclasses.dataclass(frozen=True, slots=True)
class ValidationOptions:
    """A user's options of a validation; ``overrides`` are the settings of the study file and of ``--set``."""

    version: str = "champion"
    name: str = ""
    seen: str = "refuse"
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    experiment: str = defaults.EXPERIMENT
    model_name: str = defaults.MODEL

    def parameters(self, cohort: str) -> dict[str, Any]:
        """Parameters of the pipeline for the cohort table, folder or S3 prefix; refuses those that cannot be used.

        Raises
        ------
        InputError
            The errors of ``require_used_by_validation``, ``resolve``, the parameters' checks, and ``read_cohort``.
        """
        require_used_by_validation(self.overrides)
        resolve("default", self.overrides)
        path = cohort.removeprefix("file://")
        require_text(path)
        uri = path if "://" in path else os.path.realpath(path)
        parameters: dict[str, Any] = {"cohort_uri": uri, "settings": json.dumps(self.overrides, sort_keys=True)}
        names = ("version", "name", "seen", "experiment", "model_name")
        parameters |= {name: getattr(self, name) for name in names}
        ValidateParameters(**parameters)
        read_cohort(uri)
        return parameters


@dataclasses.dataclass(frozen=True, slots=True)
class ValidationOutcome:
    """The outcome of a validation: the folder of its run, its report, and its metrics."""

    run: Path
    report: Path
    metrics: ValidationMetrics

    @classmethod
    def of(cls, run: Run) -> "ValidationOutcome":
        """Reads the outcome of a finished run from its artifacts."""
        folder = run.path("validation")
        return cls(run.folder, folder / REPORT, Validation.read(folder).metrics)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"run": str(self.run), "report": str(self.report), "metrics": self.metrics.to_dict()}

    @property
    def warnings(self) -> list[str]:
        """What must not be overlooked."""
        counts = self.metrics.performance.counts
        texts = (
            few_warning(counts),
            centre_warning(self.metrics),
            unchecked_warning(self.metrics.overlap, counts.tumours),
        )
        return [f"warning: {lower_first(text)}" for text in texts if text]

    def lines(self) -> list[str]:
        """What a person is shown, beside the warnings."""
        figures, model = self.metrics.performance, self.metrics.model
        counts, auc, rates = figures.counts, figures.auc, figures.rates
        calibration = figures.calibrated or figures.raw
        what = "calibrated probability" if figures.calibrated else "raw score"
        slope = "not estimable" if calibration.slope is None else f"{calibration.slope:.2f}"
        return [
            *(["SYNTHETIC: phantom data, no patient"] if self.metrics.synthetic else []),
            f"{model.name} version {model.version} on {self.metrics.name}: {counted(counts.tumours, 'tumour')} "
            f"in {counted(counts.patients, 'patient')}, {by_class(counts)}",
            *filter(None, [seen_sentence(self.metrics.overlap)]),
            f"AUC {auc.auc:.3f}, 95 % limits {auc.ci_low:.3f} to {auc.ci_high:.3f} (Newcombe)",
            f"at cut-off {rates.cut_off:g}: sensitivity "
            f"{_percent(rates.sensitivity, rates.sensitivity_low, rates.sensitivity_high)}, specificity "
            f"{_percent(rates.specificity, rates.specificity_low, rates.specificity_high)}",
            f"{what}: calibration slope {slope}, Brier score {calibration.brier:.3f}",
            f"run: {self.run}",
            f"report: {self.report}",
        ]


def _percent(value: float, low: float, high: float) -> str:
    """A proportion with its limits."""
    return f"{100 * value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
