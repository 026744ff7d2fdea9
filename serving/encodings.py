"""Reads JSON and base64 as clients write them: every unambiguous variant; an error names the byte."""

import base64
import binascii
import codecs
import json
import re
from typing import Any

import orjson

from components.common.errors import InputError
from components.common.limits import MAX_CONTAINERS, MAX_STRINGS, MAX_VALUES
from serving.content import Buffer, unreadable

JSON_LENGTH = "Before binary tensors, send the header Inference-Header-Content-Length: the bytes of the JSON."
#: Size within which the JSON before binary tensors must end, bytes.
JSON_HEAD_BYTES = 2**16
#: Characters that a JSON value needs, how many of them each needs, the limit on such values, and their name.
_COUNTED = (
    ((b"[", b"{"), 1, MAX_CONTAINERS, "lists and objects"),
    ((b'"',), 2, MAX_STRINGS, "keys and texts"),
    ((b",",), 1, MAX_VALUES, "values"),
)
#: What base64 text of other alphabets and of e-mail adds to or changes in the standard one (RFC 4648 5, RFC 2045 6.8).
_TO_STANDARD = str.maketrans("-_", "+/", " \t\r\n\v\f")
#: Where the reader stops at it: before a NaN, or behind the sign of -Infinity.
_NOT_FINITE = re.compile(rb"-?(nan|inf(inity)?)\b", re.IGNORECASE)
_ANOTHER = "it holds another character"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def base64_of(value: Any) -> bytes:
    """Decodes base64 text; raises ``BASE64`` if it is invalid.

    Line breaks, blanks, the URL-safe alphabet, missing padding, a ``data:...;base64,`` prefix and TensorFlow Serving's
    ``{"b64": text}`` are accepted too, since they are unambiguous.
    """
    if isinstance(value, dict) and set(value) == {"b64"}:
        value = value["b64"]
    if not isinstance(value, str):
        raise _not_base64("it is no text")
    prefix, comma, _ = value[:256].partition(",")
    if comma and prefix.lower().startswith("data:") and prefix.lower().endswith(";base64"):
        value = value[len(prefix) + 1 :]
    if not value.isascii():  # translating it would take seconds
        raise _not_base64(_ANOTHER)
    plain = value.translate(_TO_STANDARD).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        wrong = re.search(r"[^A-Za-z0-9+/]", plain)
        raise _not_base64(_ANOTHER if wrong else "it is cut off") from None


def _not_base64(reason: str) -> InputError:
    hint = "Encode the file's bytes once, as RFC 4648 says; or send the .zip itself as the body."
    return InputError("BASE64", f"DICOM in JSON must be base64 text, and {reason}", hint)


def json_object(data: Buffer, length: int) -> dict[str, Any]:
    """The JSON object in the first ``length`` bytes.

    Raises
    ------
    InputError
        ``JSON``, ``FORMAT``, ``CROP_NOT_FINITE`` (NaN or Infinity), ``V2_HEADER`` (bytes behind the JSON),
        ``CONTENT_UNREADABLE`` or ``CONTENT_EMPTY``.
    """
    if data[:1] not in (b"{", b"[") and (known := unreadable(data)):
        raise known
    _check_counts(data, length)
    start = len(codecs.BOM_UTF8) if data[:3] == codecs.BOM_UTF8 else 0
    try:
        return object_of(orjson.loads(memoryview(data)[start:length]))
    except orjson.JSONDecodeError as error:
        raise _not_json(data, length, error) from None


def _check_counts(data: Buffer, length: int) -> None:
    """Refuses JSON that would take many times its size as Python objects, by counting the characters they need."""
    for signs, each, most, what in _COUNTED:
        if sum(data.count(sign, 0, length) for sign in signs) > each * most:
            hint = "Send crops as binary tensors of V2, and a study as a .zip."
            raise InputError("FORMAT", f"a JSON body may hold at most {most:,} {what}", hint)


def object_of(value: Any) -> dict[str, Any]:
    """A JSON object or null, as a dict."""
    if not isinstance(value, dict | None):
        hint = 'Send {"instances": [...]} in V1, {"inputs": [{"name": ...}]} in V2; parameters are objects too.'
        raise InputError("FORMAT", "the body holds another JSON type where an object is expected", hint)
    return value or {}


def _not_json(data: Buffer, length: int, error: orjson.JSONDecodeError) -> InputError:
    """The error of a body that is not JSON."""
    if data[:4].startswith(_WIDE) or b"\0" in data[:4]:
        return InputError("JSON", "the body is UTF-16 or UTF-32 text, and JSON is UTF-8", "Encode it as UTF-8.")
    if length < len(data):
        message = "the bytes that Inference-Header-Content-Length counts are not one JSON object"
        return InputError("V2_HEADER", message, JSON_LENGTH)
    if behind := _bytes_behind(data):
        return InputError("V2_HEADER", f"the body has {behind} bytes after its JSON", JSON_LENGTH)
    if "UTF-8" in error.msg:
        return InputError("JSON", "the body is not JSON: its text is not UTF-8", "Encode it as UTF-8.")
    at = _byte_of(data, error.pos)
    if _NOT_FINITE.match(data, at) or "infinity" in error.msg:
        hint = "A crop is finite HU: replace what is beyond the scan by -1000."
        return InputError("CROP_NOT_FINITE", f"JSON has no NaN or Infinity, but byte {at} of the body begins one", hint)
    hint = "Send JSON, or a study as a .zip."
    return InputError("JSON", f"the body is not JSON: the first fault is at byte {at} of {length}", hint)


def _bytes_behind(data: Buffer) -> int:
    """Bytes that follow a whole JSON object at the start of a body, but for blanks; 0 where there are none."""
    text = bytes(data[:JSON_HEAD_BYTES]).decode("latin-1")  # one character per byte; JSON's punctuation is the same
    start = len(text) - len(text.removeprefix(codecs.BOM_UTF8.decode("latin-1")).lstrip(" \t\r\n"))
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return 0
    return len(data) - end if isinstance(value, dict) and data[end:].strip() else 0


def _byte_of(data: Buffer, character: int) -> int:
    """Where a character of UTF-8 text begins, of which each takes up to four bytes."""
    if data.isascii():
        return character
    mark = len(codecs.BOM_UTF8) if data[:3] == codecs.BOM_UTF8 else 0
    return mark + len(data[mark : mark + 4 * character].decode("utf-8", "ignore")[:character].encode())
