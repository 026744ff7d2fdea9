"""What the server says of itself at ``/openapi.json``: addresses, bodies, replies and error codes (OpenAPI 3.1).

Whatever has a home elsewhere is taken from there: outputs, limits, codes and the fields of a reply.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from components.common.limits import MAX_CROPS, MAX_FILES, MAX_LISTED, MAX_STUDIES, MAX_TEXT, MIB
from components.common.settings import IMAGE_SIZE_PX
from serving.errors import CODES, REMEDIES, RETRY_AFTER_SECONDS
from serving.limits import Limits
from serving.payload import CROP_INPUT, DICOM_INPUT, OPTIONS
from serving.reply import BINARY_HEADER, OUTPUTS, Unanswered
from serving.runtime import Answer

Schema = dict[str, Any]

#: Of the addresses and bodies: its first number changes when a caller has to.
API_VERSION = "1.0.0"

_TYPES: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}
_JSON, _BINARY = "application/json", "application/octet-stream"
_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_TEXT: Schema = {"type": ["string", "null"], "maxLength": MAX_TEXT}


def document(limits: Limits) -> Schema:
    """The OpenAPI document of a server with these limits."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "srs-response predictor",
            "version": API_VERSION,
            "description": "How likely a brain metastasis does not respond to radiosurgery, by its planning CT. By"
            " KServe's V1 protocol and the Open Inference Protocol (V2). Not a medical device.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(limits),
        "components": {"schemas": _schemas(), "responses": {str(status): _refusal(status) for status in (*CODES, 500)}},
    }


def _paths(limits: Limits) -> Schema:
    v1, v2, model = "/v1/models", "/v2", "/v2/models/{model}"
    version = model + "/versions/{version}"
    infer = _infer_v2(limits)
    return {
        "/": _get("live", "Whether the process answers", _ref("Live")),
        "/openapi.json": _get("openapi", "This document", {"type": "object"}),
        "/metrics": _get("metrics", "Prometheus metrics", {"type": "string"}, kind="text/plain"),
        v1: _get("v1_models", "What is served", _ref("Models")),
        v1 + "/{model}": _get("v1_model", "Whether the model answers", _ref("ModelReady"), "model"),
        v1 + "/{model}:predict": {"post": _predict_v1(limits), "parameters": _named("model")},
        v2: _get("v2_server", "Name and version of the server", _ref("Server")),
        v2 + "/health/live": _get("v2_live", "Whether the process answers", _ref("Live")),
        v2 + "/health/ready": _get("v2_ready", "Whether new requests are welcome", _ref("Ready")),
        v2 + "/models": _get("v2_models", "What is served", _ref("Models")),
        model: _get("v2_model", "Inputs, outputs, and what is served", _ref("Model"), "model"),
        model + "/ready": _get("v2_model_ready", "Whether the model answers", _ref("ModelReady"), "model"),
        model + "/infer": {"post": infer, "parameters": _named("model")},
        version: _get("v2_version", "Inputs, outputs, and what is served", _ref("Model"), "model", "version"),
        version + "/ready": _get("v2_version_ready", "Whether it answers", _ref("ModelReady"), "model", "version"),
        version + "/infer": {
            "post": {**infer, "operationId": "v2_version_infer"},
            "parameters": _named("model", "version"),
        },
    }


def _get(name: str, summary: str, schema: Schema, *parameters: str, kind: str = _JSON) -> Schema:
    """A look; what says whether something lives or is ready answers 503 too, with the same fields."""
    good = {"description": summary, "content": {kind: {"schema": schema}}}
    replies = {"200": good, "500": _response(500)}
    health = [_ref(name) for name in ("Live", "Ready", "ModelReady")]
    replies |= {"503": {**good, "description": "Not now"}} if schema in health else {}
    replies |= {"404": _response(404)} if parameters else {}
    path = {"get": {"operationId": name, "summary": summary, "responses": replies}}
    return {**path, "parameters": _named(*parameters)} if parameters else path


def _named(*names: str) -> list[Schema]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _predict_v1(limits: Limits) -> Schema:
    options = {
        name: {"name": name, "in": "query", "schema": {"type": "string", "maxLength": MAX_TEXT}} for name in OPTIONS
    }
    options["roi"]["description"] = "Of a zip or form: the GTV to answer, by ROIName or ROINumber; else all are."
    options["rtstruct_uid"]["description"] = (
        "Of a zip or form: the RTSTRUCT, by SOPInstanceUID, where it holds several."
    )
    form = {
        "type": "object",
        "properties": {**dict.fromkeys(OPTIONS, _TEXT), "file": {"type": "string", "format": "binary"}},
    }
    return {
        "operationId": "v1_predict",
        "summary": "Answers crops, or the GTVs of DICOM studies",
        "description": "A zip, or a form with one zip or the study's DICOM files, is known by its first bytes, whatever"
        f" its Content-Type. At most {limits.json_bytes // MIB} MiB of JSON, {limits.binary_bytes // MIB} of a zip.",
        "parameters": list(options.values()),
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": _ref("V1Request")},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {"description": "One prediction for each tumour", "content": {_JSON: {"schema": _ref("V1Reply")}}},
            **_refusals(),
        },
    }


