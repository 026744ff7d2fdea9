"""The OpenAPI document is valid, complete, and true of the running server's answers."""

import ast
import base64
import json
from pathlib import Path

import numpy as np
import pytest
from openapi_spec_validator import validate

from components.common.limits import MAX_CROPS
from serving.errors import CODES, REMEDIES
from serving.limits import Limits
from serving.openapi import document
from serving.rest import RestEndpoints
from tests.components.model.bundles import draw_crops
from tests.serving.attacks import V1, V2, ZIP
from tests.serving.documented import undocumented
from tests.serving.studies import study_files, study_zip

ROOT = Path(__file__).parents[2]
#: Of the start of the server; and of a GTV that is answered all the same.
NOT_OF_REQUESTS = {
    "ADDRESS_INVALID",
    "PATH_INVALID",
    "PORT_IN_USE",
    "ROI_PATTERN",
    "PUBLIC_KEY",
    "SIGNING_KEY",
    "TOO_SMALL",
    "TOO_LARGE",
}


def test_the_document_is_valid_and_names_every_address():
    described = document(Limits())
    validate(described)
    routes = RestEndpoints(None, None, Limits()).application().routes
    served = {(route.path_format, method.lower()) for route in routes for method in route.methods - {"HEAD"}}
    assert served == {(path, m) for path, item in described["paths"].items() for m in item if m != "parameters"}
    names = [item[m]["operationId"] for item in described["paths"].values() for m in item if m != "parameters"]
    assert len(set(names)) == len(names)


def test_limits_are_those_of_the_server():
    described = document(Limits(json_bytes=5 * 2**20))["paths"]["/v1/models/{model}:predict"]["post"]
    assert "At most 5 MiB of JSON" in described["description"]


