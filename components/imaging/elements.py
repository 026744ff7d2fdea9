"""Parses the elements of a DICOM header or item without decoding them, to read thousands of headers quickly.

pydicom parses all items of all sequences at once and creates an object for every element, which takes nearly all of the
time of reading a header. Here values stay bytes until they are requested, and sequences are parsed once opened.
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
    ElementBudget,
    Elements,
    Encoding,
    has_vr,
    read_elements,
    read_items,
)

TRANSFER_SYNTAX, CHARACTER_SET = 0x00020010, 0x00080005
#: Position of the DICM prefix after the preamble (PS3.10 7.1); group of the file meta; group of command elements, which
#: belong in messages but which some writers leave in front of the object (PS3.7 6.3).
MAGIC, META_GROUP, COMMAND_GROUP = slice(128, 132), 0x0002, 0x0000
#: Longest SpecificCharacterSet that is read: twice the length of all defined terms together.
MAX_CHARACTER_SET_BYTES = 1024
#: A first group from this value on means the wrong byte order, as in pydicom: objects begin with group 8.
SWAPPED_GROUP = 0x0400


class Header:
    """The elements of a DICOM object (with file meta) or item up to some group, decoded on request.

    Parameters
    ----------
    elements
        By tag, in file order: the encoded VR (None where the encoding is implicit) and the value, as bytes or as
        decoded by pydicom.
    dataset
        The same elements as a pydicom data set, without the file meta; None creates it from ``elements`` on request.
    encoding
        Encoding of ``elements``.
    character_sets
        Python's names of the character sets, used where ``elements`` has no SpecificCharacterSet.
    budget, depth
        Elements that may still be read from the file, and the number of enclosing sequences.
    """

    __slots__ = ("_character_sets", "_dataset", "_depth", "budget", "elements", "encoding")

    def __init__(
        self,
        elements: Mapping[int, tuple[str | None, Any]],
        dataset: Dataset | None = None,
        *,
        encoding: Encoding = EXPLICIT,
        character_sets: Sequence[str] = ("iso8859",),
        budget: ElementBudget | None = None,
        depth: int = 0,
    ) -> None:
        self.elements, self._dataset, self.encoding = elements, dataset, encoding
        own = elements.get(CHARACTER_SET, (None, None))[1]
        self._character_sets = _character_sets(own) if isinstance(own, bytes) else character_sets
        self.budget, self._depth = budget or ElementBudget(), depth

    @classmethod
    def of(cls, dataset: Dataset) -> "Header":
        """The header of a data set that pydicom has read."""
        elements = [*getattr(dataset, "file_meta", Dataset()).values(), *dataset.values()]
        return cls({int(element.tag): (element.VR, element.value) for element in elements}, dataset)

    @property
    def is_little_endian(self) -> bool:
        """Whether undecoded values are certainly little endian."""
        return self.encoding.little if self._dataset is None else bool(self._dataset.original_encoding[1])

    def items(self, sequence: str | int) -> list["Header"]:
        """The items of a sequence, given by keyword or tag; an empty list where it is absent or empty.

        Raises
        ------
        ValueError, struct.error
            The element is damaged, or not a sequence.
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
        shared: dict[str, Any] = {"character_sets": self._character_sets, "budget": self.budget}
        items = read_items(value, self.encoding, self.budget, self._depth + 1)
        return [Header(elements, encoding=each, depth=self._depth + 1, **shared) for elements, each in items]

    def vr_of(self, tag: int) -> str:
        """The VR by which pydicom decodes an element: the encoded one, otherwise the one in the dictionary."""
        result: dict[str, str] = {}
        vr, value = self.elements[tag]
        if vr not in (None, "UN") or not isinstance(value, bytes):
            return vr or "UN"
        raw_element_vr(self._raw(tag, vr, value), result, ds=self.dataset)
        return result["VR"]

    def element(self, tag: int) -> DataElement:
        """One element other than a sequence, decoded by pydicom; raises any exception of pydicom on broken bytes."""
        if isinstance(self.elements[tag][1], bytes) and self.vr_of(tag) == "SQ":
            raise ValueError
        return self.dataset[tag]

    @property
    def dataset(self) -> Dataset:
        """All elements but the file meta, as a pydicom data set. Open sequences by ``items``, which counts elements."""
        if self._dataset is None:
            raw = {
                BaseTag(tag): self._raw(tag, vr, value)
                for tag, (vr, value) in self.elements.items()
                if tag >> 16 != META_GROUP
            }
            self._dataset = Dataset(raw, parent_encoding=list(self._character_sets))
            self._dataset.set_original_encoding(*self.encoding, list(self._character_sets))
        return self._dataset

    def check_size(self) -> None:
        """Opens all sequences, as pydicom would, to count their elements; raises as ``items``."""
        for tag, (vr, value) in self.elements.items():
            if value and (vr == "SQ" or (vr in (None, "UN") and self.vr_of(tag) == "SQ")):
                for item in self.items(tag):
                    item.check_size()

    def _raw(self, tag: int, vr: str | None, value: bytes) -> RawDataElement:
        return RawDataElement(
            BaseTag(tag), vr, len(value), value or empty_value_for_VR(vr, raw=True), 0, *self.encoding
        )


