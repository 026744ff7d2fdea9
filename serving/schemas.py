"""The schemas of the OpenAPI document: the contents of requests and of replies."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from components.common.limits import MAX_CROPS, MAX_FILES, MAX_LISTED, MAX_STUDIES, MAX_TEXT
from components.common.settings import IMAGE_SIZE_PX
from components.model.runtime import Answer
from serving.payload import CROP_INPUT, DICOM_INPUT
from serving.reply import OUTPUTS, Unanswered

Schema = dict[str, Any]

#: JSON types of Python's types.
TYPES: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    float | None: {"type": ["number", "null"]},
}
NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
TEXT: Schema = {"type": ["string", "null"], "maxLength": MAX_TEXT}


def ref(name: str) -> Schema:
    """A schema of ``schemas`` by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(fields: Mapping[str, Schema], *optional: str) -> Schema:
    """An object with all of these fields but the ``optional``."""
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": dict(fields), "required": required}


def _fields(kind: Any, *left_out: str) -> dict[str, Schema]:
    """The schema of each field of a dataclass."""
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name not in left_out]
    return {name: TYPES.get(hints[name], NUMBERS) for name in names}


def _list(schema: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": schema, **bounds}


def schemas() -> Schema:
    """Name -> schema, for all parts of requests and replies."""
    return {**_looks(), **_tensors(), **_requests(), **_replies()}


def _looks() -> Schema:
    text, flag = TYPES[str], TYPES[bool]
    sides = {"name": text, "datatype": text, "shape": _list(TYPES[int])}
    return {
        "Live": _object({"live": flag, "status": text}),
        "Ready": _object({"ready": flag}),
        "ModelReady": _object({"name": text, "ready": flag}),
        "Models": _object({"models": _list(text)}),
        "Server": _object({"name": text, "version": text, "extensions": _list(text)}),
        "Model": _object(
            {
                **{"name": text, "versions": _list(text), "platform": text, "inputs": _list(_object(sides))},
                **{
                    "outputs": _list(_object({**sides, "name": {"enum": list(OUTPUTS)}})),
                    "parameters": {"type": "object"},
                },
            }
        ),
    }


def _tensors() -> Schema:
    """V2's inputs; ``data`` is absent if the values follow the JSON."""
    side = {"const": IMAGE_SIZE_PX}
    crops = [{"type": "integer", "minimum": 1, "maximum": MAX_CROPS}, side, side]
    shape = {"type": "array", "prefixItems": crops, "minItems": 3, "maxItems": 3}
    studies = _list({"type": "integer", "minimum": 1, "maximum": MAX_STUDIES}, minItems=1, maxItems=1)
    more: dict[str, Schema] = {
        "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}}
    }
    crop: dict[str, Schema] = {
        "name": {"const": CROP_INPUT},
        "datatype": {"const": "FP32"},
        "shape": shape,
        "data": {"type": "array"},
    }
    zips: dict[str, Schema] = {
        "name": {"const": DICOM_INPUT},
        "datatype": {"const": "BYTES"},
        "shape": studies,
        "data": _list(ref("Base64")),
    }
    tensors: dict[str, dict[str, Schema]] = {"CropTensor": {**crop, **more}, "DicomTensor": {**zips, **more}}
    return {name: _object(fields, "data", "parameters") for name, fields in tensors.items()}


def _requests() -> Schema:
    side, whole = ({"minItems": count, "maxItems": count} for count in (IMAGE_SIZE_PX, IMAGE_SIZE_PX**2))
    options = {"roi": {"type": ["string", "integer", "null"], "maxLength": MAX_TEXT}, "rtstruct_uid": TEXT}
    files = _list(ref("Base64"), minItems=1, maxItems=MAX_FILES)
    output: dict[str, Schema] = {"name": {"enum": list(OUTPUTS)}, "parameters": {"type": "object"}}
    outputs = _list(_object(output, "parameters"), maxItems=MAX_LISTED)
    chosen = {"type": "object", "properties": {**options, "binary_data_output": TYPES[bool]}}
    return {
        "Crop": {
            "description": "HU, row by row",
            "anyOf": [_list({**NUMBERS, **side}, **side), {**NUMBERS, **whole}],
        },
        "Base64": {"anyOf": [{"type": "string"}, _object({"b64": TYPES[str]})], "description": "A file in base64"},
        "Instance": {
            "anyOf": [
                ref("Crop"),
                {**_object({CROP_INPUT: ref("Crop")}), "additionalProperties": False},
                {**_object({DICOM_INPUT: ref("Base64"), **options}, *options), "additionalProperties": False},
                {**_object({"dicom_files": files, **options}, *options), "additionalProperties": False},
            ],
            "description": f"A crop, or one of at most {MAX_STUDIES} studies",
        },
        "V1Request": _object({"instances": _list(ref("Instance"), minItems=1, maxItems=MAX_CROPS)}),
        "V2Request": _object(
            {
                **{
                    "id": TEXT,
                    "inputs": _list({"anyOf": [ref("CropTensor"), ref("DicomTensor")]}, minItems=1, maxItems=1),
                },
                **{"outputs": outputs, "parameters": chosen},
            },
            *("id", "outputs", "parameters"),
        ),
    }


def _replies() -> Schema:
    text, number = TYPES[str], TYPES[int]
    facts = dict.fromkeys(("model_name", "model_version", "bundle_digest", "image_digest", "ensemble_score"), text)
    facts |= {"cut_off": TYPES[float], "synthetic": TYPES[bool]}
    names = dict.fromkeys(("roi_name", "roi_number", "slice_sop_instance_uid"), text)
    answer = {"instance": number, **names, **_fields(Answer, "non_responder"), "warnings": _list(text)}
    label = {"enum": ["responder", "non-responder"]}
    unanswered = _object(_fields(Unanswered))
    output = {"name": {"enum": list(OUTPUTS)}, "datatype": text, "shape": _list(number), "data": {"type": "array"}}
    output["parameters"] = {"type": "object"}
    named = {"model_name": text, "model_version": text, "id": text, "parameters": {"type": "object"}}
    details = {"instance": number, "unanswered": _list(unanswered), "offer": _list({"type": "object"})}
    return {
        "Unanswered": unanswered,
        "Prediction": _object({**answer, "label": label, **facts}),
        "V1Reply": _object({"predictions": _list(ref("Prediction")), "unanswered": _list(ref("Unanswered"))}),
        "V2Reply": _object({**named, "outputs": _list(_object(output, "data", "parameters"))}),
        "Problem": _object({"error": text, "code": text, "hint": text, **details}, *details),
    }
