"""``srs``: the platform's command line.

Exit codes: 0 done, 1 something failed, 2 the input must be fixed first, 3 the gate promoted nothing.
"""

import dataclasses
import functools
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from components.common import defaults
from components.common.checked import fields, sentence
from components.common.disk import disk_error, path_refused, permission_denied
from components.common.errors import GateRefused, InputError, SrsError
from pipelines.commands import study
from pipelines.commands.terminal import (
    HOME,
    HomeOption,
    JsonOption,
    ModelOption,
    app,
    errors,
    print_error,
    screen,
)
from pipelines.definitions.parameters import PHANTOM_DEFAULTS, STUDY_DEFAULTS, PhantomParameters, StudyParameters

GATE_HINT = "The reasons are above, in the run's summary of the step promote, and with the version in MLflow."
#: Help of the options that are parameters of the pipelines.
STUDY, PHANTOM = (
    {name: sentence(field) for name, field in fields(kind).items()} for kind in (StudyParameters, PhantomParameters)
)


#: Exit code of a command that was stopped by Ctrl-C or SIGTERM, as shells have it.
INTERRUPTED = 130


def main() -> None:
    """Entry point: runs a command, prints its errors and exits with their codes."""
    try:
        app()
    except SrsError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        translated = disk_error(error) or permission_denied(error) or path_refused(error)
        if translated is None:
            raise
        print_error(translated)
        sys.exit(translated.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer makes it of a KeyboardInterrupt
            errors.print("\nstopped; run the same command again to continue")
        raise


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write to; an earlier phantom in it is replaced.")],
    seed: Annotated[int, typer.Option(help=PHANTOM["seed"])] = PHANTOM_DEFAULTS.seed,
    tumours: Annotated[int, typer.Option(help=PHANTOM["tumours"])] = PHANTOM_DEFAULTS.tumours,
    patients: Annotated[int, typer.Option(help=PHANTOM["patients"])] = PHANTOM_DEFAULTS.patients,
    signal: Annotated[float, typer.Option(help=PHANTOM["signal"])] = PHANTOM_DEFAULTS.signal,
    patient_effect: Annotated[float, typer.Option(help=PHANTOM["patient_effect"])] = PHANTOM_DEFAULTS.patient_effect,
    centres: Annotated[int, typer.Option(help=PHANTOM["centres"])] = PHANTOM_DEFAULTS.centres,
    centre_effect: Annotated[float, typer.Option(help=PHANTOM["centre_effect"])] = PHANTOM_DEFAULTS.centre_effect,
    contrast_confounder: Annotated[
        float, typer.Option(help=PHANTOM["contrast_confounder"])
    ] = PHANTOM_DEFAULTS.contrast_confounder,
) -> None:
    """Write a SYNTHETIC cohort: planning CT, RTSTRUCT and cohort.csv."""
    from components.phantom.faults import Faults
    from components.phantom.phantom import write_cohort
    from pipelines.local.display import ConsoleDisplay

    numbers = {"seed": seed, "tumours": tumours, "patients": patients}
    faults = Faults(patient_effect, centres, centre_effect, contrast_confounder)
    with ConsoleDisplay(screen) as display:

        def progress(done: int, total: int, note: str) -> None:
            if not done:
                display.begin("phantom")
            display.advance("phantom", "phantom", done, total, note)

        table = write_cohort(out, **numbers, signal=signal, faults=faults, progress=progress)
        display.end("phantom", failed=False)
    screen.print(f"SYNTHETIC cohort: {table}", soft_wrap=True)


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(help="Folder, .zip or s3:// prefix of one study: CT and RTSTRUCT.")],
    roi: Annotated[
        str, typer.Option(help="Name of a structure, its ROINumber, or a regular expression for names.")
    ] = "",
    rtstruct_uid: Annotated[str, typer.Option(help="SOPInstanceUID of one RTSTRUCT among several.")] = "",
    slice_rule: Annotated[str, typer.Option("--slice", help="centre or largest.")] = "centre",
    png: Annotated[Path | None, typer.Option(help="Draw each crop with its contour into this PNG file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which tumours would be cropped from a study, and how, before a run."""
    from components.common.settings import PreprocessSettings
    from components.common.store.opening import open_source
    from components.imaging.gtv import find_gtvs, inspect_gtvs
    from pipelines.commands.inspection import CHOICES, show_candidates, show_choices
    from pipelines.commands.picture import draw_candidates

    settings = PreprocessSettings(slice_rule=slice_rule)  # type: ignore[arg-type]
    source = open_source(path)
    try:
        find = functools.partial(inspect_gtvs, roi=roi) if roi else find_gtvs
        candidates = find(source, "", settings, rtstruct_uid=rtstruct_uid)
    except InputError as error:
        if error.code in CHOICES:
            show_choices(source, rtstruct_uid)
        raise
    if png:
        draw_candidates(candidates, png)
    if as_json:
        typer.echo(json.dumps([candidate.to_dict() for candidate in candidates], indent=1))
    else:
        show_candidates(candidates)


@app.command()
def run(
    cohort: Annotated[str, typer.Option(help="cohort.csv, or the folder or s3:// prefix that holds it.")] = "",
    preset: Annotated[str, typer.Option(help=STUDY["preset"])] = STUDY_DEFAULTS.preset,
    fast: Annotated[bool, typer.Option("--fast", help="The same as --preset fast.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help=STUDY["seed"], show_default="1")] = None,
    groups: Annotated[int, typer.Option(min=0, help=STUDY["groups"])] = 0,
    members: Annotated[int, typer.Option(min=0, help=STUDY["members"])] = 0,
    study_file: Annotated[Path | None, typer.Option("--study", help="YAML file of settings.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="SECTION.NAME=VALUE; may be repeated.")] = None,
    settings_help: Annotated[bool, typer.Option("--settings-help", help="List every setting and exit.")] = False,
    home: HomeOption = HOME,
    experiment: Annotated[str, typer.Option(help=STUDY["experiment"])] = defaults.EXPERIMENT,
    model_name: ModelOption = defaults.MODEL,
    parallelism: Annotated[int, typer.Option(min=1, help="Training tasks that run at the same time.")] = 2,
    members_per_task: Annotated[int, typer.Option(help=STUDY["members_per_task"])] = defaults.MEMBERS_PER_TASK,
    gpus: Annotated[int, typer.Option(min=0, help="NVIDIA GPUs that train; 0: the cores of the CPU do.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run the whole study on a cohort, on this machine."""
    if settings_help:
        typer.echo(study.settings_help())
        return
    if not cohort:
        raise InputError("COHORT_MISSING", "no cohort was named", "srs run --cohort cohort.csv")
    from components.common.presets import merged
    from pipelines.local.session import Session
    from pipelines.local.study_options import StudyOptions

    if fast and preset not in ("default", "fast"):
        raise InputError("PRESET_UNKNOWN", f"--fast and --preset {preset} name two presets", "Give one of them.")
    overrides = merged(study.read_study(study_file), study.read_flags(settings or []))
    names = (experiment, model_name, members_per_task, gpus)
    options = StudyOptions("fast" if fast else preset, seed, groups, members, overrides, *names)
    parameters = options.parameters(cohort)  # before a home is made
    session = Session.open(home, errors if as_json else screen, parallelism)
    outcome = session.run_study(parameters)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(outcome), indent=1, default=str))
    else:
        session.print_outcome(outcome)
    if outcome.verdict != "promoted":
        raise GateRefused("GATE_REFUSED", f"the gate promoted nothing: {outcome.verdict}", GATE_HINT)


@app.command()
def report(
    run_folder: Annotated[Path | None, typer.Argument(help="Folder of a run; default: the newest.")] = None,
    home: HomeOption = HOME,
) -> None:
    """Rebuild the report of a finished run from its artifacts."""
    from pipelines.local.home import UMASK
    from pipelines.local.runs import Run, latest
    from pipelines.local.session import Session, rebuild_report

    os.umask(UMASK)
    run = Run.read(run_folder) if run_folder else latest(Session.of_registry(home, screen).home)
    screen.print(str(rebuild_report(run)), soft_wrap=True)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another run of the same study and cohort.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two runs: the settings that differ, and their ensembles on the tumours that both evaluated."""
    from components.common.artifacts.evaluation import Evaluation
    from components.common.artifacts.splits import Splits
    from components.evaluate import compare as comparison
    from pipelines.local.runs import Run

    runs = [Run.read(folder) for folder in (first, second)]
    a, b = (Evaluation.read(run.path("evaluation")) for run in runs)
    changed = comparison.differing_settings(*(Splits.read(run.path("splits")) for run in runs))
    if as_json:
        settings = {name: values for name, *values in changed}
        synthetic = a.metrics.synthetic or b.metrics.synthetic
        compared = {"settings": settings, "groups": comparison.records(a, b), "synthetic": synthetic}
        typer.echo(json.dumps(compared, indent=1))
        return
    table = comparison.comparison_text(a, b)  # raises, if at all, before anything is printed
    for letter, run in zip("ab", runs, strict=True):
        screen.print(f"{letter}  {run.folder}", soft_wrap=True, highlight=False)
    for name, *values in changed:
        screen.print(Text(f"   {name}: {' -> '.join(values)}"), soft_wrap=True)
    screen.print(Text(table), soft_wrap=True)


# Imported last, so that `srs --help` lists their commands after these.
from pipelines.commands import cluster as cluster  # noqa: E402
from pipelines.commands import doctor as doctor  # noqa: E402
from pipelines.commands import home as home  # noqa: E402
from pipelines.commands import learning_curve as learning_curve  # noqa: E402
from pipelines.commands import models as models  # noqa: E402
from pipelines.commands import permute as permute  # noqa: E402
from pipelines.commands import validation as validation  # noqa: E402

if __name__ == "__main__":
    main()
