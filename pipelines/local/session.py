"""Operations of the commands on local runs: run a study, print its outcome, fetch a model, rebuild a report."""

import dataclasses
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.text import Text

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import REPORT, Evaluation
from components.common.artifacts.learning_curve import LearningCurve
from components.common.artifacts.members import PACK, Members, read_member_file
from components.common.artifacts.permutation import PermutationTest
from components.common.artifacts.promotion import Promotion
from components.common.artifacts.splits import Splits
from components.common.files import read_json
from components.common.presets import resolve_parameters
from components.common.processors import processors
from components.model.manifest import ensemble_title
from pipelines.definitions import phantom, srs_response, validate
from pipelines.definitions.options import Compiled
from pipelines.local.claims import sweep
from pipelines.local.display import ConsoleDisplay
from pipelines.local.home import Home, is_home, require_registry
from pipelines.local.runs import Run, latest, run_pipeline
from pipelines.local.tasks import Stopped

#: Because a person waits for a command, MLflow's client gives up after one retry, not after minutes as in a step.
BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run; ``reused`` counts the members taken from the member store."""

    run: Path
    report: Path
    verdict: str
    reasons: tuple[str, ...]
    version: str
    group: str
    mean_auc: float | None
    seconds: float
    reused: int
    members: int
    preprocessed: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A home, a console, and the number of training tasks that run at a time."""

    home: Home
    console: Console
    parallelism: int

    @classmethod
    def open(cls, home: Path, console: Console, parallelism: int) -> "Session":
        """Opens or creates the home, cleans up after killed runs, and makes libraries write only there."""
        session = cls._using(Home.open(home), console, parallelism)
        sweep(session.home.path, _close_killed)
        return session

    @classmethod
    def of_registry(cls, home: Path, console: Console, mlflow: str = "", *, downloads: bool = False) -> "Session":
        """Opens a home to use its registry, or the MLflow server or database that is named.

        No home is made, except for a process that ``downloads`` a server's model and then becomes another program:
        the next command on that home removes the model's files.

        Raises
        ------
        InputError
            As ``require_registry`` and ``open``.
        """
        require_registry(home, mlflow or os.environ.get("MLFLOW_TRACKING_URI", ""))
        return cls.open(home, console, 1) if downloads or is_home(home) else cls._using(Home.absent(home), console, 1)

    @classmethod
    def _using(cls, home: Home, console: Console, parallelism: int) -> "Session":
        os.environ.update(home.environment)
        tempfile.tempdir = None  # so that tempfile reads TMPDIR again
        return cls(home, console, parallelism)

    def run_phantom(self, cohort: Path, **parameters: Any) -> Run:
        """Runs the pipeline ``phantom``."""
        with ConsoleDisplay(self.console) as display:
            return run_pipeline(phantom.build(), {"cohort_uri": str(cohort), **parameters}, self.home, display)

    def run_study(self, parameters: Mapping[str, Any]) -> Outcome:
        """Runs the pipeline ``srs-response`` with the parameters of a ``StudyOptions``."""
        experiment = str(parameters["experiment"])
        self._require_experiment(experiment)
        arguments = {**parameters, "state_uri": str(self.home.members)}
        parallelism = 1 if "gpu_count" in parameters else self.parallelism  # a pack uses all the GPUs
        pipeline = srs_response.build(Compiled(parallelism=parallelism, retries=0))
        workers = max(1, processors() // min(parallelism, _packs(parameters)))
        try:
            with ConsoleDisplay(self.console) as display:
                return outcome_of(
                    run_pipeline(pipeline, arguments, self.home, display, parallelism=parallelism, workers=workers)
                )
        except Stopped as stopped:
            self._close(stopped.parameters, experiment)
            raise

    def run_validation(self, parameters: Mapping[str, Any]) -> Run:
        """Runs the pipeline ``validate`` with the parameters of ``ValidationOptions``."""
        self._require_experiment(str(parameters["experiment"]))
        arguments = {**parameters, "state_uri": str(self.home.members)}
        with ConsoleDisplay(self.console) as display:
            return run_pipeline(validate.build(), arguments, self.home, display, workers=processors())

    def _require_experiment(self, name: str) -> None:
        """Raises, before hours of work, if MLflow does not answer or the experiment was deleted."""
        uri = self.home.mlflow_uri
        if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
            return  # the first run makes the store
        from components.common import mlflow_client, tracking

        mlflow_client.require_server(mlflow_client.INTERACTIVE_SECONDS)
        tracking.prepare_store()
        tracking.require_experiment(name)

    def _close(self, parameters: Mapping[str, Any], experiment: str) -> None:
        """Closes the MLflow runs of a stopped run, whose exit task did not run."""
        if "attempt" in parameters:
            from components.split.step import close

            close(str(parameters["attempt"]), experiment, "STOPPED", "stopped from outside; run it again to continue")
        self.home.claim.forget()

    def print_outcome(self, outcome: Outcome) -> None:
        """Prints the tables, what was reused, the verdict, and the paths of the results."""
        from components.evaluate.tables import terminal_tables

        run = Run.read(outcome.run)
        tables = terminal_tables(Evaluation.read(run.path("evaluation")), Dataset.read(run.path("dataset")))
        self.console.print(Text(tables), soft_wrap=True)
        if not outcome.preprocessed:
            self.console.print("crops: taken from the cache, the cohort is unchanged")
        if outcome.reused:
            self.console.print(f"members: {outcome.reused} of {outcome.members} taken from the member store")
        self.console.print(f"gate: {outcome.verdict}, {ensemble_title(outcome.group)}, version {outcome.version}")
        for reason in outcome.reasons:
            self.console.print(f"  - {reason}", soft_wrap=True)
        self.console.print(f"run: {outcome.run}", soft_wrap=True)
        self.console.print(f"report: {outcome.report}", soft_wrap=True)
        self.console.print(f"MLflow: .venv/bin/mlflow ui --backend-store-uri {self.home.mlflow_uri}", soft_wrap=True)

    def registry(self, mlflow: str = "") -> ModuleType:
        """The module ``registry``, set to use an MLflow server, by default this home's own store."""
        if mlflow:
            os.environ["MLFLOW_TRACKING_URI"] = mlflow
        for name, value in BRIEF.items():
            os.environ.setdefault(name, value)
        from components.common.mlflow_client import INTERACTIVE_SECONDS, require_server
        from components.promote import registry

        require_server(INTERACTIVE_SECONDS)
        return registry

    def fetch_model(self, model_name: str, version: str) -> tuple[Path, str]:
        """Downloads a registered ensemble into a temporary folder; returns the folder and the version number."""
        registry = self.registry()
        number = registry.version_of(model_name, version)
        return registry.download(model_name, number, self.home.claim.folder), number


def _close_killed(facts: Mapping[str, Any]) -> None:
    """Closes the MLflow runs of a run whose process was killed."""
    from components.split.step import close

    reason = "killed from outside, or the machine went down; run it again to continue"
    close(str(facts["attempt"]), str(facts["experiment"]), "KILLED", reason)


def outcome_of(run: Run) -> Outcome:
    """Reads the outcome of a run from its artifacts."""
    promotion = Promotion.read(run.path("promotion"))
    facts = [read_json(path / PACK) for path in run.paths("members")]
    reused = sum(
        read_member_file(path / name).facts.reused
        for path, pack in zip(run.paths("members"), facts, strict=True)
        for name in pack["members"]
    )
    return Outcome(
        run=run.folder,
        report=run.path("evaluation") / REPORT,
        verdict=promotion.verdict,
        reasons=promotion.reasons,
        version=promotion.version,
        group=promotion.group,
        mean_auc=Evaluation.read(run.path("evaluation")).metrics.mean_auc,
        seconds=run.seconds,
        reused=reused,
        members=sum(len(pack["members"]) for pack in facts),
        preprocessed="preprocess" in run.steps,
    )


def run_of(folder: Path | None, home: Path, console: Console) -> Run:
    """The finished run in a folder, or the newest of a home; MLflow is then the store of the run's home.

    Raises
    ------
    InputError
        As ``Run.read``, ``latest`` and ``Session.of_registry``.
    """
    if folder is None:
        return latest(Session.of_registry(home, console).home)
    run = Run.read(folder)
    Session.of_registry(run.folder.resolve().parent, console)
    return run


def rebuild_report(run: Run) -> Path:
    """Writes a run's report into its folder again, from its artifacts."""
    from components.evaluate.evaluation import EvaluatedRun
    from components.evaluate.report import write_report
    from components.evaluate.step import facts_of

    splits = Splits.read(run.path("splits"))
    dataset, members = Dataset.read(run.path("dataset")), Members.gather(run.paths("members"), splits)
    evaluation = Evaluation.read(run.path("evaluation"))
    facts = facts_of(dataset, splits, members)
    beside = PermutationTest.read(run.folder), LearningCurve.read(run.folder)
    return write_report(run.folder, EvaluatedRun(dataset, splits, members, evaluation, facts, *beside))


def _packs(parameters: Mapping[str, Any]) -> int:
    """The number of training tasks of a run."""
    preset, settings = str(parameters["preset"]), str(parameters["settings"])
    seed, groups, members = (int(parameters[name]) for name in ("seed", "groups", "members"))
    split = resolve_parameters(preset, seed, groups, members, settings).split
    return math.ceil(len(split.group_names) * split.members / int(parameters["members_per_task"]))
