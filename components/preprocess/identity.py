"""Collects the identity in DICOM headers: values of the attributes in the Basic Profile of DICOM PS3.15."""

import functools
import re
from collections.abc import Iterable, Iterator

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

from components.imaging.elements import META_GROUP, Header
from components.preprocess.basic_profile import BASIC_PROFILE

#: Attributes of the Basic Profile that the study itself uses (as columns of its table), so not treated as identity.
KEPT = frozenset(tag_for_keyword(keyword) for keyword in ("PatientSex", "PatientAge"))
#: Contours hold thousands of points and UIDs, but no text that a person wrote.
CONTOURS = 0x30060040
#: Parts of coded entries, which are terms of public vocabularies.
CODES = frozenset(
    tag_for_keyword(keyword) for keyword in ("CodeValue", "CodeMeaning", "CodingSchemeDesignator", "ContextIdentifier")
)
#: VRs whose values are searched for. Plain numbers are left out: they identify nobody and are common in tables.
TEXT_VRS = frozenset(["AE", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"])
#: VRs of private attributes that can hold text written by a person; the others hold settings of the scanner.
PRIVATE_VRS = frozenset(["DA", "DT", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UT"])
#: A UID with five or more parts. UIDs are not collected, since the audit refuses anything of this form in outputs.
UID_FORM = re.compile(r"(?<!\d)(?<!\d\.)\d+(?:\.\d+){4,}")
ANY_UID = re.compile(rb"\d+(?:\.\d+){4,}")
#: Longest encoded sequence that is compared with those of other slices, bytes; longer ones occur in single objects.
MOST_OF_A_SLICE = 8192
#: Runs of bytes in an encoded sequence that may be text.
WORDS = re.compile(rb"[\x20-\x7e\x80-\xff]{3,}")


def identities_of_headers(headers: Iterable[Header]) -> dict[str, str]:
    """Identity in headers: each value mapped to its attribute.

    An attribute is named by its keyword, a private one by its tag and the creator of its block. UIDs are left out,
    since the audit recognises them by their form. Values that cannot be decoded are skipped, as they reach no output.
    """
    identities: dict[str, str] = {}
    seen: set[tuple[int, bytes]] = set()
    for header in headers:
        for element, creator in _elements(header, seen):
            identities |= dict.fromkeys(values_of(element), element.keyword or _private_name(element.tag, creator))
    return identities


def values_of(element: DataElement) -> list[str]:
    """The values of an element as texts."""
    values = element.value if element.VM > 1 else [element.value]
    texts = [(_decoded(value) if isinstance(value, bytes) else str(value)).strip() for value in values if value]
    return [text for text in texts if text and not UID_FORM.fullmatch(text)]


def _private_name(tag: BaseTag, creator: str) -> str:
    return f"private attribute ({tag.group:04x},{tag.element:04x})" + (f" of {creator}" if creator else "")


def _creator(header: Header, tag: BaseTag) -> str:
    """The creator of a private attribute's block (PS3.5 7.8.1), usually a manufacturer's name."""
    _, value = header.elements.get(tag.group << 16 | tag.element >> 8, (None, ""))
    text = value.decode("ascii", errors="replace") if isinstance(value, bytes) else str(value)
    return "".join(c for c in text.strip(" \0")[:64] if c.isascii() and c.isprintable())


def _decoded(value: bytes) -> str:
    """Bytes of an unknown VR as text, "" where they are not printable."""
    text = value.decode("utf-8", errors="replace").strip("\0 ")
    return text if text.isprintable() else ""


def _elements(
    header: Header, seen: set[tuple[int, bytes]], *, removed: bool = False
) -> Iterator[tuple[DataElement, str]]:
    """Elements that hold identity, with their blocks' creators; ``removed`` where the profile removes their sequence.

    Slices of a series share most values or differ in UIDs only. Values in ``seen`` are skipped before decoding.
    """
    for tag, (stored_vr, value) in header.elements.items():
        try:
            vr = _searched_vr(tag, stored_vr, removed=removed)
            if not vr:
                continue
            if isinstance(value, bytes):
                if (tag, value) in seen:
                    continue
                seen.add((tag, value))
            if vr == "UI" and isinstance(value, bytes) and ANY_UID.fullmatch(value.strip(b" \0")):
                continue
            if vr == "SQ" and isinstance(value, bytes) and len(value) <= MOST_OF_A_SLICE:
                words = b"|".join(WORDS.findall(ANY_UID.sub(b"", value)))
                if (tag, words) in seen:
                    continue
                seen.add((tag, words))
            if vr == "SQ" or header.vr_of(tag) == "SQ":
                for item in header.items(tag):
                    yield from _elements(item, seen, removed=removed or tag in BASIC_PROFILE)
                continue
            element = header.element(tag)
            yield element, _creator(header, element.tag) if element.tag.is_private else ""
        except Exception:  # noqa: S112
            continue


@functools.lru_cache(2**14)
def _searched_vr(number: int, stored_vr: str | None, *, removed: bool) -> str:
    """The VR of an element that may hold identity, "" for an element that cannot."""
    tag = BaseTag(number)
    vr = stored_vr or ("UN" if tag.is_private else dictionary_VR(number))
    if number >> 16 == META_GROUP:
        return ""
    if vr == "SQ":
        return vr if number != CONTOURS else ""
    if tag.is_private:
        return vr if vr in PRIVATE_VRS and not tag.is_private_creator else ""
    profiled = number in BASIC_PROFILE or vr == "PN" or (removed and number not in CODES)
    return vr if profiled and vr in TEXT_VRS | PRIVATE_VRS and number not in KEPT else ""
