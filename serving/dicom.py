"""DICOM studies of a request -> crops, by the very code and the very settings that cut the training crops."""

import dataclasses
import threading

import numpy as np
from numpy.typing import NDArray

from components.common.errors import TumourError
from components.common.objects import Entry, MemorySource, Source, ZipSource
from components.common.settings import PreprocessSettings
from components.preprocess.crop import ImageDefinition
from components.preprocess.dicom_io import damage_in_words, inflate
from components.preprocess.gtv import Candidate, find_gtvs
from serving.payload import MAX_FILES, Study

MAX_TUMOURS = 32
#: Unpacked bytes of a study: 500 slices of 512 x 512, which fill the largest body when they are packed.
MAX_UNPACKED = 256 * 2**20

#: Refusals by the study's inclusion rules: the crop is whole, so it is answered, with a warning.
ANSWERED_WITH_WARNING = ("TOO_SMALL", "TOO_LARGE", "WIDER_THAN_CROP")


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A tumour found: its crop, or why there is none.

    Parameters
    ----------
    roi_name, slice_sop_instance_uid
        The caller's own names: for the reply, never for a log.
    crop
        [151, 151] float32 HU, or None where ``problem`` says why.
    warning
        Code of an inclusion rule that the tumour breaks, or "".
    """

    roi_name: str
    slice_sop_instance_uid: str
    crop: NDArray[np.float32] | None
    problem: str = ""
    warning: str = ""


def cut_study(study: Study, settings: PreprocessSettings, definition: ImageDefinition) -> list[Cut]:
    """All GTVs of a study, or the one named.

    Parameters
    ----------
    study
        As decoded.
    settings
        Of the run that trained the bundle.
    definition
        The bundle's.

    Raises
    ------
    InputError
        What is wrong with the zip or the study as a whole, or ``BATCH_TOO_LARGE``.
    """
    chosen = {"roi": study.roi, "rtstruct_uid": study.rtstruct_uid}
    cuts = [_cut(one) for one in find_gtvs(_source(study), "", settings, definition, **chosen, most=MAX_TUMOURS)]
    if all(cut.crop is None for cut in cuts):
        raise TumourError(cuts[0].problem, "no GTV of the study can be cut", "`srs inspect` says more of a study.")
    return cuts


class _Inflated(Source):
    """A study whose deflated DICOM files are read inflated: what is inflated may come to ``MAX_UNPACKED`` bytes."""

    def __init__(self, packed: Source) -> None:
        self._packed, self._left, self._lock = packed, MAX_UNPACKED, threading.Lock()

    def list(self, prefix: str) -> list[Entry]:
        """All files."""
        return self._packed.list(prefix)

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes, inflated."""
        return self._inflate(self._packed.read_head(name, size), size, cut=True)

    def read(self, name: str) -> bytes:
        """The whole file, inflated; ``DICOM_DAMAGED`` where the study's bytes are used up."""
        return self._inflate(self._packed.read(name), MAX_UNPACKED, cut=False)

    def _inflate(self, data: bytes, most: int, *, cut: bool) -> bytes:
        with self._lock, damage_in_words():
            plain = inflate(data, min(most, self._left), cut=cut)
            self._left -= len(plain) if plain is not data else 0
        return plain


def _source(study: Study) -> Source:
    if study.zipped is not None:
        return _Inflated(ZipSource(study.zipped, max_entries=MAX_FILES, max_bytes=MAX_UNPACKED))
    return _Inflated(MemorySource({f"{index}.dcm": data for index, data in enumerate(study.files)}))


def _cut(candidate: Candidate) -> Cut:
    usable = candidate.status == "ok" or candidate.code in ANSWERED_WITH_WARNING
    return Cut(
        roi_name=candidate.roi_name,
        slice_sop_instance_uid=candidate.slice_sop_instance_uid or "",
        crop=candidate.crop if usable else None,
        problem="" if usable else candidate.code,
        warning=candidate.code if usable else "",
    )
