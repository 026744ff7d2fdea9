"""The S3 client: its settings, its requests and the translation of its errors."""

import types

import minio
import pytest
import urllib3

from components.common.errors import InputError, StorageError
from components.common.store.bucket import BucketStore, s3_client, upload_folder
from components.common.store.opening import open_source
from components.common.store.sealed import open_sealed


def test_heads_are_ranged_requests(s3):
    sizes = []
    store = BucketStore("dicom", "ranged")
    store.write("a.dcm", b"x" * 100)
    get_object = store._client.get_object
    store._client.get_object = lambda *given, **span: sizes.append(span) or get_object(*given, **span)
    assert store.read_head("a.dcm", 10) == b"x" * 10
    assert sizes == [{"length": 10}]
    with get_object("dicom", "ranged/a.dcm", length=10) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Length"] == "10"


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (minio.error.S3Error(None, "AccessDenied", "secret name", "x", "", ""), "S3_REFUSED"),
        (urllib3.exceptions.MaxRetryError(None, "http://host/secret"), "S3_UNREACHABLE"),
        (minio.error.ServerError("secret", 500), "S3_UNREACHABLE"),
        (ConnectionResetError(104, "reset"), "STORAGE_UNREADABLE"),
    ],
)
def test_errors_of_a_server_are_translated(raised, code):
    class Broken:
        def get_object(self, *_, **__):
            raise raised

    with pytest.raises(StorageError) as caught:
        BucketStore("b", "", Broken()).read("secret")
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


@pytest.fixture
def s3_environment(monkeypatch):
    for name in ("S3_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("s3_environment")
def test_missing_s3_settings_are_named_at_once():
    with pytest.raises(InputError) as caught:
        open_source("s3://bucket/prefix")
    assert caught.value.code == "S3_SETTINGS"
    for name in ("S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert name in caught.value.safe_message


@pytest.mark.parametrize(
    ("name", "endpoint", "base"),
    [
        ("S3_ENDPOINT", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("AWS_ENDPOINT_URL", "https://s3.example.org", "https://s3.example.org"),
        ("S3_ENDPOINT", "s3.example.org", "https://s3.example.org"),
    ],
)
def test_endpoints(s3_environment, name, endpoint, base):
    s3_environment.setenv(name, endpoint)
    s3_environment.setenv("AWS_ACCESS_KEY_ID", "key")
    s3_environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert s3_client()._base_url._url.geturl().rstrip("/") == base
    assert isinstance(open_source("s3://bucket/some/prefix/"), BucketStore)


@pytest.fixture
def s3_keys(s3_environment):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        s3_environment.setenv(name, "given")
    return s3_environment


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000/path", "http://"])
def test_invalid_endpoints_are_refused_with_an_srs_error(s3_keys, endpoint):
    s3_keys.setenv("S3_ENDPOINT", endpoint)
    with pytest.raises(InputError, match="S3_SETTINGS"):
        open_source("s3://bucket/prefix")


@pytest.mark.parametrize(
    "uri", ["s3://", "s3:///prefix", "s3://[x/prefix", "s3://b℀/prefix", "s3://x/prefix", "s3://With Space/prefix"]
)
def test_invalid_bucket_names_are_refused_with_an_srs_error(s3_keys, uri):
    s3_keys.setenv("S3_ENDPOINT", "127.0.0.1:1")
    with pytest.raises(InputError, match="SOURCE_UNKNOWN"):
        open_source(uri).list("")
    with pytest.raises(InputError, match="STATE_URI_UNKNOWN"):
        open_sealed(uri).get("name")


def test_upload_keeps_names_and_puts_the_table_last(tmp_path, monkeypatch):
    put = []
    client = types.SimpleNamespace(
        bucket_exists=lambda _: False,
        make_bucket=lambda b: put.append(b),
        fput_object=lambda b, n, _: put.append((b, n)),
    )
    monkeypatch.setattr("components.common.store.bucket.s3_client", lambda: client)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "1.dcm").write_bytes(b"")
    (tmp_path / "cohort.csv").write_bytes(b"")
    upload_folder(tmp_path, "s3://b/pre/fix/")
    assert put == ["b", ("b", "pre/fix/p/1.dcm"), ("b", "pre/fix/cohort.csv")]
