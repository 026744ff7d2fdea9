"""The artifact of splitting: the training, validation and evaluation tumours of every member."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd
from pydantic import TypeAdapter, with_config

from components.common.artifacts.layout import Layout
from components.common.artifacts.typed_json import STRICT, read_as
from components.common.counted import counted
from components.common.files import digest_of, read_json, write_json
from components.common.settings import StudySettings


def member_id(group: str, index: int) -> str:
    """Name of a member, e.g. ``A-01`` for the first of group A."""
    return f"{group}-{index:02d}"


@dataclasses.dataclass(frozen=True, slots=True)
class MemberSplit:
    """Pseudonyms of the tumours in one member's three sets, each set sorted."""

    group: str
    index: int
    training: tuple[str, ...]
    validation: tuple[str, ...]
    evaluation: tuple[str, ...]

    @property
    def id(self) -> str:
        """The member's name, e.g. ``A-01``."""
        return member_id(self.group, self.index)

    @property
    def digest(self) -> str:
        """Digest of group, index and the three sets."""
        return digest_of(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, slots=True)
class TrackedRuns:
    """MLflow ids of a pipeline run: the experiment, the parent run, and the ensembles' runs by group; "" for none."""

    experiment_id: str = ""
    parent: str = ""
    groups: dict[str, str] = dataclasses.field(default_factory=dict)


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class SplitsFile:
    """The contents of ``splits.json``; the sets themselves are in ``splits.csv``."""

    unit: str
    shared_patients: int
    quotas: dict[str, list[int]]
    digest: str
    tracking: TrackedRuns


@dataclasses.dataclass(frozen=True, slots=True)
class OnlyTraining:
    """Tumours that splits by centre use for training and validation, and never evaluate.

    Parameters
    ----------
    centres
        Number of known centres that are not left out.
    known, unknown
        Numbers of their tumours, and of tumours of an unknown centre.
    """

    centres: int
    known: int
    unknown: int

    @property
    def words(self) -> str:
        """``12 tumours of 2 other centres and 3 of an unknown centre``; "" where there are none."""
        centres = f"{self.centres} other centres" if self.centres > 1 else "another centre"
        parts = [(self.known, f"of {centres}"), (self.unknown, "of an unknown centre")]
        present = [f"{counted(count, 'tumour')} {whose}" for count, whose in parts if count]
        return " and ".join(present)


NETWORK = "network.json"
_SPLITS_FILE = TypeAdapter(SplitsFile)


@dataclasses.dataclass(frozen=True, slots=True)
class Splits(Layout):
    """The splits of all members of a run.

    Parameters
    ----------
    members
        One split per member, sorted by group and index.
    unit
        ``patient``; ``centre`` where each group's evaluation set is a centre that its members never saw; or ``tumour``
        where tumours of one patient may be in different sets.
    shared_patients
        Largest number of patients that one member has in more than one set; 0 unless ``unit`` is ``tumour``.
    quotas
        Requested and actual sizes of the evaluation sets: ``{"asked": [responders, non_responders], "A": [...], ...}``;
        of centres none is requested.
    settings
        The run's settings, which later steps read from here.
    tracking
        The MLflow runs opened for the run.
    network
        The run's network, as plain values of ``components.model.network.Network``; empty in a run of release 0.1.
    """

    layout: ClassVar[tuple[str, int]] = ("splits", 1)
    members: tuple[MemberSplit, ...]
    unit: str
    shared_patients: int
    quotas: dict[str, list[int]]
    settings: StudySettings = dataclasses.field(default_factory=StudySettings)
    tracking: TrackedRuns = TrackedRuns()
    digest: str = ""
    network: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        """Group names in order."""
        return sorted({split.group for split in self.members})

    @property
    def evaluation_sets(self) -> dict[str, str]:
        """Digest of each group's evaluation set: equal where groups of two runs are evaluated on the same tumours."""
        return {split.group: digest_of(list(split.evaluation)) for split in self.members}

    def centres(self, tumours: pd.DataFrame) -> dict[str, str]:
        """The centre that each group leaves out, by the dataset's table of tumours; {} unless splits are by centre."""
        if self.unit != "centre":
            return {}
        centre_of = dict(zip(tumours["tumour"], tumours["centre"], strict=True))
        return {split.group: str(centre_of[split.evaluation[0]]) for split in self.members}

    def only_training(self, tumours: pd.DataFrame) -> "OnlyTraining":
        """What splits by centre never evaluate, by the dataset's table of tumours."""
        others = tumours.loc[~tumours["centre"].isin(self.centres(tumours).values()), "centre"]
        return OnlyTraining(others.nunique(), int(others.notna().sum()), int(others.isna().sum()))

    def of_group(self, group: str) -> list[MemberSplit]:
        """The splits of a group's members, sorted by index."""
        return [split for split in self.members if split.group == group]

    def of_pack(self, pack: str) -> list[MemberSplit]:
        """The members at the positions of a pack, ``"first-last"`` counted from 1."""
        first, last = (int(part) for part in pack.split("-"))
        return list(self.members[first - 1 : last])

    def write(self, folder: Path) -> str:
        """Writes the folder and returns the digest of the splits (not of the MLflow ids)."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            (split.group, split.index, role, tumour)
            for split in self.members
            for role in ("training", "validation", "evaluation")
            for tumour in getattr(split, role)
        ]
        pd.DataFrame(rows, columns=["group", "index", "role", "tumour"]).to_csv(folder / "splits.csv", index=False)
        digest = digest_of([split.digest for split in self.members])
        facts = SplitsFile(self.unit, self.shared_patients, self.quotas, digest, self.tracking)
        write_json(folder / "splits.json", dataclasses.asdict(facts))
        write_json(folder / "settings.json", dataclasses.asdict(self.settings))
        if self.network:
            write_json(folder / NETWORK, self.network)
        self._seal(folder)
        return digest

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and verifies a folder."""
        cls._open(folder)
        facts = read_as(_SPLITS_FILE, folder / "splits.json", cls.layout[0])
        table = pd.read_csv(folder / "splits.csv", dtype={"tumour": str, "group": str})
        members = []
        for (group, index), rows in table.groupby(["group", "index"], sort=True):
            sets = {role: tuple(rows.tumour[rows.role == role]) for role in ("training", "validation", "evaluation")}
            members.append(MemberSplit(str(group), int(str(index)), **sets))
        settings = StudySettings.from_dict(read_json(folder / "settings.json"))
        return cls(
            members=tuple(members),
            unit=facts.unit,
            shared_patients=facts.shared_patients,
            quotas=facts.quotas,
            settings=settings,
            network=read_json(folder / NETWORK) if (folder / NETWORK).is_file() else {},
            tracking=facts.tracking,
            digest=facts.digest,
        )
