"""Stored pixel values of one frame, whatever its transfer syntax; what is compressed is decoded in another process."""

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
from components.imaging.dicom_io import damage_in_words

#: Most bits of a sample of lossy JPEG that Pillow reads.
JPEG_BITS = 8
#: How an item begins, a fragment of a frame among them (PS3.5 7.5), in either order of bytes.
ITEM_TAG = b"\xfe\xff\x00\xe0"
#: A compressed frame may be larger than its pixels, by tables and by what does not compress, but not by more.
MOST_PACKED, TABLES_BYTES = 2, 2**16
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
    """[rows, columns] values of one frame before any LUT, signed as PixelRepresentation says.

    Parameters
    ----------
    dataset
        With its pixels.
    frame
        Which frame, from 0 on.
    shape
        Rows and columns that the header says.
    is_multi_frame
        Whether the SOP class may have more than one frame.

    Raises
    ------
    TumourError
        ``CODEC_MISSING`` (says which package reads it, where one does), ``PIXELS_TOO_COSTLY`` (more time or memory
        than a slice takes) or ``DICOM_DAMAGED``.
    """
    with damage_in_words():
        count = int(dataset.get("NumberOfFrames") or 1)
        if count != 1 and not is_multi_frame:
            raise _damaged("a CT Image of one frame says that it has another number of them")
        dataset.NumberOfFrames = count  # 0 is written where there is no thought of frames
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
    """The bytes of one frame; no other is looked at."""
    if dataset.PixelData.count(ITEM_TAG) > MAX_FRAGMENTS:
        raise _damaged(f"a CT's compressed pixels lie in more than {MAX_FRAGMENTS} fragments")
    offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    return get_frame(
        dataset.PixelData, frame, number_of_frames=count, extended_offsets=offsets if all(offsets) else None
    )


def _check_frame(data: bytes, dataset: Dataset, syntax: UID, shape: tuple[int, int]) -> None:
    """``DICOM_DAMAGED`` where a frame is not what the slice's header says of it; no decoder has seen it yet."""
    allocated = int(dataset.BitsAllocated)
    if allocated not in (8, 16, 32) or not 1 <= int(dataset.BitsStored) <= int(dataset.HighBit) + 1 <= allocated:
        raise _damaged("BitsAllocated, BitsStored and HighBit of a CT do not fit each other")
    if len(data) > MOST_PACKED * shape[0] * shape[1] * allocated // 8 + TABLES_BYTES:
        raise _damaged("a CT's compressed pixels are larger than they are without compression")
    if syntax == RLELossless:
        segments = int.from_bytes(data[:4], "little")
        if segments != allocated // 8:
            raise _damaged("a CT's RLE segments are not the bytes of its samples")
        return
    found = describe(data)
    if found.shape != shape or found.components != 1 or not 1 <= found.bits <= allocated:
        raise _damaged("a CT's compressed pixels say another size, number of components or of bits than its header")
    if found.tiles > MAX_TILES:
        raise _damaged(f"a CT's JPEG 2000 frame has {found.tiles} tiles, and at most {MAX_TILES} are read")


def _decoded(data: bytes, dataset: Dataset, syntax: UID, shape: tuple[int, int]) -> NDArray[np.integer]:
    head: dict[str, Any] = {"syntax": str(syntax), **{keyword: int(dataset[keyword].value) for keyword in ATTRIBUTES}}
    pixels = shape[0] * shape[1]
    seconds = DECODING_SECONDS + pixels / DECODING_PIXELS_PER_SECOND
    memory = DECODING_BYTES + DECODING_BYTES_PER_PIXEL * pixels
    try:
        told, (samples,) = call(decode_frame, head, [data], Budget(seconds, memory))
    except Stopped as error:
        if error.reason == "crash":
            raise _damaged("a CT's compressed pixels end their decoder") from None
        bound = f"{seconds:.2g} s of a processor" if error.reason == "time" else f"{memory / MIB:.0f} MiB of memory"
        hint = "No CT slice of its size takes that: export it again, or uncompressed."
        raise TumourError("PIXELS_TOO_COSTLY", f"decoding a CT slice took more than {bound}", hint) from None
    except Failed:
        raise _damaged("a CT's compressed pixels cannot be decoded") from None
    with damage_in_words():
        return np.frombuffer(samples, np.dtype(str(told["dtype"]))).reshape(shape)


def _check_codec(dataset: Dataset, syntax: UID) -> None:
    if has_decoder(syntax) and not (syntax == JPEGExtended12Bit and dataset.BitsStored > JPEG_BITS):
        return
    package = CODEC_PACKAGES.get(str(syntax), "")
    needs = f"reading them needs {package}" if package else "no decoder of this platform reads them"
    hint = "Export the CT uncompressed, or decompress it, with `dcmdjpeg` of DCMTK for instance."
    raise TumourError("CODEC_MISSING", f"the CT's pixels are compressed ({_spoken(syntax)}), and {needs}", hint)


def _damaged(message: str) -> TumourError:
    return TumourError("DICOM_DAMAGED", message, "Export it again.")


def _spoken(syntax: UID) -> str:
    """The standard's name of a transfer syntax; a private one stays unnamed."""
    return "private syntax" if syntax.is_private or syntax.name == syntax else str(syntax.name)
