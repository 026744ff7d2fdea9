"""The artifact of promotion: the gate's decision and the versions that the registry now holds."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Self

from components.common.artifacts.layout import Layout
from components.common.files import read_json, write_json


@dataclasses.dataclass(frozen=True, slots=True)
class Promotion(Layout):
    """The gate's decision and the versions that the registry now holds.

    Parameters
    ----------
    verdict
        ``promoted``, ``refused`` or ``not_comparable``.
    reasons
        Sentences, one for each rule that was applied.
    version
        Registry version that the verdict applies to.
    group
        The group of that version.
    previous_champion
        Version that was champion before, or "".
    versions
        Group to registry version, for every ensemble of the run.
    story
        The decision told in one paragraph.
    """

    layout: ClassVar[tuple[str, int]] = ("promotion", 1)
    verdict: str
    reasons: tuple[str, ...]
    version: str
    group: str
    previous_champion: str
    versions: dict[str, str]
    digest: str = ""
    story: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder and returns its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "promotion.json", {**dataclasses.asdict(self), "digest": None})
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and verifies a folder."""
        digest = cls._open(folder)
        fields = read_json(folder / "promotion.json")
        return cls(**{**fields, "reasons": tuple(fields["reasons"]), "digest": digest})
