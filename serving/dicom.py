"""DICOM studies of a request -> crops, by the very code and the very settings that cut the training crops."""

import dataclasses
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.errors import InputError, TumourError
from components.common.limits import MAX_FILES, MAX_TEXT, MAX_TUMOURS, MAX_UNPACKED_BYTES
from components.common.settings import PreprocessSettings
from components.common.store.base import Entry, Source
from components.common.store.memory import MemoryStore
from components.common.store.zip import ZipSource
from components.imaging.crop import ImageDefinition
from components.imaging.dicom_io import dicom_errors, inflate
from components.imaging.gtv import Candidate, find_gtvs
from serving.choices import CHOICE_HELPS, choices_of
from serving.content import PACK, is_zip, unreadable
from serving.payload import Study

#: Refusals by the study's inclusion rules: the crop is whole, so it is answered, with a warning.
ANSWERED_WITH_WARNING = ("TOO_SMALL", "TOO_LARGE", "WIDER_THAN_CROP")


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A tumour found: its crop, or why there is none.

    Parameters
    ----------
    roi_name, roi_number, slice_sop_instance_uid
        The caller's own names: for the reply, never for a log.
    crop
        [151, 151] float32 HU, or None where ``refusal`` says why.
    refusal
        Why there is no crop: the code, message and hint that `srs inspect` gives.
    warnings
        Codes: of an inclusion rule that the tumour breaks, and of what the contours made doubtful.
    """

    roi_name: str
    slice_sop_instance_uid: str
    crop: NDArray[np.float32] | None
    refusal: TumourError | None = None
    warnings: tuple[str, ...] = ()
    roi_number: str = ""


class StudyRefused(TumourError):
    """A study of which nothing can be answered.

    Parameters
    ----------
    error
        Why.
    cuts
        Its tumours, each with its refusal, where none can be cut.
    offer
        What ``roi`` and ``rtstruct_uid`` can name, where a choice helps (``choices_of``).
    """

    def __init__(self, error: TumourError, cuts: Sequence[Cut] = (), offer: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(error.code, error.safe_message, error.hint)
        self.cuts, self.offer = tuple(cuts), tuple(offer)


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
        What is wrong with the zip, or ``StudyRefused``.
    """
    source = _source(study)
    chosen = {"roi": study.roi, "rtstruct_uid": study.rtstruct_uid}
    try:
        cuts = [_cut(one) for one in find_gtvs(source, "", settings, definition, **chosen, max_gtvs=MAX_TUMOURS)]
    except TumourError as error:
        raise StudyRefused(error, offer=choices_of(source) if error.code in CHOICE_HELPS else ()) from None
    if all(cut.crop is None for cut in cuts):
        raise StudyRefused(_why_none([cut.refusal for cut in cuts if cut.refusal]), cuts)
    return cuts


def _why_none(refusals: Sequence[TumourError]) -> TumourError:
    """Why no GTV can be cut: one speaks for itself; of several, the first one's code is the study's."""
    if len(refusals) == 1:
        return refusals[0]
    codes = Counter(refusal.code for refusal in refusals)
    listed = ", ".join(f"{count} {code}" for code, count in codes.items())
    message = f"none of the {len(refusals)} GTVs of the study can be cut: {listed}"
    return TumourError(refusals[0].code, message, "Each is told under unanswered.")


class _Inflated(Source):
    """A study whose deflated DICOM files are read inflated, to ``MAX_UNPACKED_BYTES`` together."""

    def __init__(self, packed: Source) -> None:
        self._packed, self._left, self._lock = packed, MAX_UNPACKED_BYTES, threading.Lock()

    def list(self, prefix: str) -> list[Entry]:
        """All files."""
        return self._packed.list(prefix)

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes, inflated."""
        return self._inflate(self._packed.read_head(name, size), size, cut=True)

    def read(self, name: str) -> bytes:
        """The whole file, inflated; ``DICOM_DAMAGED`` where the study's bytes are used up."""
        return self._inflate(self._packed.read(name), MAX_UNPACKED_BYTES, cut=False)

    def _inflate(self, data: bytes, most: int, *, cut: bool) -> bytes:
        with self._lock, dicom_errors():
            plain = inflate(data, min(most, self._left), cut=cut)
            self._left -= len(plain) if plain is not data else 0
        return plain


def _source(study: Study) -> Source:
    if study.zipped is None:
        return _Inflated(MemoryStore({f"{index}.dcm": data for index, data in enumerate(study.files)}))
    try:
        zipped = ZipSource(bytes(study.zipped), max_entries=MAX_FILES, max_bytes=MAX_UNPACKED_BYTES)
    except InputError as error:
        known = unreadable(study.zipped) if error.code == "ZIP_DAMAGED" and not is_zip(study.zipped) else None
        raise known or error from None
    if not zipped.list(""):
        raise InputError("DICOM_MISSING", "the zip holds no file", PACK)
    return _Inflated(zipped)


def _cut(candidate: Candidate) -> Cut:
    usable = candidate.status == "ok" or candidate.code in ANSWERED_WITH_WARNING
    broken = (candidate.code,) if usable and candidate.code else ()
    return Cut(
        roi_name=candidate.roi_name[:MAX_TEXT],  # longer ones are no names, and a reply repeats them
        slice_sop_instance_uid=(candidate.slice_sop_instance_uid or "")[:MAX_TEXT],
        crop=candidate.crop if usable else None,
        refusal=None if usable else TumourError(candidate.code, candidate.message, candidate.hint),
        warnings=(*broken, *getattr(candidate, "warnings", ())),
        roi_number=getattr(candidate, "roi_number", "")[:MAX_TEXT],
    )
