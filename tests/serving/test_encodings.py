"""JSON that would take many times its size as Python objects is refused by counts, and base64 is decoded cheaply."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.common.errors import InputError
from components.common.limits import MAX_CONTAINERS, MAX_JSON_BODY_BYTES, MAX_STRINGS, MAX_VALUES
from serving.encodings import base64_of, json_object
from serving.payload import decode_v1
from serving.tensors import decode_v2

COUNTED = {
    "lists": (MAX_CONTAINERS - 2, lambda n: b'{"a":[' + b"[]," * (n - 1) + b"[]]}"),
    "objects": (MAX_CONTAINERS - 2, lambda n: b'{"a":[' + b"{}," * (n - 1) + b"{}]}"),
    "texts": (MAX_STRINGS - 1, lambda n: b'{"a":[' + b'"b",' * (n - 1) + b'"b"]}'),
    "keys": (MAX_STRINGS, lambda n: b"{" + b'"a":1,' * (n - 1) + b'"a":1}'),
    "values": (MAX_VALUES + 1, lambda n: b'{"a":[' + b"1," * (n - 1) + b"1]}"),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_json_holds_is_counted(name):
    most, make = COUNTED[name]
    assert json_object(make(most), len(make(most)))
    body = make(most + 1)
    with pytest.raises(InputError) as caught:
        json_object(body, len(body))
    assert caught.value.code == "FORMAT"
    assert "at most" in caught.value.safe_message


def test_only_the_json_before_binary_tensors_is_counted():
    head = b'{"inputs":[]}'
    assert json_object(head + b"[" * (MAX_CONTAINERS + 1), len(head)) == {"inputs": []}


def filled(unit: bytes, start: bytes = b'{"instances":[[', end: bytes = b"1]]}") -> bytes:
    return start + unit * ((MAX_JSON_BODY_BYTES - len(start) - len(end)) // len(unit)) + end


@pytest.mark.parametrize("unit", [b'"a",', '"Ā",'.encode(), b"[],", b"{},", b'{"a":1},', b"1,", b"-9,"])
def test_the_largest_bodies_of_small_parts_are_refused_before_memory_is_taken(unit):
    body, began = filled(unit), time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            decode_v1(body)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.code == "FORMAT"
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", ["é" * 2**23, "QUJD" * 2**21 + "🧠", "QUJD" * 2**21 + "é"])
def test_text_that_is_not_ascii_is_no_base64_at_once(text):
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        base64_of(text)
    assert caught.value.code == "BASE64"
    assert time.process_time() - began < 0.3


WORDS = [b'"', b"[", b"]", b"{", b"}", b",", b":", b"1e5", b"-", b"instances", b"inputs", b"crop_hu", b"shape", b"null"]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=3)), max_size=30).map(b"".join))
def test_any_body_is_decoded_or_refused(body):
    for decode in (decode_v1, lambda data: decode_v2(data, None), lambda data: decode_v2(data, "12")):
        try:
            decode(body)
        except InputError as error:
            assert error.code not in ("", "INTERNAL")  # noqa: PT017 - some are decoded
