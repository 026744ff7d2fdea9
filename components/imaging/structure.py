"""Splits a DICOM file into elements and items (PS3.5 7), and counts them before any object is created for them.

pydicom creates an object for every element and item at once, so that a few compressed kilobytes can take minutes and
gigabytes. Here values stay bytes, and sequences are parsed on request. Errors of real writers are read as pydicom reads
them: explicit VRs that end within a file, unknown VRs, and lengths beyond the end of the file.
"""

import struct
from typing import NamedTuple

from pydicom.datadict import dictionary_VR

from components.common.errors import TumourError
from components.common.limits import MAX_DICOM_DEPTH, MAX_DICOM_ELEMENTS, MAX_DICOM_VALUES

#: VRs with a 2-byte length, and those with 2 reserved and 4 length bytes (PS3.5 7.1.2).
SHORT_VRS = {vr.encode(): vr for vr in "AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()}  # noqa: SIM905
LONG_VRS = {vr.encode(): vr for vr in "OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()}  # noqa: SIM905
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
ALL_GROUPS = (0, 0xFFFF)
#: Contour data is limited by its number of points instead, and read without creating an object for each number.
CONTOUR_DATA = 0x30060050
#: Bytes of one value for each VR of binary numbers; VRs of text, which pydicom splits into values.
NUMBER_BYTES = {"AT": 4, "FL": 4, "FD": 8, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8, "US or SS": 2}
TEXT_VRS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())  # noqa: SIM905

#: Group, element, VR and 2-byte length; group, element and 4-byte length; 4-byte length. The key is little endian.
_EXPLICIT = {True: struct.Struct("<HH2sH"), False: struct.Struct(">HH2sH")}
_IMPLICIT = {True: struct.Struct("<HHL"), False: struct.Struct(">HHL")}
_LONG = {True: struct.Struct("<L"), False: struct.Struct(">L")}
#: Encoded tags of the start of an item and the end of a sequence.
_DELIMITERS = {
    little: tuple(struct.pack("<HH" if little else ">HH", tag >> 16, tag & 0xFFFF) for tag in (ITEM, SEQUENCE_END))
    for little in (True, False)
}
#: Cost of opening an item, in elements that take the same time and memory.
OPENED = 10

#: By tag: the encoded VR (None for implicit encoding) and the bytes of the value, without a sequence's delimiter.
Elements = dict[int, tuple[str | None, bytes]]


class Encoding(NamedTuple):
    """Encoding of elements: implicit or explicit VRs, little or big endian."""

    implicit: bool
    little: bool = True

    def of_item(self, data: bytes, at: int) -> "Encoding":
        """The encoding of the item whose elements begin at ``at``: some writers omit VRs within items only."""
        implicit = self.implicit or not has_vr(data, at)
        return self if implicit == self.implicit else Encoding(implicit, self.little)


EXPLICIT = Encoding(implicit=False)


class ElementBudget:
    """Number of elements and items that may still be read from one file; ``DICOM_TOO_LARGE`` beyond it."""

    __slots__ = ("left", "most")

    def __init__(self, most: int | None = None) -> None:
        self.left = self.most = min(most or MAX_DICOM_ELEMENTS, MAX_DICOM_ELEMENTS)

    def take(self, elements: int) -> None:
        """Counts elements or items that were read."""
        self.left -= elements
        if self.left < 0:
            raise too_large(f"more than {self.most} elements and items")


def too_large(what: str) -> TumourError:
    """``DICOM_TOO_LARGE`` with a description of the excess."""
    hint = "Export it again, with fewer structures, frames or private attributes."
    return TumourError("DICOM_TOO_LARGE", f"a DICOM file has {what}", hint)


def has_vr(data: bytes, at: int) -> bool:
    """Whether the element at ``at`` has an explicit VR: two capital letters, where an implicit one has its length."""
    code = data[at + 4 : at + 6]
    return len(code) < 2 or (b"A" <= code[:1] <= b"Z" and b"A" <= code[1:] <= b"Z")


def read_elements(
    data: bytes,
    at: int,
    encoding: Encoding,
    budget: ElementBudget,
    found: Elements | None,
    *,
    end: int | None = None,
    groups: tuple[int, int] = ALL_GROUPS,
    depth: int = 0,
) -> int:
    """Reads the elements from ``at`` and returns the offset of the first element after them.

    Parameters
    ----------
    data, at, encoding
        The bytes, the offset of the first element, and the encoding. A value that is cut off is read as far as it goes.
    budget
        Elements that may still be read from the file.
    found
        Receives the elements; None only skips them.
    end
        End of the item, if it gives its length; otherwise the item's delimiter ends the elements.
    groups
        First and last group to read.
    depth
        Number of enclosing sequences.

    Raises
    ------
    ValueError, struct.error
        The end of a sequence or element is missing.
    TumourError
        ``DICOM_TOO_LARGE``.
    """
    explicit, implicit, long = _EXPLICIT[encoding.little], _IMPLICIT[encoding.little], _LONG[encoding.little]
    is_implicit, (first_group, last_group) = encoding.implicit, groups
    last = len(data) - 8 if end is None else min(end - 1, len(data) - 8)
    while at <= last:
        group, number, code, length = explicit.unpack_from(data, at)
        vr, start = None, at + 8
        if not is_implicit and code in SHORT_VRS:
            vr = SHORT_VRS[code]
        elif not is_implicit and code in LONG_VRS:
            vr, length, start = LONG_VRS[code], long.unpack_from(data, at + 8)[0], at + 12
        elif not is_implicit and b"AA" <= code <= b"ZZ":
            vr = code.decode("latin-1")
        else:
            length = implicit.unpack_from(data, at)[2]
        tag = group << 16 | number
        if tag == ITEM_END:
            return start
        if not first_group <= group <= last_group:
            return at
        budget.take(1)
        if length != UNDEFINED:
            at = stop = min(start + length, len(data))
            if length > MAX_DICOM_VALUES and tag != CONTOUR_DATA:
                _check_values(data, start, stop, vr or known_vr(tag))
        else:
            vr, stop, at = _undefined(data, start, tag, vr, encoding, budget, depth)
        if found is not None:
            found[tag] = vr, data[start:stop]
    return at if end is not None and at >= end else len(data)


def _undefined(
    data: bytes, start: int, tag: int, vr: str | None, encoding: Encoding, budget: ElementBudget, depth: int
) -> tuple[str | None, int, int]:
    """VR, end, and end including the delimiter, of a value of undefined length: a sequence, or bytes such as pixels."""
    item, delimiter = _DELIMITERS[encoding.little]
    if vr == "UN":
        vr = "SQ"
    if vr is None:
        vr = known_vr(tag) or ("SQ" if data[start : start + 4] == item else None)
    if vr == "SQ":
        stop = _read_items(data, start, len(data), encoding, budget, None, depth=depth + 1, is_delimited=True)
    else:
        stop = data.find(delimiter, start)
    if stop < 0:
        raise ValueError
    return vr, stop, stop + 8


def _check_values(data: bytes, start: int, stop: int, vr: str | None) -> None:
    """Limits the number of values: pydicom splits text at backslashes and numbers by size; other VRs have one value."""
    size = NUMBER_BYTES.get(vr or "")
    values = (stop - start) // size if size else data.count(b"\\", start, stop) if vr in TEXT_VRS else 0
    if values > MAX_DICOM_VALUES:
        raise too_large(f"an element of more than {MAX_DICOM_VALUES} values")


def known_vr(tag: int) -> str | None:
    """The dictionary's VR of an element."""
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return None


def read_items(data: bytes, encoding: Encoding, budget: ElementBudget, depth: int) -> list[tuple[Elements, Encoding]]:
    """The elements of each item of a sequence.

    Parameters
    ----------
    data, encoding
        The sequence's value, without its delimiter.
    budget
        Elements that may still be read from the file.
    depth
        Number of sequences around its elements, including itself.

    Raises
    ------
    ValueError, struct.error
        The sequence is damaged.
    TumourError
        ``DICOM_TOO_LARGE``.
    """
    found: list[tuple[Elements, Encoding]] = []
    _read_items(data, 0, len(data), encoding, budget, found, depth=depth, is_delimited=False)
    return found


def _read_items(
    data: bytes,
    at: int,
    end: int,
    encoding: Encoding,
    budget: ElementBudget,
    found: list[tuple[Elements, Encoding]] | None,
    *,
    depth: int,
    is_delimited: bool,
) -> int:
    """End of the items from ``at``: their delimiter, which a sequence of undefined length must have, or ``end``."""
    if depth > MAX_DICOM_DEPTH:
        raise too_large(f"more than {MAX_DICOM_DEPTH} sequences inside each other")
    head = _IMPLICIT[encoding.little]
    while at < end or is_delimited:
        group, number, length = head.unpack_from(data, at)
        if group << 16 | number == SEQUENCE_END:
            return at
        budget.take(1 if found is None else OPENED)
        at += 8
        inner = encoding.of_item(data, at) if length else encoding
        elements: Elements | None = None if found is None else {}
        if length:
            stop = None if length == UNDEFINED else at + length
            at = read_elements(data, at, inner, budget, elements, end=stop, depth=depth)
        if found is not None and elements is not None:
            found.append((elements, inner))
    return at
