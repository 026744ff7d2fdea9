"""Requests in the V1 and V2 protocols -> crops or DICOM studies. Every limit is checked before memory is taken.

V1 JSON     {"instances": [INSTANCE, ...]}, an INSTANCE being one of
            a crop as rows of HU, {"crop_hu": rows}, {"dicom_zip": BASE64}, {"dicom_files": [BASE64, ...]};
            beside DICOM optionally "roi" and "rtstruct_uid"
V1 zip      the zip itself as the body, Content-Type application/zip
V2          inputs "crop_hu" FP32 [n,151,151], or "dicom_zip" BYTES [n] (base64 where the data are JSON);
            request parameters "roi" and "rtstruct_uid" go with DICOM
V2 binary   the same, the tensors behind the JSON (Inference-Header-Content-Length)
"""

import base64
import binascii
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from components.common.errors import InputError
from components.common.settings import IMAGE_SIZE_PX

CROP_INPUT = "crop_hu"
DICOM_INPUT = "dicom_zip"
MAX_CROPS = 1024
MAX_STUDIES = 8
#: Files of one study given as parts.
MAX_FILES = 2000

Buffer = bytes | bytearray


@dataclasses.dataclass(frozen=True, slots=True)
class Study:
    """One patient's planning CT and RTSTRUCT: a zip, or its files; and what to look for in them."""

    zipped: bytes | None = None
    files: tuple[bytes, ...] = ()
    roi: str = ""
    rtstruct_uid: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """An output that a V2 caller asked for."""

    name: str
    binary: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """A decoded request: per instance a crop [151, 151] float32 HU or a study; the rest is V2's.

    Parameters
    ----------
    instances
        What to answer, in the order of the reply.
    request_id
        V2's ``id``, echoed.
    binary
        Whether V2 outputs go behind the JSON unless an output says otherwise.
    outputs
        The outputs asked for; none means all.
    """

    instances: tuple[NDArray[np.float32] | Study, ...]
    request_id: str = ""
    binary: bool = False
    outputs: tuple[Output, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A V2 input: ``data`` is raw bytes, a JSON value, or the byte strings of a BYTES tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any


def decode_v1(body: Buffer, content_type: str = "application/json") -> Query:
    """A V1 body; ``InputError`` with codes ``JSON``, ``V1_FORMAT``, ``BASE64``, ``CROP_*`` or ``BATCH_TOO_LARGE``."""
    if content_type.partition(";")[0].strip().lower() in ("application/zip", "application/x-zip-compressed"):
        return Query((Study(zipped=bytes(body)),))
    fields = _json_object(body)
    instances = fields.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InputError("V1_FORMAT", "instances must be a list of at least one", 'Send {"instances": [...]}.')
    _check_batch(len(instances), MAX_CROPS)
    query = Query(tuple(_v1_instance(instance) for instance in instances))
    _check_batch(sum(isinstance(instance, Study) for instance in query.instances), MAX_STUDIES)
    return query


def decode_v2(body: Buffer, json_length: str | None) -> Query:
    """A V2 body, its binary tensors read in place.

    Parameters
    ----------
    body
        JSON, and behind it the binary tensors.
    json_length
        The header Inference-Header-Content-Length: bytes of JSON; None where all is JSON.

    Raises
    ------
    InputError
        ``V2_HEADER``, ``JSON``, ``V2_FORMAT``, ``V2_DATA``, and those of ``query_of``.
    """
    length = len(body) if json_length is None else _header_length(json_length, len(body))
    fields = _json_object(memoryview(body)[:length])
    inputs = fields.get("inputs")
    if not isinstance(inputs, list):
        raise InputError("V2_FORMAT", "inputs must be a list of tensors")
    tensors, start = [], length
    for one in inputs:
        tensor, start = _v2_tensor(one, memoryview(body), start)
        tensors.append(tensor)
    if start != len(body):
        raise InputError("V2_DATA", "the body holds more bytes than the inputs name")
    parameters = _object(fields.get("parameters"))
    binary = bool(parameters.get("binary_data_output", False))
    return query_of(tensors, parameters, str(fields.get("id") or ""), binary, _outputs(fields.get("outputs"), binary))


def query_of(
    tensors: Sequence[Tensor],
    parameters: Mapping[str, Any],
    request_id: str = "",
    binary: bool = False,
    outputs: tuple[Output, ...] = (),
) -> Query:
    """The query that V2 tensors make; ``INPUT_UNKNOWN``, ``V2_DATA``, ``BASE64``, ``CROP_*``, ``BATCH_TOO_LARGE``."""
    if len(tensors) != 1 or tensors[0].name not in (CROP_INPUT, DICOM_INPUT):
        raise InputError("INPUT_UNKNOWN", f"expected one input, {CROP_INPUT} or {DICOM_INPUT}")
    tensor = tensors[0]
    instances = _crops(tensor) if tensor.name == CROP_INPUT else _studies(tensor, parameters)
    return Query(tuple(instances), request_id, binary, outputs)


def _v1_instance(instance: Any) -> NDArray[np.float32] | Study:
    if isinstance(instance, list):
        return _numbers(instance, (IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    fields = _object(instance, "V1_FORMAT")
    kinds = [name for name in (CROP_INPUT, DICOM_INPUT, "dicom_files") if name in fields]
    if len(kinds) != 1 or not set(fields) <= {*kinds, "roi", "rtstruct_uid"}:
        raise InputError("V1_FORMAT", f"an instance holds one of {CROP_INPUT}, {DICOM_INPUT}, dicom_files, and roi")
    value, options = fields[kinds[0]], _options(fields)
    if kinds == [CROP_INPUT]:
        return _numbers(value, (IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    if kinds == [DICOM_INPUT]:
        return Study(zipped=_base64(value), **options)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_FILES:
        raise InputError("V1_FORMAT", f"dicom_files must be a list of 1 to {MAX_FILES} files")
    return Study(files=tuple(_base64(one) for one in value), **options)


def _v2_tensor(value: Any, body: memoryview, start: int) -> tuple[Tensor, int]:
    """A tensor of the JSON and where the next one's bytes begin."""
    fields = _object(value)
    shape, size = fields.get("shape"), _object(fields.get("parameters")).get("binary_data_size")
    if not isinstance(shape, list) or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise InputError("V2_FORMAT", "shape must be a list of whole numbers")
    name, datatype, data = str(fields.get("name")), str(fields.get("datatype")), fields.get("data")
    if size is None:
        if not isinstance(data, list):
            raise InputError("V2_FORMAT", "an input needs data, or the parameter binary_data_size and bytes")
        return Tensor(name, datatype, tuple(shape), data), start
    if type(size) is not int or size < 0 or start + size > len(body) or data is not None:
        raise InputError("V2_DATA", "binary_data_size does not fit the body")
    return Tensor(name, datatype, tuple(shape), body[start : start + size]), start + size


def _crops(tensor: Tensor) -> list[NDArray[np.float32]]:
    if tensor.datatype != "FP32":
        raise InputError("CROP_DTYPE", f"{CROP_INPUT} must be FP32", "Send HU as float32.")
    if len(tensor.shape) != 3 or tensor.shape[1:] != (IMAGE_SIZE_PX, IMAGE_SIZE_PX) or tensor.shape[0] < 1:
        raise InputError("CROP_SHAPE", f"{CROP_INPUT} must have the shape [n, {IMAGE_SIZE_PX}, {IMAGE_SIZE_PX}]")
    _check_batch(tensor.shape[0], MAX_CROPS)
    if isinstance(tensor.data, list):
        return list(_numbers(tensor.data, tensor.shape))
    if len(tensor.data) != 4 * math.prod(tensor.shape):
        raise InputError("V2_DATA", f"{CROP_INPUT} holds other than the bytes of its shape")
    return list(np.frombuffer(tensor.data, "<f4").reshape(tensor.shape).astype(np.float32, copy=False))


def _studies(tensor: Tensor, parameters: Mapping[str, Any]) -> list[Study]:
    count = math.prod(tensor.shape)
    if tensor.datatype != "BYTES" or count < 1:
        raise InputError("V2_FORMAT", f"{DICOM_INPUT} must be BYTES with at least one element")
    _check_batch(count, MAX_STUDIES)
    zips = [_base64(one) for one in tensor.data] if isinstance(tensor.data, list) else byte_strings(tensor.data)
    if len(zips) != count:
        raise InputError("V2_DATA", f"{DICOM_INPUT} holds another number of elements than its shape")
    return [Study(zipped=one, **_options(parameters)) for one in zips]


def byte_strings(data: Any) -> list[bytes]:
    """Elements of a raw BYTES tensor: each has its length in front, 4 bytes little-endian."""
    if isinstance(data, tuple):  # gRPC gives the elements themselves
        return list(data)
    elements: list[bytes] = []
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if start + 4 > len(data) or end > len(data) or len(elements) == MAX_STUDIES:
            raise InputError("V2_DATA", "a BYTES tensor does not fit its lengths")
        elements.append(bytes(data[start + 4 : end]))
        start = end
    return elements


def _numbers(value: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """JSON numbers, nested or flat, as float32 of ``shape``; text and booleans are not numbers."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or array.size != math.prod(shape) or array.shape not in (shape, (array.size,)):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise InputError("CROP_SHAPE", f"a crop must be {IMAGE_SIZE_PX} x {IMAGE_SIZE_PX} numbers") from None
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused by name
        return array.astype(np.float32).reshape(shape)


def _outputs(value: Any, binary: bool) -> tuple[Output, ...]:
    if value is not None and not isinstance(value, list):
        raise InputError("V2_FORMAT", "outputs must be a list")
    fields = [_object(one) for one in value or []]
    flags = [_object(one.get("parameters")).get("binary_data", binary) for one in fields]
    return tuple(Output(str(one.get("name")), bool(flag)) for one, flag in zip(fields, flags, strict=True))


def _json_object(data: Buffer | memoryview) -> dict[str, Any]:
    try:
        return _object(orjson.loads(data))
    except orjson.JSONDecodeError:
        raise InputError("JSON", "the body is not JSON") from None


def _object(value: Any, code: str = "V2_FORMAT") -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise InputError(code, "the body holds another JSON type where an object is expected")
    return value or {}


def _header_length(text: str, size: int) -> int:
    if not text.isdecimal() or not 0 < len(text) < 12 or int(text) > size:
        raise InputError("V2_HEADER", "Inference-Header-Content-Length does not fit the body")
    return int(text)


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: fields.get(name, "") for name in ("roi", "rtstruct_uid")}
    for name, value in options.items():
        if not isinstance(value, str) or len(value) > 256:
            raise InputError("OPTION", f"{name} must be text of at most 256 characters")
    return options


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InputError("BASE64", "DICOM in JSON must be base64 text") from None


def _check_batch(count: int, most: int) -> None:
    if count > most:
        raise InputError("BATCH_TOO_LARGE", f"at most {most} at once", "Send them in several requests.")
