"""The rim of the room: dataset folder in, splits folder, summary page and the MLflow tree out."""

from pathlib import Path

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.splits import Splits
from components.common.files import digest_of
from components.common.settings import StudySettings
from components.common.steps import write_summary
from components.figures.split_matrix import split_matrix
from components.model.graph_check import check_cost
from components.split.splits import make_splits, packs, quotas, shared_patients


def run(
    dataset: str, settings: str, experiment: str, attempt: str, members_per_task: int, splits: str, summary: str
) -> list[str]:
    """Draws the splits, opens the run's MLflow tree and returns the packs of members to train.

    An ensemble that would be too large to serve is refused first, as ``check_cost`` says.
    """
    study = StudySettings.from_json(settings)
    check_cost(study.train, study.split.members)  # what no predictor would open is not trained
    tracking.prepare_store()
    tracking.require_experiment(experiment)
    data = Dataset.read(Path(dataset))
    members = make_splits(data.tumours, study.split, study=study.study, seed=study.seed)
    drawn = Splits(
        members=members,
        unit=study.split.split_unit,
        shared_patients=shared_patients(members, data.tumours),
        quotas=quotas(members, data.tumours, study.split),
        settings=study,
        digest=digest_of([member.digest for member in members]),
    )
    ids = tracking.open_tree(experiment, study, data, drawn, attempt=attempt)
    Splits(members, drawn.unit, drawn.shared_patients, drawn.quotas, study, ids).write(Path(splits))
    _summarise(data, drawn, summary)
    return packs(len(members), members_per_task)


def close(attempt: str, experiment: str, state: str, reason: str) -> None:
    """Ends every MLflow run of an attempt that is still open."""
    ids = tracking.find_tree(experiment, attempt)
    if ids is not None and state != "SUCCEEDED":
        tracking.close_tree(ids, "FAILED", reason)


def _summarise(data: Dataset, drawn: Splits, path: str) -> None:
    distinct = f"; no two patients have in common: {', '.join(data.told_apart_by)}" if data.told_apart_by else ""
    leakage = f"none: no patient is in more than one set of a split{distinct}"
    if drawn.unit == "tumour":
        leakage = (
            "LEAKAGE: splits are by tumour, not by patient, so in the split of a network up to "
            f"{drawn.shared_patients} patients are in more than one set"
        )
    members = f"{len(drawn.groups)} groups of {len(drawn.of_group('A'))}"
    facts = {"members": members, "unit of splitting": drawn.unit, "leakage": leakage}
    table = [
        {
            "member": member.id,
            "training": len(member.training),
            "validation": len(member.validation),
            "evaluation": len(member.evaluation),
            "evaluation responders / non-responders": " / ".join(map(str, drawn.quotas[member.group])),
        }
        for member in drawn.members
    ]
    matrix = split_matrix(drawn, data.tumours)
    write_summary(path, "Splits", facts, table, figures=[matrix], synthetic=data.synthetic)
