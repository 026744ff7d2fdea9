"""Zips at every limit and just beyond it, and zips that state false sizes."""

import dataclasses
import os
import random
import struct
import time
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from components.common.limits import (
    MIB,
    ZIP_ALWAYS_BYTES,
    ZIP_MAX_ENTRIES,
    ZIP_MAX_ENTRY_BYTES,
    ZIP_MAX_NAME_BYTES,
    ZIP_MAX_READS,
)
from components.common.store import zip_reading
from components.common.store.zip import ZipSource
from tests.components.common.zips import Packed, deflated, stored, zip_of

DOCUMENTED = {"ZIP_DAMAGED", "ZIP_ENCRYPTED", "ZIP_METHOD", "ZIP_TOO_LARGE", "ZIP_DUPLICATE", "PATH_OUTSIDE"}


def refusal(call):
    with pytest.raises(InputError) as caught:
        call()
    return caught.value


def read_all(data, **limits):
    source = ZipSource(data, **limits)
    return {entry.name: source.read(entry.name) for entry in source.list("")}


def folders(count):
    return [stored(f"{number}/", b"") for number in range(count)]


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("make", [folders, lambda count: [stored(f"{number}", b"") for number in range(count)]])
def test_entries_are_counted_folders_and_empty_ones_too(make, zip64):
    ZipSource(zip_of(make(200), zip64=zip64), max_entries=200)
    error = refusal(lambda: ZipSource(zip_of(make(201), zip64=zip64), max_entries=200))
    assert error.code == "ZIP_TOO_LARGE"
    assert "200 files" in error.safe_message


def test_a_directory_of_many_entries_is_refused_before_an_object_is_made_of_each():
    data = zip_of([stored("x/", b"")] * (ZIP_MAX_ENTRIES + 1), zip64=True)
    made = zipfile.ZipInfo.__init__
    zipfile.ZipInfo.__init__ = lambda *_: pytest.fail("an entry was made")
    try:
        assert "20,000 files" in refusal(lambda: ZipSource(data)).safe_message
    finally:
        zipfile.ZipInfo.__init__ = made


def test_a_false_entry_count_is_not_trusted():
    data = bytearray(zip_of(folders(201)))
    data[-14:-10] = struct.pack("<HH", 1, 1)
    assert refusal(lambda: ZipSource(bytes(data), max_entries=200)).code == "ZIP_TOO_LARGE"


def test_the_length_of_a_name_is_limited():
    name = "n" * ZIP_MAX_NAME_BYTES
    assert list(read_all(zip_of([stored(name, b"1")]))) == [name]
    assert "4,096 bytes" in refusal(lambda: ZipSource(zip_of([stored(name + "n", b"1")]))).safe_message


def with_directory(size):
    """A zip of 200 folders whose directory has ``size`` bytes."""
    entries = folders(200)
    room = size - sum(46 + len(entry.name) for entry in entries)
    fields = [
        dataclasses.replace(entry, extra=_extra(half)) for entry, half in zip(entries, halves(room), strict=False)
    ]
    return zip_of([*fields, *entries[2:]])


def halves(size):
    return size // 2, size - size // 2


def test_names_and_other_fields_of_the_directory_are_limited_together():
    most = 200 * ZIP_MAX_ENTRY_BYTES
    ZipSource(with_directory(most), max_entries=200)
    error = refusal(lambda: ZipSource(with_directory(most + 1), max_entries=200))
    assert "102,400 bytes of names" in error.safe_message


def _extra(size):
    return struct.pack("<HH", 0x7777, size - 4) + bytes(size - 4)


