"""Validations of a registered version on other cohorts, as tags of the version: one tag per cohort, each a JSON object.

A later validation on the same dataset replaces the earlier one's tag; the MLflow runs of both stay.
"""

import dataclasses
import json
from collections.abc import Mapping

from components.common.files import strict_json
from components.common.mlflow_client import client

#: What such a tag's name begins with; the start of the dataset's digest follows.
PREFIX = "srs.validation."
#: Characters of the digest in it.
DIGEST_LENGTH = 12
#: Characters stored of a cohort's name, so that the whole tag stays far below MLflow's limit.
LONGEST_NAME = 200


@dataclasses.dataclass(frozen=True, slots=True)
class ValidatedOn:
    """A validation in short.

    Parameters
    ----------
    name
        Name of the cohort.
    tumours, patients, responders, non_responders
        Its size: numbers of tumours, patients, and tumours of each class.
    auc, auc_low, auc_high
        AUC of the primary score, with Newcombe's limits.
    sensitivity, specificity
        At the bundle's cut-off.
    synthetic
        Whether the cohort or the model is synthetic.
    patients_checked
        Whether it could be found out which patients the model had seen.
    run_id
        Its run in MLflow.
    """

    name: str
    tumours: int
    patients: int
    responders: int
    non_responders: int
    auc: float
    auc_low: float
    auc_high: float
    sensitivity: float
    specificity: float
    synthetic: bool
    patients_checked: bool
    run_id: str


def write_validation(model_name: str, version: str, dataset_digest: str, validation: ValidatedOn) -> str:
    """Tags a version with its validation on a dataset; returns the tag's name."""
    key = f"{PREFIX}{dataset_digest[:DIGEST_LENGTH]}"
    fields = dataclasses.asdict(dataclasses.replace(validation, name=validation.name[:LONGEST_NAME]))
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in fields.items()}
    client().set_model_version_tag(model_name, version, key, json.dumps(rounded, ensure_ascii=False))
    return key


def validations_in(tags: Mapping[str, str]) -> list[ValidatedOn]:
    """The validations among a version's tags, by the cohorts' names; a tag of another form is skipped."""
    found = [_read(text) for key, text in tags.items() if key.startswith(PREFIX)]
    return sorted(filter(None, found), key=lambda one: (one.name, -one.tumours))


def _read(text: str) -> ValidatedOn | None:
    kinds = {field.name: (int, float) if field.type is float else field.type for field in _FIELDS}
    try:
        values = strict_json(text.encode())
    except ValueError:
        return None
    if not isinstance(values, dict) or set(values) != set(kinds):
        return None
    return ValidatedOn(**values) if all(isinstance(values[name], kind) for name, kind in kinds.items()) else None  # type: ignore[arg-type]


_FIELDS = dataclasses.fields(ValidatedOn)
