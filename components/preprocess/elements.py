"""The top-level elements of a DICOM header without decoding one: what makes reading thousands of headers quick.

pydicom parses every item of every sequence at once and makes an object of every element, which is nearly all of the
time of a header. Here they stay bytes until one is asked for. Whatever is not plain little endian is left to pydicom.
"""

import functools
import struct
from collections.abc import Mapping
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement, convert_raw_data_element, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

#: VRs with a 2-byte length, and those with 2 reserved and 4 length bytes (PS3.5 7.1.2).
SHORT_VRS = {vr.encode(): vr for vr in "AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()}  # noqa: SIM905
LONG_VRS = {vr.encode(): vr for vr in "OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()}  # noqa: SIM905
TRANSFER_SYNTAX, CHARACTER_SET = 0x00020010, 0x00080005
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
#: Sequences inside each other beyond which a file is left to pydicom.
MAX_DEPTH = 16
#: Where the file meta begins, behind the preamble and "DICM" (PS3.10 7.1).
META, META_GROUP = 132, 0x0002

#: Group, number, VR and 2-byte length of an element.
_EXPLICIT, _GROUP, _LONG = struct.Struct("<HH2sH"), struct.Struct("<H"), struct.Struct("<L")


class Header:
    """The elements of a DICOM object up to some group, the file meta's among them, decoded when they are asked for.

    Parameters
    ----------
    elements
        By tag, in their order: the VR as it is encoded (None where it is not) and the value: its bytes, or what pydicom
        has decoded.
    dataset
        The same as pydicom gives them, without the file meta; None makes it of ``elements`` when it is asked for.
    encoding
        Whether ``elements`` were read without VRs, and the character sets of their text.
    """

    __slots__ = ("_dataset", "_encoding", "elements")

    def __init__(
        self,
        elements: Mapping[int, tuple[str | None, Any]],
        dataset: Dataset | None = None,
        encoding: tuple[bool, tuple[str, ...]] = (False, ()),
    ) -> None:
        self.elements, self._dataset, self._encoding = elements, dataset, encoding

    @classmethod
    def of(cls, dataset: Dataset) -> "Header":
        """The header that pydicom has read."""
        found = [*getattr(dataset, "file_meta", Dataset()).values(), *dataset.values()]
        return cls({int(element.tag): (element.VR, element.value) for element in found}, dataset)

    @property
    def is_little_endian(self) -> bool:
        """Whether values that are bytes are certainly little endian."""
        return self._dataset is None or bool(self._dataset.original_encoding[1])

    @property
    def dataset(self) -> Dataset:
        """All but the file meta, as pydicom decodes it."""
        if self._dataset is None:
            implicit, character_sets = self._encoding
            found = {
                BaseTag(tag): RawDataElement(
                    BaseTag(tag), vr, len(value), value or empty_value_for_VR(vr, raw=True), 0, implicit, True
                )
                for tag, (vr, value) in self.elements.items()
                if tag >> 16 > META_GROUP
            }
            self._dataset = Dataset(found)
            self._dataset.set_original_encoding(implicit, True, list(character_sets))
        return self._dataset


def quick_header(data: bytes, last_group: int) -> Header | None:
    """The elements up to a group, as ``pydicom.dcmread`` would give them; None where that is pydicom's to do.

    Parameters
    ----------
    data
        The start of a file, with its preamble.
    last_group
        Last group wanted; the data must reach beyond it.
    """
    if data[META - 4 : META + 2] != b"DICM\2\0":
        return None
    try:
        found: dict[int, tuple[str | None, bytes]] = {}
        start = _read(data, META, META_GROUP, found, implicit=False)
        syntax = found[TRANSFER_SYNTAX][1].decode("ascii").strip(" \0")
        if syntax in ("", DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
            return None
        implicit = syntax == ImplicitVRLittleEndian
        if implicit == (data[start + 4 : start + 6] in SHORT_VRS):
            return None
        _read(data, start, last_group, found, implicit=implicit)
        return Header(found, encoding=(implicit, _character_sets(found.get(CHARACTER_SET, ("CS", b""))[1])))
    except (_NotPlain, struct.error, KeyError, UnicodeDecodeError, LookupError, ValueError):
        return None


def end_of_meta(data: bytes, start: int) -> int:
    """Where the file meta that begins at ``start`` ends: not every writer says how long it is (PS3.10 7.1).

    Raises
    ------
    ValueError
        It is damaged.
    """
    try:
        while _GROUP.unpack_from(data, start)[0] == META_GROUP:
            _, _, length, inside = _head(data, start, implicit=False)
            start = inside + length
        return start
    except (_NotPlain, struct.error):
        raise ValueError from None


class _NotPlain(Exception):
    """Bytes that are no plain element."""


def _read(data: bytes, at: int, last_group: int, found: dict[int, tuple[str | None, bytes]], *, implicit: bool) -> int:
    """Puts the elements from ``at`` up to the first of a group beyond ``last_group``, and says where that begins."""
    before = 0
    while _GROUP.unpack_from(data, at)[0] <= last_group:
        tag, vr, length, start = _head(data, at, implicit=implicit)
        if tag <= before:
            raise _NotPlain
        before = tag
        if length != UNDEFINED:
            at = start + length
            if at > len(data):
                raise _NotPlain
            found[tag] = vr, data[start:at]
        else:
            at = _end_of_sequence(data, start, vr, 0, implicit=implicit)
            found[tag] = "SQ", data[start : at - 8]
    return at


def _head(data: bytes, at: int, *, implicit: bool) -> tuple[int, str | None, int, int]:
    """Tag, VR, length of the value, and where the value begins."""
    group, number, code, length = _EXPLICIT.unpack_from(data, at)
    tag = group << 16 | number
    if implicit or group == ITEM >> 16:
        return tag, None, _LONG.unpack_from(data, at + 4)[0], at + 8
    if code in SHORT_VRS:
        return tag, SHORT_VRS[code], length, at + 8
    if code in LONG_VRS:
        return tag, LONG_VRS[code], _LONG.unpack_from(data, at + 8)[0], at + 12
    raise _NotPlain


def _end_of_sequence(data: bytes, at: int, vr: str | None, depth: int, *, implicit: bool) -> int:
    """Where a sequence of undefined length ends, its delimiter included."""
    if vr not in (None, "SQ") or depth > MAX_DEPTH:
        raise _NotPlain
    while True:
        tag, _, length, inside = _head(data, at, implicit=implicit)
        if tag == SEQUENCE_END:
            return inside
        if tag != ITEM:
            raise _NotPlain
        at = inside + length if length != UNDEFINED else _end_of_item(data, inside, depth, implicit=implicit)


def _end_of_item(data: bytes, at: int, depth: int, *, implicit: bool) -> int:
    while True:
        tag, vr, length, start = _head(data, at, implicit=implicit)
        if tag == ITEM_END:
            return start
        deeper = length == UNDEFINED
        at = _end_of_sequence(data, start, vr, depth + 1, implicit=implicit) if deeper else start + length


@functools.cache
def _character_sets(value: bytes) -> tuple[str, ...]:
    """Python's names of what SpecificCharacterSet says; as pydicom, Latin 1 where it says nothing."""
    if not value:
        return ("iso8859",)
    element = RawDataElement(BaseTag(CHARACTER_SET), "CS", len(value), value, 0, False, True)
    return tuple(convert_encodings(convert_raw_data_element(element).value))
