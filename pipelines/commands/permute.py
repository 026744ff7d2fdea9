"""The command ``permute``: a permutation test of the whole procedure of a finished run."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pipelines.commands.terminal import HOME, HomeOption, JsonOption, WorkersOption, app, errors, screen


@app.command()
def permute(
    run_folder: Annotated[Path | None, typer.Argument(help="Folder of a run; default: the newest of --home.")] = None,
    n: Annotated[
        int, typer.Option("--n", min=1, help="Least number of permutations; the smallest p is 1 / (n + 1).")
    ] = 99,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the permutations.")] = 1,
    workers: WorkersOption = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Repeat a run with permuted labels, to test whether there is any signal. It may be stopped and continued."""
    from pipelines.local.permuted_run import outcome_text, permute_run
    from pipelines.local.session import run_of

    console = errors if as_json else screen
    run = run_of(run_folder, home, console)
    test, report = permute_run(run, console, n, seed=seed, workers=workers)
    if as_json:
        typer.echo(json.dumps(test.to_dict(), indent=1))
        return
    screen.print(Text(outcome_text(test)), soft_wrap=True)
    screen.print(f"report: {report}", soft_wrap=True)
