"""gRPC messages: each limit can be met and not exceeded by one; no bytes cost much, or raise unexpectedly."""

import json
import time
import tracemalloc

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from components.common.kserve_import import pb
from components.common.limits import MAX_DIMENSIONS, MAX_FIELDS, MAX_JSON_BODY_BYTES, MAX_LISTED, MAX_TEXT
from serving.payload import Output
from serving.reply import OUTPUTS, check_outputs
from serving.tensors import Tensor, query_of
from serving.wire import check_message
from tests.serving.attacks import INFER, good_message

TENSOR = {"name": "crop_hu", "datatype": "FP32", "shape": [1, 151, 151]}


def request(**fields):
    return pb.ModelInferRequest(**fields).SerializeToString()


def with_parameters(count):
    return {str(number): pb.InferParameter(string_param="x") for number in range(count)}


def contents(**fields):
    return request(model_name="srs-response", inputs=[{**TENSOR, "contents": pb.InferTensorContents(**fields)}])


COUNTED = {
    "inputs": lambda n: request(inputs=[TENSOR] * n),
    "empty inputs": lambda n: b"\x2a\x00" * n,
    "outputs": lambda n: request(outputs=[{"name": "members"}] * n),
    "empty outputs": lambda n: b"\x32\x00" * n,
    "raw_input_contents": lambda n: request(raw_input_contents=[b""] * n),
    "parameters": lambda n: request(parameters=with_parameters(n)),
    "parameters of an input": lambda n: request(inputs=[{**TENSOR, "parameters": with_parameters(n)}]),
    "parameters of an output": lambda n: request(outputs=[{"name": "members", "parameters": with_parameters(n)}]),
    "bytes_contents": lambda n: contents(bytes_contents=[b""] * n),
    "numbers that are not packed": lambda n: _nested(5, _nested(5, b"\x35\0\0\0\0" * n)),
    "one field again and again": lambda n: b"\x0a\x01a" * n,
    "one part again and again": lambda n: _nested(5, b"\x2a\x00" * n),
    "unknown fields": lambda n: b"".join(_varint(number << 3) + b"\x01" for number in range(100, 100 + n)),
    "unknown parts": lambda n: b"\xba\x3e\x00" * n,
}


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _nested(number, inside):
    return _varint(number << 3 | 2) + _varint(len(inside)) + inside


def refusal(message):
    with pytest.raises(InputError) as caught:
        check_message(message)
    return caught.value


@pytest.mark.parametrize("name", COUNTED)
def test_fields_of_one_name_are_counted(name):
    check_message(COUNTED[name](MAX_LISTED))
    error = refusal(COUNTED[name](MAX_LISTED + 1))
    assert (error.code, "at most 32 " in error.safe_message) == ("FORMAT", True)


def test_all_fields_are_counted_together():
    parameter = _nested(2, b"\x08\x01" * 31)  # 32 fields, and one that contains it
    inputs = [_nested(5, _nested(4, parameter) * 32)] * 9  # 1 + 32 * 33 = 1,057 fields each
    output = _nested(6, _nested(2, parameter) * 14)  # 1 + 14 * 33 = 463 fields
    left = MAX_FIELDS - 9 * 1057 - 463
    message = b"".join([*inputs, output, b"\x32\x00" * left])
    check_message(message)
    assert "10,000 fields" in refusal(message + b"\x0a\x01a").safe_message


@pytest.mark.parametrize("packed", [True, False])
def test_dimensions_are_counted(packed):
    def shaped(count):
        return _nested(5, _nested(3, b"\xff\x01" * count) if packed else b"\x18\x01" * count)

    check_message(shaped(MAX_DIMENSIONS))
    if packed:
        assert "8 dimensions" in refusal(shaped(MAX_DIMENSIONS + 1)).safe_message
        assert "8 dimensions" in refusal(shaped(10**6)).safe_message
    else:
        assert "32 shape" in refusal(shaped(MAX_LISTED + 1)).safe_message


@pytest.mark.parametrize("letter", ["a", "ü", "字", "🧠"])
@pytest.mark.parametrize("name", ["model_name", "id"])
def test_texts_that_may_be_repeated_have_a_length(name, letter):
    check_message(request(**{name: letter * MAX_TEXT}))
    assert f"{name} must be text of at most 256" in refusal(request(**{name: letter * (MAX_TEXT + 1)})).safe_message


@pytest.mark.parametrize(
    "name", ["bool_contents", "int_contents", "int64_contents", "uint_contents", "uint64_contents", "fp64_contents"]
)
def test_numbers_of_a_kind_that_no_input_has_are_refused(name):
    error = refusal(contents(**{name: [1] * 151 * 151}))
    assert (error.code, name in error.safe_message) == ("CROP_DTYPE", True)


