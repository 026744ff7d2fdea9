"""``srs home``: what is done to a home as a whole."""

import typer

from pipelines.commands.terminal import HOME, HomeOption, app, screen

homes = typer.Typer(help="The folder that everything is written under.", no_args_is_help=True)
app.add_typer(homes, name="home")


@homes.callback()
def home() -> None:
    """The folder that everything is written under (--home of other commands)."""


@homes.command()
def fix(home: HomeOption = HOME) -> None:
    """Make a copied or moved home stand on its own; the one that it came from stays as it is."""
    from pipelines.local.moving import fix as make_its_own

    origins, kept = make_its_own(home)
    if kept is None:
        screen.print(f"{home.resolve()} stands on its own already")
        return
    told = ", ".join(str(origin) for origin in origins)
    screen.print(f"{home.resolve()} stands on its own now, no longer on {told}", soft_wrap=True)
    screen.print(f"the former database: {kept}", soft_wrap=True)
