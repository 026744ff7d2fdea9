import io
import os
import types
import zipfile

import minio
import pytest
import urllib3

from components.common.errors import InputError, StorageError
from components.common.object_store import open_objects
from components.common.objects import FolderSource, MemorySource, ZipSource
from components.common.s3 import S3Source, s3_client, upload_folder
from components.common.sources import fingerprint, locate, open_cohort, open_source

FILES = {"a/1.dcm": b"one", "a/sub/2.dcm": b"twotwo", "ab/3.dcm": b"3", "cohort.csv": b"tumour_id,dicom\nt,a\nu,ab\n"}


class FakeS3:
    """As much of the minio client as is used, on a mapping."""

    def __init__(self, objects):
        self.objects, self.calls = objects, []

    def list_objects(self, _bucket, prefix, recursive):
        assert recursive
        for name, data in sorted(self.objects.items()):
            if name.startswith(prefix):
                yield types.SimpleNamespace(object_name=name, size=len(data), etag=f"e{len(data)}", is_dir=False)

    def get_object(self, bucket, name, length=0):
        self.calls.append((bucket, name, length))
        if name not in self.objects:
            raise minio.error.S3Error(None, "NoSuchKey", "", name, "", "")
        data = self.objects[name]
        return types.SimpleNamespace(
            read=lambda: data[:length] if length else data, close=lambda: None, release_conn=lambda: None
        )


def zip_bytes(files, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data, **options)
    return buffer.getvalue()


@pytest.fixture(params=["folder", "zip", "memory", "s3"])
def source(request, tmp_path):
    if request.param == "folder":
        for name, data in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return FolderSource(tmp_path)
    if request.param == "zip":
        return ZipSource(zip_bytes(FILES))
    if request.param == "memory":
        return MemorySource(FILES)
    return S3Source(
        "bucket", "study/one", FakeS3({f"study/one/{n}": d for n, d in FILES.items()} | {"study/onetwo/x": b""})
    )


def test_every_source_lists_and_reads_the_same(source):
    assert [(e.name, e.size) for e in source.list("")] == sorted((n, len(d)) for n, d in FILES.items())
    assert [e.name for e in source.list("a")] == ["a/1.dcm", "a/sub/2.dcm"]
    assert [e.name for e in source.list("./a/")] == ["a/1.dcm", "a/sub/2.dcm"]
    assert source.list("nothing") == []
    assert source.read("a/sub/2.dcm") == b"twotwo"
    assert source.read_head("a/sub/2.dcm", 3) == b"two"
    assert source.read_head("a/sub/2.dcm", 300) == b"twotwo"


def test_every_source_says_what_is_not_there_without_its_name(source):
    for call in (lambda: source.read("Lindqvist.dcm"), lambda: source.read_head("Lindqvist.dcm", 3)):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == "OBJECT_MISSING"
        assert "Lindqvist" not in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\..\\b", "\\\\server\\x", "C:\\x", "C:/x"])
def test_no_source_is_left_by_a_name(source, name):
    for call in (source.read, source.list):
        with pytest.raises(InputError) as caught:
            call(name)
        assert caught.value.code == "PATH_OUTSIDE"


# --- zip ---


def zip_refusal(data, **limits):
    with pytest.raises(InputError) as caught:
        ZipSource(data, **limits).list("")
    return caught.value.code


def test_zips_that_are_refused():
    assert zip_refusal(zip_bytes({"../x": b""})) == "PATH_OUTSIDE"
    assert zip_refusal(zip_bytes({"/x": b""})) == "PATH_OUTSIDE"
    assert zip_refusal(zip_bytes({"a": b"1", "b": b"2"}), max_entries=1) == "ZIP_TOO_LARGE"
    assert zip_refusal(zip_bytes({"a": os.urandom(2000)}), max_bytes=1000) == "ZIP_TOO_LARGE"
    assert zip_refusal(zip_bytes({"a": b"\0" * 20_000_000})) == "ZIP_TOO_LARGE"
    assert zip_refusal(b"no zip") == "ZIP_DAMAGED"
    assert zip_refusal(zip_bytes({"./a": b"1", "a": b"2"})) == "ZIP_DUPLICATE"


