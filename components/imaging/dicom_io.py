"""Reads DICOM files from a source: headers from their first bytes, whole files only where they are needed."""

import struct
import zlib
from collections.abc import Sequence
from functools import partial
from io import BytesIO

import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from components.common.errors import TumourError
from components.common.limits import (
    MAX_FRAMES_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADER_ELEMENTS,
    MAX_IMAGE_ELEMENTS,
    MAX_INFLATED_BYTES,
    MAX_RTSTRUCT_BYTES,
    MIB,
)
from components.common.store.base import Source
from components.imaging.attributes import text
from components.imaging.elements import MAGIC, META_GROUP, Header, check_size, end_of_meta, read_header
from components.imaging.pydicom_errors import damaged, dicom_errors
from components.imaging.structure import too_large

#: Bytes of the first read; the header of a planning CT slice takes 2 to 8 kB.
HEAD_BYTES = 12 * 1024
#: Last group of a header: the groups of RT objects (3006 has the contours), frames (5200) and pixels come later.
LAST_HEADER_GROUP = 0x2FFF
#: Group of pixel data, float pixel data included.
PIXEL_GROUP = 0x7FE0
#: Transfer syntaxes: deflated explicit little endian, and the one that a file has once inflated (PS3.5 A.2 and A.5).
DEFLATED, EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1"
DICOMDIR = "1.2.840.10008.1.3.10"
#: Start of files without preamble, such as old exports and the default output of some toolkits: the tag of the first
#: element of a file meta or of an object, which lies in one of these groups.
FIRST_TAGS = frozenset(
    struct.pack(order, tag >> 16, tag & 0xFFFF)
    for tag in (0x00080000, *DicomDictionary)
    if tag >> 16 in (META_GROUP, 0x0008)
    for order in ("<HH", ">HH")
)


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
