"""Reads DICOM files from a source: headers from their first bytes, whole files only where they are needed.

pydicom's warnings and errors quote values, which may be identity: warnings are turned off, errors are replaced by ours.
"""

import functools
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Any

import pydicom
from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from components.common.contained_call import is_contained
from components.common.errors import SrsError, TumourError
from components.common.limits import (
    MAX_DICOM_TEXT_BYTES,
    MAX_FRAMES_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADER_ELEMENTS,
    MAX_IMAGE_ELEMENTS,
    MAX_INFLATED_BYTES,
    MAX_RTSTRUCT_BYTES,
    MIB,
)
from components.common.store.base import Source
from components.imaging.elements import MAGIC as MAGIC
from components.imaging.elements import META_GROUP, Header, check_size, end_of_meta, read_header
from components.imaging.structure import too_large

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")

#: Bytes of the first read; the header of a planning CT slice takes 2 to 8 kB.
HEAD_BYTES = 12 * 1024
#: Last group of a header: the groups of RT objects (3006 has the contours), frames (5200) and pixels come later.
LAST_HEADER_GROUP = 0x2FFF
#: Group of pixel data, float pixel data included.
PIXEL_GROUP = 0x7FE0
#: Transfer syntaxes: deflated explicit little endian, and the one that a file has once inflated (PS3.5 A.2 and A.5).
DEFLATED, EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1"
#: VRs whose values can be decoded as ASCII without pydicom.
PLAIN_TEXT = frozenset(("CS", "LO", "SH", "UI"))
#: Switches the character set inside a text (ISO 2022); the sequence itself is ASCII.
ESCAPE = b"\x1b"
DICOMDIR = "1.2.840.10008.1.3.10"
#: Start of files without preamble, such as old exports and the default output of some toolkits: the tag of the first
#: element of a file meta or of an object, which lies in one of these groups.
FIRST_TAGS = frozenset(
    struct.pack(order, tag >> 16, tag & 0xFFFF)
    for tag in (0x00080000, *DicomDictionary)
    if tag >> 16 in (META_GROUP, 0x0008)
    for order in ("<HH", ">HH")
)


@contextmanager
def dicom_errors() -> Iterator[None]:
    """Raises any exception of pydicom as ``DICOM_DAMAGED``: pydicom has no exception type of its own for broken bytes.

    A lack of memory is not damage: it is raised as ``DICOM_TOO_LARGE``; in a contained call it passes through and ends
    the call, whose error gives the limit.
    """
    try:
        yield
    except SrsError:
        raise
    except MemoryError:
        if is_contained():
            raise
        raise too_large("more data than fits in memory") from None
    except Exception:
        raise damaged("it cannot be decoded") from None


def read_headers(
    source: Source, names: Sequence[str], last_group: int = LAST_HEADER_GROUP
) -> list[Header | TumourError | None]:
    """The header of each file up to a group, or the error of reading it; None for a file that is not DICOM."""
    results: dict[str, Header | TumourError | None] = {}
    most = MAX_HEADER_BYTES if last_group <= LAST_HEADER_GROUP else MAX_FRAMES_BYTES
    size, remaining = HEAD_BYTES, list(names)
    while remaining:
        make = partial(_header, last_group=last_group, size=size, most=most)
        heads = source.map_heads(make, remaining, size)
        results |= dict(zip(remaining, heads, strict=True))
        remaining = [name for name in remaining if results[name] is _CUT_OFF]
        size = min(8 * size, most + 1)
    return [results[name] for name in names]


_CUT_OFF = TumourError("DICOM_DAMAGED", "a header ends beyond what was read", "Export it again.")


def _header(head: bytes, last_group: int, size: int, most: int) -> Header | TumourError | None:
    """The header in the first ``size`` bytes of a file; ``_CUT_OFF`` where it needs more bytes than that."""
    if head[MAGIC] != b"DICM" and head[:4] not in FIRST_TAGS:
        return None
    try:
        header = _parse(head, last_group, most, whole=len(head) < size)
        if header is None:
            return _CUT_OFF
        if not text(header, "SOPClassUID") and text(header, "MediaStorageSOPClassUID") != DICOMDIR:
            # every object has one, except a DICOMDIR, which has it in the file meta only
            raise damaged("it has no SOPClassUID")
    except TumourError as error:
        return error
    return header


def read_rtstruct(source: Source, name: str) -> Header:
    """All attributes of an RTSTRUCT; ``DICOM_DAMAGED`` or ``DICOM_TOO_LARGE`` where that fails."""
    header = _parse(source.read(name), PIXEL_GROUP - 1, MAX_RTSTRUCT_BYTES, whole=True)
    assert header is not None
    return header


