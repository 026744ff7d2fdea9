"""Trained members: one network with its history and answers, and the folder that hands a pack of them on."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.layout import Layout
from components.common.artifacts.splits import MemberSplit, Splits
from components.common.errors import InputError
from components.common.files import load_array, read_json, write_json


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One trained network.

    Parameters
    ----------
    split
        Its training, validation and evaluation sets.
    weights
        Name to array, in the order of ``components.model.network.weight_shapes``.
    history
        One row per validation check: ``attempt, step, training_loss, validation_loss, validation_accuracy``.
    probabilities
        [n] float32: probability of non-response of every tumour of the dataset, in its order.
    facts
        Plain values: ``seed, restarts, flagged, accepted_step, validation_accuracy, seconds, key, reused,
        determinism``.
    """

    split: MemberSplit
    weights: dict[str, NDArray[np.float32]]
    history: pd.DataFrame
    probabilities: NDArray[np.float32]
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """The member's name, e.g. ``A-01``."""
        return self.split.id


@dataclasses.dataclass(frozen=True, slots=True)
class Members(Layout):
    """The trained members of one pack; ``dataset_digest`` says on what."""

    layout: ClassVar[tuple[str, int]] = ("members", 1)
    members: tuple[Member, ...]
    dataset_digest: str
    digest: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder, one sub-folder a member, and returns its digest."""
        for member in self.members:
            write_member(folder / member.id, member)
        write_json(
            folder / "pack.json", {"members": [m.id for m in self.members], "dataset_digest": self.dataset_digest}
        )
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and checks a folder."""
        digest = cls._open(folder)
        pack = read_json(folder / "pack.json")
        members = tuple(read_member(folder / name) for name in pack["members"])
        return cls(members=members, dataset_digest=pack["dataset_digest"], digest=digest)

    @classmethod
    def gather(cls, folders: Iterable[Path], splits: Splits) -> Self:
        """The members of all packs in the order of ``splits``; refuses a set that is not complete."""
        packs = [cls.read(folder) for folder in folders]
        by_id = {member.id: member for pack in packs for member in pack.members}
        missing = [split.id for split in splits.members if split.id not in by_id]
        wrong = [s.id for s in splits.members if s.id in by_id and by_id[s.id].split.digest != s.digest]
        if missing or wrong or len({pack.dataset_digest for pack in packs}) != 1:
            problems = [f"{name}: missing" for name in missing] + [
                f"{name}: trained on another split" for name in wrong
            ]
            raise InputError.collected("MEMBERS_INCOMPLETE", "the packs do not make up the run's members:", problems)
        return cls(members=tuple(by_id[split.id] for split in splits.members), dataset_digest=packs[0].dataset_digest)


def write_member(folder: Path, member: Member) -> None:
    """Writes one member's files into ``folder``."""
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    for name, array in member.weights.items():
        np.save(folder / "weights" / f"{name}.npy", array, allow_pickle=False)
    member.history.to_csv(folder / "history.csv", index=False)
    np.save(folder / "probabilities.npy", member.probabilities, allow_pickle=False)
    fields = {"split": dataclasses.asdict(member.split), "weights": list(member.weights), "facts": member.facts}
    write_json(folder / "member.json", fields)


def read_member(folder: Path) -> Member:
    """Reads what ``write_member`` wrote."""
    fields = read_json(folder / "member.json")
    sets: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields["split"].items()}
    return Member(
        split=MemberSplit(**sets),
        weights={name: load_array(folder / "weights" / f"{name}.npy") for name in fields["weights"]},
        history=pd.read_csv(folder / "history.csv", float_precision="round_trip"),
        probabilities=load_array(folder / "probabilities.npy"),
        facts=fields["facts"],
    )
