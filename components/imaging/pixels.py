"""Reads one CT slice in HU through its modality LUT, and refuses a slice whose values are not HU."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from scipy.ndimage import label

from components.common.errors import TumourError
from components.common.limits import MAX_SLICE_COPIES
from components.common.store.base import Source
from components.imaging.attributes import group_items, numbers, text
from components.imaging.codecs import stored_pixels
from components.imaging.ct import CtPlane, check_image, is_multi_frame
from components.imaging.dicom_io import read_dataset
from components.imaging.pydicom_errors import dicom_errors
from components.imaging.scan_facts import ScanFacts, scan_facts
from components.imaging.structure import too_large

#: A slice in HU contains air near -1000; without any pixel below this value it is not in HU.
AIR_HU = -800.0
#: Values below this are neither tissue nor noisy air, but the filler of scanners outside the scanned area (-2000).
LOWEST_HU = -1200.0
#: Value that replaces padding: air, as outside the slice (``ImageDefinition.outside_hu``).
PADDING_HU = -1000.0
#: RescaleType and ModalityLUTType of HU, for which a CT image may leave RescaleType out (PS3.3 C.8.2.1). Not HU_MOD.
HU_TYPES = ("", "HU")
#: RescaleType "unspecified", which GDCM (and so ITK and some archives) adds to every CT without a RescaleType.
UNSPECIFIED = "US"
#: Range of the median of a slice's air for which an unspecified unit is taken as HU: noise, and clipping at -1024.
AIR_RANGE_HU = (-1050.0, -950.0)
#: Range of RescaleIntercept where stored values count from air. This alone shows that values are HU where a round image
#: lies within the head, so that all of its air is padding.
CT_INTERCEPTS = (-1100.0, -900.0)


@dataclasses.dataclass(frozen=True, slots=True)
class SliceHu:
    """A slice: [rows, cols] HU, and the mask of its padding, which is set to ``PADDING_HU``.

    ``is_unspecified``: the modality LUT gives no unit. ``counts_from_air``: its slope is 1 and air is stored as ~0.
    ``facts``: how it was scanned.
    """

    hu: NDArray[np.float32]
    is_padding: NDArray[np.bool_]
    is_unspecified: bool
    counts_from_air: bool
    facts: ScanFacts


def read_hu(source: Source, plane: CtPlane) -> SliceHu:
    """HU of one plane through its modality LUT (DICOM PS3.3 C.11.1), with padding replaced by air.

    The replacement needs no new version of the image definition: it changes a crop only outside the tissue, where the
    grey-value window clips -3024 and -1000 to the same value.

    Raises
    ------
    TumourError
        ``DICOM_DAMAGED``, ``DICOM_TOO_LARGE`` (too many copies), ``CODEC_MISSING`` (names the package), ``NOT_HU`` or
        ``SLICES_DIFFER``.
    """
    ct_slice = _read(source, plane.name, plane)
    if len(plane.copies) > MAX_SLICE_COPIES:
        raise too_large(f"more than {MAX_SLICE_COPIES} copies of one slice beside it")
    for copy in plane.copies:
        if not np.array_equal(ct_slice.hu, _read(source, copy, plane).hu):
            message = "two CT slices with different pixels share one SOPInstanceUID and one position"
            raise TumourError("SLICES_DIFFER", message, "Keep only the one that the RTSTRUCT was drawn on.")
    return ct_slice


def check_air(ct_slice: SliceHu) -> None:
    """``NOT_HU`` where a slice contains no air, or air at the wrong value, so that it cannot be in HU."""
    air = ct_slice.hu[~ct_slice.is_padding & (ct_slice.hu <= AIR_HU)]
    if not air.size and ct_slice.counts_from_air and ct_slice.is_padding.any():
        return
    if not air.size:
        raise _not_hu(f"a CT slice has no air (nothing below {AIR_HU:g} HU)")
    if ct_slice.is_unspecified and not AIR_RANGE_HU[0] <= np.median(air) <= AIR_RANGE_HU[1]:
        raise _not_hu("the CT gives no unit for its values (RescaleType US), and its air is not near -1000")


def check_tissue(hu_inside: NDArray[np.float64]) -> None:
    """``NOT_HU`` where a tumour's pixels are air, as when the intercept was applied twice (a shift by -1024)."""
    if hu_inside.size and hu_inside.mean() <= AIR_HU:
        raise _not_hu(f"the GTV's pixels are air (mean at or below {AIR_HU:g} HU)")