def test_encrypted_zip_is_refused():
    data = bytearray(zip_bytes({"a": b"1"}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    assert zip_refusal(bytes(data)) == "ZIP_ENCRYPTED"


def test_damage_inside_a_zip_is_said():
    data = bytearray(zip_bytes({"a": os.urandom(500)}))
    data[60:80] = bytes(20)
    with pytest.raises(InputError) as caught:
        ZipSource(bytes(data)).read("a")
    assert caught.value.code == "ZIP_DAMAGED"


# --- s3 ---


def test_heads_are_ranged_requests():
    client = FakeS3({"p/a.dcm": b"x" * 100})
    assert S3Source("b", "p", client).read_head("a.dcm", 10) == b"x" * 10
    assert client.calls == [("b", "p/a.dcm", 10)]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (minio.error.S3Error(None, "AccessDenied", "secret name", "x", "", ""), "S3_REFUSED"),
        (urllib3.exceptions.MaxRetryError(None, "http://host/secret"), "S3_UNREACHABLE"),
        (minio.error.ServerError("secret", 500), "S3_UNREACHABLE"),
        (ConnectionResetError(104, "reset"), "STORAGE_UNREADABLE"),
    ],
)
def test_what_a_server_says_is_put_into_words(raised, code):
    class Broken:
        def get_object(self, *_, **__):
            raise raised

    with pytest.raises(StorageError) as caught:
        S3Source("b", "", Broken()).read("secret")
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
    assert isinstance(open_source("s3://bucket/some/prefix/"), S3Source)


@pytest.fixture
def s3_keys(s3_environment):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        s3_environment.setenv(name, "given")
    return s3_environment


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000/path", "http://"])
def test_endpoints_that_are_no_host_and_port_are_refused_in_words(s3_keys, endpoint):
    s3_keys.setenv("S3_ENDPOINT", endpoint)
    with pytest.raises(InputError, match="S3_SETTINGS"):
        open_source("s3://bucket/prefix")


@pytest.mark.parametrize("name", ["P#1", "P?1", "P%201", "P;1", "P [1]"])
def test_what_ends_a_web_address_belongs_to_a_name_in_a_bucket(s3_keys, name):
    s3_keys.setenv("S3_ENDPOINT", "127.0.0.1:1")
    place = locate(MemorySource({}), f"s3://bucket/cohort/{name}/")
    assert place.prefix == f"cohort/{name}"
    assert place.key == ("bucket", f"cohort/{name}")


@pytest.mark.parametrize(
    "uri", ["s3://", "s3:///prefix", "s3://[x/prefix", "s3://b℀/prefix", "s3://x/prefix", "s3://With Space/prefix"]
)
def test_buckets_that_s3_does_not_know_are_refused_in_words(s3_keys, uri):
    s3_keys.setenv("S3_ENDPOINT", "127.0.0.1:1")
    with pytest.raises(InputError, match="SOURCE_UNKNOWN"):
        open_source(uri).list("")
    with pytest.raises(InputError, match="STATE_URI_UNKNOWN"):
        open_objects(uri).read("name")


def test_links_that_lead_nowhere_are_passed_over(tmp_path):
    (tmp_path / "p" / "deep").mkdir(parents=True)
    (tmp_path / "p" / "deep" / "a").write_bytes(b"abc")
    for name, target in {"missing": "nothing", "through": "deep/a/b", "loop": "loop"}.items():
        (tmp_path / "p" / name).symlink_to(target)
    (tmp_path / "p" / "same").symlink_to("deep/a")
    assert [entry.name for entry in FolderSource(tmp_path).list("p")] == ["p/deep/a", "p/same"]
    assert FolderSource(tmp_path).list("absent") == []


