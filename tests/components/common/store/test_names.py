"""Names of objects: those that would leave the root are refused, and all others are read."""

import io
import os
import string
import unicodedata
import zipfile
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.common.errors import InputError
from components.common.store.folder import FolderStore
from components.common.store.memory import MemoryStore
from components.common.store.names import clean_name, with_slashes
from components.common.store.zip import ZipSource

NFD = unicodedata.normalize("NFD", "Müller")
ODD = [
    " P1 /a.dcm",
    "P1/a.dcm ",
    f"{NFD}/a.dcm",
    "Müller/a.dcm",
    "p1/A.DCM",
    "ab:c.dcm",
    "P1/12:30.dcm",
    "...",
    ".x/..y",
]


def zip_bytes(names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is, where the constructor would cut or turn it
            archive.writestr(info, b"" if name.endswith(("/", "\\")) else str(number).encode())
    return buffer.getvalue()


def listed(source, prefix=""):
    return {entry.name: source.read(entry.name) for entry in source.list(prefix)}


def code(call):
    with pytest.raises(InputError) as caught:
        call()
    return caught.value.code


def test_a_zip_with_backslashes_is_one_with_folders():
    source = ZipSource(zip_bytes(["P1\\Serie 1\\a.dcm", "P1\\b.dcm", "P1/c.dcm", "P1\\leer\\", "leer/"]))
    assert listed(source) == {"P1/Serie 1/a.dcm": b"0", "P1/b.dcm": b"1", "P1/c.dcm": b"2"}
    assert listed(source, "P1/Serie 1") == {"P1/Serie 1/a.dcm": b"0"}


def test_a_name_with_both_separators_is_a_duplicate():
    assert code(lambda: ZipSource(zip_bytes(["P1\\a", "P1/a"]))) == "ZIP_DUPLICATE"


@pytest.mark.parametrize(
    "name", ["..\\x", "a\\..\\..\\x", "C:\\x", "c:/x", "C:", "\\\\server\\share\\x", "\\x", "a/..\\x", "a\0/.."]
)
def test_names_that_leave_a_zip_on_any_system_are_refused(name):
    assert code(lambda: clean_name(name)) == "PATH_OUTSIDE"
    if "\0" not in name:  # zipfile cuts a name there
        assert code(lambda: ZipSource(zip_bytes([name]))) == "PATH_OUTSIDE"


def test_an_unsupported_method_is_not_reported_as_damage():
    data = bytearray(zip_bytes(["P1/a.dcm"]))
    for magic, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(magic) + offset] = 9  # Deflate64
    assert code(lambda: ZipSource(bytes(data))) == "ZIP_METHOD"


def test_odd_names_are_read_from_every_source(tmp_path):
    for number, name in enumerate(ODD):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(number).encode())
    expected = {name: str(number).encode() for number, name in enumerate(ODD)}
    for source in (ZipSource(zip_bytes(ODD)), MemoryStore(expected), FolderStore(tmp_path)):
        assert listed(source) == expected


@pytest.mark.skipif(os.name == "nt", reason="no such file can be there")
def test_a_backslash_or_colon_in_a_files_own_name_is_read(tmp_path):
    for name in ("a\\b.dcm", "x:y.dcm"):
        (tmp_path / name).write_bytes(b"1")
    assert listed(FolderStore(tmp_path)) == {"a\\b.dcm": b"1", "x:y.dcm": b"1"}
    assert with_slashes("a\\b.dcm") == "a/b.dcm"


@given(st.text(st.sampled_from("ab.:/\\ ~" + string.ascii_uppercase[:3]), max_size=12))
@example("C:x")
@example("A:..")
def test_no_accepted_name_leaves_its_folder(name):
    try:
        taken = clean_name(name)
    except InputError as error:
        assert error.code == "PATH_OUTSIDE"  # noqa: PT017 - most names are taken
        return
    for kind in (PurePosixPath, PureWindowsPath):
        assert not kind(taken).is_absolute()
        assert ".." not in kind(taken).parts
    assert clean_name(taken) == taken


@given(st.lists(st.text(st.sampled_from("ab. ~éß"), min_size=1, max_size=5), min_size=1, max_size=4))
def test_every_ordinary_name_is_accepted_with_either_separator(parts):
    parts = [part for part in parts if part not in (".", "..")] or ["a"]
    name = "/".join(parts)
    assert clean_name(name) == name
    assert listed(ZipSource(zip_bytes(["\\".join(parts)]))) == {name: b"0"}
