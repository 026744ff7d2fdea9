"""The commands ``srs home ...``: maintenance of a home folder."""

import typer

from pipelines.commands.terminal import HOME, HomeOption, app, screen

homes = typer.Typer(help="The folder under which everything is written.", no_args_is_help=True)
app.add_typer(homes, name="home")


@homes.callback()
def home() -> None:
    """The folder under which everything is written (--home of other commands)."""


@homes.command()
def fix(home: HomeOption = HOME) -> None:
    """Repair a copied or moved home so that it uses only its own files; the original home is not changed."""
    from pipelines.local.moving import fix as fix_home

    origins, former_database = fix_home(home)
    if former_database is None:
        screen.print(f"{home.resolve()} uses only its own files already: nothing to fix")
        return
    names = ", ".join(str(origin) for origin in origins)
    screen.print(f"{home.resolve()} now uses only its own files, no longer those of {names}", soft_wrap=True)
    screen.print(f"backup of the former database: {former_database}", soft_wrap=True)