def test_upload_keeps_names_and_puts_the_table_last(tmp_path, monkeypatch):
    put = []
    client = types.SimpleNamespace(
        bucket_exists=lambda _: False,
        make_bucket=lambda b: put.append(b),
        fput_object=lambda b, n, _: put.append((b, n)),
    )
    monkeypatch.setattr("components.common.s3.s3_client", lambda: client)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "1.dcm").write_bytes(b"")
    (tmp_path / "cohort.csv").write_bytes(b"")
    upload_folder(tmp_path, "s3://b/pre/fix/")
    assert put == ["b", ("b", "pre/fix/p/1.dcm"), ("b", "pre/fix/cohort.csv")]


# --- opening ---


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_sources_are_opened_by_what_they_are(folder):
    assert isinstance(open_source(str(folder)), FolderSource)
    assert isinstance(open_source(f"file://{folder}"), FolderSource)
    (folder / "x.zip").write_bytes(zip_bytes(FILES))
    assert isinstance(open_source(str(folder / "x.zip")), ZipSource)
    for uri, code in (
        (str(folder / "no"), "SOURCE_MISSING"),
        (str(folder / "cohort.csv"), "SOURCE_UNKNOWN"),
        ("gs://b", "SOURCE_UNKNOWN"),
    ):
        with pytest.raises(InputError) as caught:
            open_source(uri)
        assert caught.value.code == code


def test_cohort_by_file_and_by_folder(folder, monkeypatch):
    (folder / "mine.csv").write_bytes(b"x")
    assert open_cohort(str(folder))[1] == "cohort.csv"
    source, name = open_cohort(str(folder / "mine.csv"))
    assert (name, source.read(name)) == ("mine.csv", b"x")
    (folder / "x.zip").write_bytes(zip_bytes(FILES))
    assert open_cohort(str(folder / "x.zip"))[1] == "cohort.csv"
    monkeypatch.chdir(folder)
    assert open_cohort("mine.csv")[1] == "mine.csv"


