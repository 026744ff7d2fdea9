"""DICOM files read from a source: headers by their first bytes, whole files only when asked for.

pydicom's own warnings and errors quote values, which may be identity: they are turned off or put into other words here.
"""

import logging
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from components.common.errors import SrsError, TumourError
from components.common.objects import Entry, Source
from components.preprocess.elements import quick_header

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")

#: First bytes asked for; the header of a planning CT slice takes 2 to 8 kB.
HEAD_BYTES = 16 * 1024
#: Last group of a header: those of RT objects (3006 has the contours), of frames (5200) and of pixels come later.
LAST_HEADER_GROUP = 0x2FFF
#: First group of pixel data, its float kinds included.
PIXEL_GROUP = 0x7FE0
#: Deflated explicit little endian, and what it becomes (PS3.5 A.2 and A.5).
DEFLATED, EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1"
#: Value of (0002,0000), the length of the rest of the file meta, and where that rest begins (PS3.10 7.1).
META_LENGTH, META_START = slice(140, 144), 144
#: VRs whose bytes are their text where they are ASCII.
PLAIN_TEXT = frozenset(("CS", "LO", "SH", "UI"))
#: Most bytes of an inflated file: an enhanced CT of 500 frames.
MAX_INFLATED_BYTES = 2**28
DICOMDIR = "1.2.840.10008.1.3.10"
#: Headers of one folder read side by side: reading waits for the disk or the server far longer than for Python.
HEADERS_AT_ONCE = 8
#: Where a DICOM file says that it is one (PS3.10 7.1), and how old exports begin that do not.
MAGIC = slice(128, 132)
FIRST_TAGS = (b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x16\0", b"\x02\0\0\0")


@contextmanager
def damage_in_words() -> Iterator[None]:
    """Whatever pydicom raises on broken bytes as ``DICOM_DAMAGED``; it has no exception type of its own for that."""
    try:
        yield
    except SrsError:
        raise
    except Exception:
        raise TumourError(
            "DICOM_DAMAGED", "a DICOM file is damaged: it cannot be read as what it says it is", "Export it again."
        ) from None


def read_header(source: Source, entry: Entry, last_group: int = LAST_HEADER_GROUP) -> Dataset | None:
    """Attributes up to a group of a DICOM file; None where it is no DICOM file.

    Raises
    ------
    TumourError
        ``DICOM_DAMAGED``.
    """
    size = HEAD_BYTES
    while True:
        data = source.read_head(entry.name, size)
        if data[MAGIC] != b"DICM" and data[:4] not in FIRST_TAGS:
            return None
        header = _parse(data, last_group, whole=len(data) < size)
        if header is not None:
            _refuse_nameless(header)
            return header
        size *= 8


def _refuse_nameless(header: Dataset) -> None:
    """Every DICOM object says its class, but for a DICOMDIR, which says it in the file meta only."""
    if not text(header, "SOPClassUID") and text(header.file_meta, "MediaStorageSOPClassUID") != DICOMDIR:
        raise TumourError("DICOM_DAMAGED", "a DICOM file does not say what it is", "Export it again.")


def read_all(source: Source, name: str) -> Dataset:
    """All attributes of a file without pixels; ``DICOM_DAMAGED`` where that fails."""
    header = _parse(source.read(name), PIXEL_GROUP - 1, whole=True)
    assert header is not None
    return header


def read_whole(source: Source, name: str) -> Dataset:
    """The whole file; ``DICOM_DAMAGED`` where that fails."""
    data = source.read(name)
    with damage_in_words():
        dataset = pydicom.dcmread(BytesIO(inflate(data)), force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:  # an export without file meta has no compressed pixels
            implicit = dataset.original_encoding[0]
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        return dataset


def text(header: Dataset, keyword: str) -> str:
    """An attribute as text, "" where it is absent or empty."""
    with damage_in_words():
        raw = header.get_item(keyword)
        if isinstance(raw, RawDataElement) and raw.VR in PLAIN_TEXT and raw.value and raw.value.isascii():
            return bytes(raw.value).decode("ascii").strip(" \0")
        value = header.get(keyword)
        return "" if value is None else str(value).strip().strip("\0")


def numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    """``count`` finite numbers; ``DICOM_DAMAGED`` where there are others."""
    with damage_in_words():
        raw = header.get_item(keyword)
        if isinstance(raw, RawDataElement) and raw.value and raw.VR in ("DS", None) and dictionary_VR(raw.tag) == "DS":
            # text as stored, since a DSfloat object for every number is most of the time of a series
            found = tuple(float(v) for v in raw.value.decode("ascii").strip(" \0").split("\\"))
        else:
            value: Any = header.get(keyword)
            found = tuple(float(v) for v in (value if count > 1 else [value]))
        if len(found) != count or any(v != v or abs(v) > 1e9 for v in found):
            raise ValueError
        return found


def inflate(data: bytes, most: int | None = None, *, cut: bool = False) -> bytes:
    """A deflated file as explicit little endian, as far as ``data`` goes; any other as it is.

    pydicom inflates too, but neither the start of a file nor with a bound. Above ``most`` bytes (by default
    MAX_INFLATED_BYTES) it ends there where ``cut``, else it raises ``ValueError``.
    """
    most = MAX_INFLATED_BYTES if most is None else most
    if DEFLATED not in data[:1024]:
        return data
    start = META_START + int.from_bytes(data[META_LENGTH], "little")
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    body = stream.decompress(data[start:], max(most, 1))  # zlib takes 0 for no bound
    if len(body) >= most and not cut:
        raise ValueError
    return data[:start].replace(DEFLATED, EXPLICIT.ljust(len(DEFLATED), b"\0")) + body


def _parse(data: bytes, last_group: int, *, whole: bool) -> Dataset | None:
    """The attributes up to ``last_group``; None where ``data`` ends before that and there is more to read."""
    if quick := quick_header(data, last_group):
        return quick
    reached = False

    def beyond(tag: Any, vr: str | None, length: int) -> bool:  # noqa: ARG001
        nonlocal reached
        reached = reached or tag >> 16 > last_group
        return reached

    stop: Callable[[Any, str | None, int], bool] = beyond
    try:
        with damage_in_words():
            header: Dataset = read_partial(BytesIO(inflate(data)), stop_when=stop, force=True)
    except TumourError:
        if whole:
            raise
        return None
    return header if reached or whole else None
