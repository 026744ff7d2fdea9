"""Checks a reply against the OpenAPI document."""

import functools
import json
import re
from typing import Any

import jsonschema

from components.common.pages import REPLY_HEADERS
from serving.limits import Limits
from serving.openapi import document
from serving.reply import BINARY_HEADER

DOCUMENT = document(Limits())
#: The most special first: a name may hold what follows another.
PATHS = sorted(DOCUMENT["paths"], key=len, reverse=True)
ADDRESSES = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), DOCUMENT["paths"][path]) for path in PATHS]


def undocumented(method: str, target: str, status: int, headers: dict[str, str], body: bytes) -> str:
    """The part of a reply that is not documented; "" if all of it is."""
    headers = {name.lower(): value for name, value in headers.items()}
    if missing := [name for name, value in REPLY_HEADERS.items() if headers.get(name.lower()) != value]:
        return f"without {missing[0]}"
    replies = _replies(method, target.partition("?")[0])
    if str(status) not in replies:
        return f"{status} is no reply of this address"
    kind = headers["content-type"].partition(";")[0]
    content = _whole(replies[str(status)]).get("content", {})
    if kind not in content:
        return f"{status} comes as {kind}"
    if kind != "application/json" and BINARY_HEADER.lower() not in headers:
        return ""
    if kind != "application/json":
        kind, body = "application/json", body[: int(headers[BINARY_HEADER.lower()])]
    return "" if method == "HEAD" else _fault(json.dumps(content[kind]["schema"]), json.loads(body))


def _replies(method: str, path: str) -> dict[str, Any]:
    """The documented replies of an operation; without one, 404 for its address or 405 for its method."""
    item = next((item for address, item in ADDRESSES if address.fullmatch(path)), {})
    operation = item.get("get" if method == "HEAD" else method.lower())
    other = "405" if item else "404"
    return operation["responses"] if operation else {other: DOCUMENT["components"]["responses"][other]}


def _whole(reply: dict[str, Any]) -> dict[str, Any]:
    return DOCUMENT["components"]["responses"][reply["$ref"].rpartition("/")[2]] if "$ref" in reply else reply


def _fault(schema: str, value: Any) -> str:
    error = jsonschema.exceptions.best_match(_validator(schema).iter_errors(value))
    return f"at {error.json_path}: {error.message[:200]}" if error else ""


@functools.cache
def _validator(schema: str) -> Any:
    return jsonschema.Draft202012Validator({**json.loads(schema), "components": DOCUMENT["components"]})