@pytest.mark.parametrize("count", [0, 1, 151 * 151 - 1, 151 * 151 + 1])
def test_contents_that_do_not_match_the_shape_are_refused_before_they_are_copied(count):
    message = contents(fp32_contents=[1.5] * count)
    check_message(message)
    numbers = pb.ModelInferRequest.FromString(message).inputs[0].contents.fp32_contents
    with pytest.raises(InputError) as caught:
        query_of([Tensor("crop_hu", "FP32", (1, 151, 151), numbers)], {})
    assert caught.value.code == "V2_DATA"


def test_contents_are_read_unchanged():
    numbers = np.random.default_rng(1).normal(size=151 * 151).astype(np.float32)
    message = contents(fp32_contents=numbers)
    check_message(message)
    given_numbers = pb.ModelInferRequest.FromString(message).inputs[0].contents.fp32_contents
    (crop,) = query_of([Tensor("crop_hu", "FP32", (1, 151, 151), given_numbers)], {}).instances
    assert (crop == numbers.reshape(151, 151)).all()


DAMAGED = {
    "a field without number": b"\x00\x01",
    "group": b"\x0b\x0c",
    "groups inside each other": b"\x0b" * 10**6,
    "unknown wire type": b"\x0e\x00",
    "no such wire type": b"\x0f\x00",
    "varint without end": b"\x18" + b"\x80" * 100,
    "key without end": b"\xff" * 11,
    "length beyond the end": b"\x0a\x05abc",
    "length of a lifetime": b"\x0a" + b"\xff" * 9 + b"\x01",
    "part beyond its input": b"\x2a\x02\x0a\x05abcde",
    "cut number": b"\x35\0\0",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_refused(name):
    assert refusal(DAMAGED[name]).code == "FORMAT"


@pytest.mark.parametrize("unit", [b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00", b"\x0b", b"\x80", b"\x78\x00"])
def test_a_message_of_the_largest_size_costs_little(unit):
    message = unit * (MAX_JSON_BODY_BYTES // len(unit))
    began = time.process_time()
    tracemalloc.start()
    try:
        refusal(message)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 0.5


def test_a_part_of_the_largest_size_is_not_copied_again_and_again():
    message = _nested(5, _nested(3, bytes(MAX_JSON_BODY_BYTES - 100)))  # the shape of an input
    tracemalloc.start()
    try:
        refusal(message)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@settings(max_examples=100)
@given(
    changes=st.lists(st.tuples(st.integers(0, 150), st.binary(min_size=1, max_size=6)), max_size=5),
    end=st.integers(0, 100_000),
)
def test_any_message_is_parsed_or_refused(changes, end):
    changed = bytearray(good_message())
    for at, value in changes:
        changed[at : at + len(value)] = value
    check_or_parse(bytes(changed[:end]))


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data):
    check_or_parse(data)


def check_or_parse(message):
    """protobuf parses or refuses what passes the scan, and the scan passes all that protobuf parses completely."""
    try:
        check_message(message)
    except InputError as error:
        assert error.code in ("FORMAT", "CROP_DTYPE")  # noqa: PT017 - most are no messages
        return
    try:
        parsed = pb.ModelInferRequest.FromString(message)
    except DecodeError:
        return
    assert len(parsed.inputs) <= MAX_LISTED


def test_an_output_may_be_requested_once():
    check_outputs([Output(name, True) for name in OUTPUTS])
    with pytest.raises(InputError) as caught:
        check_outputs([Output("score", True), Output("score", False)])
    assert caught.value.code == "FORMAT"


def test_the_server_counts_before_it_parses(server):
    crop = np.zeros((1, 151, 151), np.float32)
    good = {"model_name": "srs-response", "inputs": [TENSOR], "raw_input_contents": [crop.tobytes()]}
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask = channel.unary_unary(INFER)
        assert ask(request(**good, outputs=[{"name": name} for name in OUTPUTS]), timeout=30)
        for bad in (
            request(**good, outputs=[{"name": "members"}] * 2),
            request(**good, outputs=[{"name": "members"}] * 200_000),
            request(**good) + b"\x2a\x00" * 10**6,
            contents(fp32_contents=[1] * 10**6),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                ask(bad, timeout=30)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert json.loads(refused.value.details())["code"] in ("FORMAT", "V2_DATA")
    status, reply, _ = server.v2({"inputs": [{**TENSOR, "data": [0] * 22801}], "outputs": [{"name": "score"}] * 2})
    assert (status, reply["code"]) == (400, "FORMAT")