def _infer_v2(limits: Limits) -> Schema:
    length = {"type": "string", "pattern": "^[0-9]{1,11}$"}
    said = {"description": "Bytes of JSON before the binary tensors", "schema": length}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "operationId": "v2_infer",
        "summary": "Answers crops, or the GTVs of DICOM studies",
        "description": f"At most {limits.json_bytes // MIB} MiB of JSON, {limits.binary_bytes // MIB} MiB with binary"
        " tensors behind it.",
        "parameters": [{"name": BINARY_HEADER, "in": "header", **said}],
        "requestBody": {"required": True, "content": {_JSON: {"schema": _ref("V2Request")}, _BINARY: binary}},
        "responses": {
            "200": {
                "description": "The outputs; those asked for as binary lie behind the JSON",
                "headers": {BINARY_HEADER: said},
                "content": {_JSON: {"schema": _ref("V2Reply")}, _BINARY: binary},
            },
            **_refusals(),
        },
    }


def _refusals() -> Schema:
    """By status, whatever an address with a body can refuse; a method that it lacks is answered before it is met."""
    return {str(status): _response(status) for status in (*CODES, 500) if status != 405}


def _response(status: int) -> Schema:
    return {"$ref": f"#/components/responses/{status}"}


def _refusal(status: int) -> Schema:
    """A refusal: with 500 any code, as its message is withheld; otherwise one of the status's own."""
    code: Schema = {"enum": list(CODES[status])} if status in CODES else _TYPES[str]
    fields = {"allOf": [_ref("Problem"), {"properties": {"code": code}}]}
    reply: Schema = {"description": REMEDIES[status], "content": {_JSON: {"schema": fields}}}
    if status == 503:
        reply["headers"] = {"Retry-After": {"schema": {"const": str(RETRY_AFTER_SECONDS)}}}
    return reply


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(fields: Mapping[str, Schema], *optional: str) -> Schema:
    """An object with all of these fields but the ``optional``."""
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": dict(fields), "required": required}


def _fields(kind: Any, *left_out: str) -> dict[str, Schema]:
    """The schema of each field of a dataclass."""
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name not in left_out]
    return {name: _TYPES.get(hints[name], _NUMBERS) for name in names}


def _list(schema: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": schema, **bounds}


def _schemas() -> Schema:
    return {**_looks(), **_requests(), **_replies()}


def _looks() -> Schema:
    text, flag = _TYPES[str], _TYPES[bool]
    sides = {"name": text, "datatype": text, "shape": _list(_TYPES[int])}
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


def _requests() -> Schema:
    side, whole = ({"minItems": count, "maxItems": count} for count in (IMAGE_SIZE_PX, IMAGE_SIZE_PX**2))
    options = {"roi": {"type": ["string", "integer", "null"], "maxLength": MAX_TEXT}, "rtstruct_uid": _TEXT}
    files = _list(_ref("Base64"), minItems=1, maxItems=MAX_FILES)
    tensor: dict[str, Schema] = {
        **{"name": {"enum": [CROP_INPUT, DICOM_INPUT]}, "datatype": {"enum": ["FP32", "BYTES"]}},
        **{"shape": _list({"type": "integer", "minimum": 0}), "data": {"type": "array"}},
        "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}},
    }
    output: dict[str, Schema] = {"name": {"enum": list(OUTPUTS)}, "parameters": {"type": "object"}}
    outputs = _list(_object(output, "parameters"), maxItems=MAX_LISTED)
    chosen = {"type": "object", "properties": {**options, "binary_data_output": _TYPES[bool]}}
    return {
        "Crop": {
            "description": "HU, row by row",
            "anyOf": [_list({**_NUMBERS, **side}, **side), {**_NUMBERS, **whole}],
        },
        "Base64": {"anyOf": [{"type": "string"}, _object({"b64": _TYPES[str]})], "description": "A file in base64"},
        "Instance": {
            "anyOf": [
                _ref("Crop"),
                {**_object({CROP_INPUT: _ref("Crop")}), "additionalProperties": False},
                {**_object({DICOM_INPUT: _ref("Base64"), **options}, *options), "additionalProperties": False},
                {**_object({"dicom_files": files, **options}, *options), "additionalProperties": False},
            ],
            "description": f"A crop, or one of at most {MAX_STUDIES} studies",
        },
        "V1Request": _object({"instances": _list(_ref("Instance"), minItems=1, maxItems=MAX_CROPS)}),
        "V2Request": _object(
            {
                **{"id": _TEXT, "inputs": _list(_object(tensor, "data", "parameters"), minItems=1, maxItems=1)},
                **{"outputs": outputs, "parameters": chosen},
            },
            *("id", "outputs", "parameters"),
        ),
    }


def _replies() -> Schema:
    text, number = _TYPES[str], _TYPES[int]
    facts = dict.fromkeys(("model_name", "model_version", "bundle_digest", "image_digest", "ensemble_score"), text)
    facts |= {"cut_off": _TYPES[float], "synthetic": _TYPES[bool]}
    told = dict.fromkeys(("roi_name", "roi_number", "slice_sop_instance_uid"), text)
    answer = {"instance": number, **told, **_fields(Answer, "non_responder"), "warnings": _list(text)}
    label = {"enum": ["responder", "non-responder"]}
    unanswered = _object(_fields(Unanswered))
    output = {"name": {"enum": list(OUTPUTS)}, "datatype": text, "shape": _list(number), "data": {"type": "array"}}
    output["parameters"] = {"type": "object"}
    named = {"model_name": text, "model_version": text, "id": text, "parameters": {"type": "object"}}
    details = {"instance": number, "unanswered": _list(unanswered), "offer": _list({"type": "object"})}
    return {
        "Unanswered": unanswered,
        "Prediction": _object({**answer, "label": label, **facts}),
        "V1Reply": _object({"predictions": _list(_ref("Prediction")), "unanswered": _list(_ref("Unanswered"))}),
        "V2Reply": _object({**named, "outputs": _list(_object(output, "data", "parameters"))}),
        "Problem": _object({"error": text, "code": text, "hint": text, **details}, *details),
    }
