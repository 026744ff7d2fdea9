"""The predictor as callers use it: a real process, real sockets."""

import base64
import json
import os
import socket
import struct
import threading

import grpc
import numpy as np
import pytest

from components.common.kserve_import import pb, pb_grpc
from components.common.settings import PreprocessSettings
from components.common.store.zip import ZipSource
from components.imaging.gtv import find_gtvs
from components.model.runtime import Ensemble
from tests.components.model.bundles import MEMBERS, draw_crops
from tests.serving.studies import PATIENT_ID, PATIENT_NAME, study_files, study_zip


@pytest.fixture(scope="module")
def crops():
    return draw_crops(3, np.random.default_rng(5))


@pytest.fixture(scope="module")
def expected(bundle, crops):
    return Ensemble.open(bundle).probabilities(crops)


def crop_input(crops, **more):
    return {"name": "crop_hu", "shape": list(crops.shape), "datatype": "FP32", **more}


def test_v1_answers_each_crop_with_all_facts(server, bundle, crops, expected):
    status, body = server.v1(crops[0].tolist(), {"crop_hu": crops[1].tolist()})
    assert status == 200
    first, second = body["predictions"]
    np.testing.assert_allclose(first["members"], expected[0], atol=1e-6)
    np.testing.assert_allclose(second["probability"], expected[1].mean(), atol=1e-6)
    manifest = Ensemble.open(bundle).manifest
    assert first["model_version"] == "7"
    assert first["bundle_digest"] == manifest.digest
    assert first["image_digest"] == manifest.image_digest
    assert first["synthetic"] is True
    assert first["label"] == ("non-responder" if first["score"] > manifest.cut_off else "responder")
    assert first["votes"] == int((expected[0] > 0.5).sum())
    assert [one["instance"] for one in body["predictions"]] == [0, 1]


def test_v2_json_answers(server, crops, expected):
    status, body, _ = server.v2({"id": "q1", "inputs": [crop_input(crops, data=crops.ravel().tolist())]})
    outputs = {one["name"]: one for one in body["outputs"]}
    assert status == 200
    assert body["id"] == "q1"
    assert outputs["members"]["shape"] == [len(crops), MEMBERS]
    np.testing.assert_allclose(np.reshape(outputs["members"]["data"], expected.shape), expected, atol=1e-6)


def test_v2_binary_answers_in_binary(server, crops, expected):
    fields = {
        "inputs": [crop_input(crops, parameters={"binary_data_size": crops.nbytes})],
        "outputs": [{"name": "members"}, {"name": "votes"}],
        "parameters": {"binary_data_output": True},
    }
    status, body, behind = server.v2(fields, crops.tobytes())
    assert status == 200
    assert [one["name"] for one in body["outputs"]] == ["members", "votes"]
    size = body["outputs"][0]["parameters"]["binary_data_size"]
    np.testing.assert_allclose(np.frombuffer(behind[:size], "<f4").reshape(expected.shape), expected, atol=1e-6)
    np.testing.assert_array_equal(np.frombuffer(behind[size:], "<i4"), (expected > 0.5).sum(axis=1))


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)


def test_grpc_answers_crops(stub, server, crops, expected):
    request = pb.ModelInferRequest(
        model_name=server.name,
        inputs=[{"name": "crop_hu", "datatype": "FP32", "shape": crops.shape}],
        outputs=[{"name": "members"}],
        raw_input_contents=[crops.tobytes()],
    )
    reply = stub.ModelInfer(request, timeout=30)
    assert reply.model_version == "7"
    answered = np.frombuffer(reply.raw_output_contents[0], "<f4").reshape(reply.outputs[0].shape)
    np.testing.assert_allclose(answered, expected, atol=1e-6)


