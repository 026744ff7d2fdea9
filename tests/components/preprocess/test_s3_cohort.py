"""A cohort behind a real S3 server: the same dataset as from a folder, and failures in words."""

import numpy as np
import pytest

from components.common.errors import InputError, StorageError
from components.common.settings import PreprocessSettings
from components.common.sources import fingerprint, upload_folder
from components.phantom.phantom import write_cohort
from components.preprocess.cohort import preprocess_cohort

URI = "s3://dicom/study/cohort"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("phantom") / "cohort", tumours=6, patients=5).parent


@pytest.fixture
def uploaded(folder, s3):
    upload_folder(folder, URI)
    return URI


def test_bucket_gives_the_dataset_of_the_folder(folder, uploaded):
    here, there = (preprocess_cohort(str(uri), PreprocessSettings(), b"key") for uri in (folder, uploaded))
    np.testing.assert_array_equal(here.crops, there.crops)
    assert here.tumours.equals(there.tumours)
    assert here.flow == there.flow


def test_fingerprint_notices_one_changed_object(folder, uploaded, tmp_path):
    before = fingerprint(uploaded)
    assert fingerprint(uploaded) == before
    changed = next(folder.rglob("*.dcm"))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / changed.name).write_bytes(changed.read_bytes() + b"\0\0")
    upload_folder(tmp_path / "one", f"{URI}/{changed.parent.relative_to(folder).as_posix()}")
    assert fingerprint(uploaded) != before


def test_wrong_key_is_refused_in_words(uploaded, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError) as caught:
        preprocess_cohort(uploaded, PreprocessSettings(), b"key")
    assert caught.value.code == "S3_REFUSED"
    assert "wrong" not in str(caught.value)


def test_missing_table_and_bucket_are_told(s3):
    for uri in ("s3://dicom/absent", "s3://nobucket/study"):
        with pytest.raises((InputError, StorageError)):
            fingerprint(uri)


def test_server_that_went_away_is_told(uploaded, s3):
    s3.stop()
    with pytest.raises(StorageError) as caught:
        preprocess_cohort(uploaded, PreprocessSettings(), b"key")
    assert caught.value.code == "S3_UNREACHABLE"
