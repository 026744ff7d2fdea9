"""The command ``learning-curve``: whether a finished run would be better with more tumours."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pipelines.commands.terminal import HOME, HomeOption, JsonOption, WorkersOption, app, errors, screen

FRACTIONS = (0.25, 0.5, 0.75)


@app.command()
def learning_curve(
    run_folder: Annotated[Path | None, typer.Argument(help="Folder of a run; default: the newest of --home.")] = None,
    fraction: Annotated[
        list[float] | None,
        typer.Option(help="Share of each group's development patients, above 0 and below 1; may be repeated. "
                     f"Default: {', '.join(map(str, FRACTIONS))}."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Draws of patients for each fraction.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 1,
    workers: WorkersOption = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Train a run again with fewer tumours: would more of them help? It may be stopped and continued."""
    from pipelines.local.learning_run import curve_text, learn_run
    from pipelines.local.session import run_of

    console = errors if as_json else screen
    run = run_of(run_folder, home, console)
    curve, report = learn_run(run, console, fraction or FRACTIONS, draws, seed=seed, workers=workers)
    if as_json:
        typer.echo(json.dumps(curve.to_dict(), indent=1))
        return
    screen.print(Text(curve_text(curve)), soft_wrap=True)
    screen.print(f"report: {report}", soft_wrap=True)
