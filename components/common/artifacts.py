"""What one step hands to the next: folders with a fixed layout, written whole and read with a check.

Every folder holds ``layout.json`` with its kind, its version, the SHA-256 of each file and one digest of
them all. Tables are CSV, arrays ``.npy``, the rest JSON; nothing is pickled.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.errors import InputError
from components.common.files import digest_of, digest_of_file, read_json, write_json
from components.common.settings import StudySettings

Role = Literal["training", "validation", "evaluation"]

#: Columns of a dataset's tumour table. ``tumour`` and ``patient`` are pseudonyms; label 1 = non-responder.
TUMOUR_COLUMNS = (
    "tumour", "patient", "response", "label", "diameter_mm", "follow_up_days",
    "primary_site", "location", "age", "sex", "kps", "primary_controlled", "extracranial_metastases",
    "systemic_therapy", "total_dose_gy", "fractions", "bed10_gy", "device",
    "roi_planes", "reference_rung", "z_mm", "width_mm", "height_mm", "area_mm2", "pixel_spacing_mm",
)  # fmt: skip


RUN_AGAIN = "Run the step again that writes it."


def member_id(group: str, index: int) -> str:
    """Name of a member, e.g. ``A-01`` for the first of group A."""
    return f"{group}-{index:02d}"


class Layout:
    """A folder of known files. Subclasses name their layout (kind, version) and write their own files."""

    layout: ClassVar[tuple[str, int]]

    @classmethod
    def _seal(cls, folder: Path) -> str:
        """Writes ``layout.json`` over all files of ``folder`` and returns the digest."""
        files = {path.relative_to(folder).as_posix(): digest_of_file(path) for path in _files(folder)}
        digest = digest_of(files)
        write_json(
            folder / "layout.json", {"kind": cls.layout[0], "version": cls.layout[1], "digest": digest, "files": files}
        )
        return digest

    @classmethod
    def _open(cls, folder: Path) -> str:
        """Checks kind, version and every file's digest; returns the folder's digest."""
        path = folder / "layout.json"
        kind, version = cls.layout
        if not path.is_file():
            raise InputError("ARTIFACT_MISSING", f"no {kind} in this folder: layout.json is missing", RUN_AGAIN)
        try:
            layout = read_json(path)
            files, digest, found = dict(layout["files"]), str(layout["digest"]), (layout["kind"], layout["version"])
        except (ValueError, TypeError, KeyError):
            raise InputError("ARTIFACT_DAMAGED", f"{kind}: layout.json cannot be read", RUN_AGAIN) from None
        if found != cls.layout:
            message = f"expected {kind} version {version}, found {found[0]} version {found[1]}"
            raise InputError("ARTIFACT_UNKNOWN", message, RUN_AGAIN)
        if digest != digest_of(files):
            raise InputError("ARTIFACT_DAMAGED", f"{kind}: layout.json was changed", RUN_AGAIN)
        for name, wanted in files.items():
            if not (folder / name).is_file() or digest_of_file(folder / name) != wanted:
                raise InputError("ARTIFACT_DAMAGED", f"{kind}: {name} is missing or was changed", RUN_AGAIN)
        return digest


@dataclasses.dataclass(frozen=True, slots=True)
class Exclusion:
    """One line of the exclusion flow: how many tumours left by one rule."""

    code: str
    reason: str
    tumours: int


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """From the rows of the cohort table to the tumours used; ``listed = used + sum of exclusions``.

    ``warnings`` count tumours that are used, but of which a user should know something.
    """

    listed: int
    listed_patients: int
    exclusions: tuple[Exclusion, ...]
    used: int
    used_patients: int
    unlisted_gtvs: int = 0
    warnings: tuple[Exclusion, ...] = ()

    def __post_init__(self) -> None:
        if self.listed != self.used + sum(line.tumours for line in self.exclusions):
            raise ValueError("the flow does not add up")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """A flow read back from JSON."""
        lines = {name: tuple(Exclusion(**one) for one in fields.get(name, ())) for name in ("exclusions", "warnings")}
        return cls(**{**fields, **lines})


@dataclasses.dataclass(frozen=True, slots=True)
class Dataset(Layout):
    """Crops in HU with their tumour table.

    Parameters
    ----------
    crops
        [n, 151, 151] float32, HU; rows along +y, columns along +x (LPS), one per row of ``tumours``.
    tumours
        Table with the columns ``TUMOUR_COLUMNS``, sorted by ``tumour``.
    flow
        The exclusion flow.
    image_definition
        How the crops were cut, as data (``components.imaging.crop``).
    synthetic
        True where any part of the cohort is a phantom.
    told_apart_by
        What was compared between patients, none of whom share any of it.
    """

    layout: ClassVar[tuple[str, int]] = ("dataset", 1)
    crops: NDArray[np.float32]
    tumours: pd.DataFrame
    flow: Flow
    image_definition: dict[str, Any]
    synthetic: bool
    digest: str = ""
    told_apart_by: tuple[str, ...] = ()

    def write(self, folder: Path) -> str:
        """Writes the folder and returns its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "crops.npy", self.crops, allow_pickle=False)
        self.tumours.to_csv(folder / "tumours.csv", index=False)
        write_json(folder / "flow.json", dataclasses.asdict(self.flow))
        write_json(folder / "image_definition.json", self.image_definition)
        write_json(folder / "cohort.json", {"synthetic": self.synthetic, "told_apart_by": list(self.told_apart_by)})
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and checks a folder; the crops are memory-mapped."""
        digest = cls._open(folder)
        crops = np.load(folder / "crops.npy", mmap_mode="r", allow_pickle=False)
        tumours = pd.read_csv(folder / "tumours.csv", dtype={"tumour": str, "patient": str})
        if tuple(tumours.columns) != TUMOUR_COLUMNS or crops.dtype != np.float32 or len(crops) != len(tumours):
            raise InputError("ARTIFACT_DAMAGED", "dataset: table and crops do not fit together")
        facts = read_json(folder / "cohort.json")
        return cls(
            crops=crops,
            tumours=tumours,
            flow=Flow.from_dict(read_json(folder / "flow.json")),
            image_definition=read_json(folder / "image_definition.json"),
            synthetic=bool(facts["synthetic"]),
            told_apart_by=tuple(facts.get("told_apart_by", ())),
            digest=digest,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class MemberSplit:
    """Tumour pseudonyms of one member's three sets, each sorted."""

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
class Splits(Layout):
    """The splits of all members of a run.

    Parameters
    ----------
    members
        One split per member, by group then index.
    unit
        ``patient``, or ``tumour`` where a patient may stand on two sides.
    shared_patients
        Most patients that any one member has on two sides; 0 when ``unit`` is ``patient``.
    quotas
        Evaluation sizes asked for and reached: ``{"asked": [responders, non_responders], "A": [...], ...}``.
    settings
        The run's settings: later steps read them here.
    tracking
        Ids of the MLflow runs opened for the run: ``{"experiment_id", "parent", "groups": {...}}``.
    """

    layout: ClassVar[tuple[str, int]] = ("splits", 1)
    members: tuple[MemberSplit, ...]
    unit: str
    shared_patients: int
    quotas: dict[str, list[int]]
    settings: StudySettings = dataclasses.field(default_factory=StudySettings)
    tracking: dict[str, Any] = dataclasses.field(default_factory=dict)
    digest: str = ""

    @property
    def groups(self) -> list[str]:
        """Group names in order."""
        return sorted({split.group for split in self.members})

    def of_group(self, group: str) -> list[MemberSplit]:
        """A group's members by index."""
        return [split for split in self.members if split.group == group]

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
        facts = {"unit": self.unit, "shared_patients": self.shared_patients, "quotas": self.quotas}
        write_json(folder / "splits.json", {**facts, "digest": digest, "tracking": self.tracking})
        write_json(folder / "settings.json", dataclasses.asdict(self.settings))
        self._seal(folder)
        return digest

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and checks a folder."""
        cls._open(folder)
        facts = read_json(folder / "splits.json")
        table = pd.read_csv(folder / "splits.csv", dtype={"tumour": str, "group": str})
        members = []
        for (group, index), rows in table.groupby(["group", "index"], sort=True):
            sets = {role: tuple(rows.tumour[rows.role == role]) for role in ("training", "validation", "evaluation")}
            members.append(MemberSplit(str(group), int(str(index)), **sets))
        settings = StudySettings.from_dict(read_json(folder / "settings.json"))
        return cls(members=tuple(members), settings=settings, **facts)


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation(Layout):
    """Statistics of a run.

    Parameters
    ----------
    scores
        One row per group and tumour: ``group, tumour, patient, label, role, mean, vote, spread, members``; role is
        ``evaluation`` (all the group's members) or ``out_of_bag`` (only those members that validated on it).
    table_iii
        One row per member and ensemble, as Table III of the paper.
    metrics
        All figures of the run as nested plain values; ``metrics["groups"]["A"]["evaluation"]["auc"]`` and so on.
    """

    layout: ClassVar[tuple[str, int]] = ("evaluation", 1)
    scores: pd.DataFrame
    table_iii: pd.DataFrame
    metrics: dict[str, Any]
    digest: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder (report and card may already be in it) and returns its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        self.scores.to_csv(folder / "scores.csv", index=False)
        self.table_iii.to_csv(folder / "table_iii.csv", index=False)
        write_json(folder / "metrics.json", self.metrics)
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and checks a folder."""
        digest = cls._open(folder)
        scores = pd.read_csv(folder / "scores.csv", dtype={"tumour": str, "patient": str, "group": str})
        table = pd.read_csv(folder / "table_iii.csv", dtype={"group": str})
        return cls(scores=scores, table_iii=table, metrics=read_json(folder / "metrics.json"), digest=digest)


@dataclasses.dataclass(frozen=True, slots=True)
class Promotion(Layout):
    """What the gate decided and what the registry now holds.

    Parameters
    ----------
    verdict
        ``promoted``, ``refused`` or ``not_comparable``.
    reasons
        Sentences, one per rule that was looked at.
    version
        Registry version the verdict is about.
    group
        Its group.
    previous_champion
        Version that was champion before, or "".
    versions
        Group to registry version, for every ensemble of the run.
    """

    layout: ClassVar[tuple[str, int]] = ("promotion", 1)
    verdict: str
    reasons: tuple[str, ...]
    version: str
    group: str
    previous_champion: str
    versions: dict[str, str]
    digest: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder and returns its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "promotion.json", {**dataclasses.asdict(self), "digest": None})
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and checks a folder."""
        digest = cls._open(folder)
        fields = read_json(folder / "promotion.json")
        return cls(**{**fields, "reasons": tuple(fields["reasons"]), "digest": digest})


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "layout.json")
