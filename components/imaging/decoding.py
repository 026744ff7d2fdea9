"""One compressed frame -> its samples: what a contained process does, since decoders are other people's C.

Each transfer syntax has one decoder, so that a crop is the same wherever it is cut.
"""

from typing import Any

import numpy as np
from PIL import Image, Jpeg2KImagePlugin  # noqa: F401 - registers itself: a child would import it anew for each frame
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

#: The decoder of each compressed transfer syntax that is read, as pydicom names it. Lossless JPEG comes as a rule from
#: GDCM, which dies on one damaged frame in forty; here that costs its process only.
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

#: Of a slice's description, what a decoder asks for.
ATTRIBUTES = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def decode_frame(head: dict[str, Any], parts: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """A contained function: the frame in ``parts`` -> its samples, little endian, and their ``dtype``.

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
    """Encoders differ in whether they write the bits above BitsStored: these are dropped, and the sign is spread."""
    bits, high = head["BitsStored"], head["HighBit"]
    plain = samples.astype(np.int32) >> (high + 1 - bits) & (1 << bits) - 1
    is_negative = (plain >> (bits - 1) == 1) & bool(head["PixelRepresentation"])
    return (plain - np.where(is_negative, 1 << bits, 0)).astype(np.int32)


def has_decoder(syntax: UID) -> bool:
    """Whether the decoder of a compressed transfer syntax is installed."""
    return syntax in DECODERS and DECODERS[syntax] in get_decoder(syntax).available_plugins
