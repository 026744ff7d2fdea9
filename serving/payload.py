"""What a request holds, and V1 requests -> crops or DICOM studies; V2's are read in ``tensors.py``.

Every limit is checked before memory is taken.

V1 JSON     {"instances": [INSTANCE, ...]}, an INSTANCE being one of
            a crop as rows of HU, {"crop_hu": rows}, {"dicom_zip": BASE64}, {"dicom_files": [BASE64, ...]};
            beside DICOM optionally "roi" and "rtstruct_uid"
V1 zip      the zip itself as the body, Content-Type application/zip; "roi" and "rtstruct_uid" in the address's query
"""

import base64
import binascii
import dataclasses
import itertools
import math
from collections.abc import Mapping
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
#: Characters of a name, an id or an option.
MAX_TEXT = 256
#: Lists and objects of a JSON body; the most that a body needs are the rows of ``MAX_CROPS`` crops.
MAX_CONTAINERS = 200_000

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


def decode_v1(body: Buffer, content_type: str = "application/json", options: Mapping[str, Any] | None = None) -> Query:
    """A V1 body.

    Parameters
    ----------
    body
        JSON, or a zip.
    content_type
        Says which.
    options
        ``roi`` and ``rtstruct_uid`` of a zip, from the address's query.

    Raises
    ------
    InputError
        ``JSON``, ``FORMAT``, ``BASE64``, ``OPTION``, ``CROP_SHAPE`` or ``BATCH_TOO_LARGE``.
    """
    if content_type.partition(";")[0].strip().lower() in ("application/zip", "application/x-zip-compressed"):
        return Query((Study(zipped=bytes(body), **options_of(options or {})),))
    fields = json_object(body, len(body))
    instances = fields.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InputError("FORMAT", "instances must be a list of at least one", 'Send {"instances": [...]}.')
    check_batch(len(instances), MAX_CROPS)
    query = Query(tuple(_v1_instance(instance) for instance in instances))
    check_batch(sum(isinstance(instance, Study) for instance in query.instances), MAX_STUDIES)
    return query


def _v1_instance(instance: Any) -> NDArray[np.float32] | Study:
    if isinstance(instance, list):
        return numbers_of(instance, (IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    fields = object_of(instance)
    kinds = [name for name in (CROP_INPUT, DICOM_INPUT, "dicom_files") if name in fields]
    if len(kinds) != 1 or not set(fields) <= {*kinds, "roi", "rtstruct_uid"}:
        raise InputError("FORMAT", f"an instance holds one of {CROP_INPUT}, {DICOM_INPUT}, dicom_files, and roi")
    value, options = fields[kinds[0]], options_of(fields)
    if kinds == [CROP_INPUT]:
        return numbers_of(value, (IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    if kinds == [DICOM_INPUT]:
        return Study(zipped=base64_of(value), **options)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_FILES:
        raise InputError("FORMAT", f"dicom_files must be a list of 1 to {MAX_FILES} files")
    return Study(files=tuple(base64_of(one) for one in value), **options)


def numbers_of(value: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """JSON numbers, nested or flat, as float32 of ``shape``; text and booleans are not numbers."""
    if type(value) is not list:
        raise _no_crop()
    flat = value if len(value) == math.prod(shape) else _flattened(value, shape)
    # NumPy is not asked what this is: beside one long text it would make every element as wide.
    if not set(map(type, flat)) <= {int, float}:
        raise _no_crop()
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused by name
        return np.array(flat, np.float64).astype(np.float32).reshape(shape)


def _flattened(value: list[Any], shape: tuple[int, ...]) -> list[Any]:
    if len(value) != shape[0]:
        raise _no_crop()
    for side in shape[1:]:
        if any(type(row) is not list or len(row) != side for row in value):
            raise _no_crop()
        value = list(itertools.chain.from_iterable(value))
    return value


def _no_crop() -> InputError:
    return InputError("CROP_SHAPE", f"a crop must be {IMAGE_SIZE_PX} x {IMAGE_SIZE_PX} numbers")


def options_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``roi`` and ``rtstruct_uid`` where given; ``OPTION`` where they are no short text."""
    return {name: text_of(fields, name, "OPTION") for name in ("roi", "rtstruct_uid")}


def text_of(fields: Mapping[str, Any], name: str, code: str = "FORMAT") -> str:
    """A short text, "" where it is absent or null."""
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > MAX_TEXT):
        raise InputError(code, f"{name} must be text of at most {MAX_TEXT} characters")
    return value or ""


def base64_of(value: Any) -> bytes:
    """Decoded base64 text; ``BASE64`` where it is none."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InputError("BASE64", "DICOM in JSON must be base64 text") from None


def json_object(data: Buffer, length: int) -> dict[str, Any]:
    """The JSON object in the first ``length`` bytes; ``JSON`` or ``FORMAT`` where they are none."""
    # As Python objects, empty lists take thirty times their bytes.
    if data.count(b"[", 0, length) + data.count(b"{", 0, length) > MAX_CONTAINERS:
        raise InputError("FORMAT", f"the body holds more than {MAX_CONTAINERS} lists and objects")
    try:
        return object_of(orjson.loads(memoryview(data)[:length]))
    except orjson.JSONDecodeError:
        raise InputError("JSON", "the body is not JSON") from None


def object_of(value: Any) -> dict[str, Any]:
    """A JSON object or null, as a dict."""
    if not isinstance(value, dict | None):
        raise InputError("FORMAT", "the body holds another JSON type where an object is expected")
    return value or {}


def check_batch(count: int, most: int) -> None:
    """``BATCH_TOO_LARGE`` above ``most``."""
    if count > most:
        raise InputError("BATCH_TOO_LARGE", f"at most {most} at once", "Send them in several requests.")
