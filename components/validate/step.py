"""Runs the validate step: downloads a registered version, predicts a dataset's tumours, and reports the performance."""

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.score_metrics import PlattScaling
from components.common.artifacts.validation import REPORT, SCORE_COLUMNS, Validation
from components.common.artifacts.validation_metrics import Seen, ValidatedModel, ValidationMetrics
from components.common.errors import InputError
from components.common.files import digest_of
from components.common.settings import Score, StudySettings
from components.common.steps import Progress
from components.model.manifest import Manifest
from components.model.runtime import Ensemble
from components.promote import registry
from components.promote.validations import write_validation
from components.stats.roc import roc_curve
from components.validate.centres import centre_overlap, development_centres
from components.validate.overlap import evaluated_flow, without_seen
from components.validate.performance import measure, refuse_one_class
from components.validate.report import write_report
from components.validate.tracked import in_short, log_validation

#: Crops that are predicted between two lines of progress.
CROPS_AT_ONCE = 64
#: Characters of its dataset's digest that name a cohort without a name.
DIGEST_SHOWN = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is validated, and under which names.

    Parameters
    ----------
    model_name, version
        Registered model, and the number or alias of the version.
    settings
        All settings of the run as JSON text; study, seed and number of bootstrap samples are used here.
    name
        Name of the cohort; "" for the one that ``cohort_name`` gives it.
    seen
        ``refuse`` or ``exclude``.
    experiment, attempt
        MLflow experiment, and an id of this pipeline run that a retry repeats.
    """

    model_name: str
    version: str
    settings: str
    name: str
    seen: str
    experiment: str
    attempt: str


@dataclasses.dataclass(frozen=True, slots=True)
class KfpView:
    """Output that the KFP UI shows beside the report: the main metrics, and the ROC curve in KFP's form."""

    metrics: dict[str, float]
    curve: tuple[list[float], list[float], list[float]]


def run(dataset: str, request: Request, validation: str, report: str, progress: Progress) -> KfpView:
    """Validates a registered version on a dataset, and writes the validation's folder and the report.

    Logs a run to MLflow, and tags the version with the result.

    Raises
    ------
    InputError
        ``SEEN_UNKNOWN``, ``IMAGE_DEFINITION_DIFFERS``, ``PATIENTS_SEEN``, ``VALIDATION_ONE_CLASS``, or as
        ``registry.version_of``.
    RegistryError, BundleError
        As ``registry.download`` and ``Ensemble.open``.
    """
    handling = handling_of(request.seen)
    data, settings = Dataset.read(Path(dataset)), StudySettings.from_json(request.settings)
    version = registry.version_of(request.model_name, request.version)
    with tempfile.TemporaryDirectory() as scratch:
        ensemble = Ensemble.open(registry.download(request.model_name, version, Path(scratch)))
    manifest = ensemble.manifest
    require_same_images(manifest, data)
    kept, overlap = without_seen(manifest, data, handling)
    tumours, crops = data.tumours[kept].reset_index(drop=True), data.crops[np.flatnonzero(kept)]
    refuse_one_class(tumours["label"].to_numpy())
    rows, model = predict(ensemble, tumours, crops, progress), model_of(manifest, request.model_name, version)
    metrics = ValidationMetrics(
        name=request.name or cohort_name(settings.study, manifest, data.digest),
        synthetic=model.synthetic or data.synthetic,
        synthetic_cohort=data.synthetic,
        dataset_digest=data.digest,
        model=model,
        overlap=overlap,
        flow=evaluated_flow(data, kept),
        performance=measure(
            rows,
            tumours,
            primary=model.primary_score,
            cut_off=model.cut_off,
            samples=settings.evaluate.bootstrap,
            seed=settings.seed,
        ),
        centre_overlap=centre_overlap(
            development_centres(request.model_name, version),
            model.ensemble,
            overlap,
            rows,
            tumours,
            primary=model.primary_score,
            cut_off=model.cut_off,
        ),
    )
    result, folder, train = Validation(rows, metrics), Path(validation), manifest.settings["train"]
    write_report(folder, result, tumours, crops, (train["window_level_hu"], train["window_width_hu"]))
    result.write(folder)
    run_id = log_validation(result, data, folder, experiment=request.experiment, attempt=request.attempt)
    write_validation(request.model_name, version, data.digest, in_short(metrics, run_id))
    shutil.copyfile(folder / REPORT, report)
    return view_of(result)


