"""The contract of all stores: a folder, a mapping in memory, a zip, and a bucket of a real S3 server."""

import io
import itertools
import secrets
import zipfile

import pytest

from components.common.errors import InputError, SrsError, StorageError
from components.common.store.bucket import BucketStore
from components.common.store.folder import FolderStore
from components.common.store.memory import MemoryStore
from components.common.store.sealed import SealedStore, seal
from components.common.store.zip import ZipSource

FILES = {"a/1.dcm": b"one", "a/sub/2.dcm": b"twotwo", "ab/3 +ä%.dcm": b"3", "cohort.csv": b"tumour_id", "empty": b""}
KINDS = ("folder", "memory", "bucket", "zip")


def zip_bytes(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def new_store(kind, tmp_path, request):
    if kind == "folder":
        return FolderStore(tmp_path / "store")
    if kind == "memory":
        return MemoryStore({})
    request.getfixturevalue("s3")
    return BucketStore("dicom", f"contract/{secrets.token_hex(4)}")


@pytest.fixture(params=KINDS[:3])
def store(request, tmp_path):
    """An empty store that can be written."""
    return new_store(request.param, tmp_path, request)


@pytest.fixture(params=KINDS)
def source(request, tmp_path):
    """A source of ``FILES``."""
    if request.param == "zip":
        return ZipSource(zip_bytes(FILES))
    store = new_store(request.param, tmp_path, request)
    for name, content in FILES.items():
        store.write(name, content)
    return store


# --- reading ---


def test_lists_all_objects_below_a_folder_like_prefix_by_name(source):
    assert [(e.name, e.size) for e in source.list("")] == sorted((n, len(d)) for n, d in FILES.items())
    assert [e.name for e in source.list("a")] == ["a/1.dcm", "a/sub/2.dcm"]
    assert [e.name for e in source.list("./a/")] == ["a/1.dcm", "a/sub/2.dcm"]
    assert source.list("nothing") == []
    assert source.list("a/1.dcm") == []


def test_reads_whole_objects_and_their_heads(source):
    for name, content in FILES.items():
        assert source.read(name) == content
        for size in (1, 3, 300):
            assert source.read_head(name, size) == content[:size]


def test_maps_heads_in_the_order_of_the_names(source):
    names = list(itertools.islice(itertools.cycle(FILES), 60))
    assert source.map_heads(bytes, names, 2) == [FILES[name][:2] for name in names]
    assert source.map_heads(bytes, [], 2) == []


def test_an_error_of_the_caller_leaves_map_heads_as_it_is(source):
    def make(head):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        source.map_heads(make, list(FILES), 2)


def test_an_absent_object_is_reported_without_its_name(source):
    calls = (
        lambda: source.read("Lindqvist.dcm"),
        lambda: source.read_head("Lindqvist.dcm", 3),
        lambda: source.map_heads(bytes, [*FILES, "Lindqvist.dcm"], 3),
        lambda: source.read("a"),
    )
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == "OBJECT_MISSING"
        assert "Lindqvist" not in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\..\\b", "\\\\server\\x", "C:\\x", "C:/x"])
def test_no_name_leaves_the_root(source, name):
    for call in (source.read, source.list, lambda name: source.read_head(name, 1)):
        with pytest.raises(InputError) as caught:
            call(name)
        assert caught.value.code == "PATH_OUTSIDE"


def test_names_of_one_object_have_one_identity(source):
    assert source.identity("a") == source.identity("a")
    assert source.identity("a") != source.identity("ab")
    assert source.resolve("a") == "a"
    assert source.resolve("nothing") == "nothing"


def test_a_zip_that_is_an_object_is_opened(store):
    store.write("p/study.zip", zip_bytes(FILES))
    inside = ZipSource(store.path_or_content("p/study.zip"))
    assert inside.read("a/sub/2.dcm") == b"twotwo"


# --- writing ---


@pytest.mark.parametrize("content", [b"", b"new", bytes(range(256)) * 20_000], ids=len)
def test_a_written_object_replaces_the_former_one(store, content):
    store.write("p/x +ä%.zip", b"the former one, which is longer than some")
    store.write("p/x +ä%.zip", content)
    assert store.read("p/x +ä%.zip") == content
    (entry,) = store.list("")
    assert (entry.name, entry.size) == ("p/x +ä%.zip", len(content))


def test_a_removed_object_is_absent_and_removing_an_absent_one_is_no_error(store):
    store.write("p/x", b"1")
    store.write("p/y", b"2")
    for _ in range(2):
        store.remove("p/x")
    assert [entry.name for entry in store.list("")] == ["p/y"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_nothing_is_written_or_removed_outside(store, name):
    for call in (lambda: store.write(name, b""), lambda: store.remove(name)):
        with pytest.raises(InputError, match="PATH_OUTSIDE"):
            call()


# --- sealed ---


def test_sealed_files_are_returned_or_absent(store):
    sealed_store, files = SealedStore(store), {"a.npy": b"1", "b/c.json": b"{}"}
    assert sealed_store.get("k.zip") is None
    sealed_store.put("k.zip", files)
    assert sealed_store.get("k.zip") == files
    sealed_store.remove("k.zip")
    assert sealed_store.get("k.zip") is None


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_sealed_object_is_absent(store, part):
    sealed = seal({"a.npy": b"1" * 100})
    store.write("k.zip", sealed[: int(part * len(sealed))])
    assert SealedStore(store).get("k.zip") is None


# --- what fails ---


@pytest.fixture(params=["folder", "bucket"])
def broken(request, tmp_path, monkeypatch):
    """A store whose disk or server refuses everything, with a secret in its place."""
    if request.param == "folder":
        (tmp_path / "Lindqvist").write_bytes(b"")
        return FolderStore(tmp_path / "Lindqvist")
    request.getfixturevalue("s3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    return BucketStore("dicom", "Lindqvist")


def test_a_failing_store_is_reported_without_names(broken):
    for call in (lambda: broken.write("Lindqvist", b""), lambda: SealedStore(broken).put("Lindqvist", {})):
        with pytest.raises(SrsError) as caught:
            call()
        assert "Lindqvist" not in str(caught.value)
        assert "wrong-secret" not in str(caught.value)
    assert caught.value.code == "STORE_UNREACHABLE"
    assert isinstance(caught.value, StorageError)
