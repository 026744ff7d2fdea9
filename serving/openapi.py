"""The server's description at ``/openapi.json``: addresses, bodies, replies and error codes (OpenAPI 3.1).

Outputs, limits, codes and the fields of a reply are taken from the modules that define them.
"""

from components.common.limits import MAX_TEXT, MIB
from serving.errors import CODES, REMEDIES, RETRY_AFTER_SECONDS
from serving.limits import Limits
from serving.payload import OPTIONS
from serving.reply import BINARY_HEADER
from serving.schemas import TEXT, TYPES, Schema, ref, schemas

#: Version of the addresses and bodies (semantic versioning).
API_VERSION = "1.0.0"

_JSON, _BINARY = "application/json", "application/octet-stream"


def document(limits: Limits) -> Schema:
    """The OpenAPI document of a server with these limits."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "srs-response predictor",
            "version": API_VERSION,
            "description": "The probability that a brain metastasis does not respond to radiosurgery, from its planning"
            " CT, by KServe's V1 protocol and the Open Inference Protocol (V2). Not a medical device.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(limits),
        "components": {"schemas": schemas(), "responses": {str(status): _refusal(status) for status in (*CODES, 500)}},
    }


def _paths(limits: Limits) -> Schema:
    v1, v2, model = "/v1/models", "/v2", "/v2/models/{model}"
    version = model + "/versions/{version}"
    infer = _infer_v2(limits)
    return {
        "/": _get("live", "Whether the process answers", ref("Live")),
        "/openapi.json": _get("openapi", "This document", {"type": "object"}),
        "/metrics": _get("metrics", "Prometheus metrics", {"type": "string"}, kind="text/plain"),
        v1: _get("v1_models", "What is served", ref("Models")),
        v1 + "/{model}": _get("v1_model", "Whether the model answers", ref("ModelReady"), "model"),
        v1 + "/{model}:predict": {"post": _predict_v1(limits), "parameters": _named("model")},
        v2: _get("v2_server", "Name and version of the server", ref("Server")),
        v2 + "/health/live": _get("v2_live", "Whether the process answers", ref("Live")),
        v2 + "/health/ready": _get("v2_ready", "Whether new requests are accepted", ref("Ready")),
        v2 + "/models": _get("v2_models", "What is served", ref("Models")),
        model: _get("v2_model", "Inputs, outputs and facts about the model", ref("Model"), "model"),
        model + "/ready": _get("v2_model_ready", "Whether the model answers", ref("ModelReady"), "model"),
        model + "/infer": {"post": infer, "parameters": _named("model")},
        version: _get("v2_version", "Inputs, outputs and facts about the model", ref("Model"), "model", "version"),
        version + "/ready": _get("v2_version_ready", "Whether it answers", ref("ModelReady"), "model", "version"),
        version + "/infer": {
            "post": {**infer, "operationId": "v2_version_infer"},
            "parameters": _named("model", "version"),
        },
    }


def _get(name: str, summary: str, schema: Schema, *parameters: str, kind: str = _JSON) -> Schema:
    """A GET operation; those for liveness and readiness may also reply 503, with the same fields."""
    good = {"description": summary, "content": {kind: {"schema": schema}}}
    replies = {"200": good, "500": _response(500)}
    health = [ref(name) for name in ("Live", "Ready", "ModelReady")]
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
    options["roi"]["description"] = "For a zip or form: ROIName or ROINumber of one GTV; default: all GTVs."
    options["rtstruct_uid"]["description"] = "For a zip or form: SOPInstanceUID of one RTSTRUCT, if there are several."
    form = {
        "type": "object",
        "properties": {**dict.fromkeys(OPTIONS, TEXT), "file": {"type": "string", "format": "binary"}},
    }
    return {
        "operationId": "v1_predict",
        "summary": "Predicts the response for crops, or for the GTVs of DICOM studies",
        "description": "A zip, or a form with one zip or the study's DICOM files, is recognised by its first bytes,"
        f" whatever its Content-Type. At most {limits.json_bytes // MIB} MiB of JSON, or {limits.binary_bytes // MIB}"
        " MiB of a zip.",
        "parameters": list(options.values()),
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": ref("V1Request")},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {"description": "One prediction for each tumour", "content": {_JSON: {"schema": ref("V1Reply")}}},
            **_refusals(),
        },
    }


def _infer_v2(limits: Limits) -> Schema:
    length = {"type": "string", "pattern": "^[0-9]{1,11}$"}
    header = {"description": "Bytes of JSON before the binary tensors", "schema": length}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "operationId": "v2_infer",
        "summary": "Predicts the response for crops, or for the GTVs of DICOM studies",
        "description": f"At most {limits.json_bytes // MIB} MiB of JSON, {limits.binary_bytes // MIB} MiB with binary"
        " tensors after it.",
        "parameters": [{"name": BINARY_HEADER, "in": "header", **header}],
        "requestBody": {"required": True, "content": {_JSON: {"schema": ref("V2Request")}, _BINARY: binary}},
        "responses": {
            "200": {
                "description": "The outputs; those requested as binary follow the JSON",
                "headers": {BINARY_HEADER: header},
                "content": {_JSON: {"schema": ref("V2Reply")}, _BINARY: binary},
            },
            **_refusals(),
        },
    }


def _refusals() -> Schema:
    """By status, all refusals of an address with a body; 405 is that of an address without the method."""
    return {str(status): _response(status) for status in (*CODES, 500) if status != 405}


def _response(status: int) -> Schema:
    return {"$ref": f"#/components/responses/{status}"}


def _refusal(status: int) -> Schema:
    """A refusal: with 500 any code, as its message is withheld; otherwise one of the status's own."""
    code: Schema = {"enum": list(CODES[status])} if status in CODES else TYPES[str]
    fields = {"allOf": [ref("Problem"), {"properties": {"code": code}}]}
    reply: Schema = {"description": REMEDIES[status], "content": {_JSON: {"schema": fields}}}
    if status == 503:
        reply["headers"] = {"Retry-After": {"schema": {"const": str(RETRY_AFTER_SECONDS)}}}
    return reply