def read_dataset(source: Source, name: str) -> Dataset:
    """The whole file; ``DICOM_DAMAGED`` or ``DICOM_TOO_LARGE`` where that fails."""
    data = source.read(name)
    with dicom_errors():
        plain = inflate(data)
        check_size(plain, PIXEL_GROUP - 1, MAX_IMAGE_ELEMENTS)
        dataset = pydicom.dcmread(BytesIO(plain), force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:  # an export without file meta has no compressed pixels
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        return dataset


def text(header: Header | Dataset, keyword: str) -> str:
    """An attribute as text, "" where it is absent or empty; ``DICOM_DAMAGED`` where it cannot be read."""
    with dicom_errors():
        stored = _stored_text(header, keyword)
        if stored is not None:
            return stored
        value = _value(header, keyword)
        if isinstance(value, MultiValue):  # a name may hold a backslash, which is what divides values
            value = "\\".join(map(str, value))
        return "" if value is None else str(value).strip().strip("\0")


def _stored_text(header: Header | Dataset, keyword: str) -> str | None:
    """A text that can be read without pydicom; None where pydicom must decode it."""
    vr, value = _stored(header, keyword)
    if value is None or value in ("", b""):
        return ""
    if isinstance(value, bytes) and (vr or _vr(keyword)) in PLAIN_TEXT and value.isascii() and ESCAPE not in value:
        return value.decode("ascii").strip(" \0")
    if _tag(keyword) >> 16 == META_GROUP and isinstance(header, Header):  # pydicom's data set has no file meta
        return "" if isinstance(value, bytes) else str(value).strip()
    return None


def _stored(header: Header | Dataset, keyword: str) -> tuple[str | None, Any]:
    """VR and undecoded value; ``DICOM_DAMAGED`` where the value is implausibly long."""
    if isinstance(header, Header):
        vr, value = header.elements.get(_tag(keyword), (None, None))
    else:
        raw = header.get_item(keyword)
        vr, value = (None, None) if raw is None else (raw.VR, raw.value)
    if isinstance(value, bytes) and len(value) > MAX_DICOM_TEXT_BYTES:
        raise damaged(f"{keyword} is longer than {MAX_DICOM_TEXT_BYTES} bytes")
    return vr, value


def _value(header: Header | Dataset, keyword: str) -> Any:
    if isinstance(header, Header):
        return header.element(_tag(keyword)).value if _tag(keyword) in header.elements else None
    return header.get(keyword)


def damaged(what: str) -> TumourError:
    """``DICOM_DAMAGED`` with a description of the damage, which must not quote a value of the file."""
    return TumourError("DICOM_DAMAGED", f"a DICOM file is damaged: {what}", "Export it again.")


def numbers(
    header: Header | Dataset, keyword: str, count: int, within: tuple[float, float] = (-1e9, 1e9)
) -> tuple[float, ...]:
    """``count`` numbers within a range; ``DICOM_DAMAGED`` names the attribute that is missing or has other values."""
    _, value = _stored(header, keyword)
    if value is None or value in ("", b""):
        raise damaged(f"it has no {keyword}")
    try:
        with dicom_errors():
            values = _stored_numbers(header, keyword) if isinstance(header, Header) else None
            if values is None:
                value = _value(header, keyword)
                values = tuple(float(v) for v in (value if count > 1 else [value]))
    except TumourError:
        raise damaged(f"{keyword} is not a number") from None
    if len(values) != count:
        raise damaged(f"{keyword} has {len(values)} values instead of {count}")
    if not all(within[0] <= number <= within[1] for number in values):  # False for NaN
        raise damaged(f"{keyword} is not between {within[0]:g} and {within[1]:g}")
    return values


def _stored_numbers(header: Header, keyword: str) -> tuple[float, ...] | None:
    """Numbers parsed without pydicom, whose objects for them take most of the time of a series; None: use pydicom."""
    stored_vr, value = header.elements.get(_tag(keyword), (None, None))
    vr = stored_vr or _vr(keyword)
    if not value or not isinstance(value, bytes) or vr != _vr(keyword):
        return None
    if vr in ("DS", "IS"):
        return tuple(_number(number) for number in value.strip(b" \0").split(b"\\"))
    return (int.from_bytes(value, "little"),) if vr == "US" and len(value) == 2 and header.is_little_endian else None


def _number(digits: bytes) -> float:
    """Python reads 1_0 as 10, DICOM does not."""
    if b"_" in digits:
        raise ValueError
    return float(digits)


@functools.cache
def _tag(keyword: str) -> int:
    return int(Tag(keyword))


@functools.cache
def _vr(keyword: str) -> str:
    return str(dictionary_VR(keyword))


def inflate(data: bytes, most: int | None = None, *, cut: bool = False) -> bytes:
    """A deflated file as explicit little endian, as far as ``data`` reaches; any other file unchanged.

    pydicom can neither inflate only the start of a file nor limit the size. The result is cut off at ``most`` bytes (by
    default MAX_INFLATED_BYTES) where ``cut``; otherwise more bytes raise ``ValueError``.
    """
    most = MAX_INFLATED_BYTES if most is None else most
    if DEFLATED not in data[:1024]:
        return data
    start = end_of_meta(data, MAGIC.stop if data[MAGIC] == b"DICM" else 0)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    body = stream.decompress(data[start:], max(most, 1))  # zlib takes 0 for no limit
    if len(body) >= most and not cut:
        raise ValueError
    return data[:start].replace(DEFLATED, EXPLICIT.ljust(len(DEFLATED), b"\0")) + body


def _parse(data: bytes, last_group: int, most: int, *, whole: bool) -> Header | None:
    """The elements up to ``last_group``; None where ``data`` ends before them and the file goes on.

    ``DICOM_TOO_LARGE`` where they take more than ``most`` bytes.
    """
    plain = b""
    try:
        with dicom_errors():
            plain = inflate(data, most + 1, cut=True)
            elements = MAX_HEADER_ELEMENTS if last_group <= LAST_HEADER_GROUP else None
            header, end = read_header(plain[: most + 1], last_group, elements)
            if end < min(len(plain), most + 1) or (whole and len(plain) <= most):
                return header
    except TumourError as error:
        if error.code == "DICOM_TOO_LARGE" or (whole and len(plain) <= most):
            raise
    if len(plain) > most:
        raise too_large(f"attributes of more than {most / MIB:g} MiB")
    return None
