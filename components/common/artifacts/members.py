"""Trained members, and the artifact of training: a folder with the members of one pack."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, with_config

from components.common.artifacts.layout import RUN_AGAIN, Layout
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
        Number of restarts from new initial weights.
    flagged
        True where no attempt reached ``restart_accuracy``, so that the best weights of all attempts were accepted.
    accepted_step, validation_accuracy
        The validation check whose weights were accepted: its step, counted from the start of its attempt, and the
        fraction of the validation set that it classified correctly.
    seconds
        Wall-clock time of the training; if it was resumed, only since then.
    key
        Digest of everything that the weights depend on: the member's name in a member store.
    reused
        True where this run took the member from a member store.
    determinism
        ``bitwise-cpu`` where another run on a CPU gives identical bits, ``device`` where this is not guaranteed.
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
        Name to array, in the order of ``components.model.network.Network.weights``.
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
    """The contents of ``member.json``: a member without its arrays; ``weights`` holds their names in order."""

    split: MemberSplit
    weights: tuple[str, ...]
    facts: MemberFacts


#: File with the members' ids and the digest of their dataset.
PACK = "pack.json"
_MEMBER_FILE = TypeAdapter(MemberFile)


@dataclasses.dataclass(frozen=True, slots=True)
class Members(Layout):
    """The trained members of one pack, and the digest of the dataset that they were trained on."""

    layout: ClassVar[tuple[str, int]] = ("members", 1)
    members: tuple[Member, ...]
    dataset_digest: str
    digest: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder, with one sub-folder per member, and returns its digest."""
        for member in self.members:
            write_member(folder / member.id, member)
        write_json(folder / PACK, {"members": [m.id for m in self.members], "dataset_digest": self.dataset_digest})
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and verifies a folder."""
        digest = cls._open(folder)
        pack = read_json(folder / PACK)
        members = tuple(read_member(folder / name) for name in pack["members"])
        return cls(members=members, dataset_digest=pack["dataset_digest"], digest=digest)

    @classmethod
    def gather(cls, folders: Iterable[Path], splits: Splits) -> Self:
        """The members of all packs in the order of ``splits``; ``MEMBERS_INCOMPLETE`` where they do not match it."""
        packs = [cls.read(folder) for folder in folders]
        by_id = {member.id: member for pack in packs for member in pack.members}
        missing = [split.id for split in splits.members if split.id not in by_id]
        wrong = [s.id for s in splits.members if s.id in by_id and by_id[s.id].split.digest != s.digest]
        if missing or wrong or len({pack.dataset_digest for pack in packs}) != 1:
            problems = [f"{name}: missing" for name in missing] + [
                f"{name}: trained on another split" for name in wrong
            ]
            heading = "the packs do not contain all members of the run:"
            raise InputError.collected("MEMBERS_INCOMPLETE", heading, problems, RUN_AGAIN)
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
    """Reads ``member.json`` in ``folder``; ``ARTIFACT_DAMAGED`` where a key is wrong."""
    return read_as(_MEMBER_FILE, folder / "member.json", Members.layout[0])
