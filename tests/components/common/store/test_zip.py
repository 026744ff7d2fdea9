"""Zips that are refused when they are opened as a source."""

import io
import os
import zipfile

import pytest

from components.common.errors import InputError
from components.common.store.zip import ZipSource


def zip_bytes(files, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data, **options)
    return buffer.getvalue()


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


def test_damage_inside_a_zip_is_reported():
    data = bytearray(zip_bytes({"a": os.urandom(500)}))
    data[60:80] = bytes(20)
    with pytest.raises(InputError) as caught:
        ZipSource(bytes(data)).read("a")
    assert caught.value.code == "ZIP_DAMAGED"
