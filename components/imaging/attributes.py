"""Reads attributes of a DICOM header or data set as text or numbers, without pydicom where it would be slow."""

import functools
from collections.abc import Sequence
from typing import Any, cast

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from components.common.errors import TumourError
from components.common.limits import MAX_DICOM_TEXT_BYTES
from components.imaging.elements import META_GROUP, Header
from components.imaging.pydicom_errors import damaged, dicom_errors

#: VRs whose values can be decoded as ASCII without pydicom.
PLAIN_TEXT = frozenset(("CS", "LO", "SH", "UI"))
#: Switches the character set inside a text (ISO 2022); the sequence itself is ASCII.
ESCAPE = b"\x1b"


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


def group_items(image: Dataset, frame: int, sequence: str) -> Sequence[Dataset]:
    """The items of a frame's functional group, otherwise of the one that all frames share (PS3.3 C.7.6.16).

    Empty where there is neither; ``DICOM_DAMAGED`` where the groups cannot be read.
    """
    with dicom_errors():
        shared: Sequence[Dataset] = image.get("SharedFunctionalGroupsSequence") or ()
        for group in (image.PerFrameFunctionalGroupsSequence[frame], *shared):
            if items := group.get(sequence):
                if not isinstance(items, Items):
                    raise ValueError
                return cast(Sequence[Dataset], items)
    return ()


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
