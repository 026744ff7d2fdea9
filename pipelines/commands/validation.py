"""The command ``srs validate``: a registered model on another labelled cohort."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from components.common import defaults
from components.common.checked import fields, sentence
from components.common.errors import InputError
from components.common.presets import USED_BY_VALIDATION
from pipelines.commands import study
from pipelines.commands.terminal import (
    HOME,
    HomeOption,
    JsonOption,
    MlflowOption,
    ModelOption,
    app,
    errors,
    screen,
)
from pipelines.definitions.parameters import VALIDATE_DEFAULTS, ValidateParameters

SET_HELP = f"NAME=VALUE, of {', '.join(USED_BY_VALIDATION)}; may be repeated."
HELP = {name: sentence(field) for name, field in fields(ValidateParameters).items()}


@app.command()
def validate(
    cohort: Annotated[str, typer.Option(help="cohort.csv, or the folder or s3:// prefix that holds it.")] = "",
    model: Annotated[str, typer.Option(help="A version number, or an alias such as champion.")] = "champion",
    name: Annotated[str, typer.Option(help=HELP["name"])] = VALIDATE_DEFAULTS.name,
    seen: Annotated[str, typer.Option(help=HELP["seen"])] = VALIDATE_DEFAULTS.seen,
    study_file: Annotated[Path | None, typer.Option("--study", help="YAML file of settings.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP)] = None,
    home: HomeOption = HOME,
    mlflow: MlflowOption = "",
    experiment: Annotated[str, typer.Option(help=HELP["experiment"])] = defaults.EXPERIMENT,
    model_name: ModelOption = defaults.MODEL,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a registered model on another labelled cohort, on this machine."""
    if not cohort:
        raise InputError("COHORT_MISSING", "no cohort was named", "srs validate --cohort other.csv")
    from components.common.presets import merged
    from pipelines.local.home import require_registry
    from pipelines.local.session import Session
    from pipelines.local.validations import ValidationOptions, ValidationOutcome

    overrides = merged(study.read_study(study_file), study.read_flags(settings or []))
    options = ValidationOptions(model, name, seen, overrides, experiment, model_name)
    parameters = options.parameters(cohort)  # before a home is made
    require_registry(home, mlflow or os.environ.get("MLFLOW_TRACKING_URI", ""))
    session = Session.open(home, errors if as_json else screen, 1)
    version = session.registry(mlflow).version_of(model_name, model)  # an alias may move during the run
    outcome = ValidationOutcome.of(session.run_validation({**parameters, "version": version}))
    for warning in outcome.warnings:
        errors.print(Text(warning), soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(outcome.to_dict(), indent=1))
        return
    for line in outcome.lines():
        screen.print(Text(line), soft_wrap=True)
