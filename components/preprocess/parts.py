"""What became of one patient's rows, kept between attempts so that a run that was stopped reads no patient twice.

A part holds measures, codes and crops: no pseudonym, name, UID or structure's name, and its key says nothing without
the study's secret. It is one sealed object, there whole or not at all.
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

#: Grows when what a part holds changes its meaning.
LAYOUT = 2
#: Codes that depend on more than the patient's files and the settings: another attempt may fare better.
PASSING = ("CODEC_MISSING", "OBJECT_MISSING", "SOURCE_MISSING", "DICOM_MISSING")
#: What of a candidate a dataset keeps.
MEASURES = (
    "planes", "match_level", "z_mm", "area_mm2", "width_mm", "height_mm", "longest_diameter_mm", "pixel_spacing_mm",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one row: measures and a crop ([151, 151] float32 HU), or the error that excludes it.

    ``structure`` is a keyed digest of the structure that was measured: two rows that share it are one tumour.
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
        """A tumour that is used."""
        measures = {name: getattr(candidate, name) for name in MEASURES}
        return cls(measures, candidate.crop, structure, warnings=candidate.warnings)

    @classmethod
    def of_error(cls, error: InputError) -> "Outcome":
        """A tumour that is left out."""
        return cls(code=error.code, message=error.safe_message, hint=error.hint)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The outcomes of a patient's rows in their order, and how many GTVs no row names.

    ``evidence`` is what tells whether another folder is of the same patient, as keyed digests.
    """

    outcomes: tuple[Outcome, ...]
    unlisted: int = 0
    evidence: tuple[str, ...] = ()

    @classmethod
    def of_error(cls, error: InputError, rows: Sequence[Any]) -> "Part":
        """What is wrong with a folder is wrong with each of its rows."""
        return cls((Outcome.of_error(error),) * len(rows))

    @property
    def stays(self) -> bool:
        """Whether the same files and settings would always give this part."""
        return not any(outcome.code in PASSING for outcome in self.outcomes)

    def measures(self) -> str:
        """What was taken from the patient's files, as text: messages and hints are words of this code."""
        return json.dumps([[one.code, one.measures] for one in self.outcomes])

    def text(self) -> str:
        """All of it but the crops, as it is kept."""
        outcomes = [
            {**{f.name: getattr(one, f.name) for f in dataclasses.fields(one)}, "crop": one.crop is not None}
            for one in self.outcomes
        ]
        fields = {"layout": LAYOUT, "unlisted": self.unlisted, "evidence": self.evidence, "outcomes": outcomes}
        return json.dumps(fields)


class PartStore:
    """Parts under their keys; without ``kept`` nothing is."""

    def __init__(self, kept: SealedStore | None = None) -> None:
        self._kept = kept

    def get(self, key: str) -> Part | None:
        """The part, or None where there is none or its object is damaged."""
        files = self._kept.get(f"crops/{key}.zip") if self._kept else None
        if not files:
            return None
        fields = json.loads(files["part.json"])
        crops = iter(load_array(io.BytesIO(files["crops.npy"])))
        outcomes = [Outcome(**{**one, "crop": next(crops) if one["crop"] else None}) for one in fields["outcomes"]]
        return Part(tuple(outcomes), fields["unlisted"], tuple(fields["evidence"]))

    def put(self, key: str, part: Part) -> None:
        """Keeps a part, whole or not at all, unless another attempt may fare better."""
        if self._kept is None or not part.stays:
            return
        buffer = io.BytesIO()
        crops = [outcome.crop for outcome in part.outcomes if outcome.crop is not None]
        np.save(buffer, np.stack(crops) if crops else np.empty(0, np.float32), allow_pickle=False)
        files = {"part.json": part.text().encode(), "crops.npy": buffer.getvalue()}
        self._kept.put(f"crops/{key}.zip", files)
