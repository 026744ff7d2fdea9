"""The splitting step: reads the dataset; writes splits and a summary page, and opens the run's MLflow tree."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.common.files import digest_of
from components.common.settings import StudySettings
from components.common.steps import write_summary
from components.figures.split_matrix import split_matrix
from components.model.own_network import checked_network
from components.split.splits import make_splits, packs, quotas, shared_patients


def run(
    dataset: str, settings: str, experiment: str, attempt: str, members_per_task: int, splits: str, summary: str
) -> list[str]:
    """Samples the splits, opens the run's MLflow tree and returns the packs of members to train.

    A network that cannot be trained or exported, or whose ensemble would be too large to serve, is refused first.
    """
    study = StudySettings.from_json(settings)
    network = checked_network(study)  # before training what no predictor would open
    tracking.prepare_store()
    tracking.require_experiment(experiment)
    data = Dataset.read(Path(dataset))
    members = make_splits(data.tumours, study.split, study=study.study, seed=study.seed)
    _require_promoted(study, {member.group for member in members})
    run_splits = Splits(
        members=members,
        unit=study.split.split_unit,
        shared_patients=shared_patients(members, data.tumours),
        quotas=quotas(members, data.tumours, study.split),
        settings=study,
        network=network.to_dict(),
        digest=digest_of([member.digest for member in members]),
    )
    ids = tracking.open_tree(experiment, study, data, run_splits, attempt=attempt)
    dataclasses.replace(run_splits, tracking=ids).write(Path(splits))
    _summarise(data, run_splits, summary)
    return packs(len(members), members_per_task)


def close(attempt: str, experiment: str, state: str, reason: str) -> None:
    """Ends every MLflow run of an attempt that is still open."""
    ids = tracking.find_tree(experiment, attempt)
    if ids is not None and state != "SUCCEEDED":
        tracking.close_tree(ids, "FAILED", reason)


def _require_promoted(study: StudySettings, groups: Collection[str]) -> None:
    """Refuses an ensemble to be promoted that is of no group, since there are fewer centres than ``split.groups``."""
    what = study.promote.what
    if what not in ("study", *groups):
        message = f"promote.what is {what}, but only {len(groups)} centres are left out: {', '.join(sorted(groups))}"
        raise InputError("SETTING_INVALID", message, "Promote study, or one of these groups.")


def _summarise(data: Dataset, run_splits: Splits, path: str) -> None:
    distinct = f"; no two patients have in common: {', '.join(data.distinguished_by)}" if data.distinguished_by else ""
    leakage = f"none: no patient is in more than one set of a split{distinct}"
    if run_splits.unit == "tumour":
        leakage = (
            "LEAKAGE: splits are by tumour, not by patient, so in the split of a network up to "
            f"{run_splits.shared_patients} patients are in more than one set"
            if run_splits.shared_patients
            else "none in this run, although splits are by tumour: no patient is in more than one set of a split"
        )
    members = f"{len(run_splits.groups)} groups of {len(run_splits.of_group('A'))}"
    centres = run_splits.centres(data.tumours)
    facts = {"members": members, "unit of splitting": run_splits.unit, "leakage": leakage}
    if centres:
        facts["never evaluated"] = run_splits.only_training(data.tumours).words or "none"
    table = [
        {
            "member": member.id,
            **({"centre left out": centres[member.group]} if centres else {}),
            "training": len(member.training),
            "validation": len(member.validation),
            "evaluation": len(member.evaluation),
            "evaluation responders / non-responders": " / ".join(map(str, run_splits.quotas[member.group])),
        }
        for member in run_splits.members
    ]
    matrix = split_matrix(run_splits, data.tumours)
    write_summary(path, "Splits", facts, table, figures=[matrix], synthetic=data.synthetic)
