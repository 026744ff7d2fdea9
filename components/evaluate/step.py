"""Runs the evaluate step: reads dataset, splits and members, writes the evaluation and report, logs to MLflow."""

import dataclasses
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.members import Members
from components.common.artifacts.splits import Splits
from components.common.versions import version_of
from components.evaluate.evaluation import EvaluatedRun, GroupCurves, evaluate, group_curves
from components.evaluate.model_card import write_model_card
from components.evaluate.report import write_report

VERSIONS = ("srs-response", "kfp", "mlflow", "tensorflow", "numpy", "scikit-learn", "pydicom")


@dataclasses.dataclass(frozen=True, slots=True)
class KfpView:
    """Output that the KFP UI shows beside the report: the run's main metrics and every group's curves."""

    metrics: dict[str, float]
    groups: list[GroupCurves]


def run(dataset: str, splits: str, packs: Sequence[str], evaluation: str, report: str) -> KfpView:
    """Evaluates a run, writes its evaluation folder, report and model card, and logs them to MLflow."""
    data, run_splits = Dataset.read(Path(dataset)), Splits.read(Path(splits))
    members = Members.gather([Path(pack) for pack in packs], run_splits)
    settings, used = run_splits.settings, tracking.evaluations_of(run_splits.tracking, run_splits)
    result = evaluate(data, run_splits, members, settings.evaluate, seed=settings.seed, times_used=used)
    folder = Path(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    evaluated = EvaluatedRun(data, run_splits, members, result, facts_of(data, run_splits, members))
    shutil.copyfile(write_report(folder, evaluated), report)
    write_model_card(folder, evaluated)
    result.write(folder)
    tracking.log_evaluation(run_splits.tracking, result, folder)
    metrics = {name: getattr(result.metrics, name) for name in ("mean_auc", "mean_auc_lower_bound")}
    return KfpView({name: value for name, value in metrics.items() if value is not None}, group_curves(result))


def facts_of(dataset: Dataset, splits: Splits, members: Members) -> dict[str, Any]:
    """Details of a run: digests, seeds, versions, times and restarts."""
    facts = [member.facts for member in members.members]
    return {
        "dataset digest": dataset.digest,
        "split digest": splits.digest,
        "image definition": dataset.image_definition,
        "settings": splits.settings,
        "seed": splits.settings.seed,
        "MLflow run": splits.tracking.parent,
        "training time, s": round(sum(fact.seconds for fact in facts), 1),
        "restarts": sum(fact.restarts for fact in facts),
        "flagged networks": [member.id for member in members.members if member.facts.flagged],
        "networks reused from the member store": sum(fact.reused for fact in facts),
        "determinism": sorted({fact.determinism for fact in facts}),
        "versions": {"python": platform.python_version(), **{n: version_of(n) for n in VERSIONS}},
    }
