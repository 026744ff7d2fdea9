"""Decodes one compressed frame; runs in a contained child process, because decoders are third-party C code.

Each transfer syntax has exactly one decoder, so that a crop is the same wherever it is cut.
"""

from typing import Any

import numpy as np
from PIL import Image, Jpeg2KImagePlugin  # noqa: F401 - registers itself; otherwise each child would import it again
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

#: The decoder of each supported compressed transfer syntax, as pydicom names it. GDCM, for lossless JPEG, crashes on
#: about one damaged frame in forty, which ends only the child process.
DECODERS = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pillow",
    JPEG2000: "pillow",
    RLELossless: "pydicom",
}
Image.preinit()

#: The attributes of a slice that a decoder needs.
ATTRIBUTES = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def decode_frame(head: dict[str, Any], parts: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """Contained function: decodes the frame in ``parts`` to little-endian samples and their ``dtype``.

    ``head`` holds ``syntax`` and ``ATTRIBUTES`` of the slice, which is monochrome.
    """
    dataset = Dataset()
    for keyword in ATTRIBUTES:
        setattr(dataset, keyword, head[keyword])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax = UID(head["syntax"])
    dataset.PixelData = encapsulate(parts, has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    samples = pixel_array(dataset, index=0, decoding_plugin=DECODERS[syntax])
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        samples = _signed(samples, head)
    plain = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    return {"dtype": plain.dtype.str, "shape": list(plain.shape)}, [plain.tobytes()]


def _signed(samples: Any, head: dict[str, Any]) -> Any:
    """Drops the bits above BitsStored, which encoders write differently, and extends the sign bit."""
    bits, high = head["BitsStored"], head["HighBit"]
    plain = samples.astype(np.int32) >> (high + 1 - bits) & (1 << bits) - 1
    is_negative = (plain >> (bits - 1) == 1) & bool(head["PixelRepresentation"])
    return (plain - np.where(is_negative, 1 << bits, 0)).astype(np.int32)


def has_decoder(syntax: UID) -> bool:
    """Whether the decoder of a compressed transfer syntax is installed."""
    return syntax in DECODERS and DECODERS[syntax] in get_decoder(syntax).available_plugins