@pytest.mark.parametrize("uri", ["nothing", "nothing.csv", "a", "a/nothing.csv"])
def test_missing_cohort_is_said(folder, uri, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as caught:
        open_cohort(uri)
    assert (caught.value.code, caught.value.exit_code) == ("COHORT_MISSING", 2)


@pytest.mark.parametrize("name", ["mine.tsv", "mine.txt", "mine.CSV", "cohort.xlsx", "cohort", "table.dat"])
def test_a_file_that_is_named_is_the_table_whatever_its_name(folder, name):
    (folder / name).write_bytes(b"x")
    assert open_cohort(str(folder / name))[1] == name
    assert open_cohort(f"file://{folder / name}")[1] == name


def test_a_folder_is_a_folder_whatever_its_name(folder):
    (folder / "study.csv").mkdir()
    (folder / "study.csv" / "cohort.csv").write_bytes(b"x")
    assert open_cohort(str(folder / "study.csv"))[1] == "cohort.csv"


OTHERS = [
    ({"Cohort.CSV": b""}, "found there: 1 file called cohort.csv but for upper and lower case"),
    ({"COHORT.csv": b"", "Cohort.csv": b""}, "2 files called cohort.csv but for upper and lower case, or blanks"),
    (
        {"cohort.xlsx": b"", "old.xls": b"", "n.numbers": b""},
        "found there: 3 files of a spreadsheet program (save it as CSV",
    ),
    ({"Lindqvist.csv": b"", "b.tsv": b"", "c.ods": b""}, ", 2 files that may be a table under another name"),
]


@pytest.mark.parametrize(("files", "words"), OTHERS)
@pytest.mark.parametrize("packed", [False, True])
def test_what_lies_there_instead_of_the_table_is_said_by_kind(tmp_path, files, words, packed):
    place = tmp_path / "x.zip" if packed else tmp_path
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    if packed:
        place.write_bytes(zip_bytes(files))
    with pytest.raises(InputError) as caught:
        open_cohort(str(place))
    assert caught.value.code == "COHORT_MISSING"
    assert words in caught.value.safe_message
    assert "Lindqvist" not in str(caught.value)


def test_a_table_in_a_folder_of_a_zip_is_said(tmp_path):
    (tmp_path / "x.zip").write_bytes(zip_bytes({"study/cohort.csv": b"", "study/p1/1.dcm": b""}))
    with pytest.raises(InputError, match=r"1 file called cohort\.csv in a folder below"):
        open_cohort(str(tmp_path / "x.zip"))


def test_rows_may_point_elsewhere(folder):
    here = MemorySource({})
    assert locate(here, "a/b/").open() == (here, "a/b")
    where, prefix = locate(here, str(folder / "a")).open()
    assert [e.name for e in where.list(prefix)] == [f"{prefix}/1.dcm", f"{prefix}/sub/2.dcm"]


@pytest.mark.parametrize(
    "dicom", ["C:\\data\\P1", "c:/data/P1", "\\\\server\\share\\P1", "//server/P1", "https://x/P1"]
)
def test_places_that_no_machine_of_ours_reads_are_refused(dicom):
    with pytest.raises(InputError) as caught:
        locate(MemorySource({}), dicom)
    assert caught.value.code == "SOURCE_UNKNOWN"


def test_a_name_is_resolved_only_where_one_folder_is_meant(tmp_path):
    for name in ("P1", "p1", "Straße", "x/Y"):
        (tmp_path / name).mkdir(parents=True)
    here = FolderSource(tmp_path)
    names = {"P1": "P1", "p1": "p1", "STRASSE": "Straße", "X/y": "x/Y", "P2": "P2", "x/z": "x/z", "": ""}
    assert {name: locate(here, name).prefix for name in names} == names
    (tmp_path / "PÄ").mkdir()
    (tmp_path / "pä").mkdir()
    assert locate(here, "Pä").prefix == "Pä"
    zipped = MemorySource({"A/1.dcm": b"", "b/C/2.dcm": b""})
    assert [locate(zipped, name).prefix for name in ("a", "B/c", "A")] == ["A", "b/C", "A"]


def test_fingerprint_reads_tables_with_semicolons(folder):
    (folder / "cohort.csv").write_bytes(b"\xef\xbb\xbfDICOM ;x\na;1\n")
    first = fingerprint(str(folder))
    (folder / "a" / "1.dcm").write_bytes(b"changed")
    assert fingerprint(str(folder)) != first


@pytest.mark.parametrize(
    "table",
    [
        "tumour_id\tpatient_id\tdicom\tx, y, z\n1\t2\ta\t3\n".encode("utf-16"),
        b"sep=|\r\rtumour_id|DICOM|x\r1|a\xc2\xa0|2\r",
    ],
)
def test_fingerprint_sees_objects_of_tables_in_every_dialect(folder, table):
    (folder / "cohort.csv").write_bytes(table)
    first = fingerprint(str(folder))
    (folder / "a" / "1.dcm").write_bytes(b"changed")
    assert fingerprint(str(folder)) != first


def test_fingerprint_sees_table_and_objects_only(folder):
    first = fingerprint(str(folder))
    assert fingerprint(str(folder / "cohort.csv")) == first
    (folder / "elsewhere.txt").write_text("x")
    assert fingerprint(str(folder)) == first
    (folder / "a" / "1.dcm").write_bytes(b"changed")
    second = fingerprint(str(folder))
    assert second != first
    os.utime(folder / "ab" / "3.dcm", (1, 1))
    third = fingerprint(str(folder))
    assert third != second
    (folder / "cohort.csv").write_bytes(FILES["cohort.csv"] + b"v,absent\n")
    assert fingerprint(str(folder)) != third
