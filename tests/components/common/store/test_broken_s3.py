"""Everything stored in a bucket, on a real S3 server that denies access, lacks the bucket, or replies badly."""

import asyncio
import json
import shutil
import time
from urllib.parse import urlsplit

import boto3
import numpy as np
import pandas as pd
import pytest

from components.common import artifact_store, tracking_store
from components.common.artifacts.members import Member
from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError, RegistryError, StorageError
from components.common.store import timeouts
from components.common.store.bucket import upload_folder
from components.common.store.opening import open_source
from components.model.manifest import Manifest
from components.preprocess.locating import fingerprint
from components.promote import registry
from components.train.member_store import open_store
from tests.components.common.member_facts import made_facts
from tests.components.model.bundles import make_bundle
from tests.tcp_proxy import Proxy

#: No failure may take longer with the limits that ``impatient`` sets, even on a busy machine; the libraries' own limits
#: come to four minutes and more.
PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Limits of a third of a second, so that a stalled server is given up in this test's time."""
    monkeypatch.setattr(timeouts, "READ_SECONDS", 0.3)
    monkeypatch.setattr(timeouts, "PAUSE_SECONDS", 0.01)
    artifact_store.bound_artifact_store.cache_clear()
    yield
    artifact_store.bound_artifact_store.cache_clear()
    boto3.DEFAULT_SESSION = None


