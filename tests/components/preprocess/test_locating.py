"""Locating a cohort's table and the DICOM of its rows, and the digest of both."""

import io
import os
import zipfile

import pytest

from components.common.errors import InputError
from components.common.store.bucket import BucketStore
from components.common.store.folder import FolderStore
from components.common.store.memory import MemoryStore
from components.preprocess.locating import fingerprint, locate, open_cohort

FILES = {"a/1.dcm": b"one", "a/sub/2.dcm": b"twotwo", "ab/3.dcm": b"3", "cohort.csv": b"tumour_id,dicom\nt,a\nu,ab\n"}


def zip_bytes(files, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("name", ["P#1", "P?1", "P%201", "P;1", "P [1]"])
def test_what_ends_a_web_address_belongs_to_a_name_in_a_bucket(monkeypatch, name):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "given")
    monkeypatch.setenv("S3_ENDPOINT", "127.0.0.1:1")
    place = locate(MemoryStore({}), f"s3://bucket/cohort/{name}/")
    assert place.prefix == f"cohort/{name}"
    assert place.key == ("bucket", f"cohort/{name}")


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
def test_a_missing_cohort_is_reported(folder, uri, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as caught:
        open_cohort(uri)
    assert (caught.value.code, caught.value.exit_code) == ("COHORT_MISSING", 2)


@pytest.mark.parametrize("name", ["mine.tsv", "mine.txt", "mine.CSV", "cohort.xlsx", "cohort", "table.dat"])
def test_a_named_file_is_the_table_whatever_its_name(folder, name):
    (folder / name).write_bytes(b"x")
    assert open_cohort(str(folder / name))[1] == name
    assert open_cohort(f"file://{folder / name}")[1] == name


def test_a_folder_is_a_folder_whatever_its_name(folder):
    (folder / "study.csv").mkdir()
    (folder / "study.csv" / "cohort.csv").write_bytes(b"x")
    assert open_cohort(str(folder / "study.csv"))[1] == "cohort.csv"


OTHERS = [
    ({"Cohort.CSV": b""}, "found there: 1 file called cohort.csv except for upper and lower case"),
    ({"COHORT.csv": b"", "Cohort.csv": b""}, "2 files called cohort.csv except for upper and lower case, or blanks"),
    (
        {"cohort.xlsx": b"", "old.xls": b"", "n.numbers": b""},
        "found there: 3 files of a spreadsheet program (save it as CSV",
    ),
    ({"Lindqvist.csv": b"", "b.tsv": b"", "c.ods": b""}, ", 2 files that may be a table under another name"),
]


@pytest.mark.parametrize(("files", "words"), OTHERS)
@pytest.mark.parametrize("packed", [False, True])
def test_files_that_may_be_the_missing_table_are_reported_by_kind(tmp_path, files, words, packed):
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


def test_a_table_in_a_folder_of_a_zip_is_reported(tmp_path):
    (tmp_path / "x.zip").write_bytes(zip_bytes({"study/cohort.csv": b"", "study/p1/1.dcm": b""}))
    with pytest.raises(InputError, match=r"1 file called cohort\.csv in a folder below"):
        open_cohort(str(tmp_path / "x.zip"))


def test_rows_may_name_folders_outside_the_tables_source(folder):
    here = MemoryStore({})
    assert locate(here, "a/b/").open() == (here, "a/b")
    where, prefix = locate(here, str(folder / "a")).open()
    assert [e.name for e in where.list(prefix)] == [f"{prefix}/1.dcm", f"{prefix}/sub/2.dcm"]


@pytest.mark.parametrize(
    "dicom", ["C:\\data\\P1", "c:/data/P1", "\\\\server\\share\\P1", "//server/P1", "https://x/P1"]
)
def test_locations_that_cannot_be_read_are_refused(dicom):
    with pytest.raises(InputError) as caught:
        locate(MemoryStore({}), dicom)
    assert caught.value.code == "SOURCE_UNKNOWN"


def test_a_name_is_resolved_only_if_it_matches_one_folder(tmp_path):
    for name in ("P1", "p1", "Straße", "x/Y"):
        (tmp_path / name).mkdir(parents=True)
    here = FolderStore(tmp_path)
    names = {"P1": "P1", "p1": "p1", "STRASSE": "Straße", "X/y": "x/Y", "P2": "P2", "x/z": "x/z", "": ""}
    assert {name: locate(here, name).prefix for name in names} == names
    (tmp_path / "PÄ").mkdir()
    (tmp_path / "pä").mkdir()
    assert locate(here, "Pä").prefix == "Pä"
    zipped = MemoryStore({"A/1.dcm": b"", "b/C/2.dcm": b""})
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
def test_the_fingerprint_covers_the_objects_of_tables_in_every_dialect(folder, table):
    (folder / "cohort.csv").write_bytes(table)
    first = fingerprint(str(folder))
    (folder / "a" / "1.dcm").write_bytes(b"changed")
    assert fingerprint(str(folder)) != first


def test_the_fingerprint_covers_table_and_objects_only(folder):
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


def test_an_empty_table_in_a_bucket_is_found(s3):
    BucketStore("dicom", "hollow").write("cohort.csv", b"")
    source, name = open_cohort("s3://dicom/hollow")
    assert source.read(name) == b""
