"""Stores the outcomes of one patient's rows (a part), so that a run that is resumed reads no patient twice.

A part holds measurements, codes and crops, but no pseudonym, name, UID or name of a structure, and its key reveals
nothing without the study's secret. It is one sealed object, stored completely or not at all.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.errors import InputError
from components.common.files import load_array
from components.common.store.sealed import SealedStore
from components.imaging.candidate import Candidate

#: Version of the content of a part; increased when its meaning changes.
LAYOUT = 3
#: Codes that do not only depend on the patient's files and the settings, so that another attempt may succeed.
TRANSIENT_CODES = ("CODEC_MISSING", "OBJECT_MISSING", "SOURCE_MISSING", "DICOM_MISSING")
#: The measurements of a candidate that a dataset holds.
MEASURES = (
    "planes", "match_level", "z_mm", "area_mm2", "width_mm", "height_mm", "longest_diameter_mm", "pixel_spacing_mm",
    "contrast_agent", "kvp", "slice_thickness_mm", "kernel",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The outcome of one row: measurements and a crop ([151, 151] float32 HU), or the error that excludes it.

    ``structure`` is a keyed digest of the measured structure: two rows that share it are one tumour.
    """

    measures: dict[str, Any] = dataclasses.field(default_factory=dict)
    crop: NDArray[np.float32] | None = None
    structure: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_candidate(cls, candidate: Candidate, structure: str) -> "Outcome":
        """The outcome of a tumour that is used."""
        measures = {name: getattr(candidate, name) for name in MEASURES}
        return cls(measures, candidate.crop, structure, warnings=candidate.warnings)

    @classmethod
    def of_error(cls, error: InputError) -> "Outcome":
        """The outcome of a tumour that is excluded."""
        return cls(code=error.code, message=error.safe_message, hint=error.hint)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The outcomes of a patient's rows in their order, and the number of GTVs that no row names.

    ``evidence`` holds keyed digests that show whether another folder belongs to the same patient.
    """

    outcomes: tuple[Outcome, ...]
    unlisted: int = 0
    evidence: tuple[str, ...] = ()

    @classmethod
    def of_error(cls, error: InputError, rows: Sequence[Any]) -> "Part":
        """A part whose rows all have the error of their folder."""
        return cls((Outcome.of_error(error),) * len(rows))

    @property
    def is_final(self) -> bool:
        """Whether the same files and settings always give this part."""
        return not any(outcome.code in TRANSIENT_CODES for outcome in self.outcomes)

    def measures(self) -> str:
        """The values from the patient's files, as text for the audit; messages and hints never quote files."""
        return json.dumps([[one.code, one.measures] for one in self.outcomes])

    def text(self) -> str:
        """The part without its crops, as stored JSON."""
        outcomes = [
            {**{f.name: getattr(one, f.name) for f in dataclasses.fields(one)}, "crop": one.crop is not None}
            for one in self.outcomes
        ]
        fields = {"layout": LAYOUT, "unlisted": self.unlisted, "evidence": self.evidence, "outcomes": outcomes}
        return json.dumps(fields)


class PartStore:
    """Stores parts under their keys; without ``sealed`` it stores nothing."""

    def __init__(self, sealed: SealedStore | None = None) -> None:
        self._sealed = sealed

    def get(self, key: str) -> Part | None:
        """The part, or None where there is none or its object is damaged."""
        files = self._sealed.get(f"crops/{key}.zip") if self._sealed else None
        if not files:
            return None
        fields = json.loads(files["part.json"])
        crops = iter(load_array(io.BytesIO(files["crops.npy"])))
        outcomes = [Outcome(**{**one, "crop": next(crops) if one["crop"] else None}) for one in fields["outcomes"]]
        return Part(tuple(outcomes), fields["unlisted"], tuple(fields["evidence"]))

    def put(self, key: str, part: Part) -> None:
        """Stores a part completely or not at all; skips one for which another attempt may succeed."""
        if self._sealed is None or not part.is_final:
            return
        buffer = io.BytesIO()
        crops = [outcome.crop for outcome in part.outcomes if outcome.crop is not None]
        np.save(buffer, np.stack(crops) if crops else np.empty(0, np.float32), allow_pickle=False)
        files = {"part.json": part.text().encode(), "crops.npy": buffer.getvalue()}
        self._sealed.put(f"crops/{key}.zip", files)
