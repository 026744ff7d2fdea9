"""The rim of the room: dataset, splits and members in; evaluation folder, report and MLflow figures out."""

import importlib.metadata
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.common import tracking
from components.common.artifacts import Dataset, Splits
from components.common.members import Members
from components.evaluate.evaluation import evaluate
from components.evaluate.model_card import write_model_card
from components.evaluate.report import write_report

VERSIONS = ("kfp", "mlflow", "tensorflow", "numpy", "scikit-learn", "pydicom")


def run(dataset: str, splits: str, packs: Sequence[str], evaluation: str, report: str) -> dict[str, float]:
    """Evaluates a run; returns the figures that the KFP UI lists."""
    data, drawn = Dataset.read(Path(dataset)), Splits.read(Path(splits))
    members = Members.gather([Path(pack) for pack in packs], drawn)
    result = evaluate(data, drawn, members, drawn.settings.evaluate, seed=drawn.settings.seed)
    folder = Path(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    facts = facts_of(data, drawn, members)
    shutil.copyfile(write_report(folder, data, drawn, members, result, facts), report)
    write_model_card(folder, data, drawn, members, result, facts)
    result.write(folder)
    tracking.log_evaluation(drawn.tracking, result, folder)
    shown = {"mean_auc": result.metrics["mean_auc"], "mean_auc_lower_bound": result.metrics["mean_auc_lower_bound"]}
    return {name: float(value) for name, value in shown.items() if value is not None}


def facts_of(dataset: Dataset, splits: Splits, members: Members) -> dict[str, Any]:
    """What a run was made of: digests, seeds, versions, times and restarts."""
    facts = [member.facts for member in members.members]
    return {
        "dataset digest": dataset.digest,
        "split digest": splits.digest,
        "image definition": dataset.image_definition,
        "settings": splits.settings,
        "seed": splits.settings.seed,
        "MLflow run": splits.tracking.get("parent", ""),
        "training seconds": round(sum(float(fact["seconds"]) for fact in facts), 1),
        "restarts": sum(int(fact["restarts"]) for fact in facts),
        "flagged members": [member.id for member in members.members if member.facts["flagged"]],
        "members reused": sum(bool(fact["reused"]) for fact in facts),
        "determinism": sorted({str(fact["determinism"]) for fact in facts}),
        "versions": {"python": platform.python_version(), **{n: importlib.metadata.version(n) for n in VERSIONS}},
    }
