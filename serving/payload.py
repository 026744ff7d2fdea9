"""The contents of a request, and V1 requests -> crops or DICOM studies; ``tensors.py`` reads those of V2.

Every limit is checked before memory is allocated.

V1 JSON     {"instances": [INSTANCE, ...]}, an INSTANCE being one of
            a crop as rows of HU, {"crop_hu": rows}, {"dicom_zip": BASE64}, {"dicom_files": [BASE64, ...]};
            beside DICOM optionally "roi" and "rtstruct_uid"
V1 zip      the zip itself as the body, whatever its Content-Type; "roi" and "rtstruct_uid" in the address's query
V1 form     multipart with one zip or the study's DICOM files; "roi" and "rtstruct_uid" in the query or as fields
"""

import dataclasses
import difflib
import itertools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.checked import ALIKE
from components.common.errors import InputError
from components.common.limits import MAX_CROPS, MAX_FILES, MAX_QUERY_FIELDS, MAX_STUDIES, MAX_TEXT
from components.common.settings import IMAGE_SIZE_PX
from components.model.manifest import INPUT
from serving.content import Buffer, form_parts, is_dicom, is_form, is_zip
from serving.encodings import base64_of, json_object, object_of

CROP_INPUT = INPUT
DICOM_INPUT = "dicom_zip"
#: Options of a DICOM study: the requested GTV and RTSTRUCT.
OPTIONS = ("roi", "rtstruct_uid")
_OPTIONS = "roi is a ROIName or ROINumber, rtstruct_uid a SOPInstanceUID."
_FORM = "Let the client write the Content-Type of a form with its boundary, as curl -F does; or send the .zip itself."
_FILES = "Send each file of one study in base64; more files as several studies, or the slices around the tumours only."


@dataclasses.dataclass(frozen=True, slots=True)
class Study:
    """One patient's planning CT and RTSTRUCT: a zip or its files, and the requested GTV."""

    zipped: Buffer | None = None
    files: tuple[bytes, ...] = ()
    roi: str = ""
    rtstruct_uid: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """An output that a V2 caller requested."""

    name: str
    binary: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """A decoded request: per instance a crop [151, 151] float32 HU or a study; the rest is V2's.

    Parameters
    ----------
    instances
        Crops and studies, in the order of the reply.
    request_id
        V2's ``id``, echoed.
    binary
        Whether V2 outputs follow the JSON as binary unless an output says otherwise.
    outputs
        The requested outputs; empty: all.
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
        JSON, a zip or a form, recognised by its first bytes.
    content_type
        Used only if the body begins as none of them: a damaged zip, one with bytes before it, or a form without parts.
    options
        ``roi`` and ``rtstruct_uid`` of a zip or form, from the address's query.

    Raises
    ------
    InputError
        ``FORMAT``, ``FORM``, ``OPTION``, ``CROP_SHAPE``, ``BATCH_TOO_LARGE``, and those of ``json_object`` and
        ``base64_of``.
    """
    if is_form(body):
        return Query((_form_study(body, options or {}),))
    if is_zip(body) or is_zip_type(content_type):
        return Query((Study(zipped=body, **options_of(options or {})),))
    fields = _json_or_form(body, content_type)
    instances = fields.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InputError("FORMAT", "instances must be a list of at least one", 'Send {"instances": [...]}.')
    check_batch(len(instances), MAX_CROPS)
    query = Query(tuple(_v1_instance(instance) for instance in instances))
    check_batch(sum(isinstance(instance, Study) for instance in query.instances), MAX_STUDIES)
    return query


def _json_or_form(body: Buffer, content_type: str) -> dict[str, Any]:
    """The JSON object; ``FORM`` where something else was sent as a form, as which it cannot be read either."""
    try:
        return json_object(body, len(body))
    except InputError as error:
        as_form = content_type.strip().lower().startswith("multipart/") or body[:2] == b"--"
        if error.code not in ("JSON", "FORMAT") or not as_form:
            raise
        raise InputError("FORM", "the form holds no part, or does not begin with its boundary", _FORM) from None


