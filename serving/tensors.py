"""Requests in the V2 protocol -> crops or DICOM studies; binary tensors are read in place, never as lists.

inputs      "crop_hu" FP32 [n,151,151], or "dicom_zip" BYTES [n] (base64 if the data are JSON)
parameters  "roi" and "rtstruct_uid" for DICOM; "binary_data_output" requests binary outputs
binary      tensors after the JSON, whose length is in the header Inference-Header-Content-Length
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.errors import InputError
from components.common.limits import MAX_CROPS, MAX_DIMENSIONS, MAX_JSON_BODY_BYTES, MAX_LISTED, MAX_STUDIES, MIB
from components.common.settings import IMAGE_SIZE_PX
from serving.content import Buffer
from serving.encodings import JSON_LENGTH, base64_of, json_object, object_of
from serving.payload import (
    CROP_INPUT,
    DICOM_INPUT,
    Output,
    Query,
    Study,
    check_batch,
    numbers_of,
    options_of,
    text_of,
)

#: What to do about an input that is not as the protocol says.
_INPUT = 'Send one input, such as {"name": "crop_hu", "datatype": "FP32", "shape": [1, 151, 151], "data": [...]}.'
_SIZES = "Binary data follow the JSON; give each input's number of bytes as its parameter binary_data_size."
SHAPES = f"{CROP_INPUT} is FP32 of shape [n, {IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}], {DICOM_INPUT} is BYTES of shape [n]."
_COUNTS = f"{SHAPES} Send HU row by row, as float32: 4 bytes each, little-endian, where they are binary."


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A V2 input: ``data`` is raw bytes or a JSON value, or byte strings or numbers from gRPC."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any


def decode_v2(body: Buffer, json_length: str | None) -> Query:
    """A V2 body, its binary tensors read in place.

    Parameters
    ----------
    body
        JSON, followed by the binary tensors.
    json_length
        The header Inference-Header-Content-Length: bytes of JSON; None if all is JSON.

    Raises
    ------
    InputError
        ``V2_HEADER``, ``BODY_TOO_LARGE``, ``JSON``, ``FORMAT``, ``V2_DATA``, and those of ``query_of``.
    """
    length = len(body) if json_length is None else _header_length(json_length, len(body))
    fields = json_object(body, length)
    inputs = fields.get("inputs")
    if not isinstance(inputs, list) or len(inputs) > MAX_LISTED:
        raise InputError("FORMAT", f"inputs must be a list of at most {MAX_LISTED} tensors", _INPUT)
    tensors, start = [], length
    for one in inputs:
        tensor, start = _v2_tensor(one, memoryview(body), start)
        tensors.append(tensor)
    if start != len(body):
        raise InputError("V2_DATA", "the body holds more bytes than the inputs declare", _SIZES)
    parameters = object_of(fields.get("parameters"))
    binary = bool(parameters.get("binary_data_output", False))
    return query_of(tensors, parameters, text_of(fields, "id"), binary, _outputs(fields.get("outputs"), binary))


def query_of(
    tensors: Sequence[Tensor],
    parameters: Mapping[str, Any],
    request_id: str = "",
    binary: bool = False,
    outputs: tuple[Output, ...] = (),
) -> Query:
    """The query in V2 tensors; raises ``INPUT_UNKNOWN``, ``V2_DATA``, ``BASE64``, ``CROP_*``, ``BATCH_TOO_LARGE``."""
    if len(tensors) != 1 or tensors[0].name not in (CROP_INPUT, DICOM_INPUT):
        raise InputError("INPUT_UNKNOWN", f"expected one input, {CROP_INPUT} or {DICOM_INPUT}", _INPUT)
    tensor = tensors[0]
    instances = _crops(tensor) if tensor.name == CROP_INPUT else _studies(tensor, parameters)
    return Query(tuple(instances), request_id, binary, outputs)


def byte_strings(data: Any) -> list[bytes]:
    """Elements of a raw BYTES tensor, each preceded by its length, 4 bytes little-endian."""
    if isinstance(data, tuple):  # gRPC gives the elements themselves
        return list(data)
    elements: list[bytes] = []
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if start + 4 > len(data) or end > len(data) or len(elements) == MAX_STUDIES:
            hint = "Send before each element its length in bytes, as 4 bytes, little-endian."
            raise InputError("V2_DATA", "a BYTES tensor does not match the lengths of its elements", hint)
        elements.append(bytes(data[start + 4 : end]))
        start = end
    return elements


def _v2_tensor(value: Any, body: memoryview, start: int) -> tuple[Tensor, int]:
    """A tensor of the JSON, and the position at which the next one's bytes begin."""
    fields = object_of(value)
    shape, size = fields.get("shape"), object_of(fields.get("parameters")).get("binary_data_size")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_side, shape)):
        raise InputError("FORMAT", f"shape must be a list of at most {MAX_DIMENSIONS} whole numbers", SHAPES)
    name, datatype, data = text_of(fields, "name"), text_of(fields, "datatype"), fields.get("data")
    if size is None:
        if not isinstance(data, list):
            hint = f"{_INPUT} {_SIZES}"
            raise InputError("FORMAT", "an input needs data, or the parameter binary_data_size and bytes", hint)
        return Tensor(name, datatype, tuple(shape), data), start
    if type(size) is not int or size < 0 or start + size > len(body) or data is not None:
        raise InputError("V2_DATA", "binary_data_size does not match the body", _SIZES)
    return Tensor(name, datatype, tuple(shape), body[start : start + size]), start + size