def test_unpacked_bytes_are_limited():
    data = zip_of([stored("a", os.urandom(MIB // 2)), stored("b", os.urandom(MIB // 2))])
    assert len(read_all(data, max_bytes=MIB)) == 2
    assert "1 MiB" in refusal(lambda: ZipSource(zip_of([stored("a", os.urandom(MIB + 1))]), max_bytes=MIB)).safe_message


def test_the_ratio_is_limited_above_the_size_allowed_for_every_zip(monkeypatch):
    assert len(read_all(zip_of([deflated("a", bytes(ZIP_ALWAYS_BYTES))]))["a"]) == ZIP_ALWAYS_BYTES
    assert "200 times" in refusal(lambda: ZipSource(zip_of([deflated("a", bytes(ZIP_ALWAYS_BYTES + 1))]))).safe_message
    monkeypatch.setattr(zip_reading, "ZIP_ALWAYS_BYTES", 0)
    one = deflated("a", os.urandom(50) + bytes(50_000))
    allowed, crossed = (dataclasses.replace(one, says=200 * len(one.data) + more) for more in (0, 1))
    assert ZipSource(zip_of([allowed])).list("")
    assert refusal(lambda: ZipSource(zip_of([crossed]))).code == "ZIP_TOO_LARGE"


def test_repeated_reading_is_limited():
    source = ZipSource(zip_of([stored("a", bytes(1000)), stored("b", b"1")]), max_bytes=1001)
    for _ in range(ZIP_MAX_READS):
        source.read("a")
        source.read("b")
    assert refusal(lambda: source.read_head("a", 1)).code == "ZIP_TOO_LARGE"


def test_a_file_that_is_read_for_each_of_its_tumours_is_unpacked_once():
    source = ZipSource(zip_of([deflated("a", b"12" * 500), stored("b", b"1")]), max_bytes=1001)
    for _ in range(40):
        assert source.read("a") == b"12" * 500
        assert source.read_head("a", 3) == b"121"
    assert source.read("b") == b"1"


@pytest.mark.parametrize("pack", [stored, deflated])
@pytest.mark.parametrize("says", [0, 99, 101, 2000])
def test_a_false_size_is_damage_even_with_a_correct_crc(pack, says):
    data = zip_of([stored("x", b"x"), pack("a", bytes(range(100)), says)])
    assert refusal(lambda: ZipSource(data).read("a")).code == "ZIP_DAMAGED"
    assert ZipSource(data).read("x") == b"x"


def test_a_small_file_that_unpacks_to_much_takes_no_memory():
    data = zip_of([deflated("a", bytes(64 * MIB), says=100)])
    tracemalloc.start()
    try:
        assert refusal(lambda: ZipSource(data).read("a")).code == "ZIP_DAMAGED"
        assert refusal(lambda: ZipSource(data).read_head("a", 50)).code == "ZIP_DAMAGED"
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_a_head_is_unpacked_no_further_than_asked():
    source = ZipSource(zip_of([deflated("a", bytes(8 * MIB))]))
    tracemalloc.start()
    try:
        assert source.read_head("a", 5000) == bytes(5000)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB + 5])
@pytest.mark.parametrize("pack", [stored, deflated])
def test_files_of_any_number_of_pieces_are_read_whole(pack, size):
    data = random.Random(size).randbytes(size)
    source = ZipSource(zip_of([pack("a", data)]))
    assert source.read("a") == data
    for fresh in (ZipSource(zip_of([pack("a", data)])), source):
        assert fresh.read_head("a", size + 1) == fresh.read_head("a", size) == fresh.read_head("a", -1) == data
        assert fresh.read_head("a", size // 2) == data[: size // 2]


@pytest.mark.parametrize("method", [1, 6, 9, 10, 12, 14, 19, 93, 95, 96, 97, 98, 99])
def test_other_compression_methods_are_refused(method):
    data = zip_of([Packed(b"a", b"0123", 4, zlib.crc32(b"0123"), method)])
    error = refusal(lambda: ZipSource(data))
    assert error.code == "ZIP_METHOD"
    assert "Deflate" in error.safe_message


@pytest.mark.parametrize("pack", [stored, deflated])
def test_a_wrong_crc_is_reported(pack):
    data = zip_of([dataclasses.replace(pack("a", b"one"), crc=7)])
    error = refusal(lambda: ZipSource(data).read("a"))
    assert (error.code, "CRC-32" in error.safe_message) == ("ZIP_DAMAGED", True)


def test_files_that_share_their_packed_bytes_are_refused():
    """Each header is quoted in the file before it, which so holds all that follow (Fifield, WOOT 2019)."""
    first, second = stored("b", bytes(500)), stored("c", bytes(500))
    inner = zip_of([first, second])
    quoting = stored("a", inner[: 2 * (31 + 500)])
    at = 31
    data = zip_of([quoting, dataclasses.replace(first, at=at), dataclasses.replace(second, at=at + 31 + 500)])
    assert "overlap" in refusal(lambda: ZipSource(data)).safe_message
    same = zip_of([first, dataclasses.replace(first, name=b"c", at=0)])
    assert "overlap" in refusal(lambda: ZipSource(same)).safe_message


def test_a_file_that_ends_beyond_the_zip_is_refused():
    one = stored("a", b"123")
    data = bytearray(zip_of([one]))
    at = data.index(b"PK\1\2") + 20
    data[at : at + 8] = struct.pack("<LL", 2**30, 2**30)
    assert "its end" in refusal(lambda: ZipSource(bytes(data))).safe_message


def test_bytes_before_and_after_a_zip_are_skipped(tmp_path):
    for before, comment in ((b"MZ" + bytes(70_000), b""), (b"", b"c" * 65_535), (b"#!/bin/sh\n", b"PK\1\2")):
        for zip64 in (False, True):
            data = zip_of([stored("a", b"1"), deflated("b", b"2")], before=before, comment=comment, zip64=zip64)
            (tmp_path / "x.zip").write_bytes(data)
            for place in (data, tmp_path / "x.zip"):
                assert read_all(place, max_entries=2) == {"a": b"1", "b": b"2"}


def test_a_directory_that_claims_a_gigabyte_is_not_read():
    data = bytearray(zip_of(folders(3), zip64=True, before=bytes(1000)))
    at = data.index(b"PK\6\6") + 40
    data[at : at + 8] = struct.pack("<Q", 2**63 + 5)
    assert refusal(lambda: ZipSource(bytes(data))).code in ("ZIP_DAMAGED", "ZIP_TOO_LARGE")


def read_or_refuse(data):
    try:
        source = ZipSource(data, max_entries=50, max_bytes=MIB)
        for entry in source.list(""):
            source.read_head(entry.name, 10)
            source.read(entry.name)
    except InputError as error:
        assert error.code in DOCUMENTED  # noqa: PT017 - some are read


GOOD = zip_of([stored("a/b", b"one"), deflated("a/ü", b"two" * 100), stored("leer/", b"")], zip64=True)
SHORT = zip_of([stored("a", b"one"), deflated("b", bytes(300))], comment=b"c")


@settings(max_examples=300)
@given(
    data=st.sampled_from([GOOD, SHORT]),
    changes=st.lists(st.tuples(st.integers(0, len(GOOD)), st.binary(min_size=1, max_size=9)), max_size=4),
    end=st.integers(0, len(GOOD)),
)
def test_any_zip_is_read_or_refused_by_a_documented_code(data, changes, end):
    changed = bytearray(data)
    for at, value in changes:
        changed[at : at + len(value)] = value
    read_or_refuse(bytes(changed))
    read_or_refuse(bytes(changed[:end]))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_by_a_documented_code(data):
    read_or_refuse(data)
    read_or_refuse(data + GOOD[-22:])


def test_a_million_empty_fields_beside_the_names_are_read_or_refused_quickly():
    extra = struct.pack("<HH", 0x7777, 0) * 16_000
    data = zip_of([dataclasses.replace(one, extra=extra) for one in folders(2)])
    began = time.process_time()
    read_or_refuse(data)
    ZipSource(data, max_entries=2000)
    assert time.process_time() - began < 2


def test_the_programs_own_zips_are_read(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("leer")
        archive.writestr("leer/a", b"1" * 1000)
        with archive.open("b", "w", force_zip64=True) as file:
            file.write(b"2")
    assert read_all(path) == {"leer/a": b"1" * 1000, "b": b"2"}
    assert read_all(path.read_bytes()) == read_all(path)
