"""Trained members: one network with its history and answers, and the folder that hands a pack of them on."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, with_config

from components.common.artifacts.layout import Layout
from components.common.artifacts.splits import MemberSplit, Splits
from components.common.artifacts.typed_json import STRICT, read_as
from components.common.errors import InputError
from components.common.files import load_array, read_json, write_json


@dataclasses.dataclass(frozen=True, slots=True)
class MemberFacts:
    """How a member was trained.

    Parameters
    ----------
    seed
        The run's seed; with group, index and attempt it decides all that is random in the member's training.
    restarts
        New initialisations.
    flagged
        True where all restarts were used up and none reached ``restart_accuracy``: the best seen was accepted.
    accepted_step, validation_accuracy
        The validation check whose weights were accepted: its step, counted from the start of its attempt, and the
        share of the validation set that it called rightly.
    seconds
        Wall time of the training; of one that was resumed, only since then.
    key
        Digest of all that the weights depend on: the member's name in a member store.
    reused
        True where this run took the member from a member store.
    determinism
        ``bitwise-cpu`` where another run on a CPU gives the same bits, ``device`` where it need not.
    """

    seed: int
    restarts: int
    flagged: bool
    accepted_step: int
    validation_accuracy: float
    seconds: float
    key: str
    reused: bool
    determinism: str


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
        How it was trained.
    """

    split: MemberSplit
    weights: dict[str, NDArray[np.float32]]
    history: pd.DataFrame
    probabilities: NDArray[np.float32]
    facts: MemberFacts

    @property
    def id(self) -> str:
        """The member's name, e.g. ``A-01``."""
        return self.split.id


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class MemberFile:
    """What ``member.json`` holds: a member without its arrays; ``weights`` names them in order."""

    split: MemberSplit
    weights: tuple[str, ...]
    facts: MemberFacts


_MEMBER_FILE = TypeAdapter(MemberFile)


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
    fields = MemberFile(member.split, tuple(member.weights), member.facts)
    write_json(folder / "member.json", dataclasses.asdict(fields))


def read_member(folder: Path) -> Member:
    """Reads what ``write_member`` wrote; raises as ``read_member_file``."""
    fields = read_member_file(folder)
    return Member(
        split=fields.split,
        weights={name: load_array(folder / "weights" / f"{name}.npy") for name in fields.weights},
        history=pd.read_csv(folder / "history.csv", float_precision="round_trip"),
        probabilities=load_array(folder / "probabilities.npy"),
        facts=fields.facts,
    )


def read_member_file(folder: Path) -> MemberFile:
    """Split, names of weights and facts of the member in ``folder``; ``ARTIFACT_DAMAGED`` where a key is wrong."""
    return read_as(_MEMBER_FILE, folder / "member.json", Members.layout[0])