def _is_side(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _crops(tensor: Tensor) -> list[NDArray[np.float32]]:
    if tensor.datatype != "FP32":
        raise InputError("CROP_DTYPE", f"{CROP_INPUT} must be FP32", "Send HU as float32.")
    if len(tensor.shape) != 3 or tensor.shape[1:] != (IMAGE_SIZE_PX, IMAGE_SIZE_PX) or tensor.shape[0] < 1:
        message = f"{CROP_INPUT} must have the shape [n, {IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}], n at least 1"
        raise InputError("CROP_SHAPE", message, f"Send [1, {IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}] also for a single crop.")
    check_batch(tensor.shape[0], MAX_CROPS)
    if isinstance(tensor.data, list):
        if len(tensor.data) != math.prod(tensor.shape):  # a flat list, the usual form, need not be read twice
            _require_count(tensor, _values_in(tensor.data), "values")
        return list(numbers_of(tensor.data, tensor.shape))
    is_raw = isinstance(tensor.data, bytes | memoryview)
    _require_count(tensor, len(tensor.data), "bytes" if is_raw else "values", 4 if is_raw else 1)
    values = np.frombuffer(tensor.data, "<f4") if is_raw else np.array(tensor.data, np.float32)
    return list(values.reshape(tensor.shape).astype(np.float32, copy=False))


def _values_in(data: list[Any]) -> int | None:
    """How many values are in a list, or in lists of one depth of at most three; None where others are among them."""
    for _ in range(2):
        if set(map(type, data)) == {list}:
            data = list(itertools.chain.from_iterable(data))
    return None if list in set(map(type, data)) else len(data)


def _require_count(tensor: Tensor, count: int | None, units: str, each: int = 1) -> None:
    """``V2_DATA`` unless a tensor holds as many as its shape gives, which are ``each`` of the units per value."""
    expected = each * math.prod(tensor.shape)
    if count is not None and count != expected:
        message = f"{tensor.name}: its shape {list(tensor.shape)} gives {expected:,} {units}"
        message += f", and the number sent is {count:,}"
        raise InputError("V2_DATA", message, _COUNTS)


def _studies(tensor: Tensor, parameters: Mapping[str, Any]) -> list[Study]:
    count = math.prod(tensor.shape)
    if tensor.datatype != "BYTES" or count < 1:
        raise InputError("FORMAT", f"{DICOM_INPUT} must be BYTES with at least one element", SHAPES)
    check_batch(count, MAX_STUDIES)
    zips = [base64_of(one) for one in tensor.data] if isinstance(tensor.data, list) else byte_strings(tensor.data)
    _require_count(tensor, len(zips), "elements")
    return [Study(zipped=one, **options_of(parameters)) for one in zips]


def _outputs(value: Any, binary: bool) -> tuple[Output, ...]:
    if value is not None and (not isinstance(value, list) or len(value) > MAX_LISTED):
        hint = 'Send, for example, "outputs": [{"name": "probability"}]; without outputs, all are returned.'
        raise InputError("FORMAT", f"outputs must be a list of at most {MAX_LISTED}", hint)
    fields = [object_of(one) for one in value or []]
    flags = [object_of(one.get("parameters")).get("binary_data", binary) for one in fields]
    return tuple(Output(text_of(one, "name"), bool(flag)) for one, flag in zip(fields, flags, strict=True))


def _header_length(text: str, size: int) -> int:
    if not text.isdecimal() or not 0 < len(text) < 12 or int(text) > size:
        raise InputError("V2_HEADER", "Inference-Header-Content-Length does not match the body", JSON_LENGTH)
    if int(text) > MAX_JSON_BODY_BYTES:
        most = f"{MAX_JSON_BODY_BYTES // MIB} MiB"
        raise InputError(
            "BODY_TOO_LARGE", f"the JSON before binary tensors may have at most {most}", "Send data binary."
        )
    return int(text)
