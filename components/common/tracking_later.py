"""Logs what later commands find out about a finished run to its parent run: permutation tests and learning curves."""

from collections.abc import Sequence
from pathlib import Path

from mlflow.entities import Metric

from components.common import tracking_store as store
from components.common.artifacts.learning_curve import LearningCurve
from components.common.artifacts.permutation import PermutationTest
from components.common.artifacts.splits import TrackedRuns
from components.common.files import digest_of
from components.common.mlflow_client import client
from components.common.tracking_store import flatten

__all__ = ["log_learning_curve", "log_permutation"]

#: Tag with the digest of the learning curve that was logged last.
LEARNING_CURVE_DIGEST = "srs.learning_curve"


def log_permutation(tracking: TrackedRuns, test: PermutationTest, file: Path) -> None:
    """Logs a permutation test to the parent: its figures, and its file.

    The step of the figures is n: the same test leaves one value each, and MLflow shows those of the longest test. Those
    of development predictions are left out where they only repeat those of evaluation tumours.
    """
    second = None if test.development_repeats_evaluation else test.development_null
    summaries = {"null": test.null, "development_null": second}
    figures = {"p_value": test.p_value, "n": test.n} | {
        f"{name}_{figure}": getattr(null, figure)
        for name, null in summaries.items()
        for figure in ("mean", "sd", "quantile_95")
        if null
    }
    run = client().get_run(tracking.parent)
    store.log(run, store.points(flatten({"permutation": figures}, "/"), run, step=test.n), {}, {})
    client().log_artifact(tracking.parent, str(file))


def log_learning_curve(tracking: TrackedRuns, curve: LearningCurve, files: Sequence[Path]) -> None:
    """Logs a learning curve to the parent: its points, the rise at its end, and its files.

    The step of a point is its number of training tumours per network, rounded. The same curve is logged once; those of
    a later curve, for example of more draws, are newer values, which MLflow shows.
    """
    run = client().get_run(tracking.parent)
    digest = digest_of(curve.to_dict())
    if run.data.tags.get(LEARNING_CURVE_DIGEST) != digest:
        found, now = curve.rise, store.now_ms()
        at_end = {name: getattr(found, name) for name in ("difference", "low", "high")}
        figures = [(one.training_tumours, {"mean_auc": one.mean, "sd": one.sd}) for one in curve.points]
        figures.append((curve.run.training_tumours, {"mean_auc": curve.run.mean_auc, **at_end}))
        points = [
            Metric(f"learning_curve/{name}", value, now, round(tumours))
            for tumours, values in figures
            for name, value in store.finite(values).items()
        ]
        store.log(run, points, {}, {LEARNING_CURVE_DIGEST: digest})
    for file in files:
        client().log_artifact(tracking.parent, str(file))
