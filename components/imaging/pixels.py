"""HU of the one CT slice that is wanted, by its modality LUT; refused where the values are something else."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from scipy.ndimage import label

from components.common.errors import TumourError
from components.common.limits import MAX_SLICE_COPIES
from components.common.store.base import Source
from components.imaging.codecs import stored_pixels
from components.imaging.ct import CtPlane, check_image, is_multi_frame
from components.imaging.dicom_io import damage_in_words, numbers, read_whole, text
from components.imaging.structure import too_large

#: A slice of HU holds air near -1000; without a pixel below this its values are something else.
AIR_HU = -800.0
#: Below this is neither tissue nor air with its noise, but what scanners write where they measured nothing (-2000).
LOWEST_HU = -1200.0
#: What takes the place of padding: air, as beyond the slice (``ImageDefinition.outside_hu``).
PADDING_HU = -1000.0
#: RescaleType and ModalityLUTType of HU; a CT Image may leave RescaleType out then (PS3.3 C.8.2.1). HU_MOD is not HU.
HU_TYPES = ("", "HU")
#: RescaleType "unspecified": GDCM, and with it ITK and some archives, writes it into each CT that has no RescaleType.
UNSPECIFIED = "US"
#: Where the middle of a slice's air must lie for values of an unspecified unit to be HU: noise and clipping at -1024.
AIR_RANGE_HU = (-1050.0, -950.0)
#: RescaleIntercepts of values that count HU from air on: proof enough for a round image that lies within the head, so
#: that all of its air is padding.
CT_INTERCEPTS = (-1100.0, -900.0)


@dataclasses.dataclass(frozen=True, slots=True)
class SliceHu:
    """[rows, cols] HU of a slice; where they are padding, which holds ``PADDING_HU``; what its modality LUT says.

    ``is_unspecified``: it names no unit. ``counts_from_air``: its slope is 1 and 0 is stored for air.
    """

    hu: NDArray[np.float32]
    is_padding: NDArray[np.bool_]
    is_unspecified: bool
    counts_from_air: bool


def read_hu(source: Source, plane: CtPlane) -> SliceHu:
    """HU of one plane, by its modality LUT (DICOM PS3.3 C.11.1), with air in place of padding.

    That needs no new version of the image definition: a crop differs only where the slice has no tissue, and there the
    windows used clip -3024 and -1000 alike.

    Raises
    ------
    TumourError
        ``DICOM_DAMAGED``, ``DICOM_TOO_LARGE`` (copies without end), ``CODEC_MISSING`` (says which package), ``NOT_HU``
        or ``SLICES_DIFFER``.
    """
    found = _read(source, plane.name, plane)
    if len(plane.copies) > MAX_SLICE_COPIES:
        raise too_large(f"more than {MAX_SLICE_COPIES} copies of one slice beside it")
    for copy in plane.copies:
        if not np.array_equal(found.hu, _read(source, copy, plane).hu):
            message = "two CT slices with other pixels share one SOPInstanceUID and one position"
            raise TumourError("SLICES_DIFFER", message, "Keep the one that the RTSTRUCT was drawn on.")
    return found


def check_air(found: SliceHu) -> None:
    """``NOT_HU`` where a slice's values, by its modality LUT, are no HU after all: there is no air in it."""
    air = found.hu[~found.is_padding & (found.hu <= AIR_HU)]
    if not air.size and found.counts_from_air and found.is_padding.any():
        return
    if not air.size:
        raise _not_hu(f"a CT slice has no air (nothing below {AIR_HU:g} HU)")
    if found.is_unspecified and not AIR_RANGE_HU[0] <= np.median(air) <= AIR_RANGE_HU[1]:
        raise _not_hu("the CT names no unit of its values (RescaleType US), and its air does not lie at -1000")


def check_tissue(hu_inside: NDArray[np.float64]) -> None:
    """``NOT_HU`` where a tumour's pixels are air: an intercept that was applied twice shifts all values by -1024."""
    if hu_inside.size and hu_inside.mean() <= AIR_HU:
        raise _not_hu(f"the GTV's pixels are air (mean at or below {AIR_HU:g} HU)")


