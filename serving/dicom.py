"""DICOM studies of a request -> crops, by the very code and the very settings that cut the training crops."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.sources import MemorySource, Source, ZipSource
from components.preprocess.crop import ImageDefinition
from components.preprocess.gtv import Candidate, find_gtvs
from serving.payload import MAX_FILES, Study

MAX_TUMOURS = 32
#: Unpacked bytes of a study: 1,000 slices of 512 x 512.
MAX_UNPACKED = 512 * 2**20

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


def _source(study: Study) -> Source:
    if study.zipped is not None:
        return ZipSource(study.zipped, max_entries=MAX_FILES, max_bytes=MAX_UNPACKED)
    return MemorySource({f"{index}.dcm": data for index, data in enumerate(study.files)})


def _cut(candidate: Candidate) -> Cut:
    usable = candidate.status == "ok" or candidate.code in ANSWERED_WITH_WARNING
    return Cut(
        roi_name=candidate.roi_name,
        slice_sop_instance_uid=candidate.slice_sop_instance_uid or "",
        crop=candidate.crop if usable else None,
        problem="" if usable else candidate.code,
        warning=candidate.code if usable else "",
    )
