"""HU of the one CT slice that is wanted, by its modality LUT; refused where the values are something else."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, get_decoder, pixel_array
from pydicom.uid import UID

from components.common.errors import TumourError
from components.common.objects import Source
from components.preprocess.ct import CtPlane, is_multi_frame
from components.preprocess.dicom_io import damage_in_words, read_whole, text

#: A slice of HU holds air near -1000; without a pixel below this its values are something else.
AIR_HU = -800.0

CODEC_PACKAGES = {
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg and pylibjpeg-openjpeg",
}
OTHER_CODECS = "pylibjpeg and pylibjpeg-libjpeg"


def read_hu(source: Source, plane: CtPlane) -> NDArray[np.float32]:
    """[rows, cols] HU of one plane, by its modality LUT (DICOM PS3.3 C.11.1).

    Raises
    ------
    TumourError
        ``DICOM_DAMAGED``, ``CODEC_MISSING`` (says which package) or ``NOT_HU``.
    """
    dataset = read_whole(source, plane.name)
    _check_codec(dataset)
    with damage_in_words():
        raw = pixel_array(dataset, index=plane.frame) if is_multi_frame(dataset) else pixel_array(dataset)
        rescale = _rescale_of(dataset, plane.frame)
        if raw.shape != plane.shape:
            raise ValueError
    if rescale is None:
        raise _not_hu("the CT has no modality LUT")
    if text(rescale, "RescaleType") not in ("", "HU"):
        raise _not_hu("the CT's modality LUT does not give HU")
    with damage_in_words():
        hu = np.asarray(apply_modality_lut(raw, rescale), dtype=np.float32)
        if not np.isfinite(hu).all():
            raise ValueError
    return hu


def check_air(hu: NDArray[np.float32]) -> None:
    """``NOT_HU`` where a slice's values, by its modality LUT, are no HU after all: there is no air in it."""
    if hu.min() > AIR_HU:
        raise _not_hu(f"a CT slice has no air (nothing below {AIR_HU:g} HU)")


def _rescale_of(dataset: Dataset, frame: int) -> Dataset | None:
    """The dataset that holds the modality LUT of a frame, or None where there is none."""
    if not is_multi_frame(dataset):
        return dataset if {"RescaleSlope", "ModalityLUTSequence"} & set(dataset.dir()) else None
    groups: Sequence[Dataset] = [
        dataset.PerFrameFunctionalGroupsSequence[frame],
        dataset.SharedFunctionalGroupsSequence[0],
    ]
    found = [g.PixelValueTransformationSequence[0] for g in groups if "PixelValueTransformationSequence" in g]
    return found[0] if found else None


def _check_codec(dataset: Dataset) -> None:
    with damage_in_words():
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        if not syntax.is_compressed or syntax.is_deflated:
            return
        try:
            available = get_decoder(syntax).is_available
        except NotImplementedError:
            available = False
    if not available:
        package = CODEC_PACKAGES.get(str(syntax), OTHER_CODECS)
        raise TumourError("CODEC_MISSING", f"the CT's pixels are compressed, and reading them needs {package}")


def _not_hu(message: str) -> TumourError:
    return TumourError("NOT_HU", message, "Give the original CT images, not screenshots or derived maps.")
