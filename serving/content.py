"""Detects the format of a body by its first bytes, since clients declare it wrongly or not at all. Reads forms."""

import dataclasses
import itertools
import re
from collections.abc import Iterator

from components.common.errors import InputError
from components.common.limits import MAX_DELIMITER_BYTES, MAX_PART_HEAD_BYTES, MAX_PARTS
from components.imaging.dicom_io import FIRST_TAGS
from components.imaging.elements import MAGIC

Buffer = bytes | bytearray

ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
#: Bytes of a body that identify its format; the last signature, a tar archive's, ends at 262.
SNIFFED_BYTES = 512

_ARCHIVES = {
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
}
_OTHERS = {
    b"UEsDB": "a zip in base64",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x93NUMPY": "a NumPy file",
    b"\x5c\x01\0\0": "a NIfTI file",
    b"NRRD": "an NRRD file",
    b"<": "an XML or HTML page",
}
PACK = "Pack the CT slices and the RTSTRUCT as a .zip."


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One part of a form: its field's name, and its bytes."""

    name: str
    data: bytes


def is_zip(data: Buffer) -> bool:
    """Whether bytes begin as a zip does."""
    return data[:4] in ZIP_STARTS


def is_dicom(data: Buffer) -> bool:
    """Whether bytes begin as a DICOM file does."""
    return data[MAGIC] == b"DICM" or data[:4] in FIRST_TAGS


def is_form(data: Buffer) -> bool:
    """Whether bytes begin as a multipart body does, whatever its Content-Type."""
    start = bytes(data[:SNIFFED_BYTES]).lower()
    return start.startswith(b"--") and b"\r\ncontent-" in start


def is_packed(start: Buffer) -> bool:
    """Whether the first two bytes can be those of a zip, or of a form that holds one, and never of JSON."""
    return start[:2] in (b"PK", b"--")


def unreadable(data: Buffer) -> InputError | None:
    """``CONTENT_UNREADABLE`` naming the format that was sent instead of a zip or JSON; None if it is unknown."""
    start = bytes(data[:SNIFFED_BYTES])
    if not start:
        return InputError("CONTENT_EMPTY", "nothing was sent: the body or the study is empty", "Send JSON, or a .zip.")
    if start[257:262] == b"ustar":
        return _is("a tar archive", PACK)
    if is_dicom(start):
        return _is("a single DICOM file", f"A study is a CT series and its RTSTRUCT. {PACK}")
    if is_zip(start):
        hint = "As the body, a zip goes to /v1/models/NAME:predict; in V2 it is an element of the input dicom_zip."
        return _is("a zip", hint)
    if is_form(start):
        return _is("a multipart form", "Send a form to /v1/models/NAME:predict, or the .zip itself as the body.")
    for kinds, hint in ((_ARCHIVES, PACK), (_OTHERS, "Send JSON, or the study as a .zip.")):
        for magic, kind in kinds.items():
            if start.startswith(magic):
                return _is(kind, hint)
    return None


def _is(kind: str, hint: str) -> InputError:
    return InputError("CONTENT_UNREADABLE", f"what was sent is {kind}, which cannot be read here", hint)


def form_parts(body: Buffer) -> list[Part]:
    """The parts of a multipart body (RFC 7578), delimited as its first line says; ``FORM`` if it is damaged."""
    return list(_parts(body))


def _parts(body: Buffer) -> Iterator[Part]:
    view = memoryview(body)  # so that each part is copied only once
    at = body.find(b"\r\n", 0, MAX_DELIMITER_BYTES + 2)
    delimiter = bytes(body[: max(at, 0)])
    for count in itertools.count():
        if body[at : at + 2] == b"--":
            return
        if count == MAX_PARTS:
            raise InputError("BATCH_TOO_LARGE", f"a form may have at most {MAX_PARTS:,} parts", PACK)
        head_end = body.find(b"\r\n\r\n", at, at + MAX_PART_HEAD_BYTES + 4)
        end = body.find(b"\r\n" + delimiter, head_end + 2)
        if at < 0 or head_end < 0 or end < 0:
            raise InputError("FORM", "the multipart body is damaged or cut off", "Send the .zip itself as the body.")
        yield Part(_field_name(bytes(body[at:head_end])), bytes(view[head_end + 4 : end]))
        at = end + 2 + len(delimiter)


def _field_name(head: bytes) -> str:
    name = re.search(rb'\r\ncontent-disposition:[^\r\n]*[; ]name="?([^";\r\n]*)', head, re.IGNORECASE)
    return name[1].decode("utf-8", "replace").strip() if name else ""
