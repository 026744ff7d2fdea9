"""DICOM studies of a request -> crops, by the same code and settings that cut the training crops."""

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
from components.imaging.candidate import Candidate
from components.imaging.crop import ImageDefinition
from components.imaging.dicom_io import inflate
from components.imaging.gtv import find_gtvs
from components.imaging.pydicom_errors import dicom_errors
from serving.choices import CHOICE_HELPS, choices_of
from serving.content import PACK, is_zip, unreadable
from serving.payload import Study

#: Refusals by the study's inclusion rules: the crop is complete, so a prediction is made, with a warning.
ANSWERED_WITH_WARNING = ("TOO_SMALL", "TOO_LARGE", "WIDER_THAN_CROP")


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A tumour of a study: its crop, or the reason why there is none.

    Parameters
    ----------
    roi_name, roi_number, slice_sop_instance_uid
        Names and UIDs of the caller's files: for the reply, never for a log.
    crop
        [151, 151] float32 HU, or None if there is a ``refusal``.
    refusal
        The reason why there is no crop: code, message and hint as `srs inspect` gives them.
    warnings
        Codes of inclusion rules that the tumour breaks, and of doubts about its contours.
    """

    roi_name: str
    slice_sop_instance_uid: str
    crop: NDArray[np.float32] | None
    refusal: TumourError | None = None
    warnings: tuple[str, ...] = ()
    roi_number: str = ""


class StudyRefused(TumourError):
    """A study for which no prediction can be made.

    Parameters
    ----------
    error
        The reason.
    cuts
        Its tumours with their refusals, if none can be cut.
    offer
        The RTSTRUCTs and structures to choose from (``choices_of``), if a choice helps.
    """

    def __init__(self, error: TumourError, cuts: Sequence[Cut] = (), offer: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(error.code, error.safe_message, error.hint)
        self.cuts, self.offer = tuple(cuts), tuple(offer)


def cut_study(study: Study, settings: PreprocessSettings, definition: ImageDefinition) -> list[Cut]:
    """Cuts all GTVs of a study, or the requested one.

    Parameters
    ----------
    study
        The decoded study.
    settings
        Preprocessing settings of the run that trained the bundle.
    definition
        The bundle's image definition.

    Raises
    ------
    InputError
        For a zip that cannot be read, or ``StudyRefused``.
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
    """The error of a study of which no GTV can be cut; of several refusals, it has the first one's code."""
    if len(refusals) == 1:
        return refusals[0]
    codes = Counter(refusal.code for refusal in refusals)
    listed = ", ".join(f"{count} {code}" for code, count in codes.items())
    message = f"none of the {len(refusals)} GTVs of the study can be cut: {listed}"
    return TumourError(refusals[0].code, message, "The field unanswered gives the reason for each GTV.")


class _Inflated(Source):
    """A study whose deflated DICOM files are inflated, up to ``MAX_UNPACKED_BYTES`` together."""

    def __init__(self, packed: Source) -> None:
        self._packed, self._left, self._lock = packed, MAX_UNPACKED_BYTES, threading.Lock()

    def list(self, prefix: str) -> list[Entry]:
        """All files."""
        return self._packed.list(prefix)

    def read_head(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes, inflated."""
        return self._inflate(self._packed.read_head(name, size), size, cut=True)

    def read(self, name: str) -> bytes:
        """The whole file, inflated; ``DICOM_DAMAGED`` if the study's limit is exceeded."""
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
        if error.code != "ZIP_DAMAGED" or is_zip(study.zipped):
            raise
        raise unreadable(study.zipped) or InputError("ZIP_DAMAGED", "what was sent is not a zip", PACK) from None
    if not zipped.list(""):
        raise InputError("DICOM_MISSING", "the zip holds no file", PACK)
    return _Inflated(zipped)


def _cut(candidate: Candidate) -> Cut:
    usable = candidate.status == "ok" or candidate.code in ANSWERED_WITH_WARNING
    broken = (candidate.code,) if usable and candidate.code else ()
    return Cut(
        roi_name=candidate.roi_name[:MAX_TEXT],  # longer texts are not names, and the reply repeats them
        slice_sop_instance_uid=(candidate.slice_sop_instance_uid or "")[:MAX_TEXT],
        crop=candidate.crop if usable else None,
        refusal=None if usable else TumourError(candidate.code, candidate.message, candidate.hint),
        warnings=(*broken, *getattr(candidate, "warnings", ())),
        roi_number=getattr(candidate, "roi_number", "")[:MAX_TEXT],
    )
