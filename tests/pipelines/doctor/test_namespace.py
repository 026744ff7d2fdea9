"""``srs doctor --cluster`` against servers over HTTP: everything in order, then one fault at a time."""

import base64
import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cluster import connection as kfp_connection
from pipelines.commands.cli import app
from pipelines.doctor import findings
from tests.kubernetes_api import KubernetesApi, Refused, running
from tests.pipelines.kfp_api import KfpApi

RUNS = "/api/v1/namespaces/team"
SPACE = "/api/v1/namespaces/hospital"
SERVING = "/apis/serving.kserve.io"
SPACES = ["--namespace", "team", "--serving-namespace", "hospital"]
TEMPLATE = f"{SPACE}/configmaps/srs-response-template"
KSERVE = "/api/v1/namespaces/kserve/configmaps/inferenceservice-config"


def secret(**values: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}


def node(**allocatable: str) -> dict[str, Any]:
    return {"metadata": {"name": "n"}, "status": {"allocatable": allocatable}}


GOOD: dict[str, Any] = {
    "/version/": {
        "gitVersion": "v1.33.1", "major": "1", "minor": "33", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    },
    SPACE: {"metadata": {"name": "hospital", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    f"{RUNS}/configmaps/srs-response": {"data": {"MLFLOW_TRACKING_URI": "http://mlflow.hospital.svc:5000"}},
    f"{RUNS}/secrets/srs-response-s3": secret(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"),
    f"{RUNS}/secrets/srs-response-pseudonym": secret(SRS_PSEUDONYM_KEY="k"),
    f"{SERVING}/v1beta1/namespaces/hospital/inferenceservices": {"items": []},
    TEMPLATE: {"data": {"inferenceservice.yaml": "max_replicas: 3"}},
    f"{SERVING}/v1alpha1/namespaces/hospital/servingruntimes/srs-response": {
        "spec": {"supportedModelFormats": [{"name": "srs-response"}]}
    },
    KSERVE: {"data": {"deploy": '{"defaultDeploymentMode": "Standard"}', "ingress": '{"enableGatewayApi": true}'}},
    "/api/v1/nodes/cpu": node(cpu="4"),
    "/api/v1/nodes/gpu": node(**{"nvidia.com/gpu": "2"}),
}  # fmt: skip


class MlflowPages(http.server.BaseHTTPRequestHandler):
    """The pages of MLflow that the doctor reads: health and version for anyone, the API for accepted hosts only."""

    hosts: tuple[str, ...] = ("mlflow.hospital.svc:5000",)
    location = "s3://models/mlflow/0"
    version = "3.17.2"
    status = 200
    authorization: str | None = None

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        host = self.headers["Host"]
        known = host.startswith("127.0.0.1") or host in self.hosts
        known = known and self.headers["Authorization"] == self.authorization
        status, content = self.status, b"OK"
        if self.path == "/version":
            content = self.version.encode()
        elif self.path != "/health":
            status = 200 if known else 403
            content = json.dumps({"experiment": {"artifact_location": self.location}}).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def kubernetes(tmp_path, monkeypatch) -> Iterator[KubernetesApi]:
    with running(KubernetesApi()) as api:
        api.objects = json.loads(json.dumps(GOOD))
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": api.address}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield api


@pytest.fixture
def pages(monkeypatch) -> Iterator[type[MlflowPages]]:
    handler = type("Pages", (MlflowPages,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        yield handler
        server.shutdown()


@pytest.fixture
def kfp() -> Iterator[KfpApi]:
    with KfpApi() as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        yield api
        api.shutdown()


def doctor(*options: str) -> dict[str, tuple[bool, str]]:
    result = CliRunner().invoke(app, ["doctor", "--cluster", *SPACES, "--json", *options])
    found = {one["what"]: (one["ok"], one["text"]) for one in json.loads(result.stdout)}
    assert result.exit_code == (0 if all(ok for ok, _ in found.values()) else 2)
    return found


def test_everything_in_order_is_ok(kubernetes, pages, kfp, s3):
    found = doctor("--host", kfp.address, "--bucket", "dicom", "--bucket", "models", "--service-account", "runner")
    assert [what for what, (ok, _) in found.items() if not ok] == []
    texts = {what: text for what, (_, text) in found.items()}
    assert texts["Kubernetes"] == "v1.33.1"
    assert texts["rights"] == "service account runner may do all that the deploy step does"
    assert texts["GPUs"] == "2 nvidia.com/gpu on 1 of 2 nodes"
    assert texts["serving mode"] == "Standard, Gateway API"
    assert texts["MLflow hosts"] == "accepts mlflow.hospital.svc:5000"
    assert texts["bucket dicom"] == "can be listed"


@pytest.mark.parametrize(
    ("path", "body", "what", "expected"),
    [
        ("/version/", {**GOOD["/version/"], "gitVersion": "v1.27.0", "minor": "27+"}, "Kubernetes", "needs 1.30"),
        (SPACE, None, "namespace", "no namespace hospital: apply infra/"),
        (SPACE, {"metadata": {"name": "hospital"}}, "namespace", "kubectl label namespace hospital pod-security"),
        (f"{RUNS}/configmaps/srs-response", None, "addresses", "no ConfigMap srs-response"),
        (f"{RUNS}/configmaps/srs-response", {"data": {"MLFLOW_TRACKING_URI": "sqlite:///x"}}, "addresses", "set it"),
        (f"{RUNS}/secrets/srs-response-s3", None, "S3 secret", "kubectl -n team create secret generic"),
        (f"{RUNS}/secrets/srs-response-s3", secret(AWS_ACCESS_KEY_ID="a"), "S3 secret", "lacks AWS_SECRET_ACCESS_KEY"),
        (f"{RUNS}/secrets/srs-response-pseudonym", secret(key="x"), "pseudonym secret", "lacks SRS_PSEUDONYM_KEY"),
        (f"{SERVING}/v1beta1/namespaces/hospital/inferenceservices", None, "KServe", "install KServe"),
        (TEMPLATE, None, "template", "Apply infra/ first"),
        (TEMPLATE, {"data": {"inferenceservice.yaml": "maxReplicas: 3"}}, "template", "maxReplicas: unknown name"),
        (TEMPLATE, {"data": {"inferenceservice.yaml": "runtime: other"}}, "serving runtime", "no ServingRuntime other"),
        (TEMPLATE, {"data": {"inferenceservice.yaml": "model_format: onnx"}}, "serving runtime", "serve the format"),
        (TEMPLATE, {"data": {"inferenceservice.yaml": "canary_percent: 5"}}, "serving mode", "gateway_api: true"),
        (KSERVE, {"data": {"deploy": "{}"}}, "serving mode", "unknown: set the annotation"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_fix(kubernetes, pages, path, body, what, expected):
    if body is None:
        del kubernetes.objects[path]
    else:
        kubernetes.objects[path] = body
    ok, text = doctor()[what]
    assert not ok
    assert expected in text


def test_the_template_may_set_the_deployment_mode(kubernetes, pages):
    kubernetes.objects[KSERVE]["data"]["deploy"] = '{"defaultDeploymentMode": "Knative"}'
    annotated = "annotations: {serving.kserve.io/deploymentMode: Standard}"
    kubernetes.objects[TEMPLATE]["data"]["inferenceservice.yaml"] = annotated
    assert doctor()["serving mode"] == (True, "Standard, Gateway API")


def test_a_missing_right_is_named(kubernetes, pages):
    kubernetes.denied = {("create", "inferenceservices"), ("get", "configmaps")}
    ok, text = doctor("--service-account", "runner")["rights"]
    assert not ok
    assert text.startswith("service account runner may not create inferenceservices, get configmaps in hospital")
    assert {review["user"] for review in kubernetes.reviews} == {"system:serviceaccount:team:runner"}
    named = {(one["verb"], one.get("name")) for one in (review["resourceAttributes"] for review in kubernetes.reviews)}
    assert named == {
        ("get", "srs-response"),
        ("patch", "srs-response"),
        ("delete", "srs-response"),
        ("create", None),  # a Role cannot limit create by name
        ("get", "srs-response-template"),
    }


def test_a_cluster_without_gpus_is_no_fault(kubernetes, pages):
    del kubernetes.objects["/api/v1/nodes/gpu"]
    ok, text = doctor()["GPUs"]
    assert ok
    assert "leave gpu_count at 0" in text


def test_an_object_that_may_not_be_read_is_reported(kubernetes, pages, monkeypatch):
    def refuse(path: str) -> None:
        raise Refused(403, "Forbidden", "user anna cannot get token abc")

    monkeypatch.setattr(kubernetes, "read", refuse)
    found = doctor()
    assert found["namespace"] == (
        False,
        "you are not allowed to read it (403): ask an administrator of the cluster for the right",
    )
    assert "anna" not in json.dumps(found)


def test_hosts_that_mlflow_refuses_are_found_behind_a_healthy_server(kubernetes, pages):
    pages.hosts = ()
    found = doctor()
    assert found["MLflow"][0]
    assert found["MLflow hosts"] == (
        False,
        "pods get 403 as mlflow.hospital.svc:5000: start the server with"
        " --allowed-hosts mlflow.hospital.svc,mlflow.hospital.svc:*,localhost,localhost:*",
    )


@pytest.mark.parametrize("location", ["mlflow-artifacts:/0", "/mlruns/0"])
def test_artifacts_that_kserve_cannot_load_are_found(kubernetes, pages, location):
    pages.location = location
    ok, text = doctor()["MLflow artifacts"]
    assert not ok
    assert "--no-serve-artifacts" in text


def test_another_version_of_mlflow_is_reported(kubernetes, pages):
    pages.version = "2.9.0"
    assert doctor()["MLflow"] == (False, "version 2.9.0: this platform was checked with 3.17")


@pytest.mark.parametrize("version", ["<html>Log in to Your Account</html>", "It works!", ""])
def test_a_page_without_a_version_is_not_printed_as_one(kubernetes, pages, version):
    pages.version = version
    ok, text = doctor()["MLflow"]
    assert not ok
    assert text.startswith("a login page answers" if "<" in version else "another server answers")
    assert "version" not in text


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "MLFLOW_TRACKING_TOKEN"), (502, "running behind that"), (500, "500")]
)
def test_a_refusal_at_mlflows_address_is_reported_with_advice(kubernetes, pages, status, advice):
    pages.status = status
    ok, text = doctor()["MLflow"]
    assert not ok
    assert f"the server answered with status {status}" in text
    assert advice in text


def test_a_multi_user_kfp_needs_a_token(kubernetes, pages, monkeypatch):
    with KfpApi(multi_user=True, token="right", namespaces=("team",)) as kfp:
        threading.Thread(target=kfp.serve_forever, daemon=True).start()
        ok, text = doctor("--host", kfp.address)["KFP"]
        assert not ok
        assert "fresh token" in text
        monkeypatch.setenv("KF_PIPELINES_TOKEN", "right")
        assert doctor("--host", kfp.address)["KFP"] == (True, "version unknown, multi-user, your namespace team")
        kfp.shutdown()


def test_buckets_and_keys_are_tried(kubernetes, pages, s3, monkeypatch):
    assert "no such bucket" in doctor("--bucket", "absent")["bucket absent"][1]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    ok, text = doctor("--bucket", "dicom")["bucket dicom"]
    assert not ok
    assert "Check the access keys" in text


@pytest.mark.parametrize("how", ["address", "environment"])
def test_an_mlflow_with_users_is_asked_as_its_client_asks(kubernetes, pages, monkeypatch, how):
    pages.authorization = f"Basic {base64.b64encode(b'ann:p@ss').decode()}"
    assert not doctor()["MLflow artifacts"][0]
    if how == "address":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", os.environ["MLFLOW_TRACKING_URI"].replace("//", "//ann:p%40ss@"))
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p@ss")
    found = doctor()
    assert found["MLflow artifacts"][0], found["MLflow artifacts"]
    assert not any(secret in str(found) for secret in ("p@ss", "p%40ss"))


def test_a_password_in_the_pods_address_is_not_printed(kubernetes, pages):
    addresses = kubernetes.objects[f"{RUNS}/configmaps/srs-response"]["data"]
    addresses["MLFLOW_TRACKING_URI"] = "http://u:pw@mlflow.hospital.svc:5000"
    assert doctor()["MLflow hosts"] == (True, "accepts mlflow.hospital.svc:5000")


def test_no_cluster_and_no_addresses_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = doctor()
    assert "set KUBECONFIG" in found["kubeconfig"][1]
    assert found["KFP"] == (False, "not checked: give --host")
    assert found["MLflow"] == (False, "not checked: give --mlflow http://...")
    assert "give --bucket" in found["bucket"][1]


def test_silent_servers_are_reported_within_seconds(kubernetes, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(KubernetesApi, "answer", lambda *_: time.sleep(2))
        for module, name in ((findings, "SECONDS"), (kfp_connection, "FIRST_SECONDS")):
            assert getattr(module, name) < 10
            monkeypatch.setattr(module, name, 1)
        started = time.monotonic()
        found = doctor("--host", address, "--mlflow", address)
    assert time.monotonic() - started < 10
    assert "does not answer" in found["Kubernetes"][1]
    assert "template" not in found
    assert not found["KFP"][0]
    assert "no server answers" in found["MLflow"][1]
