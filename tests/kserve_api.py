"""A KServe for tests: an API server that reconciles the InferenceService, and the predictor that it would start."""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.kubernetes_api import KubernetesApi, running

NAME, NAMESPACE = "srs-response", "hospital"
WHERE = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices/{NAME}"


def version_of(predictor: dict[str, Any]) -> str:
    return next(a.partition("=")[2] for a in predictor["model"]["args"] if a.startswith("--model-version="))


class KServe(KubernetesApi):
    """Reconciles the InferenceService some reads after it changed, as KServe's controller would."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = ""
        self.mode = "Standard"
        self.reads_until_ready, self.reads = 2, 0
        self.answers: Callable[[str], list[float]] = lambda _: []
        self.broken: dict[str, str] = {}  # version -> KServe's transition status, or "wrong answers", "never ready"
        self.canaries: list[dict[str, Any]] = []
        self.queries: list[str] = []

    @property
    def service(self) -> dict[str, Any]:
        return self.objects[WHERE]

    def serving(self) -> list[str]:
        """The versions that get traffic, the newest first."""
        spec = self.service["spec"]
        return [version_of(one["predictor"]) for one in spec.get("canary", [])] + [version_of(spec["predictor"])]

    def store(self, path: str, before: Any, after: Any) -> Any:
        self.reads = 0
        spec = after.get("spec", {})
        if "canary" in spec or "canaryTrafficPercent" in spec.get("predictor", {}):
            self.canaries.append(json.loads(json.dumps(spec)))
        return super().store(path, before, after)

    def read(self, path: str) -> Any:
        found = super().read(path)
        if path == WHERE:
            self.reads += 1
            if self.reads > self.reads_until_ready:
                found["status"] = self.status(found)
        return found

    def status(self, found: dict[str, Any]) -> dict[str, Any]:
        fault = self.broken.get(self.serving()[0], "")
        blocked = fault in ("BlockedByFailedLoad", "never ready")
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "deploymentMode": self.mode,
            "conditions": [{"type": "Ready", "status": "False" if blocked else "True", "reason": "PredictorNotReady"}],
            "address": {"url": self.predictor},
        }
        if fault == "BlockedByFailedLoad":
            failure = {"reason": "ModelLoadFailed", "message": "s3://secret text"}
            status["modelStatus"] = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure}
        return status


class Predictor(http.server.BaseHTTPRequestHandler):
    """Answers the golden case as the newest version that gets traffic."""

    kserve: KServe

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert query["inputs"][0]["shape"] == [1, 151, 151]
        version = self.kserve.serving()[0]
        self.kserve.queries.append(version)
        answers = self.kserve.answers(version)
        if self.kserve.broken.get(version) == "wrong answers":
            answers = [1.15 - answer for answer in answers]
        outputs = [{"name": "members", "datatype": "FP32", "shape": [1, len(answers)], "data": answers}]
        content = json.dumps({"model_version": version, "outputs": outputs}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def serving(answers: Callable[[str], list[float]]) -> Iterator[KServe]:
    """Serves until the block ends; ``answers`` gives a version's golden answers."""
    with running(KServe()) as api:
        api.answers = answers
        handler = type("Handler", (Predictor,), {"kserve": api})
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as predictor:
            api.predictor = f"http://127.0.0.1:{predictor.server_port}"
            threading.Thread(target=predictor.serve_forever, daemon=True).start()
            yield api
            predictor.shutdown()
