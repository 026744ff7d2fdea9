"""What all commands share: the application, its consoles, and how an error is told."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from components.common.errors import SrsError

app = typer.Typer(
    name="srs",
    help="Early response of brain metastases to stereotactic radiosurgery: learn, evaluate, register, serve.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
screen = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

HomeOption = Annotated[Path, typer.Option("--home", help="Folder that everything is written under.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MlflowOption = Annotated[
    str, typer.Option("--mlflow", help="An MLflow server's address; by default --home's own store.")
]
ModelOption = Annotated[str, typer.Option("--model-name", help="Registered model in MLflow.")]
PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="HTTP port of the predictor.")]
HOME = Path("runs")
MODEL = "srs-response"


def tell(error: SrsError) -> None:
    """Prints an error for a person: what, its code, what to do, and the log where there is one."""
    errors.print(Text.assemble(("error ", "bold red"), error.safe_message, (f" [{error.code}]", "dim")), soft_wrap=True)
    if error.hint:
        errors.print(Text(error.hint), soft_wrap=True)
    if log := getattr(error, "log", None):
        errors.print(Text(f"log: {log}"), soft_wrap=True)
