"""How a DICOM file is built of elements and items (PS3.5 7), counted while they are read, before any becomes an object.

pydicom makes an object of every element and item at once, so that a few packed kilobytes take minutes and gigabytes.
Here values stay bytes and sequences stay closed until they are asked for. What no writer should write, but
some do, is read as pydicom reads it: a VR that changes to implicit amid a file, unknown VRs, lengths beyond the end.
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
#: Contours are bound by their points, and read without making an object of each number.
CONTOUR_DATA = 0x30060050
#: Bytes of a value of the VRs that are binary numbers; the VRs that are text, which pydicom divides.
NUMBER_BYTES = {"AT": 4, "FL": 4, "FD": 8, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8, "US or SS": 2}
TEXT_VRS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())  # noqa: SIM905

#: Group, number, VR and 2-byte length of an element; a tag and a 4-byte length; by whether they are little endian.
_EXPLICIT = {True: struct.Struct("<HH2sH"), False: struct.Struct(">HH2sH")}
_IMPLICIT = {True: struct.Struct("<HHL"), False: struct.Struct(">HHL")}
_LONG = {True: struct.Struct("<L"), False: struct.Struct(">L")}
#: The tags that begin an item and end a sequence, as they are encoded.
_DELIMITERS = {
    little: tuple(struct.pack("<HH" if little else ">HH", tag >> 16, tag & 0xFFFF) for tag in (ITEM, SEQUENCE_END))
    for little in (True, False)
}
#: Elements that take as long and as much memory as an item that is opened.
OPENED = 10

#: By tag: the VR as it is encoded (None where it is not) and the value's bytes, a sequence's without its delimiter.
Elements = dict[int, tuple[str | None, bytes]]


class Encoding(NamedTuple):
    """How elements are encoded: without VRs or with them, little or big endian."""

    implicit: bool
    little: bool = True

    def of_item(self, data: bytes, at: int) -> "Encoding":
        """The encoding of the item whose elements begin at ``at``: some writers leave VRs out in items only."""
        implicit = self.implicit or not has_vr(data, at)
        return self if implicit == self.implicit else Encoding(implicit, self.little)


EXPLICIT = Encoding(implicit=False)


class Count:
    """What may still be read of one file; ``DICOM_TOO_LARGE`` beyond it."""

    __slots__ = ("left", "most")

    def __init__(self, most: int | None = None) -> None:
        self.left = self.most = min(most or MAX_DICOM_ELEMENTS, MAX_DICOM_ELEMENTS)

    def take(self, elements: int) -> None:
        """Elements or items that were passed."""
        self.left -= elements
        if self.left < 0:
            raise too_large(f"more than {self.most} elements and items")


def too_large(what: str) -> TumourError:
    """``DICOM_TOO_LARGE``: what a file has too much of."""
    hint = "Export it again, with fewer structures, frames or private attributes."
    return TumourError("DICOM_TOO_LARGE", f"a DICOM file has {what}", hint)


def has_vr(data: bytes, at: int) -> bool:
    """Whether the element at ``at`` says its VR: two capital letters, which a length that is told there is not."""
    code = data[at + 4 : at + 6]
    return len(code) < 2 or (b"A" <= code[:1] <= b"Z" and b"A" <= code[1:] <= b"Z")


def read_elements(
    data: bytes,
    at: int,
    encoding: Encoding,
    count: Count,
    found: Elements | None,
    *,
    end: int | None = None,
    groups: tuple[int, int] = ALL_GROUPS,
    depth: int = 0,
) -> int:
    """Puts the elements from ``at`` into ``found`` where that is wanted, and says where the first one beyond begins.

    Parameters
    ----------
    data, at, encoding
        What holds them; a value that it cuts off is taken as far as it goes.
    count, found
        What may still be read of the file, and what was.
    end
        Where no element begins any more: that of an item that tells its length. Else an item's delimiter ends them.
    groups
        First and last group wanted.
    depth
        Sequences around them.

    Raises
    ------
    ValueError, struct.error
        A sequence or an element does not end.
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
        count.take(1)
        if length != UNDEFINED:
            at = stop = min(start + length, len(data))
            if length > MAX_DICOM_VALUES and tag != CONTOUR_DATA:
                _check_values(data, start, stop, vr or known_vr(tag))
        else:
            vr, stop, at = _undefined(data, start, tag, vr, encoding, count, depth)
        if found is not None:
            found[tag] = vr, data[start:stop]
    return at if end is not None and at >= end else len(data)


def _undefined(
    data: bytes, start: int, tag: int, vr: str | None, encoding: Encoding, count: Count, depth: int
) -> tuple[str | None, int, int]:
    """VR, end, and end with the delimiter of a value of undefined length: a sequence, or bytes such as pixels."""
    item, delimiter = _DELIMITERS[encoding.little]
    if vr == "UN":
        vr = "SQ"
    if vr is None:
        vr = known_vr(tag) or ("SQ" if data[start : start + 4] == item else None)
    if vr == "SQ":
        stop = _read_items(data, start, len(data), encoding, count, None, depth=depth + 1, is_delimited=True)
    else:
        stop = data.find(delimiter, start)
    if stop < 0:
        raise ValueError
    return vr, stop, stop + 8


def _check_values(data: bytes, start: int, stop: int, vr: str | None) -> None:
    """Text is divided by backslashes; of what is neither text nor numbers pydicom makes one value."""
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


def read_items(data: bytes, encoding: Encoding, count: Count, depth: int) -> list[tuple[Elements, Encoding]]:
    """The elements of each item of a sequence.

    Parameters
    ----------
    data, encoding
        The sequence's value, without a delimiter of its own.
    count
        What may still be read of the file.
    depth
        Sequences around its elements, itself counted.

    Raises
    ------
    ValueError, struct.error
        It is damaged.
    TumourError
        ``DICOM_TOO_LARGE``.
    """
    found: list[tuple[Elements, Encoding]] = []
    _read_items(data, 0, len(data), encoding, count, found, depth=depth, is_delimited=False)
    return found


def _read_items(
    data: bytes,
    at: int,
    end: int,
    encoding: Encoding,
    count: Count,
    found: list[tuple[Elements, Encoding]] | None,
    *,
    depth: int,
    is_delimited: bool,
) -> int:
    """Where the items from ``at`` end: at their delimiter, which those of undefined length must have, or at ``end``."""
    if depth > MAX_DICOM_DEPTH:
        raise too_large(f"more than {MAX_DICOM_DEPTH} sequences inside each other")
    head = _IMPLICIT[encoding.little]
    while at < end or is_delimited:
        group, number, length = head.unpack_from(data, at)
        if group << 16 | number == SEQUENCE_END:
            return at
        count.take(1 if found is None else OPENED)
        at += 8
        inner = encoding.of_item(data, at) if length else encoding
        elements: Elements | None = None if found is None else {}
        if length:
            stop = None if length == UNDEFINED else at + length
            at = read_elements(data, at, inner, count, elements, end=stop, depth=depth)
        if found is not None and elements is not None:
            found.append((elements, inner))
    return at
