"""The training step: reads dataset and splits; writes a pack's members, a summary page and MLflow runs."""

import os
from pathlib import Path

from components.common import tracking
from components.common.artifacts.dataset import Dataset
from components.common.artifacts.members import Member, Members
from components.common.artifacts.splits import Splits
from components.common.environment import WORKERS
from components.common.steps import Progress, write_summary
from components.figures.training_curves import training_curves
from components.model.network import Network
from components.train.engine import train_pack
from components.train.member_store import open_store


def run(
    dataset: str, splits: str, pack: str, state_uri: str, gpus: int, members: str, summary: str, progress: Progress
) -> None:
    """Trains a pack and logs each member as it is accepted; finished ones are loaded from the member store."""
    data, run_splits = Dataset.read(Path(dataset)), Splits.read(Path(splits))
    live = tracking.PackProgress(run_splits.tracking, pack)

    def report(done: int, total: int, note: str = "") -> None:
        progress(done, total, note)
        live(done, total, note)

    def accepted(member: Member) -> None:
        tracking.log_members(run_splits.tracking, [member], data)

    trained = train_pack(
        Network.from_dict(run_splits.network),
        data.crops,
        data.tumours.label.to_numpy(),
        list(data.tumours.tumour),
        run_splits.of_pack(pack),
        run_splits.settings.train,
        seed=run_splits.settings.seed,
        dataset_digest=data.digest,
        store=open_store(state_uri) if state_uri else None,
        workers=int(os.environ[WORKERS]) if WORKERS in os.environ else None,
        gpus=gpus,
        state_uri=state_uri,
        progress=report,
        accepted=accepted,
    )
    Members(trained, data.digest).write(Path(members))
    _summarise(trained, pack, summary, synthetic=data.synthetic)


def _summarise(trained: tuple[Member, ...], pack: str, path: str, *, synthetic: bool) -> None:
    reused = sum(member.facts.reused for member in trained)
    facts = {"members": len(trained), "positions": pack, "loaded from the member store": reused}
    table = [
        {
            "member": member.id,
            "validation accuracy": member.facts.validation_accuracy,
            "accepted at step": member.facts.accepted_step,
            "restarts": member.facts.restarts,
            "flagged": "accuracy too low after all restarts" if member.facts.flagged else "",
        }
        for member in trained
    ]
    groups = sorted({member.split.group for member in trained})
    curves = [training_curves(group, [member for member in trained if member.split.group == group]) for group in groups]
    write_summary(path, "Training", facts, table, figures=curves, synthetic=synthetic)