def test_grpc_reports_health_and_metadata_and_refuses_the_rest(stub, server):
    assert stub.ServerReady(pb.ServerReadyRequest(), timeout=30).ready
    assert stub.ModelReady(pb.ModelReadyRequest(name=server.name), timeout=30).ready
    assert {one.name for one in stub.ModelMetadata(pb.ModelMetadataRequest(name=server.name)).inputs} == {
        "crop_hu",
        "dicom_zip",
    }
    for call, code in (
        (lambda: stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=server.name)), "UNIMPLEMENTED"),
        (lambda: stub.ModelInfer(pb.ModelInferRequest(model_name="other")), "NOT_FOUND"),
        (lambda: stub.ModelInfer(pb.ModelInferRequest(model_name=server.name)), "INVALID_ARGUMENT"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code().name == code


@pytest.fixture(scope="module")
def trained_crop_answers(bundle):
    """A study, and the ensemble's answers to the crop that preprocessing cuts of it."""
    zipped = study_zip(rois=("GTV1", "PTV"))
    (candidate,) = find_gtvs(ZipSource(zipped), "", PreprocessSettings())
    return zipped, candidate, Ensemble.open(bundle).probabilities(candidate.crop[np.newaxis])[0]


def test_dicom_zip_agrees_with_the_crop_of_preprocessing(server, trained_crop_answers):
    zipped, candidate, answers = trained_crop_answers
    status, body = server.v1({"dicom_zip": base64.b64encode(zipped).decode()})
    assert status == 200
    (tumour,) = body["predictions"]
    assert tumour["roi_name"] == "GTV1"
    assert tumour["slice_sop_instance_uid"] == candidate.slice_sop_instance_uid
    np.testing.assert_allclose(tumour["members"], answers, atol=1e-6)


def test_dicom_by_every_protocol(server, stub, trained_crop_answers):
    zipped, _, answers = trained_crop_answers
    path = f"/v1/models/{server.name}:predict?roi=GTV1"
    status, _, body = server.ask("POST", path, zipped, {"Content-Type": "application/zip"})
    assert status == 200
    by_zip_body = json.loads(body)["predictions"][0]["members"]
    raw = struct.pack("<I", len(zipped)) + zipped
    given = {"name": "dicom_zip", "shape": [1], "datatype": "BYTES"}
    status, body, _ = server.v2({"inputs": [{**given, "parameters": {"binary_data_size": len(raw)}}]}, raw)
    assert status == 200
    by_v2 = next(one["data"] for one in body["outputs"] if one["name"] == "members")
    request = pb.ModelInferRequest(
        model_name=server.name, inputs=[given], outputs=[{"name": "members"}], raw_input_contents=[raw]
    )
    request.parameters["roi"].string_param = "GTV1"
    by_grpc = np.frombuffer(stub.ModelInfer(request).raw_output_contents[0], "<f4")
    for found in (by_zip_body, by_v2, by_grpc):
        np.testing.assert_allclose(found, answers, atol=1e-6)


def test_dicom_parts_and_the_size_rule(server):
    parts = [base64.b64encode(data).decode() for data in study_files(radius_mm=4.0).values()]
    status, body = server.v1({"dicom_files": parts, "roi": "GTV"})
    assert status == 200
    assert "TOO_SMALL" in body["predictions"][0]["warnings"]


def test_warns_of_drift(server, crops):
    _, body = server.v1((crops[0] * 0 - 900).tolist(), crops[0].tolist())
    assert "INPUT_DRIFT" in body["predictions"][0]["warnings"]


BAD = [
    ("v1", {"instances": []}, "FORMAT"),
    ("v1", {"instances": [[[1.0, 2.0]]]}, "CROP_SHAPE"),
    ("v1", {"instances": [[["a"] * 151] * 151]}, "CROP_SHAPE"),
    ("v1", {"instances": [[[1e300] * 151] * 151]}, "CROP_NOT_FINITE"),
    ("v1", {"instances": [[[1e6] * 151] * 151]}, "CROP_RANGE"),
    ("v1", {"instances": [{"dicom_zip": "@@"}]}, "BASE64"),
    ("v1", {"instances": [{"dicom_zip": "AAAA"}]}, "ZIP_DAMAGED"),
    ("v1", {"instances": [{"something": 1}]}, "FORMAT"),
    ("v1", [], "FORMAT"),
    ("v2", {}, "FORMAT"),
    ("v2", {"inputs": []}, "INPUT_UNKNOWN"),
    ("v2", {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}, "INPUT_UNKNOWN"),
    ("v2", {"inputs": [{"name": "crop_hu", "shape": [1, 2, 2], "datatype": "FP32", "data": [1]}]}, "CROP_SHAPE"),
    ("v2", {"inputs": [{"name": "crop_hu", "shape": [1, 151, 151], "datatype": "INT32", "data": [1]}]}, "CROP_DTYPE"),
    ("v2", {"inputs": [{"name": "crop_hu", "shape": [-1, 151, 151], "datatype": "FP32", "data": [1]}]}, "FORMAT"),
]


@pytest.mark.parametrize(("protocol", "body", "code"), BAD)
def test_bad_input_is_refused_with_its_code(server, protocol, body, code):
    path = f"/v1/models/{server.name}:predict" if protocol == "v1" else f"/v2/models/{server.name}/infer"
    status, _, reply = server.ask("POST", path, json.dumps(body))
    problem = json.loads(reply)
    assert (status, problem["code"]) == (400, code)
    assert "Error" not in problem["error"]
    assert "Traceback" not in reply.decode()


@pytest.mark.parametrize("length", ["2", "x", "-1", "99999999999", ""])
def test_empty_json_with_the_binary_header_is_a_bad_request(server, length):
    headers = {"Inference-Header-Content-Length": length}
    status, _, _ = server.ask("POST", f"/v2/models/{server.name}/infer", b"{}", headers)
    assert status == 400


def test_not_json_is_a_bad_request(server):
    for body in (b"", b"\xff\xfe", b"{" * 5000, b"[" * 100_000):
        assert server.ask("POST", f"/v1/models/{server.name}:predict", body)[0] == 400


def test_a_batch_too_large_is_refused_before_it_is_read(server):
    fields = {"inputs": [{"name": "crop_hu", "shape": [5000, 151, 151], "datatype": "FP32", "data": [1]}]}
    status, body, _ = server.v2(fields)
    assert (status, body["code"]) == (413, "BATCH_TOO_LARGE")


def test_repository_and_explain_routes_are_gone(server):
    for path in (
        f"/v2/repository/models/{server.name}/unload",
        f"/v2/repository/models/{server.name}/load",
        f"/v1/models/{server.name}:explain",
    ):
        assert server.ask("POST", path)[0] in (404, 405)
    assert server.ask("GET", "/v2/health/ready")[0] == 200
    assert server.ask("POST", "/v1/models/other:predict", b"{}")[0] == 404
    assert server.ask("GET", f"/v1/models/{server.name}:predict")[0] in (404, 405)


def test_metadata_and_metrics(server, crops):
    server.v1(crops[0].tolist())
    metadata = json.loads(server.ask("GET", f"/v2/models/{server.name}")[2])
    assert metadata["versions"] == ["7"]
    assert metadata["inputs"][0] == {"name": "crop_hu", "datatype": "FP32", "shape": [-1, 151, 151]}
    assert server.ask("GET", f"/v2/models/{server.name}/versions/7")[0] == 200
    assert server.ask("GET", f"/v2/models/{server.name}/versions/8")[0] == 404
    text = server.ask("GET", "/metrics")[2].decode()
    for name in (
        "srs_request_seconds_bucket",
        "srs_score_bucket",
        "srs_requests_in_flight",
        "srs_queue_seconds_bucket",
        'srs_crop_percentile_bucket{le="50.0",statistic="mean_hu"}',
        'srs_model{bundle_digest="',
    ):
        assert name in text


def test_logs_hold_no_identity_and_no_metrics_do(server, trained_crop_answers):
    zipped, candidate, _ = trained_crop_answers
    server.v1({"dicom_zip": base64.b64encode(zipped).decode(), "roi": "Doe lesion"})
    shown = server.log.read_text() + server.ask("GET", "/metrics")[2].decode()
    for secret in (PATIENT_NAME, PATIENT_ID, "Doe", candidate.slice_sop_instance_uid, "GTV1"):
        assert secret not in shown
    for line in server.log.read_text().splitlines():
        json.loads(line)


def test_a_body_beyond_the_limit_is_refused_with_the_limit(start):
    server = start("--max-json-mb", "1", "--max-binary-mb", "2", "--grpc-port", "off")
    path = f"/v1/models/{server.name}:predict"
    status, _, body = server.ask("POST", path, b"x" * (2**20 + 1))
    assert (status, json.loads(body)["code"]) == (413, "BODY_TOO_LARGE")
    assert "1 MiB" in json.loads(body)["error"]
    chunks = (b"x" * 2**18 for _ in range(6))  # no Content-Length: counted while it comes
    status, _, _ = server.ask("POST", path, chunks)
    assert status == 413
    assert server.ask("POST", path, b"x" * 2**21, {"Content-Type": "application/zip"})[0] == 400
    assert server.ask("POST", path, b"x" * (2**21 + 1), {"Content-Type": "application/zip"})[0] == 413


def test_sigterm_answers_what_was_accepted_and_leaves_no_port(start, crops):
    server = start("--workers", "1")
    body = json.dumps({"instances": [crops[0].tolist()] * 20})
    answers = []

    def ask():
        answers.append(server.ask("POST", f"/v1/models/{server.name}:predict", body)[0])

    callers = [threading.Thread(target=ask) for _ in range(6)]
    for caller in callers:
        caller.start()
    while "srs_requests_in_flight 6.0" not in server.ask("GET", "/metrics")[2].decode() and any(
        caller.is_alive() for caller in callers
    ):
        pass
    assert server.end() == 0
    for caller in callers:
        caller.join(60)
    assert answers == [200] * 6
    for port in (server.http_port, server.grpc_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_port_in_use_is_reported(bundle, tmp_path):
    from tests.serving.conftest import Server

    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Server(bundle, tmp_path, "--http-port", str(taken.getsockname()[1]))
        assert server.process.wait(60) == 2
    assert "PORT_IN_USE" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()
    assert os.getpid() != server.process.pid
