"""Logs a validation to MLflow as a run of its own: settings, metrics, cohort, and the files of its folder."""

import os
from pathlib import Path
from typing import Any

from components.common import tracking_store as store
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.layout import LAYOUT
from components.common.artifacts.validation import Validation
from components.common.artifacts.validation_metrics import ValidationMetrics
from components.common.experiments import joined_experiment
from components.common.tags import DATASET_DIGEST, SYNTHETIC
from components.common.tracking import ATTEMPT
from components.promote.validations import ValidatedOn
from components.validate.few import is_few

#: ``srs.role`` of such a run.
ROLE = "validation"


def log_validation(validation: Validation, dataset: Dataset, folder: Path, *, experiment: str, attempt: str) -> str:
    """Logs a validation, and ends its run; returns the run's id.

    A retry of the same attempt finds the run that the first one made. Where KFP's MLflow plugin gives its own run to
    the task (``MLFLOW_RUN_ID``), this run becomes a child of it.

    Parameters
    ----------
    validation
        Its metrics become metrics of the run.
    dataset
        The cohort, logged as the run's input.
    folder
        The validation's folder, whose files become artifacts under ``validation/``.
    experiment
        Name of the MLflow experiment; created if there is none.
    attempt
        An id of this pipeline run that a retry repeats, e.g. KFP's.
    """
    store.prepare_store()
    outer = os.environ.get("MLFLOW_RUN_ID")
    experiment_id = joined_experiment(outer) if outer else store.experiment_id(experiment)
    metrics = validation.metrics
    key = {ATTEMPT: attempt, "srs.role": ROLE}
    parent = {"mlflow.parentRunId": outer} if outer else {}
    name = f"validation of version {metrics.model.version} on {metrics.name}"
    run = store.find_or_create(experiment_id, name, key, parent)
    run_id = str(run.info.run_id)
    store.log(run, store.points(store.flatten(_figures(metrics), "/"), run), _params(metrics), _tags(metrics))
    store.client().log_inputs(run_id, [store.cohort_input(metrics.name, dataset, "validation")])
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != LAYOUT:
            store.client().log_artifact(run_id, str(path), "validation")
    store.client().set_terminated(run_id, "FINISHED")
    return run_id


def in_short(metrics: ValidationMetrics, run_id: str) -> ValidatedOn:
    """What the registry keeps of a validation."""
    figures = metrics.performance
    return ValidatedOn(
        name=metrics.name,
        tumours=figures.counts.tumours,
        patients=figures.counts.patients,
        responders=figures.counts.responders,
        non_responders=figures.counts.non_responders,
        auc=figures.auc.auc,
        auc_low=figures.auc.ci_low,
        auc_high=figures.auc.ci_high,
        sensitivity=figures.rates.sensitivity,
        specificity=figures.rates.specificity,
        synthetic=metrics.synthetic,
        patients_checked=metrics.overlap.checked,
        run_id=run_id,
    )


def _figures(metrics: ValidationMetrics) -> dict[str, Any]:
    """What becomes metrics of the run: performance, and the patients seen."""
    described = metrics.to_dict()
    seen = {f"seen_{name}": described["overlap"][name] for name in ("patients", "tumours")}
    compared = metrics.overlap.checked or metrics.overlap.images_checked
    return {**described["performance"], **(seen if compared else {})}


def _params(metrics: ValidationMetrics) -> dict[str, str]:
    return {"srs.seen": metrics.overlap.handling, "srs.cut_off": str(metrics.model.cut_off)}


def _tags(metrics: ValidationMetrics) -> dict[str, str]:
    model = metrics.model
    return {
        "srs.cohort": metrics.name,
        "srs.model": model.name,
        "srs.model_version": model.version,
        "srs.bundle_digest": model.bundle_digest,
        DATASET_DIGEST: metrics.dataset_digest,
        SYNTHETIC: str(metrics.synthetic).lower(),
        "srs.patients_checked": str(metrics.overlap.checked).lower(),
        "srs.too_few_tumours": str(is_few(metrics.performance.counts)).lower(),
    }
