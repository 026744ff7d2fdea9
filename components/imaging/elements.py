"""The elements of a DICOM header or item without decoding one: what makes reading thousands of headers quick.

pydicom parses every item of every sequence at once and makes an object of every element, which is nearly all of the
time of a header. Here they stay bytes until one is asked for, and sequences stay closed until they are opened.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.hooks import raw_element_vr
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from components.imaging.structure import (
    ALL_GROUPS,
    EXPLICIT,
    Count,
    Elements,
    Encoding,
    has_vr,
    read_elements,
    read_items,
)

TRANSFER_SYNTAX, CHARACTER_SET = 0x00020010, 0x00080005
#: Where DICOM files say that they are some, behind their preamble (PS3.10 7.1), the group of the file meta, and that of
#: what belongs to a message and no file, which some leave before the object (PS3.7 6.3).
MAGIC, META_GROUP, COMMAND_GROUP = slice(128, 132), 0x0002, 0x0000
#: Longest SpecificCharacterSet: all that DICOM has, twice.
MAX_CHARACTER_SET_BYTES = 1024
#: A first group from here on is read in the wrong byte order, as pydicom has it: objects begin with group 8.
SWAPPED_GROUP = 0x0400


class Header:
    """The elements of a DICOM object or item up to some group, the file meta's among them, decoded when asked for.

    Parameters
    ----------
    elements
        By tag, in their order: the VR as it is encoded (None where it is not) and the value: its bytes, or what pydicom
        has decoded.
    dataset
        The same as pydicom gives them, without the file meta; None makes it of ``elements`` when it is asked for.
    encoding
        How ``elements`` are encoded.
    character_sets
        Python's names of those of their text, where they do not say it themselves.
    count, depth
        What may still be read of their file, and how many sequences are around them.
    """

    __slots__ = ("_character_sets", "_dataset", "_depth", "count", "elements", "encoding")

    def __init__(
        self,
        elements: Mapping[int, tuple[str | None, Any]],
        dataset: Dataset | None = None,
        *,
        encoding: Encoding = EXPLICIT,
        character_sets: Sequence[str] = ("iso8859",),
        count: Count | None = None,
        depth: int = 0,
    ) -> None:
        self.elements, self._dataset, self.encoding = elements, dataset, encoding
        own = elements.get(CHARACTER_SET, (None, None))[1]
        self._character_sets = _character_sets(own) if isinstance(own, bytes) else character_sets
        self.count, self._depth = count or Count(), depth

    @classmethod
    def of(cls, dataset: Dataset) -> "Header":
        """The header that pydicom has read."""
        found = [*getattr(dataset, "file_meta", Dataset()).values(), *dataset.values()]
        return cls({int(element.tag): (element.VR, element.value) for element in found}, dataset)

    @property
    def is_little_endian(self) -> bool:
        """Whether values that are bytes are certainly little endian."""
        return self.encoding.little if self._dataset is None else bool(self._dataset.original_encoding[1])

    def items(self, sequence: str | int) -> list["Header"]:
        """The items of a sequence by its keyword or tag, none where it is absent or empty.

        Raises
        ------
        ValueError, struct.error
            It is damaged, or no sequence.
        TumourError
            ``DICOM_TOO_LARGE``.
        """
        tag = sequence if isinstance(sequence, int) else int(tag_for_keyword(sequence) or 0)
        _, value = self.elements.get(tag, (None, None))
        if not value:
            return []
        if not isinstance(value, bytes):
            return [Header.of(item) for item in value]
        if self.vr_of(tag) not in ("SQ", "UN"):
            raise ValueError
        shared: dict[str, Any] = {"character_sets": self._character_sets, "count": self.count}
        found = read_items(value, self.encoding, self.count, self._depth + 1)
        return [Header(elements, encoding=each, depth=self._depth + 1, **shared) for elements, each in found]

    def vr_of(self, tag: int) -> str:
        """The VR of an element as pydicom decodes it: its own, or where it tells none, the dictionary's."""
        told: dict[str, str] = {}
        vr, value = self.elements[tag]
        if vr not in (None, "UN") or not isinstance(value, bytes):
            return vr or "UN"
        raw_element_vr(self._raw(tag, vr, value), told, ds=self.dataset)
        return told["VR"]

    def element(self, tag: int) -> DataElement:
        """One element that is no sequence, as pydicom decodes it; it raises whatever pydicom does on broken bytes."""
        if isinstance(self.elements[tag][1], bytes) and self.vr_of(tag) == "SQ":
            raise ValueError
        return self.dataset[tag]

    @property
    def dataset(self) -> Dataset:
        """All but the file meta, as pydicom decodes it. Its sequences are not counted: ``items`` opens them."""
        if self._dataset is None:
            found = {
                BaseTag(tag): self._raw(tag, vr, value)
                for tag, (vr, value) in self.elements.items()
                if tag >> 16 != META_GROUP
            }
            self._dataset = Dataset(found, parent_encoding=list(self._character_sets))
            self._dataset.set_original_encoding(*self.encoding, list(self._character_sets))
        return self._dataset

    def check_size(self) -> None:
        """Opens all sequences, as pydicom may; raises as ``items``."""
        for tag, (vr, value) in self.elements.items():
            if value and (vr == "SQ" or (vr in (None, "UN") and self.vr_of(tag) == "SQ")):
                for item in self.items(tag):
                    item.check_size()

    def _raw(self, tag: int, vr: str | None, value: bytes) -> RawDataElement:
        return RawDataElement(
            BaseTag(tag), vr, len(value), value or empty_value_for_VR(vr, raw=True), 0, *self.encoding
        )