def handling_of(seen: str) -> Seen:
    """A parameter's text as a value of ``Seen``; ``SEEN_UNKNOWN`` for any other."""
    if seen not in get_args(Seen):
        raise InputError("SEEN_UNKNOWN", f"seen is {seen!r}", f"Give {' or '.join(get_args(Seen))}.")
    return cast("Seen", seen)


def cohort_name(study: str, manifest: Manifest, dataset_digest: str) -> str:
    """The name of a cohort that was given none: its study's, or the start of its digest where that is the model's.

    The name of its file is not used, since it may name a patient.
    """
    return study if study != manifest.settings["study"] else f"cohort {dataset_digest[:DIGEST_SHOWN]}"


def require_same_images(manifest: Manifest, dataset: Dataset) -> None:
    """Refuses a dataset whose crops were cut in another way than those that the model was trained on.

    Raises
    ------
    InputError
        ``IMAGE_DEFINITION_DIFFERS``, with the fields that differ.
    """
    theirs, ours = manifest.image_definition, dataset.image_definition
    if digest_of(ours) == manifest.image_digest:
        return
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    problems = [f"{name}: {ours.get(name)} in the dataset, {theirs.get(name)} in the model" for name in names]
    hint = "Give the settings of preprocess with which the model was developed, such as preprocess.slice_rule."
    heading = "the cohort was cropped in another way than the tumours that the model was trained on:"
    raise InputError.collected("IMAGE_DEFINITION_DIFFERS", heading, problems, hint)


def predict(ensemble: Ensemble, tumours: pd.DataFrame, crops: NDArray[np.float32], progress: Progress) -> pd.DataFrame:
    """Predictions with the columns ``SCORE_COLUMNS``, for rows of the tumour table and their crops [n, 151, 151] HU."""
    answers = []
    for start in range(0, len(crops), CROPS_AT_ONCE):
        answers += ensemble.answer(np.asarray(crops[start : start + CROPS_AT_ONCE]))
        progress(len(answers), len(crops), "tumours predicted")
    columns: dict[str, Any] = {name: tumours[name].to_numpy() for name in ("tumour", "patient", "label")}
    columns["mean"] = [answer.probability for answer in answers]
    columns["vote"] = [answer.vote_fraction for answer in answers]
    columns["spread"] = [answer.spread for answer in answers]
    columns["calibrated"] = np.array([answer.calibrated_probability for answer in answers], dtype=float)
    return pd.DataFrame(columns, columns=list(SCORE_COLUMNS))


def model_of(manifest: Manifest, name: str, version: str) -> ValidatedModel:
    """What a validation records of a version."""
    scaling, development = manifest.calibration, manifest.extra.get("mean_auc_of_groups")
    return ValidatedModel(
        name=name,
        version=version,
        ensemble=manifest.group,
        members=len(manifest.members),
        bundle_digest=manifest.digest,
        dataset_digest=manifest.dataset_digest,
        study=str(manifest.settings["study"]),
        synthetic=manifest.synthetic,
        primary_score=cast("Score", manifest.ensemble_score),
        cut_off=float(manifest.cut_off),
        platt=PlattScaling(scaling["slope"], scaling["intercept"], int(scaling["n"])) if scaling else None,
        development_auc=None if development is None else float(development),
    )


def view_of(validation: Validation) -> KfpView:
    """The main metrics and the ROC curve of a validation."""
    figures, scores = validation.metrics.performance, validation.scores
    names = ("auc", "ci_low", "ci_high")
    metrics = {name: getattr(figures.auc, name) for name in names}
    metrics |= {name: getattr(figures.rates, name) for name in ("sensitivity", "specificity")}
    points = roc_curve(scores["label"], scores[validation.metrics.model.primary_score])
    curve = points.false_positive_rate, points.true_positive_rate, points.threshold
    return KfpView(metrics, tuple(one.tolist() for one in curve))