def is_zip_type(content_type: str) -> bool:
    """Whether a Content-Type says that the body is a zip."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("application/") and kind.endswith(("zip", "zip-compressed"))


def _form_study(body: Buffer, options: Mapping[str, Any]) -> Study:
    """The study in a form; ``FORM`` if it holds neither one zip nor DICOM files."""
    parts = form_parts(body)
    fields = {part.name: part.data.decode("utf-8", "replace").strip() for part in parts if part.name in OPTIONS}
    files = [part.data for part in parts if part.name not in OPTIONS]
    chosen = options_of({**fields, **options})
    if len(files) == 1 and not is_dicom(files[0]):
        return Study(zipped=files[0], **chosen)
    if not files or len(files) > MAX_FILES or not all(map(is_dicom, files)):
        hint = "Beside roi and rtstruct_uid, send one .zip, or the study's DICOM files, and nothing else."
        raise InputError("FORM", f"the form's {len(files)} files or fields are not one study", hint)
    return Study(files=tuple(files), **chosen)


def _v1_instance(instance: Any) -> NDArray[np.float32] | Study:
    if isinstance(instance, list):
        return numbers_of(instance, (IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    fields = object_of(instance)
    kinds = [name for name in (CROP_INPUT, DICOM_INPUT, "dicom_files") if name in fields]
    if len(kinds) != 1 or not set(fields) <= {*kinds, *OPTIONS}:
        message = (
            f"an instance holds one of {CROP_INPUT}, {DICOM_INPUT} and dicom_files; beside DICOM roi, rtstruct_uid"
        )
        raise InputError(
            "FORMAT", message, 'For example {"dicom_zip": BASE64, "roi": "GTV_1"}, or a crop\'s rows alone.'
        )
    value, options = fields[kinds[0]], options_of(fields)
    if kinds == [CROP_INPUT]:
        return numbers_of(value, (IMAGE_SIZE_PX, IMAGE_SIZE_PX))
    if kinds == [DICOM_INPUT]:
        return Study(zipped=base64_of(value), **options)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_FILES:
        raise InputError("FORMAT", f"dicom_files must be a list of 1 to {MAX_FILES} files", _FILES)
    return Study(files=tuple(base64_of(one) for one in value), **options)


def numbers_of(value: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """JSON numbers, nested or flat, as float32 of ``shape``; text and booleans are not numbers."""
    if type(value) is not list:
        raise _no_crop()
    flat = value if len(value) == math.prod(shape) else _flattened(value, shape)
    # NumPy must not infer the type: with one long text it would make every element as wide.
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
    hint = f"Send {IMAGE_SIZE_PX} rows of {IMAGE_SIZE_PX} HU, without null, text or true; or DICOM, as {DICOM_INPUT}."
    return InputError("CROP_SHAPE", f"a crop must be {IMAGE_SIZE_PX} x {IMAGE_SIZE_PX} numbers", hint)


def options_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``roi`` and ``rtstruct_uid`` if given; ``OPTION`` unless they are short texts. A number is a ROINumber."""
    given = {name: str(value) if type(value) is int else value for name, value in fields.items() if name in OPTIONS}
    return {name: text_of(given, name, "OPTION") for name in OPTIONS}


def check_query(items: Iterable[tuple[str, str]]) -> None:
    """Raises ``OPTION`` if an option is repeated or misspelt, since all GTVs would then be answered.

    Fields with other names, such as a key that a gateway adds, are ignored.
    """
    names = [name for name, _ in items]
    if len(names) > MAX_QUERY_FIELDS:
        raise InputError("OPTION", f"the address's query may have at most {MAX_QUERY_FIELDS} fields", _OPTIONS)
    if any(names.count(name) > 1 for name in OPTIONS):
        raise InputError("OPTION", "roi and rtstruct_uid may be given once each in the address's query", _OPTIONS)
    if meant := next(filter(None, map(_meant, names)), ""):
        message = "a name in the address's query resembles one of roi and rtstruct_uid, but is neither"
        raise InputError(
            "OPTION", f"{message}: did you mean {meant}?", f"{_OPTIONS} Names that resemble neither are ignored."
        )


def _meant(name: str) -> str:
    """The option that another name is probably a misspelling of; "" for an option, and for an unlike name."""
    lower = name.lower()
    if name in OPTIONS:
        return ""
    if start := re.match("roi|rtstruct", lower):
        return next(option for option in OPTIONS if option.startswith(start[0]))
    swapped = [option for option in OPTIONS if sorted(option) == sorted(lower)]  # difflib rates rio no nearer than rid
    return next(iter(swapped or difflib.get_close_matches(lower, OPTIONS, 1, ALIKE)), "")


def text_of(fields: Mapping[str, Any], name: str, code: str = "FORMAT") -> str:
    """A short text, "" if it is absent or null."""
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > MAX_TEXT):
        hint = _OPTIONS if name in OPTIONS else "Send a shorter text in quotes, or leave it out where it is optional."
        raise InputError(code, f"{name} must be text of at most {MAX_TEXT} characters", hint)
    return value or ""


def check_batch(count: int, most: int) -> None:
    """``BATCH_TOO_LARGE`` above ``most``."""
    if count > most:
        raise InputError("BATCH_TOO_LARGE", f"at most {most} at once", "Send them in several requests.")