def _read(source: Source, name: str, plane: CtPlane) -> SliceHu:
    dataset = read_whole(source, name)
    check_image(dataset)
    raw = stored_pixels(dataset, plane.frame, plane.shape, is_multi_frame=is_multi_frame(dataset))
    lut, unit = _modality_lut(dataset, plane.frame)
    with damage_in_words():
        hu = np.asarray(apply_modality_lut(raw, lut), dtype=np.float32)
        if not np.isfinite(hu).all():
            raise ValueError
        is_padding = (hu < LOWEST_HU) | _padded_rim(raw, hu, dataset)
    plain = np.where(is_padding, np.float32(PADDING_HU), hu)
    return SliceHu(plain, is_padding, unit == UNSPECIFIED, _counts_from_air(lut))


def _counts_from_air(lut: Dataset) -> bool:
    if lut.get("ModalityLUTSequence"):
        return False
    slope, intercept = (numbers(lut, keyword, 1)[0] for keyword in ("RescaleSlope", "RescaleIntercept"))
    return slope == 1 and CT_INTERCEPTS[0] <= intercept <= CT_INTERCEPTS[1]


def _padded_rim(raw: NDArray[np.integer], hu: NDArray[np.float32], dataset: Dataset) -> NDArray[np.bool_]:
    """Pixels that are padding (PixelPaddingValue, PixelPaddingRangeLimit, PS3.3 C.7.5.1.1.2), but look like tissue.

    Some pad with 0 HU, which the brain has too: padding makes a round image a square, so that it begins at the border.
    Padding that lies in the range of air is air.
    """
    if not text(dataset, "PixelPaddingValue"):
        return np.zeros(raw.shape, dtype=np.bool_)
    value = _stored(dataset, "PixelPaddingValue")
    limit = _stored(dataset, "PixelPaddingRangeLimit") if text(dataset, "PixelPaddingRangeLimit") else value
    regions, _ = label((raw >= min(value, limit)) & (raw <= max(value, limit)) & (hu > AIR_HU))
    rim = np.concatenate([regions[[0, -1]].ravel(), regions[:, [0, -1]].ravel()])
    return np.isin(regions, rim[rim > 0])


def _stored(dataset: Dataset, keyword: str) -> int:
    """A padding attribute as the pixels are stored: writers confuse US and SS, which share their 16 bits."""
    value = int(numbers(dataset, keyword, 1)[0]) % 2**16
    return value - 2**16 if dataset.PixelRepresentation and value >= 2**15 else value


def _modality_lut(dataset: Dataset, frame: int) -> tuple[Dataset, str]:
    """The dataset with the modality LUT of a frame, and its unit; ``NOT_HU`` where it is incomplete or of another."""
    lut = _groups(dataset, frame) if is_multi_frame(dataset) else dataset
    with damage_in_words():
        tables = lut.get("ModalityLUTSequence")
        slope, intercept = (text(lut, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
        unit = (text(tables[0], "ModalityLUTType") if tables else text(lut, "RescaleType")).upper()
    if unit not in (*HU_TYPES, UNSPECIFIED):
        raise _not_hu("the CT says of its own values that they are no HU (RescaleType or ModalityLUTType)")
    if tables:
        return lut, unit
    if not slope or not intercept:
        lost = [name for name, found in (("RescaleSlope", slope), ("RescaleIntercept", intercept)) if not found]
        raise _not_hu(f"the CT has no modality LUT: {' and '.join(lost)} missing")
    if numbers(lut, "RescaleSlope", 1)[0] <= 0:
        raise _not_hu("the CT's RescaleSlope is not above 0")
    return lut, unit


def _groups(dataset: Dataset, frame: int) -> Dataset:
    """The item of PixelValueTransformationSequence of a frame; some converters leave its content at the top."""
    with damage_in_words():
        shared: Sequence[Dataset] = dataset.get("SharedFunctionalGroupsSequence") or ()
        for group in (dataset.PerFrameFunctionalGroupsSequence[frame], *shared):
            if found := group.get("PixelValueTransformationSequence"):
                return found[0]
    return dataset


def _not_hu(message: str) -> TumourError:
    return TumourError("NOT_HU", message, "Give the original CT images, not screenshots or derived maps.")
