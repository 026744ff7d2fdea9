"""What all commands share: the application, its consoles and options, and how an error is printed."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from components.common.errors import SrsError

app = typer.Typer(
    name="srs",
    help="Early response of brain metastases to stereotactic radiosurgery: train, evaluate, register and serve CNNs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
#: Nothing that is printed is markup: a person's text, a path or a name may hold brackets.
screen = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, markup=False)

HomeOption = Annotated[Path, typer.Option("--home", help="Folder under which everything is written.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MlflowOption = Annotated[
    str, typer.Option("--mlflow", help="Address of an MLflow server; default: the store in --home.")
]
ModelOption = Annotated[str, typer.Option("--model-name", help="Name of the registered model in MLflow.")]
PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="HTTP port of the predictor.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Networks trained at a time; default: one per core.")
]
HOME = Path("runs")


def print_error(error: SrsError) -> None:
    """Prints an error: its message, its code, its hint and, where there is one, the path of its log."""
    errors.print(Text.assemble(("error ", "bold red"), error.safe_message, (f" [{error.code}]", "dim")), soft_wrap=True)
    if error.hint:
        errors.print(Text(error.hint), soft_wrap=True)
    if log := getattr(error, "log", None):
        errors.print(Text(f"log: {log}"), soft_wrap=True)