def read_header(data: bytes, last_group: int = ALL_GROUPS[1], most: int | None = None) -> tuple[Header, int]:
    """The elements up to a group, as ``pydicom.dcmread`` would give them, and where those beyond it begin.

    Parameters
    ----------
    data
        The start of a file, not deflated.
    last_group
        Last group wanted.
    most
        Elements and items that may be passed; None is the most that any file may have.

    Raises
    ------
    ValueError, struct.error
        It is damaged, or ``data`` ends too early.
    TumourError
        ``DICOM_TOO_LARGE``.
    """
    found: Elements = {}
    count = Count(most)
    start = MAGIC.stop if data[MAGIC] == b"DICM" else 0
    start = _read_meta(data, start, count, found)
    start = read_elements(data, start, Encoding(implicit=True), count, found, groups=(COMMAND_GROUP, COMMAND_GROUP))
    encoding = _encoding(data, start, found.get(TRANSFER_SYNTAX, (None, b""))[1])
    at = read_elements(data, start, encoding, count, found, groups=(0, last_group))
    return Header(found, encoding=encoding, count=count), at


def _encoding(data: bytes, start: int, syntax: bytes) -> Encoding:
    """How the elements behind the file meta are encoded: what they look like, whatever the transfer syntax says."""
    explicit, named = has_vr(data, start), syntax.decode("ascii", errors="replace").strip(" \0")
    if not named:
        return Encoding(
            not explicit, little=not explicit or int.from_bytes(data[start : start + 2], "little") < SWAPPED_GROUP
        )
    implicit = named == ImplicitVRLittleEndian if len(data) < start + 6 else not explicit
    return Encoding(implicit, little=named != ExplicitVRBigEndian)


def check_size(data: bytes, last_group: int, most: int) -> None:
    """Whether pydicom may read a file, and open all its sequences up to a group; raises as ``read_header``."""
    header, end = read_header(data, last_group, most)
    header.check_size()
    read_elements(data, end, header.encoding, header.count, None)


def end_of_meta(data: bytes, start: int) -> int:
    """Where the file meta that begins at ``start`` ends: not every writer says how long it is (PS3.10 7.1).

    Raises
    ------
    ValueError, struct.error
        It is damaged.
    """
    return _read_meta(data, start, Count(), None)


def _read_meta(data: bytes, start: int, count: Count, found: Elements | None) -> int:
    encoding = Encoding(implicit=not has_vr(data, start))
    return read_elements(data, start, encoding, count, found, groups=(META_GROUP, META_GROUP))


@functools.lru_cache(64)  # few and short, since they are of the caller's choice
def _character_sets(value: bytes) -> tuple[str, ...]:
    """Python's names of what SpecificCharacterSet says; as pydicom, Latin 1 where it says nothing."""
    if not value:
        return ("iso8859",)
    if len(value) > MAX_CHARACTER_SET_BYTES:
        raise ValueError
    element = RawDataElement(BaseTag(CHARACTER_SET), "CS", len(value), value, 0, False, True)
    return tuple(convert_encodings(convert_raw_data_element(element).value))
