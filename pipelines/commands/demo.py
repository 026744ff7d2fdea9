"""``make demo``: phantom -> srs-response -> champion -> predictor -> one unseen patient, on this machine."""

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

from components.common import defaults
from components.common.errors import SrsError
from components.phantom.phantom import write_unseen_patient
from pipelines.commands import predictor_client
from pipelines.commands.models import answers_table
from pipelines.commands.terminal import print_error
from pipelines.local import predictor_process
from pipelines.local.session import Outcome, Session
from pipelines.local.study_options import StudyOptions


def main() -> None:
    """Runs the demo; exit code 3 where the gate promoted nothing."""
    options = _arguments()
    console = Console(highlight=False, markup=False)
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # a demo writes only under its home
    try:
        sys.exit(demo(Session.open(options.home, console, 2), options.seed, options.preset, options.signal))
    except SrsError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        console.print("\nstopped; run make demo again to continue")
        sys.exit(130)


def demo(session: Session, seed: int, preset: str, signal: float) -> int:
    """Runs and prints every stage of the demo; returns the exit code."""
    started = time.monotonic()
    session.console.print(Rule("phantom cohort (SYNTHETIC: no patient)"))
    cohort = session.home.path / "phantom"
    session.run_phantom(cohort, seed=seed, signal=signal)
    session.console.print(Rule(defaults.PIPELINE))
    outcome = session.run_study(StudyOptions(preset, seed).parameters(str(cohort)))
    session.print_outcome(outcome)
    code = 0
    if outcome.verdict == "promoted":
        session.console.print(Rule("one unseen phantom patient, asked over HTTP"))
        _ask(session, outcome, seed, signal)
    else:
        session.console.print(f"The gate promoted nothing ({outcome.verdict}), so nothing is served.")
        code = 3
    session.console.print(f"{time.monotonic() - started:.0f} s in all")
    return code


def _ask(session: Session, outcome: Outcome, seed: int, signal: float) -> None:
    patient = write_unseen_patient(session.home.path / "unseen", seed=seed, signal=signal)
    port = predictor_process.free_port()
    url, log = f"http://{defaults.HOST}:{port}", outcome.run / "logs" / "predictor.log"
    options = ["--home", str(session.home.path), "--version", outcome.version, "--port", str(port)]
    line = [sys.executable, "-m", "pipelines.commands.cli", "serve", *options]
    with predictor_process.running(line, url, defaults.MODEL, log):
        started = time.monotonic()
        answers = predictor_client.ask(url, defaults.MODEL, patient).predictions
        took = time.monotonic() - started
    session.console.print(answers_table(answers))
    session.console.print(f"answered in {took:.2f} s by version {outcome.version}; the predictor is stopped again")
    session.console.print(f"serve it: .venv/bin/srs serve    ask it: .venv/bin/srs predict {patient}", soft_wrap=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("runs"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--signal", type=float, default=1.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
