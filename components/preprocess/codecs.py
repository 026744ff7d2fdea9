"""Stored pixel values of one frame, whatever its transfer syntax."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from components.common.errors import TumourError
from components.preprocess.dicom_io import damage_in_words
from components.preprocess.jpeg_lossless import decode_jpeg_lossless

JPEG_LOSSLESS = (JPEGLossless, JPEGLosslessSV1)
#: Most bits of a sample of lossy JPEG that Pillow and GDCM read.
JPEG_BITS = 8

CODEC_PACKAGES = {
    "1.2.840.10008.1.2.4.51": "pylibjpeg and pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "Pillow",
    "1.2.840.10008.1.2.4.91": "Pillow",
    "1.2.840.10008.1.2.4.201": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg and pylibjpeg-openjpeg",
}


def stored_pixels(dataset: Dataset, frame: int, shape: tuple[int, int], *, is_multi_frame: bool) -> NDArray[np.integer]:
    """[rows, columns] values of one frame before any LUT, signed as PixelRepresentation says.

    Raises
    ------
    TumourError
        ``CODEC_MISSING`` (says which package reads it, where one does) or ``DICOM_DAMAGED``.
    """
    with damage_in_words():
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        if syntax in JPEG_LOSSLESS:
            return _jpeg_lossless(dataset, frame, shape)
        _check_codec(dataset, syntax)
        pixels: NDArray[np.integer] = pixel_array(dataset, index=frame if is_multi_frame else None)
        if pixels.shape != shape:
            raise ValueError
        return pixels


def _jpeg_lossless(dataset: Dataset, frame: int, shape: tuple[int, int]) -> NDArray[np.integer]:
    """Decoded here; encoders differ in whether they write the bits above BitsStored, which is why these are dropped."""
    offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    count = int(dataset.get("NumberOfFrames") or 1)
    data = get_frame(
        dataset.PixelData, frame, number_of_frames=count, extended_offsets=offsets if all(offsets) else None
    )
    bits, high = int(dataset.BitsStored), int(dataset.HighBit)
    if not 2 <= bits <= high + 1 <= 16:
        raise ValueError
    samples = decode_jpeg_lossless(data, shape).astype(np.int32) >> (high + 1 - bits) & (1 << bits) - 1
    is_negative = (samples >> (bits - 1) == 1) & bool(dataset.PixelRepresentation)
    return samples - np.where(is_negative, 1 << bits, 0).astype(np.int32)


def _check_codec(dataset: Dataset, syntax: UID) -> None:
    if not syntax.is_compressed or syntax.is_deflated:
        return
    try:
        plugins = set(get_decoder(syntax).available_plugins)
    except NotImplementedError:
        plugins = set()
    if syntax == JPEGExtended12Bit and dataset.BitsStored > JPEG_BITS:
        plugins -= {"pillow", "gdcm"}
    if not plugins:
        package = CODEC_PACKAGES.get(str(syntax), "")
        needs = f"reading them needs {package}" if package else "no decoder of this platform reads them"
        hint = "Export the CT uncompressed, or decompress it, with `dcmdjpeg` of DCMTK for instance."
        raise TumourError("CODEC_MISSING", f"the CT's pixels are compressed ({_spoken(syntax)}), and {needs}", hint)


def _spoken(syntax: UID) -> str:
    """The standard's name of a transfer syntax; a private one stays unnamed."""
    return "private syntax" if syntax.is_private or syntax.name == syntax else str(syntax.name)