def read_header(data: bytes, last_group: int = ALL_GROUPS[1], most: int | None = None) -> tuple[Header, int]:
    """The elements up to a group, as ``pydicom.dcmread`` reads them, and the offset of the first element after it.

    Parameters
    ----------
    data
        The start of a file, not deflated.
    last_group
        Last group wanted.
    most
        Largest number of elements and items; None is the limit for any file.

    Raises
    ------
    ValueError, struct.error
        The file is damaged, or ``data`` ends too early.
    TumourError
        ``DICOM_TOO_LARGE``.
    """
    found: Elements = {}
    budget = ElementBudget(most)
    start = MAGIC.stop if data[MAGIC] == b"DICM" else 0
    start = _read_meta(data, start, budget, found)
    start = read_elements(data, start, Encoding(implicit=True), budget, found, groups=(COMMAND_GROUP, COMMAND_GROUP))
    encoding = _encoding(data, start, found.get(TRANSFER_SYNTAX, (None, b""))[1])
    at = read_elements(data, start, encoding, budget, found, groups=(0, last_group))
    return Header(found, encoding=encoding, budget=budget), at


def _encoding(data: bytes, start: int, syntax: bytes) -> Encoding:
    """Encoding of the elements after the file meta; their bytes decide on VRs, whatever the transfer syntax says."""
    explicit, named = has_vr(data, start), syntax.decode("ascii", errors="replace").strip(" \0")
    if not named:
        return Encoding(
            not explicit, little=not explicit or int.from_bytes(data[start : start + 2], "little") < SWAPPED_GROUP
        )
    implicit = named == ImplicitVRLittleEndian if len(data) < start + 6 else not explicit
    return Encoding(implicit, little=named != ExplicitVRBigEndian)


def check_size(data: bytes, last_group: int, most: int) -> None:
    """Checks that pydicom may safely read a file, with all sequences up to a group; raises as ``read_header``."""
    header, end = read_header(data, last_group, most)
    header.check_size()
    read_elements(data, end, header.encoding, header.budget, None)


def end_of_meta(data: bytes, start: int) -> int:
    """End of the file meta that begins at ``start``. Not every writer gives its length, which PS3.10 7.1 requires.

    Raises
    ------
    ValueError, struct.error
        The file meta is damaged.
    """
    return _read_meta(data, start, ElementBudget(), None)


def _read_meta(data: bytes, start: int, budget: ElementBudget, found: Elements | None) -> int:
    encoding = Encoding(implicit=not has_vr(data, start))
    return read_elements(data, start, encoding, budget, found, groups=(META_GROUP, META_GROUP))


@functools.lru_cache(64)  # few and short, since callers choose the content
def _character_sets(value: bytes) -> tuple[str, ...]:
    """Python's names of the encodings in SpecificCharacterSet; Latin 1, as in pydicom, where it is empty."""
    if not value:
        return ("iso8859",)
    if len(value) > MAX_CHARACTER_SET_BYTES:
        raise ValueError
    element = RawDataElement(BaseTag(CHARACTER_SET), "CS", len(value), value, 0, False, True)
    return tuple(convert_encodings(convert_raw_data_element(element).value))
