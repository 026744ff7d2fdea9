"""The whole study in containers with all data in S3: one container per task, MLflow's server, and the predictor.

Runs by ``make e2e-containers`` alone, after ``make images``. Cohort, member store, MLflow's artifacts and the served
bundle lie in a real S3 server; the only folder that tasks share is kfp's pipeline root.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import kfp.local
import pytest

from components.common.store.opening import open_source
from components.phantom.phantom import write_unseen_patient
from components.promote import registry
from pipelines.commands import predictor_client
from pipelines.definitions import phantom, srs_response
from pipelines.definitions.options import Compiled
from pipelines.local import predictor_process
from tests.e2e import containers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.filterwarnings("ignore:Task .* have no effect in the current local runner"),
]

PIPELINE = os.environ.get("SRS_PIPELINE_IMAGE", "localhost/srs-response-pipeline:0.1.0")
PREDICTOR = os.environ.get("SRS_PREDICTOR_IMAGE", "localhost/srs-response-predictor:0.1.0")
#: What KServe's own image for fetching models holds.
STORAGE = "kserve-storage==0.21.0"
COHORT, MEMBERS, MODELS = "s3://dicom/study", "s3://models/members", "s3://models/mlflow"
SMALL = {
    "split": {"groups": 2, "members": 3, "evaluation_responders": 5, "evaluation_non_responders": 5},
    "network": {"filters_1": 4, "filters_2": 4, "pool_1": 8, "dense_1": 8, "dense_2": 8},
    "train": {"max_steps": 120, "restart_step": 60, "patience_steps": 60},
    "evaluate": {"bootstrap": 200},
    "gate": {"accept": "few_members"},
}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with containers.engine(tmp_path_factory.mktemp("engine")) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(client, s3_server):
    """An S3 server and MLflow's, as in infra/; the environment of a run's pod."""
    image, port = containers.need_image(client, PIPELINE), predictor_process.free_port()
    url = f"http://127.0.0.1:{port}"
    pod = {
        **s3_server.environment,
        "MLFLOW_S3_ENDPOINT_URL": s3_server.environment["S3_ENDPOINT"],
        "AWS_REGION": "us-east-1",
        "MLFLOW_TRACKING_URI": url,
        "SRS_PSEUDONYM_KEY": "00112233445566778899aabbccddeeff",
    }
    line = ["python3", "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
    line += [
        "--backend-store-uri=sqlite:////tmp/mlflow.db",
        "--no-serve-artifacts",
        f"--default-artifact-root={MODELS}",
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    ready = lambda: containers.answers(f"{url}/health")  # noqa: E731
    server = containers.server(client, image, line, ready, environment={**pod, **quiet})
    with server, pytest.MonkeyPatch.context() as patch:
        for name, value in pod.items():
            patch.setenv(name, value)
        yield pod


@pytest.fixture
def tasks(cluster, tmp_path_factory):
    """``kfp.local`` with one container per task, each with the environment of a pod."""
    root = containers.writable(tmp_path_factory.mktemp("root"))
    runner = kfp.local.DockerRunner(environment=cluster, **containers.RESTRICTED)
    kfp.local.init(runner, pipeline_root=str(root), raise_on_error=True)
    tasks = containers.Tasks()
    with tasks.installed():
        yield tasks


def names(uri: str) -> list[str]:
    return [entry.name for entry in open_source(uri).list("")]


def table(tasks: containers.Tasks) -> None:
    for step, code, seconds in tasks.ended:
        print(f"    {step:<12} exit {code}  {seconds:6.1f} s")


def test_failed_container_fails_the_run(tasks):
    pipeline = srs_response.build(Compiled(image=PIPELINE))
    with pytest.raises(RuntimeError, match="fingerprint"):
        pipeline(cohort_uri="s3://dicom/absent", settings=json.dumps(SMALL))
    assert [error.code for error in tasks.errors] == ["COHORT_MISSING"]
    assert ("fingerprint", 1) in [(step, code) for step, code, _ in tasks.ended]


def test_every_step_runs_in_its_container_over_s3(client, cluster, tasks, tmp_path):
    containers.need_image(client, PREDICTOR)
    started = time.monotonic()
    compiled = Compiled(image=PIPELINE)
    phantom.build(compiled)(cohort_uri=COHORT, seed=3, tumours=40, patients=34, signal=3.0)
    srs_response.build(compiled)(
        cohort_uri=COHORT, state_uri=MEMBERS, settings=json.dumps(SMALL), members_per_task=3, experiment="containers"
    )
    print(f"\n  {time.monotonic() - started:.0f} s for both pipelines, one container a task:")
    table(tasks)
    steps = [step for step, _, _ in tasks.ended]
    assert not any(code for _, code, _ in tasks.ended)
    assert sorted(steps) == sorted(
        ["phantom", "fingerprint", "preprocess", "split", "train", "train", "evaluate", "promote", "close_run"]
    )
    version = registry.version_of("srs-response", registry.CHAMPION)
    uri = registry.source_uri("srs-response", version)
    assert uri.startswith(MODELS)
    counts = ", ".join(f"{len(names(uri))} in {uri}" for uri in (COHORT, MEMBERS, MODELS))
    print(f"  objects: {counts}")
    model = fetched(uri, tmp_path / "models", cluster)
    serve_and_ask(client, model, version, write_unseen_patient(tmp_path / "patient", seed=3, signal=3.0))


def fetched(uri: str, folder: Path, pod: dict[str, str]) -> Path:
    """The version as KServe's storage initialiser downloads it into a predictor's pod."""
    home = Path(__file__).parents[2] / "runs" / "kserve-storage"
    python = home / "bin" / "python"
    if not (home / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", STORAGE], check=True)
        (home / ".ready").touch()
    started = time.monotonic()
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": pod["S3_ENDPOINT"],
        "S3_USE_HTTPS": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    code = "import sys; from kserve_storage import Storage; Storage.download(sys.argv[1], sys.argv[2])"
    subprocess.run([str(python), "-c", code, uri, str(folder)], check=True, env=environment, capture_output=True)
    print(f"  {STORAGE} fetched {uri} in {time.monotonic() - started:.1f} s")
    return containers.readable(folder)


def serve_and_ask(client, model: Path, version: str, patient: Path) -> None:
    port, started = predictor_process.free_port(), time.monotonic()
    url = f"http://127.0.0.1:{port}"
    line = ["--model-dir=/mnt/models", "--host=127.0.0.1", f"--http-port={port}", f"--model-version={version}"]
    mounted = {str(model): {"bind": "/mnt/models", "mode": "ro"}}
    ready = lambda: containers.answers(f"{url}/v2/health/ready")  # noqa: E731
    with containers.server(client, PREDICTOR, line, ready, volumes=mounted, entrypoint=["python3", "-m", "serving"]):
        print(f"  predictor ready after {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        (answer,) = predictor_client.ask(url, "srs-response", patient).predictions
        print(f"  answered in {time.monotonic() - started:.2f} s: {json.dumps(answer)[:400]}")
    assert 0.0 <= answer["probability"] <= 1.0
    assert answer["model_version"] == version
