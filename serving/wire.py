"""Counts a gRPC message's fields before protobuf makes an object of each, which turns 2 bytes into 100 in memory.

https://protobuf.dev/programming-guides/encoding
"""

from collections import Counter
from typing import Any

from components.common.errors import InputError
from components.common.kserve_import import pb
from components.common.limits import MAX_DIMENSIONS, MAX_FIELDS, MAX_LISTED, MAX_TEXT

#: Wire types: a varint, 8 bytes, bytes preceded by their length, 4 bytes. This protocol has no groups.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
#: A varint holds 7 of 64 bits in each byte.
_VARINT_BYTES = 10
#: Names that a reply or a refusal may repeat.
_TEXTS = ("model_name", "model_version", "id", "name", "datatype")
#: The kinds of InferTensorContents that an input of this model can have.
_FEWER = "Send one input, crop_hu or dicom_zip, and its numbers or bytes as raw_input_contents."
NOT_THIS_PROTOCOL = "Send the messages of KServe's V2 protocol (inference.GRPCInferenceService), as its clients do."
_KINDS = ("fp32_contents", "bytes_contents")


def check_message(message: bytes) -> None:
    """Raises if a serialised ``ModelInferRequest`` exceeds a limit; whether it is valid is left to protobuf.

    Raises
    ------
    InputError
        ``FORMAT`` (more fields than a limit, or damage), ``CROP_DTYPE`` (numbers of another kind than float32).
    """
    _Scan(message).message(0, len(message), pb.ModelInferRequest.DESCRIPTOR)


class _Scan:
    """The message being read, and the number of its fields, at any depth, read so far."""

    def __init__(self, message: bytes) -> None:
        self._message, self._fields = memoryview(message), 0

    def message(self, at: int, end: int, kind: Any) -> None:
        """Reads the fields from ``at`` to ``end`` as those of a message of this kind."""
        counts: Counter[str] = Counter()
        while at < end:
            key, at = self._varint(at, end)
            if key < 1 << 3:  # no field has the number 0
                raise _damaged()
            field = kind.fields_by_number.get(key >> 3)
            start, at = self._value(key & 7, at, end)
            self._count(counts, field.name if field else "unknown fields")
            if field and key & 7 == _BYTES:
                self._inside(start, at, field)

    def _count(self, counts: Counter[str], name: str) -> None:
        self._fields += 1
        counts[name] += 1
        if counts[name] > MAX_LISTED:
            hint = "Pack its numbers." if name in ("shape", "fp32_contents") else _FEWER
            raise InputError("FORMAT", f"a message may hold at most {MAX_LISTED} {name}", hint)
        if self._fields > MAX_FIELDS:
            raise InputError("FORMAT", f"a message may hold at most {MAX_FIELDS:,} fields", _FEWER)

    def _inside(self, start: int, end: int, field: Any) -> None:
        if field.message_type:
            self.message(start, end, field.message_type)
        elif field.containing_type.name == "InferTensorContents" and field.name not in _KINDS and end > start:
            raise InputError(
                "CROP_DTYPE", f"{field.name} are not supported: crop_hu must be FP32", "Send HU as float32."
            )
        elif field.name == "shape" and _count_varints(self._message[start:end]) > MAX_DIMENSIONS:
            hint = "crop_hu has three dimensions, dicom_zip one."
            raise InputError("FORMAT", f"shape may have at most {MAX_DIMENSIONS} dimensions", hint)
        elif field.name in _TEXTS and _is_long(self._message[start:end]):
            message = f"{field.name} must be text of at most {MAX_TEXT} characters"
            raise InputError("FORMAT", message, "Send a shorter text, or none where it is optional.")

    def _value(self, wire_type: int, at: int, end: int) -> tuple[int, int]:
        """Positions at which a field's value begins and ends."""
        start, length = at, _FIXED.get(wire_type, 0)
        if wire_type == _BYTES:
            length, start = self._varint(at, end)
        elif wire_type == _VARINT:
            length = self._varint(at, end)[1] - at
        elif not length:
            raise _damaged()
        if start + length > end:
            raise _damaged()
        return start, start + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """A varint's value, and the position at which it ends."""
        value = 0
        for index, byte in enumerate(self._message[at : min(at + _VARINT_BYTES, end)]):
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return value, at + index + 1
        raise _damaged()


def _count_varints(packed: memoryview) -> int:
    """Numbers in a packed field: each ends with a byte below 128."""
    within = packed[: (MAX_DIMENSIONS + 1) * _VARINT_BYTES]
    return sum(byte < 0x80 for byte in within)


def _is_long(text: memoryview) -> bool:
    most = 4 * (MAX_TEXT + 1)  # a character of UTF-8 has at most 4 bytes
    return len(text) > most or len(bytes(text).decode("utf-8", "ignore")) > MAX_TEXT


def _damaged() -> InputError:
    return InputError("FORMAT", "the message is not a ModelInferRequest", NOT_THIS_PROTOCOL)
