"""The top-level elements of a DICOM header without decoding one: what makes reading thousands of headers quick.

pydicom decodes an element when it is asked for, but parses every item of every sequence at once, which is most of the
time of a header. Here sequences stay bytes too. Whatever is not plain little endian is left to pydicom.
"""

import struct

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement, convert_raw_data_element, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

#: VRs with a 2-byte length, and those with 2 reserved and 4 length bytes (PS3.5 7.1.2).
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
META_LENGTH_TAG, CHARACTER_SET = 0x00020000, 0x00080005
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
#: Sequences inside each other beyond which a file is left to pydicom.
MAX_DEPTH = 16

_TAG, _SHORT, _LONG = struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<L")


def quick_header(data: bytes, last_group: int) -> Dataset | None:
    """The elements up to a group, as ``pydicom.dcmread`` would give them; None where that is pydicom's to do.

    Parameters
    ----------
    data
        The start of a file, with its preamble.
    last_group
        Last group wanted; the data must reach beyond it.
    """
    if data[128:132] != b"DICM":
        return None
    try:
        meta, start = _elements(data, 132, 0x0002, implicit=False)
        syntax = bytes(meta[0x00020010].value or b"").decode("ascii").strip(" \0")
        if syntax in ("", DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
            return None
        implicit = syntax == ImplicitVRLittleEndian
        if implicit == (data[start + 4 : start + 6] in SHORT_VRS):
            return None
        found, _ = _elements(data, start, last_group, implicit=implicit)
        dataset = Dataset({BaseTag(tag): element for tag, element in found.items()})
        dataset.set_original_encoding(implicit, True, _encoding(found))
        dataset.file_meta = FileMetaDataset({BaseTag(tag): element for tag, element in meta.items()})
        return dataset
    except (_NotPlain, struct.error, KeyError, UnicodeDecodeError, LookupError, ValueError):
        return None


class _NotPlain(Exception):
    """Bytes that are no plain element."""


def _elements(data: bytes, at: int, last_group: int, *, implicit: bool) -> tuple[dict[int, RawDataElement], int]:
    """Elements from ``at`` up to the first of a group beyond ``last_group``, and where that begins."""
    found: dict[int, RawDataElement] = {}
    before = 0
    while True:
        if _SHORT.unpack_from(data, at)[0] > last_group:
            return found, at
        tag, vr, length, start = _head(data, at, implicit=implicit)
        if tag <= before:
            raise _NotPlain
        before = tag
        end = _end(data, start, length, vr, 0, implicit=implicit)
        last = end - 8 if length == UNDEFINED else end
        name = "SQ" if length == UNDEFINED else vr and vr.decode("ascii")
        value = data[start:last] or empty_value_for_VR(name, raw=True)
        found[tag] = RawDataElement(BaseTag(tag), name, last - start, value, start, implicit, True)
        at = end


def _head(data: bytes, at: int, *, implicit: bool) -> tuple[int, bytes | None, int, int]:
    """Tag, VR, length of the value, and where the value begins."""
    group, number = _TAG.unpack_from(data, at)
    tag = group << 16 | number
    if implicit or group == 0xFFFE:
        return tag, None, _LONG.unpack_from(data, at + 4)[0], at + 8
    vr = data[at + 4 : at + 6]
    if vr in SHORT_VRS:
        return tag, vr, _SHORT.unpack_from(data, at + 6)[0], at + 8
    if vr in LONG_VRS:
        return tag, vr, _LONG.unpack_from(data, at + 8)[0], at + 12
    raise _NotPlain


def _end(data: bytes, start: int, length: int, vr: bytes | None, depth: int, *, implicit: bool) -> int:
    """Where an element ends, the delimiter of a sequence of undefined length included."""
    if length != UNDEFINED:
        if start + length > len(data):
            raise _NotPlain
        return start + length
    if vr not in (None, b"SQ") or depth > MAX_DEPTH:
        raise _NotPlain
    at = start
    while True:
        tag, _, length, inside = _head(data, at, implicit=implicit)
        if tag == SEQUENCE_END:
            return inside
        if tag != ITEM:
            raise _NotPlain
        at = _item_end(data, inside, length, depth, implicit=implicit)


def _item_end(data: bytes, at: int, length: int, depth: int, *, implicit: bool) -> int:
    if length != UNDEFINED:
        return at + length
    while True:
        tag, vr, length, start = _head(data, at, implicit=implicit)
        if tag == ITEM_END:
            return start
        at = _end(data, start, length, vr, depth + 1, implicit=implicit)


def _encoding(found: dict[int, RawDataElement]) -> list[str] | str:
    if CHARACTER_SET not in found:
        return "iso8859"
    encodings: list[str] = convert_encodings(convert_raw_data_element(found[CHARACTER_SET]).value)
    return encodings
