"""Deployment against an HTTP API server that keeps generations and resource versions, and a predictor behind it."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kubernetes import client

from components.common.errors import InputError, SrsError
from components.deploy import cluster as cluster_module
from components.deploy import inference_service
from components.deploy.cluster import Cluster
from components.deploy.inference_service import APPLIED, Pin, Template, build, deploy, storage_uri
from components.deploy.smoke import ask_golden

TEMPLATE = Template(
    service_account="predictor",
    max_replicas=2,
    resources={"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
    annotations={"serving.kserve.io/deploymentMode": "Standard"},
)
GOLDEN, TOLERANCE = [0.25, 0.75], 1e-4


def pin(version: str) -> Pin:
    return Pin("srs-response", version, f"s3://models/m-{version}/artifacts", {"bundle-digest": f"digest-{version}"})


class ApiServer(http.server.ThreadingHTTPServer):
    """One InferenceService and the predictor that it would start."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.service: dict[str, Any] | None = None
        self.applied: list[dict[str, Any]] = []
        self.queries: list[str] = []
        self.conflicts = 0
        self.reads_until_ready = 2
        self.broken: dict[str, str] = {}  # version -> KServe's transition status, or "wrong answers"
        self.refusal = 0

    def version(self) -> str:
        assert self.service is not None
        arguments = self.service["spec"]["predictor"]["model"]["args"]
        return next(a.partition("=")[2] for a in arguments if a.startswith("--model-version="))

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        self.applied.append(body)
        meta = dict(self.service["metadata"]) if self.service else {"generation": 0, "resourceVersion": "0"}
        changed = self.service is None or self.service["spec"] != body["spec"]
        meta |= body["metadata"]
        meta["generation"] += changed
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        status = self.service["status"] if self.service else {}
        self.service = {**body, "metadata": meta, "status": status}
        self.reads = 0
        return self.service

    def read(self) -> dict[str, Any] | None:
        if self.service is not None:
            self.reads += 1
            if self.reads > self.reads_until_ready:
                self.service["status"] = self.status()
        return self.service

    def status(self) -> dict[str, Any]:
        assert self.service is not None
        blocked = self.broken.get(self.version(), "") in ("BlockedByFailedLoad", "never ready")
        found = {
            "observedGeneration": self.service["metadata"]["generation"],
            "conditions": [{"type": "Ready", "status": "False" if blocked else "True", "reason": "PredictorNotReady"}],
            "address": {"url": self.address},
        }
        if self.broken.get(self.version()) == "BlockedByFailedLoad":
            failure = {"reason": "ModelLoadFailed", "message": "s3://secret text"}
            found["modelStatus"] = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure}
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    server: ApiServer

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        if self.server.refusal:
            return self.reply(self.server.refusal, {"message": "token abc is not allowed"})
        found = self.server.read()
        return self.reply(200, found) if found else self.reply(404, {})

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        assert "fieldManager=srs-response-deploy" in self.path
        assert "force=True" in self.path
        body = self.body()
        if self.server.conflicts:
            self.server.conflicts -= 1
            return self.reply(409, {})
        return self.reply(200, self.server.apply(body))

    def do_DELETE(self) -> None:
        self.server.service = None
        self.reply(200, {})

    def do_POST(self) -> None:
        query = self.body()
        assert query["inputs"][0]["shape"] == [1, 151, 151]
        version = self.server.version()
        self.server.queries.append(version)
        answers = [0.9, 0.1] if self.server.broken.get(version) == "wrong answers" else GOLDEN
        outputs = [{"name": "members", "datatype": "FP32", "shape": [1, 2], "data": answers}]
        self.reply(200, {"model_version": version, "outputs": outputs})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setattr(inference_service, "POLL_S", 0.01)
    with ApiServer() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def cluster(server: ApiServer) -> Cluster:
    configuration = client.Configuration()
    configuration.host = server.address
    return Cluster(configuration, "srs-response")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The golden case of a bundle, which is all that the smoke query reads."""
    (tmp_path / "golden").mkdir()
    np.save(tmp_path / "golden" / "crop.npy", np.zeros((151, 151), np.float32))
    np.save(tmp_path / "golden" / "probabilities.npy", np.array(GOLDEN, np.float32))
    return tmp_path


def bring(cluster: Cluster, bundle: Path, version: str, **changed: Any) -> Any:
    asked: dict[str, Any] = {
        "is_champion": lambda: True,
        "smoke": lambda url: ask_golden(url, "srs-response", version, bundle, TOLERANCE),
        "put_back": lambda _: None,
        "timeout_s": 20.0,
    }
    return deploy(cluster, build(TEMPLATE, pin(version), "srs-response"), **(asked | changed))


def test_builds_a_pinned_service_of_the_template() -> None:
    body = build(TEMPLATE, pin("7"), "hospital")
    model = body["spec"]["predictor"]["model"]
    assert (body["apiVersion"], body["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert body["metadata"]["namespace"] == "hospital"
    assert model["storageUri"] == "s3://models/m-7/artifacts"
    assert model["args"] == ["--model-name=srs-response", "--model-version=7"]
    assert model["runtime"] == "srs-response"
    assert model["resources"]["limits"] == {"memory": "1Gi"}
    assert body["spec"]["predictor"]["serviceAccountName"] == "predictor"
    assert body["metadata"]["annotations"]["srs-response/bundle-digest"] == "digest-7"
    assert body["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    recorded = json.loads(body["metadata"]["annotations"][APPLIED])
    assert recorded["spec"] == body["spec"]


def test_template_names_all_unknown_keys() -> None:
    with pytest.raises(InputError, match="minReplicas, replicas"):
        Template.from_mapping({"minReplicas": 1, "replicas": 2, "name": "x"})


@pytest.mark.parametrize("source", ["mlflow-artifacts:/1/models/m-1/artifacts", "/runs/m-1", "file:///runs/m-1"])
def test_refuses_a_source_that_kserve_cannot_load(source: str) -> None:
    with pytest.raises(InputError) as caught:
        storage_uri(source)
    assert caught.value.code == "SOURCE_NOT_LOADABLE"
    assert "--no-serve-artifacts" in caught.value.hint


def test_deploys_waits_for_the_new_generation_and_asks_it(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    assert bring(cluster, bundle, "1") == "deployed"
    assert bring(cluster, bundle, "2") == "deployed"
    assert server.version() == "2"
    assert server.queries == ["1", "2"]  # never while the old generation's readiness still stood


def test_does_nothing_when_nothing_changed(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    bring(cluster, bundle, "1")
    assert bring(cluster, bundle, "1") == "unchanged"
    assert len(server.applied) == 1


def test_does_nothing_when_the_alias_moved_on(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    assert bring(cluster, bundle, "1", is_champion=lambda: False) == "moved on"
    assert server.applied == []


def test_tries_again_after_a_conflict(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    server.conflicts = 2
    assert bring(cluster, bundle, "1") == "deployed"


def test_gives_up_after_endless_conflicts(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    server.conflicts = cluster_module.MOST_CONFLICTS
    with pytest.raises(SrsError, match="the cluster answered 409"):
        bring(cluster, bundle, "1")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("BlockedByFailedLoad", "ModelLoadFailed"),
        ("wrong answers", "not ready in 1 s: the golden answers differ by 0.65"),
        ("never ready", "not ready in 1 s: PredictorNotReady"),
    ],
)
def test_goes_back_to_the_former_version_and_alias(
    fault: str, reason: str, server: ApiServer, cluster: Cluster, bundle: Path
) -> None:
    bring(cluster, bundle, "1")
    server.broken["2"] = fault
    told: list[str] = []
    with pytest.raises(SrsError) as caught:
        bring(cluster, bundle, "2", put_back=told.append, timeout_s=1.0)
    assert caught.value.code == "DEPLOY_FAILED"
    assert told == [reason]
    assert server.version() == "1"
    assert server.applied[0]["spec"] == server.applied[2]["spec"]
    assert bring(cluster, bundle, "1") in ("unchanged", "deployed")


def test_a_first_version_that_fails_leaves_nothing(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    server.broken["1"] = "BlockedByFailedLoad"
    told: list[str] = []
    with pytest.raises(SrsError):
        bring(cluster, bundle, "1", put_back=told.append)
    assert server.service is None
    assert len(told) == 1


def test_an_attempt_that_died_while_it_waited_can_still_be_taken_back(
    server: ApiServer, cluster: Cluster, bundle: Path
) -> None:
    bring(cluster, bundle, "1")

    def dies(_: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(cluster, bundle, "2", smoke=dies)
    server.broken["2"] = "BlockedByFailedLoad"
    with pytest.raises(SrsError):
        bring(cluster, bundle, "2")
    assert server.version() == "1"


def test_takes_nothing_back_from_a_later_deployment(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    bring(cluster, bundle, "1")

    def overtaken(_: str) -> str:
        if server.version() == "2":
            server.apply(build(TEMPLATE, pin("3"), "srs-response"))
        return "another version answers"

    told: list[str] = []
    assert bring(cluster, bundle, "2", smoke=overtaken, put_back=told.append, timeout_s=1.0) == "moved on"
    assert server.version() == "3"
    assert told == []


def test_the_alias_goes_back_even_where_the_cluster_cannot(server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    bring(cluster, bundle, "1")

    def breaks(_: str) -> str:
        server.conflicts = cluster_module.MOST_CONFLICTS
        return "wrong"

    told: list[str] = []
    with pytest.raises(SrsError, match="the cluster answered 409"):
        bring(cluster, bundle, "2", smoke=breaks, put_back=told.append, timeout_s=0.5)
    assert told == ["not ready in 0 s: wrong"]


@pytest.mark.parametrize("status", [401, 403, 500])
def test_tells_a_refusal_without_its_text(status: int, server: ApiServer, cluster: Cluster, bundle: Path) -> None:
    server.refusal = status
    with pytest.raises(SrsError) as caught:
        bring(cluster, bundle, "1")
    assert caught.value.safe_message == f"the cluster answered {status}"


def test_an_old_pod_that_still_answers_is_not_taken_for_the_new(
    server: ApiServer, cluster: Cluster, bundle: Path
) -> None:
    bring(cluster, bundle, "1")
    assert ask_golden(server.address, "srs-response", "2", bundle, TOLERANCE) == "another version answers"


def test_no_predictor_is_no_answer(bundle: Path) -> None:
    assert (
        ask_golden("http://127.0.0.1:9", "srs-response", "2", bundle, TOLERANCE)
        == "the predictor does not answer in V2"
    )
