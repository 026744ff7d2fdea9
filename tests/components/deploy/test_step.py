"""The whole deployment step: a version in MLflow, its files in a real bucket, an API server, a predictor, the alias."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow import MlflowClient

from components.common import tracking_store
from components.common.errors import BundleError, InputError, RegistryError, SrsError
from components.deploy import cluster as cluster_module
from components.deploy import rollout, step
from components.deploy.step import run
from components.model.bundle_files import Bundle
from components.model.manifest import Manifest
from components.model.signing import SigningKey
from components.promote import registry
from components.promote.gate import Verdict
from tests.components.model.bundles import make_bundle
from tests.kserve_api import NAME, NAMESPACE, WHERE, KServe, serving

TEMPLATE = f"/api/v1/namespaces/{NAMESPACE}/configmaps/srs-response-template"
PROMOTED = Verdict("promoted", ("Value: enough.",), "A", {})


@pytest.fixture(scope="module")
def store(s3_server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """Two versions whose files lie in the bucket, with their bundles; the second is champion, the first was."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        patch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server.environment["S3_ENDPOINT"])
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        tracking_store.prepare_store()
        return folder / "mlflow.db", register(folder, "s3://models/mlflow/step")


def register(folder: Path, artifacts: str) -> dict[str, Path]:
    experiment = tracking_store.client().create_experiment("srs", artifacts)
    run_id = tracking_store.client().create_run(experiment).info.run_id
    made, previous = {}, ""
    for seed in (1, 2):
        bundle = folder / str(seed)
        make_bundle(bundle, seed=seed)
        uri = registry.log_bundle(run_id, bundle, "ensemble-A")
        version = registry.register(NAME, uri, run_id, Manifest.read(bundle).digest, {"srs.group": "A"}, "card")
        registry.promote(NAME, version, PROMOTED, expected_previous=previous)
        made[version] = bundle
        previous = version
    return made