def _read(source: Source, name: str, plane: CtPlane) -> SliceHu:
    dataset = read_dataset(source, name)
    check_image(dataset)
    raw = stored_pixels(dataset, plane.frame, plane.shape, is_multi_frame=is_multi_frame(dataset))
    lut, unit = _modality_lut(dataset, plane.frame)
    with dicom_errors():
        hu = np.asarray(apply_modality_lut(raw, lut), dtype=np.float32)
        if not np.isfinite(hu).all():
            raise ValueError
        is_padding = (hu < LOWEST_HU) | _padded_rim(raw, hu, dataset)
    plain = np.where(is_padding, np.float32(PADDING_HU), hu)
    return SliceHu(plain, is_padding, unit == UNSPECIFIED, _counts_from_air(lut), scan_facts(dataset, plane.frame))


def _counts_from_air(lut: Dataset) -> bool:
    if lut.get("ModalityLUTSequence"):
        return False
    slope, intercept = (numbers(lut, keyword, 1)[0] for keyword in ("RescaleSlope", "RescaleIntercept"))
    return slope == 1 and CT_INTERCEPTS[0] <= intercept <= CT_INTERCEPTS[1]


def _padded_rim(raw: NDArray[np.integer], hu: NDArray[np.float32], dataset: Dataset) -> NDArray[np.bool_]:
    """Mask of padding (PixelPaddingValue, PixelPaddingRangeLimit, PS3.3 C.7.5.1.1.2) with values of tissue.

    Some scanners pad with 0 HU, which also occurs in the brain. Padding extends a round image to a square, so only
    regions that touch the border count. Padding with values of air needs no mask: it is air already.
    """
    if not text(dataset, "PixelPaddingValue"):
        return np.zeros(raw.shape, dtype=np.bool_)
    value = _stored(dataset, "PixelPaddingValue")
    limit = _stored(dataset, "PixelPaddingRangeLimit") if text(dataset, "PixelPaddingRangeLimit") else value
    regions, _ = label((raw >= min(value, limit)) & (raw <= max(value, limit)) & (hu > AIR_HU))
    rim = np.concatenate([regions[[0, -1]].ravel(), regions[:, [0, -1]].ravel()])
    return np.isin(regions, rim[rim > 0])


def _stored(dataset: Dataset, keyword: str) -> int:
    """A padding attribute with the sign of the stored pixels: some writers confuse the 16-bit VRs US and SS."""
    value = int(numbers(dataset, keyword, 1)[0]) % 2**16
    return value - 2**16 if dataset.PixelRepresentation and value >= 2**15 else value


def _modality_lut(dataset: Dataset, frame: int) -> tuple[Dataset, str]:
    """The data set with a frame's modality LUT, and its unit; ``NOT_HU`` where it is incomplete or has another unit."""
    lut = _value_transformation(dataset, frame) if is_multi_frame(dataset) else dataset
    with dicom_errors():
        tables = lut.get("ModalityLUTSequence")
        slope, intercept = (text(lut, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
        unit = (text(tables[0], "ModalityLUTType") if tables else text(lut, "RescaleType")).upper()
    if unit not in (*HU_TYPES, UNSPECIFIED):
        raise _not_hu("the CT declares that its values are not HU (RescaleType or ModalityLUTType)")
    if tables:
        return lut, unit
    if not slope or not intercept:
        missing = [name for name, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)) if not value]
        raise _not_hu(f"the CT has no modality LUT: {' and '.join(missing)} missing")
    if numbers(lut, "RescaleSlope", 1)[0] <= 0:
        raise _not_hu("the CT's RescaleSlope is not above 0")
    return lut, unit


def _value_transformation(dataset: Dataset, frame: int) -> Dataset:
    """A frame's item of PixelValueTransformationSequence, or the object itself, where some converters put it."""
    items = group_items(dataset, frame, "PixelValueTransformationSequence")
    return items[0] if items else dataset


def _not_hu(message: str) -> TumourError:
    return TumourError("NOT_HU", message, "Give the original CT images, not screenshots or derived maps.")
