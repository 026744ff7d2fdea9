"""The rim of the room: dataset, splits and members in; evaluation folder, report and MLflow figures out."""

import dataclasses
import importlib.metadata
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.members import Members
from components.common.artifacts.splits import Splits
from components.evaluate.evaluation import EvaluatedRun, GroupCurves, evaluate, group_curves
from components.evaluate.model_card import write_model_card
from components.evaluate.report import write_report

VERSIONS = ("kfp", "mlflow", "tensorflow", "numpy", "scikit-learn", "pydicom")


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """What the KFP UI shows beside the report: figures of the run, and every group's curves."""

    figures: dict[str, float]
    groups: list[GroupCurves]


def run(dataset: str, splits: str, packs: Sequence[str], evaluation: str, report: str) -> Shown:
    """Evaluates a run: writes its folder, its report and card, and tells MLflow."""
    data, drawn = Dataset.read(Path(dataset)), Splits.read(Path(splits))
    members = Members.gather([Path(pack) for pack in packs], drawn)
    result = evaluate(data, drawn, members, drawn.settings.evaluate, seed=drawn.settings.seed)
    folder = Path(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    evaluated = EvaluatedRun(data, drawn, members, result, facts_of(data, drawn, members))
    shutil.copyfile(write_report(folder, evaluated), report)
    write_model_card(folder, evaluated)
    result.write(folder)
    tracking.log_evaluation(drawn.tracking, result, folder)
    figures = {name: getattr(result.metrics, name) for name in ("mean_auc", "mean_auc_lower_bound")}
    return Shown({name: value for name, value in figures.items() if value is not None}, group_curves(result))


def facts_of(dataset: Dataset, splits: Splits, members: Members) -> dict[str, Any]:
    """What a run was made of: digests, seeds, versions, times and restarts."""
    facts = [member.facts for member in members.members]
    return {
        "dataset digest": dataset.digest,
        "split digest": splits.digest,
        "image definition": dataset.image_definition,
        "settings": splits.settings,
        "seed": splits.settings.seed,
        "MLflow run": splits.tracking.parent,
        "training seconds": round(sum(fact.seconds for fact in facts), 1),
        "restarts": sum(fact.restarts for fact in facts),
        "flagged members": [member.id for member in members.members if member.facts.flagged],
        "members reused": sum(fact.reused for fact in facts),
        "determinism": sorted({fact.determinism for fact in facts}),
        "versions": {"python": platform.python_version(), **{n: importlib.metadata.version(n) for n in VERSIONS}},
    }
