"""Commands for registered ensembles: serve, predict, champion, promote, rollback, export."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from components.common import defaults
from components.common.counted import counted
from components.common.tags import REASONS, STORY
from components.model.manifest import ensemble_title
from pipelines.commands.terminal import (
    HOME,
    HomeOption,
    JsonOption,
    MlflowOption,
    ModelOption,
    PortOption,
    app,
    errors,
    screen,
)

if TYPE_CHECKING:
    from components.promote.validations import ValidatedOn


@app.command()
def serve(
    model_name: ModelOption = defaults.MODEL,
    version: Annotated[str, typer.Option(help="A version number, or an alias such as champion.")] = "champion",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = defaults.HOST,
    port: PortOption = defaults.HTTP_PORT,
    grpc: Annotated[str, typer.Option(help="gRPC port, or off.")] = "off",
    public_key: Annotated[
        Path | None,
        typer.Option(help="Public key (Ed25519, PEM): only a bundle signed with its private key is served."),
    ] = None,
    home: HomeOption = HOME,
) -> None:
    """Serve a registered ensemble with the KServe predictor, until stopped."""
    from pipelines.local.home import SOURCES
    from pipelines.local.predictor_process import command, require_free, require_grpc
    from pipelines.local.session import Session

    require_free(host, port)
    require_grpc(host, grpc, port)
    if public_key:
        from components.model.signing import PublicKey

        PublicKey.read(public_key)
    session = Session.of_registry(home, screen, downloads=True)
    model, number = session.fetch_model(model_name, version)
    screen.print(f"{model_name} version {number} on http://{host}:{port}", soft_wrap=True)
    line = command(model, number, model_name, host, port, grpc, public_key)
    os.environ["PYTHONPATH"] = str(SOURCES)
    session.home.claim.outlive_exec()
    os.execv(line[0], line)  # noqa: S606


@app.command()
def predict(
    path: Annotated[Path, typer.Argument(help="Folder or .zip of one study: CT slices and RTSTRUCT.")],
    url: Annotated[
        str, typer.Option(help="Address of the predictor.")
    ] = f"http://{defaults.HOST}:{defaults.HTTP_PORT}",
    model_name: ModelOption = defaults.MODEL,
    roi: Annotated[str, typer.Option(help="ROIName or ROINumber of one GTV; default: all GTVs.")] = "",
    rtstruct_uid: Annotated[str, typer.Option(help="SOPInstanceUID of one RTSTRUCT, if there are several.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Send the DICOM files that a prediction needs to the predictor, and print its answers."""
    from pipelines.commands import predictor_client

    try:
        answers = predictor_client.ask(url, model_name, path, roi=roi, rtstruct_uid=rtstruct_uid)
    except predictor_client.StudyRefused as error:
        _print_unanswered(error.unanswered if len(error.unanswered) > 1 else [])
        _print_offer(error.offer)
        raise
    if as_json:
        typer.echo(json.dumps(answers.predictions, indent=1))
    else:
        screen.print(answers_table(answers.predictions))
    _print_unanswered(answers.unanswered)


def _print_unanswered(tumours: Sequence[Mapping[str, Any]]) -> None:
    for one in tumours:
        parts = (f"{_roi(one)}: {one.get('message', '')}", f"[{one.get('code')}]", str(one.get("hint", "")))
        errors.print(Text(" ".join(filter(None, parts))), soft_wrap=True)


def _print_offer(offer: Sequence[Mapping[str, Any]]) -> None:
    """The RTSTRUCTs and structures to choose from, as the values of ``--rtstruct-uid`` and ``--roi``."""
    for one in offer:
        names = ", ".join(f"{each['number']} {each['roi']}" for each in one["structures"])
        head = " ".join(filter(None, ("rtstruct_uid", one["rtstruct_uid"], one.get("date"), one.get("label"))))
        errors.print(Text(f"{head}: structures: {names}"), soft_wrap=True)


@app.command()
def champion(
    home: HomeOption = HOME,
    mlflow: MlflowOption = "",
    model_name: ModelOption = defaults.MODEL,
    as_json: JsonOption = False,
) -> None:
    """Show the champion's version, ensemble and digest, the gate's reasons, and its validations on other cohorts."""
    from components.promote.validations import validations_in
    from pipelines.local.session import Session

    registry = Session.of_registry(home, screen, mlflow).registry(mlflow)
    info = registry.version_info(model_name, registry.version_of(model_name, registry.CHAMPION))
    validations = validations_in(info.tags)
    if as_json:
        described = {**dataclasses.asdict(info), "validations": [dataclasses.asdict(one) for one in validations]}
        typer.echo(json.dumps(described, indent=1))
        return
    screen.print(f"{model_name} version {info.version}, {ensemble_title(info.group)}, bundle {info.bundle_digest[:12]}")
    for name in (STORY, REASONS):
        if name in info.tags:
            screen.print(info.tags[name], soft_wrap=True)
    for one in validations:
        screen.print(Text(validation_line(one)), soft_wrap=True)


