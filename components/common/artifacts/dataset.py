"""The artifact of preprocessing: crops, the table of their tumours, and the flow of exclusions."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.layout import RUN_AGAIN, Layout
from components.common.errors import InputError
from components.common.files import read_json, write_json

CROPS_FILE, TUMOURS_FILE, FLOW_FILE = "crops.npy", "tumours.csv", "flow.json"
IMAGE_FILE, COHORT_FILE = "image_definition.json", "cohort.json"
#: The files that a dataset writes, beside its layout.
FILES = (CROPS_FILE, TUMOURS_FILE, FLOW_FILE, IMAGE_FILE, COHORT_FILE)
#: Columns of the tumour table in release 0.1. ``tumour`` and ``patient`` are pseudonyms; label 1 = non-responder.
FIRST_COLUMNS = (
    "tumour", "patient", "response", "label", "diameter_mm", "follow_up_days",
    "primary_site", "location", "age", "sex", "kps", "primary_controlled", "extracranial_metastases",
    "systemic_therapy", "total_dose_gy", "fractions", "bed10_gy", "device",
    "roi_planes", "match_level", "z_mm", "width_mm", "height_mm", "area_mm2", "pixel_spacing_mm",
)  # fmt: skip
#: Columns appended since: optional ones of the cohort table (``centre`` is a pseudonym), and facts of the CT slice that
#: was cropped. Empty where unknown, and in datasets of release 0.1.
LATER_COLUMNS = (
    "centre", "pseudoprogression", "later_response", "later_follow_up_days", "systemic_therapy_kind",
    "baseline_diameter_mm", "follow_up_diameter_mm", "nadir_diameter_mm",
    "contrast_agent", "kvp", "slice_thickness_mm", "kernel",
)  # fmt: skip
#: Columns of a dataset's tumour table.
TUMOUR_COLUMNS = (*FIRST_COLUMNS, *LATER_COLUMNS)


@dataclasses.dataclass(frozen=True, slots=True)
class Exclusion:
    """One line of the exclusion flow: how many tumours one rule excluded."""

    code: str
    reason: str
    tumours: int


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """From the rows of the cohort table to the tumours used; ``listed = used + sum of exclusions``.

    ``warnings`` counts tumours that are used although something about them deserves the user's attention.
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
    distinguished_by
        Attributes that were compared between patients; no two patients share a value of any of them.
    pseudonym_key
        Fingerprint of the key of the pseudonyms; "" in datasets of releases before 0.2.
    """

    layout: ClassVar[tuple[str, int]] = ("dataset", 1)
    crops: NDArray[np.float32]
    tumours: pd.DataFrame
    flow: Flow
    image_definition: dict[str, Any]
    synthetic: bool
    digest: str = ""
    distinguished_by: tuple[str, ...] = ()
    pseudonym_key: str = ""

    def write(self, folder: Path) -> str:
        """Writes the folder and returns its digest."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / CROPS_FILE, self.crops, allow_pickle=False)
        self.tumours.to_csv(folder / TUMOURS_FILE, index=False)
        write_json(folder / FLOW_FILE, dataclasses.asdict(self.flow))
        write_json(folder / IMAGE_FILE, self.image_definition)
        facts = {"synthetic": self.synthetic, "told_apart_by": list(self.distinguished_by)}
        write_json(folder / COHORT_FILE, {**facts, "pseudonym_key": self.pseudonym_key})
        return self._seal(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads and verifies a folder; the crops are memory-mapped."""
        digest = cls._open(folder)
        crops = np.load(folder / CROPS_FILE, mmap_mode="r", allow_pickle=False)
        tumours = pd.read_csv(folder / TUMOURS_FILE, dtype={"tumour": str, "patient": str})
        tumours = tumours.rename(columns={"reference_rung": "match_level"})  # its name in release 0.1
        if tuple(tumours.columns) == FIRST_COLUMNS:
            tumours = tumours.reindex(columns=list(TUMOUR_COLUMNS))
        if tuple(tumours.columns) != TUMOUR_COLUMNS or crops.dtype != np.float32 or len(crops) != len(tumours):
            raise InputError("ARTIFACT_DAMAGED", "dataset: the table and the crops do not match", RUN_AGAIN)
        facts = read_json(folder / COHORT_FILE)
        return cls(
            crops=crops,
            tumours=tumours,
            flow=Flow.from_dict(read_json(folder / FLOW_FILE)),
            image_definition=read_json(folder / IMAGE_FILE),
            synthetic=bool(facts["synthetic"]),
            distinguished_by=tuple(facts.get("told_apart_by", ())),
            pseudonym_key=str(facts.get("pseudonym_key", "")),
            digest=digest,
        )