@pytest.fixture
def versions(store, s3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The versions, in a registry of this test's own."""
    shutil.copyfile(store[0], tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3.environment["S3_ENDPOINT"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return store[1]


@pytest.fixture
def kserve(versions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KServe]:
    monkeypatch.setattr(rollout, "POLL_S", 0.01)
    monkeypatch.setattr(cluster_module, "FIRST_PAUSE_S", 0.001)
    with serving(lambda version: np.load(versions[version] / "golden" / "probabilities.npy").ravel().tolist()) as api:
        api.objects[TEMPLATE] = {"data": {"inferenceservice.yaml": "{max_replicas: 3, canary_percent: 5}"}}
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": api.address}}],
            "users": [{"name": "u", "user": {}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield api


def champion() -> str:
    return str(MlflowClient().get_model_version_by_alias(NAME, "champion").version)


def test_pins_the_version_to_its_files_in_the_bucket(kserve: KServe, versions: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "summary.html"
    run("2", NAME, NAMESPACE, str(page))
    model = kserve.service["spec"]["predictor"]["model"]
    assert model["storageUri"].startswith("s3://models/mlflow/step/models/m-")
    annotations = kserve.service["metadata"]["annotations"]
    assert annotations["srs-response/version"] == "2"
    assert annotations["srs-response/bundle-digest"] == Manifest.read(versions["2"]).digest
    assert kserve.queries == ["2"]
    assert "deployed" in page.read_text()
    assert "no canary: no former version is served with which it could share the traffic" in page.read_text()
    run("2", NAME, NAMESPACE, str(page))
    assert "unchanged" in page.read_text()
    assert champion() == "2"


def test_a_version_that_is_no_longer_champion_is_not_deployed(kserve: KServe, tmp_path: Path) -> None:
    run("1", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert "moved on" in (tmp_path / "summary.html").read_text()
    assert kserve.applied == []


@pytest.mark.parametrize(("fault", "code"), [("model", "DEPLOY_FAILED"), ("template", "TEMPLATE_MISSING")])
def test_the_alias_is_restored_whatever_failed(fault: str, code: str, kserve: KServe, tmp_path: Path) -> None:
    if fault == "model":
        kserve.broken["2"] = "BlockedByFailedLoad"
    else:
        del kserve.objects[TEMPLATE]
    with pytest.raises(SrsError) as caught:
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert caught.value.code == code
    assert champion() == "1"
    tags = MlflowClient().get_model_version(NAME, "2").tags
    assert tags["srs.deploy_failed"] == caught.value.safe_message
    assert not (tmp_path / "summary.html").exists()


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_unreadable_template_is_not_reported_as_missing(status: int, kserve: KServe, tmp_path: Path) -> None:
    kserve.failures = [status]
    with pytest.raises(SrsError, match=f"returned status {status} for the template") as caught:
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert caught.value.code == "CLUSTER_REFUSED"
    assert "kubectl auth can-i get configmap/srs-response-template" in caught.value.hint
    assert champion() == "1"


TYPO = "{max_replicas: 3, resources: {limit: {cpu: 2}}, replicas: 1}"


def test_a_typo_in_the_template_is_reported_and_the_alias_restored(kserve: KServe, tmp_path: Path) -> None:
    kserve.objects[TEMPLATE] = {"data": {"inferenceservice.yaml": TYPO}}
    with pytest.raises(InputError, match="TEMPLATE_UNKNOWN") as caught:
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert "replicas: unknown name" in caught.value.safe_message
    assert "resources.limit: unknown name; did you mean limits?" in caught.value.safe_message
    assert champion() == "1"
    assert kserve.applied == []


@pytest.mark.parametrize("place", ["read_template", "build", "deploy", "cluster_configuration", "query_golden_case"])
@pytest.mark.parametrize("error", [TypeError("a value"), KeyboardInterrupt(), SystemExit(143), OSError("a value")])
def test_the_alias_is_restored_on_any_exception(
    place: str, error: BaseException, kserve: KServe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(step, place, fail)
    with pytest.raises(type(error)):
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert champion() == "1"
    tags = MlflowClient().get_model_version(NAME, "2").tags
    assert tags["srs.deploy_failed"] == f"deploy stopped on a {type(error).__name__}"
    assert WHERE not in kserve.objects  # the applied object is removed again


def test_the_alias_is_restored_where_the_bundle_cannot_be_downloaded(
    kserve: KServe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise BundleError("ARTIFACTS_MISSING", "the files of version 2 are gone")

    monkeypatch.setattr(registry, "download", gone)
    with pytest.raises(BundleError):
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert champion() == "1"


def test_sigterm_restores_the_alias_before_the_process_ends(
    kserve: KServe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evicted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(step, "query_golden_case", evicted)
    with pytest.raises(SystemExit) as caught:
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert caught.value.code == 128 + signal.SIGTERM
    assert champion() == "1"
    assert WHERE not in kserve.objects


@pytest.mark.parametrize("first", [InputError("TEMPLATE_UNKNOWN", "unknown keys: x", "Correct it."), TypeError("a")])
def test_a_rollback_that_fails_does_not_hide_the_first_reason(
    first: Exception, kserve: KServe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise RegistryError("MLFLOW_UNREACHABLE", "nothing listens at mlflow:5000")

    def fail(*_: object) -> None:
        raise first

    monkeypatch.setattr(step, "read_template", fail)
    monkeypatch.setattr(registry, "rollback", away)
    with pytest.raises(SrsError) as caught:
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    words = "unknown keys: x" if isinstance(first, InputError) else "deploy stopped on a TypeError"
    assert caught.value.safe_message == f"{words}; and the alias champion still names version 2 (MLFLOW_UNREACHABLE)"
    assert "srs rollback" in caught.value.hint


def test_files_that_kserve_cannot_load_are_refused_and_the_alias_restored(
    kserve: KServe, versions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxied = "mlflow-artifacts:/1/models/m-1/artifacts"
    monkeypatch.setattr(MlflowClient, "get_model_version_download_uri", lambda *_: proxied)
    monkeypatch.setattr(registry, "download", lambda *_: versions["2"])
    with pytest.raises(SrsError, match="SOURCE_NOT_LOADABLE") as caught:
        run("2", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert "--no-serve-artifacts" in caught.value.hint
    assert champion() == "1"


def test_nothing_promoted_changes_nothing(kserve: KServe, tmp_path: Path) -> None:
    run("", NAME, NAMESPACE, str(tmp_path / "summary.html"))
    assert "the gate promoted no version" in (tmp_path / "summary.html").read_text()
    assert json.dumps(kserve.applied) == "[]"
    assert champion() == "2"


def test_a_version_whose_files_lie_in_the_bucket_is_signed_there(versions: dict[str, Path], tmp_path: Path) -> None:
    key = SigningKey(Ed25519PrivateKey.generate())
    registry.sign(NAME, "1", key)
    bundle = registry.download(NAME, "1", tmp_path / "served")
    assert Bundle.read(bundle, key.public).manifest == Manifest.read(versions["1"])
