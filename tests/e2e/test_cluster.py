"""The whole study on the cluster of the current kubeconfig: published, run by KFP, served, queried and run again.

Runs by ``make e2e`` alone. It needs infra/ applied, and an image of the pipeline that the cluster can pull; what is
missing is said by ``srs doctor --cluster`` before anything is started. It leaves a deployed InferenceService, objects
below ``e2e-<time>`` in the bucket, and its runs in KFP and MLflow.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client
from mlflow import MlflowClient

from components.deploy.cluster import Cluster, cluster_configuration, read_template
from components.deploy.inference_service import PREFIX, Template
from components.phantom.phantom import write_unseen_patient
from pipelines.local.predictor_process import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 3600)]

ROOT = Path(__file__).parents[2]
NEEDED = {
    "SRS_E2E_IMAGE": "image of the pipeline's steps, where the cluster can pull it",
    "SRS_E2E_BUCKET": "bucket for cohort and member store",
    "KF_PIPELINES_ENDPOINT": "address of KFP's API or UI",
    "MLFLOW_TRACKING_URI": "address of MLflow, as reached from here (kubectl port-forward)",
    "S3_ENDPOINT": "address of the object store, as reached from here",
    "AWS_ACCESS_KEY_ID": "its credentials",
    "AWS_SECRET_ACCESS_KEY": "its credentials",
}
RUNS = os.environ.get("KF_PIPELINES_NAMESPACE", "kubeflow")
SERVING = os.environ.get("SRS_E2E_SERVING_NAMESPACE", "srs-response")
ACCOUNT = os.environ.get("SRS_E2E_SERVICE_ACCOUNT", "srs-response-pipeline")
RUN_SECONDS = 2 * 3600


def srs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as a user types it; its output is shown."""
    line = [sys.executable, "-m", "pipelines.commands.cli", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    print(done.stdout + done.stderr, flush=True)
    return done


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Cluster:
    """The namespace; exits with a list of what is needed if there is no such cluster."""
    missing = [f"  {name}: {what}" for name, what in NEEDED.items() if not os.environ.get(name)]
    missing += [] if shutil.which("kubectl") else ["  kubectl on the PATH"]
    if missing:
        pytest.exit(
            "make e2e needs a cluster with infra/ applied (infra/README.md), and set:\n" + "\n".join(missing), 2
        )
    where = ["--namespace", RUNS, "--serving-namespace", SERVING, "--service-account", ACCOUNT]
    if srs("doctor", "--cluster", *where, "--bucket", os.environ["SRS_E2E_BUCKET"]).returncode:
        pytest.exit("make e2e needs all of the above to be ok", 2)
    return Cluster(cluster_configuration(), SERVING)


@pytest.fixture(scope="module")
def service() -> str:
    """Name of the InferenceService that the template sets."""
    return Template.from_mapping(read_template(cluster_configuration(), SERVING)).name


@pytest.fixture(scope="module")
def place() -> str:
    return f"s3://{os.environ['SRS_E2E_BUCKET']}/e2e-{time.strftime('%Y%m%d-%H%M%S')}"


@pytest.fixture(scope="module", autouse=True)
def published(cluster, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("compiled")
    for pipeline in ("phantom", "srs-response"):
        package = str(folder / f"{pipeline}.yaml")
        image = ["--image", os.environ["SRS_E2E_IMAGE"]]
        assert srs("compile", "-o", package, "--pipeline", pipeline, *image).returncode == 0
        assert "published" in srs("publish", package).stdout or "already" in srs("publish", package).stdout


def submit(pipeline: str, **parameters: str) -> subprocess.CompletedProcess[str]:
    flags = [part for name, value in parameters.items() for part in ("--param", f"{name}={value}")]
    waiting = ["--experiment", "srs-e2e", "--wait", "--wait-limit", str(RUN_SECONDS)]
    return srs("submit", "--pipeline", pipeline, *flags, *waiting, "--service-account", ACCOUNT)


def run_study(place: str) -> None:
    stored = {"cohort_uri": f"{place}/cohort", "state_uri": f"{place}/members"}
    parameters = {"preset": "fast", "members_per_task": "3", "experiment": "srs-e2e", "model_name": "srs-e2e"}
    parameters["settings"] = json.dumps({"gate": {"accept": "few_members"}})
    done = submit("srs-response", **stored, **parameters, deploy_to="kserve", namespace=SERVING)
    assert done.returncode == 0


@contextlib.contextmanager
def forwarded(service: str) -> Iterator[str]:
    """The predictor at a local address."""
    port = free_port()
    line = ["kubectl", "-n", SERVING, "port-forward", f"service/{service}-predictor", f"{port}:80"]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/v2/health/live")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    for _ in range(60):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(1)
    raise AssertionError(f"nothing answers at {url}")


def test_writes_a_cohort_learns_deploys_and_answers(cluster, service, place, tmp_path):
    assert submit("phantom", cohort_uri=f"{place}/cohort", tumours="40", patients="34", signal="3").returncode == 0
    run_study(place)
    found = cluster.read(service)
    champion = MlflowClient().get_model_version_by_alias("srs-e2e", "champion")
    assert found["metadata"]["annotations"][f"{PREFIX}version"] == champion.version
    assert found["spec"]["predictor"]["model"]["storageUri"].startswith("s3://")
    patient = write_unseen_patient(tmp_path / "unseen", signal=3)
    with forwarded(service) as url:
        answers = json.loads(srs("predict", str(patient), "--url", url, "--model-name", "srs-e2e", "--json").stdout)
    assert [answer["model_version"] for answer in answers] == [champion.version]
    assert 0 <= answers[0]["probability"] <= 1


def test_a_second_run_takes_members_from_the_store_and_deploys_nothing(cluster, service, place):
    before = cluster.read(service)["metadata"]["generation"]
    run_study(place)
    assert cluster.read(service)["metadata"]["generation"] == before
    mlflow = MlflowClient()
    experiment = mlflow.get_experiment_by_name("srs-e2e").experiment_id
    members = mlflow.search_runs(
        [experiment], "tags.`srs.role` = 'member'", order_by=["start_time DESC"], max_results=6
    )
    assert all("reused_from" in run.data.tags for run in members)


def test_pods_ran_without_root(cluster, place):
    core = client.CoreV1Api(client.ApiClient(cluster_configuration()))
    pods = core.list_namespaced_pod(RUNS, label_selector="pipeline/runid").items
    images = os.environ["SRS_E2E_IMAGE"]
    mains = [one for pod in pods for one in pod.spec.containers if one.image == images]
    assert mains, "KFP has removed the pods of the runs already"
    assert all(one.security_context.run_as_non_root for one in mains)


def test_applying_the_manifests_again_leaves_the_pin_alone(cluster, service):
    overlay = os.environ.get("SRS_E2E_OVERLAY")
    if not overlay:
        pytest.skip("SRS_E2E_OVERLAY names no overlay of infra/ to apply again")
    before = cluster.read(service)
    subprocess.run(["kubectl", "apply", "-k", overlay], check=True)
    after = cluster.read(service)
    assert after["spec"] == before["spec"]
