"""Reads the stored pixels of one frame in any transfer syntax; compressed frames are decoded in a child process."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    RLELossless,
)

from components.common.contained import Budget, Failed, Stopped, call
from components.common.errors import TumourError
from components.common.limits import (
    DECODING_BYTES,
    DECODING_BYTES_PER_PIXEL,
    DECODING_PIXELS_PER_SECOND,
    DECODING_SECONDS,
    MAX_FRAGMENTS,
    MAX_TILES,
    MIB,
)
from components.imaging.codestreams import describe
from components.imaging.decoding import ATTRIBUTES, decode_frame, has_decoder
from components.imaging.pydicom_errors import dicom_errors

#: Largest number of bits per sample of lossy JPEG that Pillow reads.
JPEG_BITS = 8
#: Start of an item, such as a fragment of a frame (PS3.5 7.5), little endian: encapsulated pixels always are.
ITEM_TAG = b"\xfe\xff\x00\xe0"
#: A compressed frame may be larger than its pixels, by its tables and where noise does not compress, up to this ratio.
MAX_COMPRESSED_RATIO, TABLES_BYTES = 2, 2**16
UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)

CODEC_PACKAGES = {
    "1.2.840.10008.1.2.4.50": "Pillow",
    "1.2.840.10008.1.2.4.51": "pylibjpeg and pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "Pillow",
    "1.2.840.10008.1.2.4.91": "Pillow",
    "1.2.840.10008.1.2.4.201": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg and pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg and pylibjpeg-openjpeg",
}


def stored_pixels(dataset: Dataset, frame: int, shape: tuple[int, int], *, is_multi_frame: bool) -> NDArray[np.integer]:
    """[rows, columns] stored values of one frame, before any LUT, signed according to PixelRepresentation.

    Parameters
    ----------
    dataset
        The whole object, pixels included.
    frame
        Index of the frame, from 0.
    shape
        Rows and columns according to the header.
    is_multi_frame
        Whether the SOP class allows more than one frame.

    Raises
    ------
    TumourError
        ``CODEC_MISSING`` (names the package that reads it, if there is one), ``PIXELS_TOO_COSTLY`` (decoding takes
        more time or memory than any intact slice does) or ``DICOM_DAMAGED``.
    """
    with dicom_errors():
        count = int(dataset.get("NumberOfFrames") or 1)
        if count != 1 and not is_multi_frame:
            raise _damaged("a single-frame CT image declares another number of frames")
        dataset.NumberOfFrames = count  # some writers of single-frame objects put 0
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        if syntax in UNCOMPRESSED:
            pixels: NDArray[np.integer] = pixel_array(dataset, index=frame if is_multi_frame else None)
            if pixels.shape != shape:
                raise ValueError
            return pixels
        _check_codec(dataset, syntax)
        data = _one_frame(dataset, frame, count)
        _check_frame(data, dataset, syntax, shape)
    return _decoded(data, dataset, syntax, shape)


def _one_frame(dataset: Dataset, frame: int, count: int) -> Any:
    """The bytes of one frame; the other frames are not read."""
    if dataset.PixelData.count(ITEM_TAG) > MAX_FRAGMENTS:
        raise _damaged(f"a CT's compressed pixels are split into more than {MAX_FRAGMENTS} fragments")
    offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    return get_frame(
        dataset.PixelData, frame, number_of_frames=count, extended_offsets=offsets if all(offsets) else None
    )


def _check_frame(data: bytes, dataset: Dataset, syntax: UID, shape: tuple[int, int]) -> None:
    """``DICOM_DAMAGED`` where a frame contradicts the slice's header; checked before any decoder runs."""
    allocated = int(dataset.BitsAllocated)
    if allocated not in (8, 16, 32) or not 1 <= int(dataset.BitsStored) <= int(dataset.HighBit) + 1 <= allocated:
        raise _damaged("BitsAllocated, BitsStored and HighBit of a CT contradict each other")
    if len(data) > MAX_COMPRESSED_RATIO * shape[0] * shape[1] * allocated // 8 + TABLES_BYTES:
        raise _damaged("a CT's compressed pixels are larger than they would be uncompressed")
    if syntax == RLELossless:
        segments = int.from_bytes(data[:4], "little")
        if segments != allocated // 8:
            raise _damaged("the number of a CT's RLE segments is not the number of bytes of a sample")
        return
    stream = describe(data)
    if stream.shape != shape or stream.components != 1 or not 1 <= stream.bits <= allocated:
        raise _damaged("a CT's compressed pixels have another size, number of components or bit depth than its header")
    if stream.tiles > MAX_TILES:
        raise _damaged(f"a CT's JPEG 2000 frame has {stream.tiles} tiles, and at most {MAX_TILES} are read")


def _decoded(data: bytes, dataset: Dataset, syntax: UID, shape: tuple[int, int]) -> NDArray[np.integer]:
    head: dict[str, Any] = {"syntax": str(syntax), **{keyword: int(dataset[keyword].value) for keyword in ATTRIBUTES}}
    pixels = shape[0] * shape[1]
    seconds = DECODING_SECONDS + pixels / DECODING_PIXELS_PER_SECOND
    memory = DECODING_BYTES + DECODING_BYTES_PER_PIXEL * pixels
    try:
        description, (samples,) = call(decode_frame, head, [data], Budget(seconds, memory))
    except Stopped as error:
        if error.reason == "crash":
            raise _damaged("a CT's compressed pixels crash their decoder") from None
        limit = f"{seconds:.2g} s of processor time" if error.reason == "time" else f"{memory / MIB:.0f} MiB of memory"
        hint = "An intact CT slice of this size takes less: export it again, or uncompressed."
        raise TumourError("PIXELS_TOO_COSTLY", f"decoding a CT slice took more than {limit}", hint) from None
    except Failed:
        raise _damaged("a CT's compressed pixels cannot be decoded") from None
    with dicom_errors():
        return np.frombuffer(samples, np.dtype(str(description["dtype"]))).reshape(shape)


def _check_codec(dataset: Dataset, syntax: UID) -> None:
    if has_decoder(syntax) and not (syntax == JPEGExtended12Bit and dataset.BitsStored > JPEG_BITS):
        return
    package = CODEC_PACKAGES.get(str(syntax), "")
    needs = f"reading them needs {package}" if package else "no decoder on this platform reads them"
    hint = "Export the CT uncompressed, or decompress it, for instance with `dcmdjpeg` of DCMTK."
    raise TumourError("CODEC_MISSING", f"the CT's pixels are compressed ({_syntax_name(syntax)}), and {needs}", hint)


def _damaged(message: str) -> TumourError:
    return TumourError("DICOM_DAMAGED", message, "Export it again.")


def _syntax_name(syntax: UID) -> str:
    """The standard's name of a transfer syntax; a private one is not named, since its UID may identify a site."""
    return "private syntax" if syntax.is_private or syntax.name == syntax else str(syntax.name)