def validation_line(one: "ValidatedOn") -> str:
    """A validation on one line, with what a reader must know of it."""
    from components.validate.few import by_class, is_few

    notes = ["SYNTHETIC"] if one.synthetic else []
    notes += [] if one.patients_checked else ["not checked for patients that the model has seen"]
    limits = f"AUC {one.auc:.3f} ({one.auc_low:.3f} to {one.auc_high:.3f})"
    tumours = counted(one.tumours, "tumour")
    found = f"too few to judge ({by_class(one)}), {limits}" if is_few(one) else limits
    return "; ".join([f"validated on {one.name}: {tumours}, {found}", *notes])


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Version to make the champion: its number, or challenger.")],
    reason: Annotated[str, typer.Option(help="Why; stored with the version.")],
    sign: Annotated[Path | None, typer.Option(help="Sign the bundle with this private key (Ed25519, PEM).")] = None,
    home: HomeOption = HOME,
    mlflow: MlflowOption = "",
    model_name: ModelOption = defaults.MODEL,
) -> None:
    """Make a version the champion by your own decision, whatever the gate decided."""
    from components.model.signing import SigningKey
    from pipelines.local.session import Session

    key = SigningKey.read(sign) if sign else None
    registry = Session.of_registry(home, screen, mlflow).registry(mlflow)
    champion_before = registry.champion(model_name)
    before = registry.promote_by_hand(model_name, version, reason, key)
    now = registry.version_of(model_name, registry.CHAMPION)
    if champion_before and champion_before.version == now:
        screen.print(f"{model_name}: version {now} is champion already; the reason is stored with it")
    else:
        screen.print(f"{model_name}: version {now} is champion; before: {before or 'none'}")
    if key:
        screen.print(f"signed; SHA-256 of the public key: {key.public.fingerprint}", soft_wrap=True)


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; stored with the version that is replaced.")] = "",
    home: HomeOption = HOME,
    mlflow: MlflowOption = "",
    model_name: ModelOption = defaults.MODEL,
) -> None:
    """Make the previous champion the champion again."""
    from pipelines.local.session import Session

    now = Session.of_registry(home, screen, mlflow).registry(mlflow).rollback(model_name, reason=reason)
    screen.print(f"{model_name}: version {now} is champion again")


@app.command()
def export(
    version: Annotated[str, typer.Argument(help="A version number, or an alias such as champion.")],
    out: Annotated[Path, typer.Argument(help="File to write, or for a SavedModel the folder; it must not exist.")],
    keras: Annotated[bool, typer.Option("--keras", help="As a Keras model: one .keras file.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="As an ONNX graph: one file.")] = False,
    saved_model: Annotated[bool, typer.Option("--saved-model", help="As a TensorFlow SavedModel: a folder.")] = False,
    home: HomeOption = HOME,
    mlflow: MlflowOption = "",
    model_name: ModelOption = defaults.MODEL,
) -> None:
    """Write a registered ensemble for another program: crops in HU to each member's probability."""
    from pipelines.local.exporting import chosen_form, write_model
    from pipelines.local.session import Session

    form = chosen_form(out, keras=keras, onnx=onnx, saved_model=saved_model)
    registry = Session.of_registry(home, screen, mlflow).registry(mlflow)
    number = write_model(registry, model_name, version, form, out)
    screen.print(f"{model_name} version {number} as {form} in {out}", soft_wrap=True)


def answers_table(answers: list[dict[str, Any]]) -> Table:
    """The predictor's answers as a table with one row per tumour, and a column of warnings if there are any."""
    warned = any(answer.get("warnings") for answer in answers)
    columns = ("ROI", "probability", "calibrated", "votes", "spread", "label")
    versions = ", ".join(dict.fromkeys(str(answer.get("model_version", "")) for answer in answers))
    caption = f"probabilities of non-response, by model version {versions}"
    table = Table(*columns, *(["warnings"] if warned else []), title=_synthetic(answers), caption=caption)
    for answer in answers:
        calibrated = answer.get("calibrated_probability")
        cells = (
            f"{answer['probability']:.3f}",
            "-" if calibrated is None else f"{calibrated:.3f}",
            f"{answer['votes']}",
            f"{answer['spread']:.3f}",
            str(answer["label"]),
        )
        warnings = ", ".join(answer.get("warnings", ()))
        table.add_row(_roi(answer), *cells, *([warnings] if warned else []))
    return table


def _roi(tumour: Mapping[str, Any]) -> str:
    """A structure's name and number; ``--roi`` accepts either."""
    name, number = str(tumour.get("roi_name", "")), tumour.get("roi_number")
    return f"{name} (no. {number})" if number else name


def _synthetic(answers: list[dict[str, Any]]) -> str:
    return "SYNTHETIC model: learned from phantoms" if any(answer.get("synthetic") for answer in answers) else ""
