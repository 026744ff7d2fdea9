"""A cohort on a real S3 server gives the same dataset as a folder, and failures are reported as SrsErrors."""

import numpy as np
import pytest

from components.common.errors import InputError, StorageError
from components.common.settings import PreprocessSettings
from components.common.store import timeouts
from components.common.store.bucket import BucketStore, upload_folder
from components.common.store.folder import FolderStore
from components.common.store.sealed import SealedStore
from components.phantom.phantom import write_cohort
from components.preprocess.cohort import preprocess_cohort
from components.preprocess.locating import fingerprint
from components.preprocess.parts import PartStore
from tests.conftest import S3Server

URI = "s3://dicom/study/cohort"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", tumours=6, patients=5).parent


@pytest.fixture
def uploaded(folder, s3):
    upload_folder(folder, URI)
    return URI


def test_a_bucket_gives_the_same_dataset_as_a_folder(folder, uploaded):
    here, there = (preprocess_cohort(str(uri), PreprocessSettings(), b"key") for uri in (folder, uploaded))
    np.testing.assert_array_equal(here.crops, there.crops)
    assert here.tumours.equals(there.tumours)
    assert here.flow == there.flow


def test_the_fingerprint_changes_with_one_object(folder, uploaded, tmp_path):
    before = fingerprint(uploaded)
    assert fingerprint(uploaded) == before
    changed = next(folder.rglob("*.dcm"))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / changed.name).write_bytes(changed.read_bytes() + b"\0\0")
    upload_folder(tmp_path / "one", f"{URI}/{changed.parent.relative_to(folder).as_posix()}")
    assert fingerprint(uploaded) != before


def test_a_wrong_access_key_is_reported(uploaded, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError) as caught:
        preprocess_cohort(uploaded, PreprocessSettings(), b"key")
    assert caught.value.code == "S3_REFUSED"
    assert "wrong" not in str(caught.value)


def test_a_missing_table_or_bucket_is_reported(s3):
    for uri in ("s3://dicom/absent", "s3://nobucket/study"):
        with pytest.raises((InputError, StorageError)):
            fingerprint(uri)


def test_a_server_that_disappeared_is_reported(uploaded, s3):
    s3.stop()
    with pytest.raises(StorageError) as caught:
        preprocess_cohort(uploaded, PreprocessSettings(), b"key")
    assert caught.value.code == "S3_UNREACHABLE"


def test_a_killed_server_is_reported_and_a_second_run_reads_only_the_rest(folder, tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    server = S3Server(tmp_path / "server")
    monkeypatch.setattr(timeouts, "TRIES", 1)
    read = []
    original = BucketStore.map_heads

    def counted(self, make, names, size):
        read.extend(name.rpartition("/")[0] for name in names)
        return original(self, make, names, size)

    monkeypatch.setattr(BucketStore, "map_heads", counted)
    options = {"workers": 1, "store": PartStore(SealedStore(FolderStore(tmp_path / "kept")))}

    def kill(done, total, note):
        if done == 2:
            server.stop()

    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        upload_folder(folder, URI)
        with pytest.raises(StorageError) as caught:
            preprocess_cohort(uri := URI, PreprocessSettings(), b"key", progress=kill, **options)
    finally:
        server.stop()
    assert caught.value.code == "S3_UNREACHABLE"
    kept = len(list((tmp_path / "kept").rglob("*.zip")))
    assert kept >= 2
    assert len(set(read)) >= kept
    read.clear()
    server = S3Server(tmp_path / "server")
    try:
        monkeypatch.setenv("S3_ENDPOINT", server.environment["S3_ENDPOINT"])
        again = preprocess_cohort(uri, PreprocessSettings(), b"key", **options)
    finally:
        server.stop()
    patients = {path.parent for path in folder.rglob("*.dcm")}
    assert 0 < len(set(read)) <= len(patients) - kept
    whole = preprocess_cohort(str(folder), PreprocessSettings(), b"key")
    np.testing.assert_array_equal(again.crops, whole.crops)
    assert again.flow == whole.flow
