"""The learning curve of a finished local run: trains, stores the curve, rebuilds the report and tells MLflow."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.learning_curve import CurvePoint, LearningCurve
from components.common.artifacts.splits import Splits
from components.common.counted import counted
from components.evaluate.learning_curve import comparison, conclusion, learning_curve
from components.evaluate.learning_curve_page import write_learning_curve
from components.evaluate.tables import limits_text, number
from components.model.networks.building import network_of
from pipelines.local.learning import Draws
from pipelines.local.procedure import Procedure, followed, require_mlflow
from pipelines.local.runs import Run
from pipelines.local.session import rebuild_report

#: Folder of a run that holds its finished trainings with fewer tumours.
FOLDER = "learning_curve"
STEP = "learn"


def learn_run(
    run: Run, console: Console, fractions: Sequence[float], draws: int, *, seed: int, workers: int | None = None
) -> tuple[LearningCurve, Path]:
    """Trains with fewer tumours or continues, writes the curve beside the run; returns it and the new report's path.

    Raises
    ------
    InputError
        As ``Run.paths``, for artifacts of another layout, and as ``Draws.of``.
    RegistryError
        Before any training, if MLflow does not answer.
    """
    splits, dataset = Splits.read(run.path("splits")), Dataset.read(run.path("dataset"))
    evaluation = Evaluation.read(run.path("evaluation"))
    procedure = Procedure(dataset, network_of(splits), splits.settings)
    drawn = Draws.of(procedure, splits, fractions, draws, run.folder / FOLDER, seed=seed)
    if splits.tracking.parent:
        require_mlflow()
    trained = followed(
        STEP,
        console,
        lambda progress: drawn.train(workers=workers, progress=progress),
        lambda: _stored_text(drawn),
    )
    curve = learning_curve(dataset, splits, evaluation, trained, seed=seed)
    files = [curve.write(run.folder), write_learning_curve(run.folder, splits, evaluation, curve)]
    report = rebuild_report(run)
    if splits.tracking.parent:
        from components.common.tracking_later import log_learning_curve

        log_learning_curve(splits.tracking, curve, files)
    return curve, report


def _stored_text(drawn: Draws) -> str:
    number, stored = len(drawn.splits), sum(drawn.stored(place) is not None for place in drawn.splits)
    return f"{stored} of {counted(number, 'training')} {'is' if number == 1 else 'are'} stored"


def curve_text(curve: LearningCurve) -> str:
    """The curve and what can be read from it, for the terminal."""
    lines = [f"{'fraction':>8}{'training tumours':>18}{'mean AUC':>10}{'SD':>10}"]
    lines += [
        f"{point.fraction:>8g}{point.training_tumours:>18.1f}{number(point.mean):>10}{_spread(point):>10}"
        for point in curve.points
    ]
    run = curve.run
    limits = f"  95 % CI {limits_text(run.limits)}" if run.limits else ""
    lines.append(f"{'1 (run)':>8}{run.training_tumours:>18.1f}{number(run.mean_auc):>10}{'':>10}{limits}")
    return "\n".join([*lines, comparison(curve), conclusion(curve)])


def _spread(point: CurvePoint) -> str:
    return "one draw" if point.sd is None else number(point.sd)