@pytest.fixture
def proxy(s3, monkeypatch):
    """A proxy before the S3 server, named in the environment for both of its clients."""
    behind = Proxy(urlsplit(s3.environment["S3_ENDPOINT"]).port)
    for name in ("S3_ENDPOINT", "MLFLOW_S3_ENDPOINT_URL"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{behind.port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield behind
    behind.close()


@pytest.fixture
def cohort(tmp_path, proxy):
    """A table and one large object in the bucket."""
    folder = tmp_path / "cohort"
    (folder / "p").mkdir(parents=True)
    (folder / "cohort.csv").write_text("tumour_id,dicom\nt,p\n")
    (folder / "p" / "image").write_bytes(bytes(range(256)) * 4000)
    for number in range(40):
        (folder / "p" / f"slice {number} +ä").write_bytes(bytes([number]) * 10_000)
    upload_folder(folder, "s3://dicom/broken")
    return folder


@pytest.fixture
def member():
    history = pd.DataFrame({"attempt": [0], "step": [1], "validation_accuracy": [0.5], "validation_loss": [0.7]})
    split = MemberSplit("A", 1, ("t0",), ("t1",), ("t2",))
    return Member(split, {"w": np.zeros(50_000, np.float32)}, history, np.zeros(3, np.float32), made_facts())


@pytest.fixture
def run_id(proxy, empty_store, tmp_path, monkeypatch):
    """A run whose artifacts lie in the bucket."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    experiment = tracking_store.client().create_experiment("srs", "s3://models/mlflow/broken")
    return tracking_store.client().create_run(experiment).info.run_id


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    make_bundle(folder)
    return folder


def read_cohort():
    return open_source("s3://dicom/broken").read("p/image")


@pytest.mark.parametrize("fault", ["reset", "cut", "stall"])
def test_an_interrupted_download_is_repeated(cohort, proxy, fault):
    proxy.fault, proxy.times = fault, 1
    assert read_cohort() == (cohort / "p" / "image").read_bytes()


def test_a_slow_server_is_waited_for(cohort, proxy):
    proxy.fault = "slow"
    started = time.monotonic()
    assert read_cohort() == (cohort / "p" / "image").read_bytes()
    assert time.monotonic() - started > timeouts.READ_SECONDS  # each piece came in time, the whole did not


@pytest.mark.parametrize("fault", ["reset", "cut", "stall"])
@pytest.mark.parametrize("what", [read_cohort, lambda: fingerprint("s3://dicom/broken")], ids=["read", "fingerprint"])
def test_a_cohort_on_a_broken_server_is_reported_in_time(cohort, proxy, fault, what):
    proxy.fault, proxy.bytes = fault, 200
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        what()
    assert caught.value.code == "S3_UNREACHABLE"
    assert "S3_ENDPOINT" in caught.value.hint
    assert time.monotonic() - started < PATIENCE_S


def read_heads():
    return open_source("s3://dicom/broken").map_heads(bytes, [f"p/slice {number} +ä" for number in range(40)], 3000)


def test_heads_come_in_order_and_short_objects_complete(cohort):
    source = open_source("s3://dicom/broken")
    assert read_heads() == [bytes([number]) * 3000 for number in range(40)]
    assert source.map_heads(len, ["p/slice 1 +ä", "p/image"], 20_000) == [10_000, 20_000]
    assert source.map_heads(len, [], 10) == []
    with pytest.raises(InputError, match="OBJECT_MISSING"):
        source.map_heads(len, ["p/slice 1 +ä", "p/absent"], 10)


@pytest.mark.parametrize("fault", ["reset", "cut", "stall"])
def test_interrupted_heads_are_requested_again(cohort, proxy, fault):
    proxy.fault, proxy.times = fault, 3
    assert read_heads() == [bytes([number]) * 3000 for number in range(40)]


@pytest.mark.parametrize("fault", ["reset", "cut", "stall"])
def test_heads_on_a_broken_server_are_reported_in_time(cohort, proxy, fault):
    proxy.fault, proxy.bytes = fault, 200
    started = time.monotonic()
    with pytest.raises(StorageError, match="S3_UNREACHABLE"):
        read_heads()
    assert time.monotonic() - started < PATIENCE_S


def test_heads_are_read_where_an_event_loop_runs(cohort):
    async def in_a_notebook():
        return read_heads()

    assert len(asyncio.run(in_a_notebook())) == 40


def test_an_error_in_processing_a_head_is_not_the_servers(cohort):
    made = []

    def make(head):
        made.append(head)
        raise OSError("of the caller's own")

    with pytest.raises(OSError, match="caller's own"):
        open_source("s3://dicom/broken").map_heads(make, ["p/image"], 10)
    assert len(made) == 1


def test_an_interrupted_upload_leaves_no_cohort_table(cohort, proxy, tmp_path):
    proxy.fault = "stall"
    with pytest.raises(StorageError, match="S3_UNREACHABLE"):
        upload_folder(cohort, "s3://dicom/half")
    proxy.fault = "pass"
    with pytest.raises(InputError, match="COHORT_MISSING"):
        fingerprint("s3://dicom/half")


@pytest.mark.parametrize("fault", ["reset", "cut", "stall"])
def test_a_member_is_stored_atomically(member, proxy, fault):
    store = open_store(f"s3://models/{fault}")
    proxy.fault, proxy.bytes = fault, 0
    started = time.monotonic()
    with pytest.raises(StorageError, match="STORE_UNREACHABLE"):
        store.put("k", member)
    assert time.monotonic() - started < PATIENCE_S
    proxy.fault = "pass"
    stored = store.get("k")
    assert stored is None or stored.split == member.split
    store.put("k", member)
    np.testing.assert_array_equal(store.get("k").weights["w"], member.weights["w"])


@pytest.mark.parametrize("fault", ["reset", "cut", "stall"])
def test_a_stored_member_is_read_completely_or_its_store_is_reported(member, proxy, fault):
    store = open_store("s3://models/stored")
    store.put("k", member)
    proxy.fault, proxy.times = fault, 1
    store_again = open_store("s3://models/stored")
    assert store_again.get("k").split == member.split
    proxy.times = None
    with pytest.raises(StorageError, match="STORE_UNREACHABLE"):
        open_store("s3://models/stored").get("k")


def test_a_member_store_that_denies_access_is_reported(member, proxy, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = open_store("s3://models/refused")
    for call in (lambda: store.put("k", member), lambda: store.get("k")):
        with pytest.raises(StorageError, match="failed with SignatureDoesNotMatch") as caught:
            call()
        assert "credentials" in caught.value.hint


def test_a_member_store_without_its_bucket_is_not_an_empty_one(proxy):
    with pytest.raises(StorageError, match="failed with NoSuchBucket"):
        open_store("s3://nosuchbucket/one").get("k")


def test_a_bundle_goes_through_the_bucket_and_comes_back(run_id, bundle, proxy, tmp_path):
    proxy.fault, proxy.times = "cut", 1
    uri = registry.log_bundle(run_id, bundle, "ensemble-A")
    manifest = Manifest.read(bundle)
    version = registry.register("m", uri, run_id, manifest.digest, {"srs.group": "A"}, "card")
    assert registry.source_uri("m", version).startswith("s3://models/mlflow/broken/models/m-")
    fetched = registry.download("m", version, tmp_path / "served")
    assert Manifest.read(fetched) == manifest
    assert json.loads((fetched / "manifest.json").read_text()) == json.loads((bundle / "manifest.json").read_text())


@pytest.mark.parametrize("fault", ["reset", "stall"])
def test_a_bundle_that_cannot_be_uploaded_is_reported_and_retried(run_id, bundle, proxy, tmp_path, fault):
    proxy.fault, proxy.bytes = fault, 0
    started = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        registry.log_bundle(run_id, bundle, "ensemble-A")
    assert caught.value.code == "ARTIFACTS_UNREACHABLE"
    assert "MLFLOW_S3_ENDPOINT_URL" in caught.value.hint
    assert time.monotonic() - started < PATIENCE_S
    [model] = tracking_store.client().search_logged_models([tracking_store.client().get_run(run_id).info.experiment_id])
    assert model.status != "READY"
    proxy.fault = "pass"
    assert registry.log_bundle(run_id, bundle, "ensemble-A") == f"models:/{model.model_id}"


def test_a_bundle_that_cannot_be_downloaded_leaves_no_folder(run_id, bundle, proxy, tmp_path):
    uri = registry.log_bundle(run_id, bundle, "ensemble-A")
    version = registry.register("m", uri, run_id, Manifest.read(bundle).digest, {}, "card")
    proxy.fault = "reset"
    with pytest.raises(RegistryError):
        registry.download("m", version, tmp_path / "served")
    assert not list((tmp_path / "served").glob("m-*"))
    proxy.fault = "pass"
    assert registry.download("m", version, tmp_path / "served").is_dir()


def test_refused_artifacts_are_reported_without_their_values(run_id, bundle, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(RegistryError) as caught:
        registry.log_bundle(run_id, bundle, "ensemble-A")
    assert caught.value.code == "ARTIFACTS_UNREACHABLE"
    assert "wrong-secret" not in str(caught.value)
    assert "models" not in caught.value.safe_message


def test_a_retried_request_logs_no_name(monkeypatch, caplog):
    monkeypatch.setenv("S3_ENDPOINT", "http://127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    warns = caplog.at_level("DEBUG", "urllib3"), caplog.at_level("DEBUG", "urllib3.connectionpool")
    with warns[0], warns[1], pytest.raises(StorageError, match="does not respond"):
        open_source("s3://bucket/Lindqvist").list("")
    assert "Lindqvist" not in caplog.text