def raised_codes(path):
    """Codes of request errors that a module raises."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if node.func.id in ("InputError", "TumourError", "Refused") and isinstance(first, ast.Constant):
                yield first.value


def modules_of_the_server():
    """Files of serving/ and of all modules that they import at their top, directly or not."""
    seen, new = set(), set((ROOT / "serving").glob("*.py"))
    while new:
        seen |= new
        nodes = [node for path in new for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
        names = {name for node in nodes for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names))}
        new = {path for path in (ROOT / f"{name.replace('.', '/')}.py" for name in names) if path.exists()} - seen
    return seen


def test_every_code_of_a_request_is_documented():
    raised = {code for path in modules_of_the_server() for code in raised_codes(path)}
    assert len(raised) > 40
    known = [code for codes in CODES.values() for code in codes]
    assert raised - set(known) == NOT_OF_REQUESTS
    assert len(known) == len(set(known)), "a code has one status"
    assert set(REMEDIES) == {*CODES, 500}


def battery():
    """Name -> method, address, body, headers: each kind of answer and of refusal that needs one request."""
    crops = draw_crops(2, np.random.default_rng(1))
    tensor = {"name": "crop_hu", "datatype": "FP32", "shape": list(crops.shape)}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": crops.nbytes}}]}).encode()
    binary = {"inputs": [{**tensor, "data": crops.ravel().tolist()}], "parameters": {"binary_data_output": True}}
    zipped, model, files = study_zip(), V2.removesuffix("/infer"), study_files()
    form = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + zipped + b"\r\n--b--\r\n"
    encoded = [base64.b64encode(data).decode() for data in files.values()]
    paths = ["/", "/metrics", "/openapi.json", "/v1/models", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models"]
    paths += ["/v1/models/srs-response", model, f"{model}/ready", f"{model}/versions/7", f"{model}/versions/7/ready"]
    paths += ["/v1/models/x", "/v2/models/x", f"{model}/versions/9", "/docs", "/v2/"]
    several = study_zip(rois=("GTV1", "GTV2"))
    return {
        **{f"GET {path}": ("GET", path, None, {}) for path in paths},
        "a crop": ("POST", V1, json.dumps({"instances": [crops[0].tolist()]}), {}),
        "files": ("POST", V1, json.dumps({"instances": [{"dicom_files": encoded}]}), {}),
        "a zip": ("POST", V1, zipped, ZIP),
        "a form": ("POST", f"{V1}?roi=GTV", form, {}),
        "V2": ("POST", V2, json.dumps({"inputs": [{**tensor, "data": crops.ravel().tolist()}]}), {}),
        "V2 binary": ("POST", V2, head + crops.tobytes(), {"Inference-Header-Content-Length": str(len(head))}),
        "V2 with binary outputs": ("POST", f"{model}/versions/7/infer", json.dumps(binary), {}),
        "no such ROI": ("POST", f"{V1}?roi=X", several, ZIP),
        "no GTV to cut": ("POST", V1, study_zip(slices=3), ZIP),
        "no JSON": ("POST", V1, b"x", {}),
        "no zip": ("POST", V1, b"PK\3\4", ZIP),
        "too many": ("POST", V1, json.dumps({"instances": [[]] * (MAX_CROPS + 1)}), {}),
        "announced as too large": ("POST", V1, b"", {"Content-Length": str(2**40)}),
        "compressed": ("POST", V1, b"x", {"Content-Encoding": "gzip"}),
        "another model": ("POST", V1.replace("srs-response", "x"), b"{}", {}),
        "another method": ("PUT", V1, b"{}", {}),
        "no method of a prediction": ("GET", V1, None, {}),
        "an odd length": ("POST", V2, b"{}", {"Inference-Header-Content-Length": "x"}),
    }


@pytest.fixture(scope="module")
def requests():
    return battery()


@pytest.mark.parametrize("name", battery())
def test_the_servers_answers_are_as_documented(server, requests, name):
    method, target, body, headers = requests[name]
    status, given, reply = server.ask(method, target, body, headers)
    assert undocumented(method, target, status, given, reply) == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_another_method_is_refused_with_the_one_that_the_address_has(server, method):
    status, headers, body = server.ask(method, V1)
    assert (status, headers["allow"]) == (405, "POST")
    assert (body == b"") == (method == "HEAD")
    if body:
        problem = json.loads(body)
        assert (problem["code"], problem["hint"][:28]) == ("METHOD_NOT_ALLOWED", "This address supports POST. ")


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/v3", (404, "NOT_FOUND", "openapi.json")),
        ("POST", f"{V1}/", (404, "NOT_FOUND", "openapi.json")),
        ("POST", V1.replace(":predict", ":explain"), (404, "NOT_FOUND", "POST /v1/models/NAME:predict")),
        ("GET", V1.replace(":predict", ":predct"), (404, "NOT_FOUND", "POST /v1/models/NAME:predict")),
        ("POST", V1.replace("srs-response", "x"), (404, "MODEL_UNKNOWN", "GET /v2/models ")),
        ("POST", V2.replace("/infer", "/versions/9/infer"), (404, "MODEL_UNKNOWN", "GET /v2/models/NAME the version")),
        ("GET", V2.replace("/infer", "/versions/9"), (404, "MODEL_UNKNOWN", "GET /v2/models/NAME the version")),
        ("POST", V1.removesuffix(":predict"), (405, "METHOD_NOT_ALLOWED", "supports GET")),
    ],
)
def test_a_wrong_address_is_refused_with_where_to_look(server, method, target, expected):
    status, _, body = server.ask(method, target, b"{}" if method == "POST" else None)
    problem = json.loads(body)
    assert (status, problem["code"]) == expected[:2]
    assert expected[2] in problem["hint"]


def test_the_server_publishes_the_document(server):
    status, headers, body = server.ask("GET", "/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == document(Limits())


def test_a_reply_that_is_not_as_documented_is_noticed():
    good = {"content-type": "application/json", "content-security-policy": "default-src 'none'; frame-ancestors 'none'"}
    good |= {"x-content-type-options": "nosniff"}
    reply = {"error": "e", "code": "JSON", "hint": ""}
    assert undocumented("POST", V1, 400, good, json.dumps(reply).encode()) == ""
    for status, headers, body in (
        (400, good, {**reply, "code": "BUSY"}),
        (400, good, {"error": "e", "code": "JSON"}),
        (200, good, {"predictions": [{}], "unanswered": []}),
        (418, good, reply),
        (400, good | {"content-type": "text/html"}, reply),
        (400, {"content-type": "application/json"}, reply),
    ):
        assert undocumented("POST", V1, status, headers, json.dumps(body).encode())
