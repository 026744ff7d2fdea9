"""V2 bodies: elements of lists and shapes are counted before they are multiplied, copied or read."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.common.errors import InputError
from components.common.limits import MAX_CROPS, MAX_DIMENSIONS, MAX_JSON_BODY_BYTES, MAX_LISTED, MAX_STUDIES, MAX_TEXT
from serving.payload import CROP_INPUT, DICOM_INPUT
from serving.tensors import Tensor, byte_strings, decode_v2, query_of

CROP = {"name": CROP_INPUT, "datatype": "FP32", "shape": [1, 151, 151], "data": [0] * 22801}
ZIP = {"name": DICOM_INPUT, "datatype": "BYTES", "shape": [1], "data": ["UEsF"]}


def refusal(call):
    with pytest.raises(InputError) as caught:
        call()
    return caught.value.code


def v2(**fields):
    return decode_v2(json.dumps({"inputs": [ZIP], **fields}).encode(), None)


def test_inputs_are_counted():
    assert refusal(lambda: v2(inputs=[CROP] * 2)) == "INPUT_UNKNOWN"
    assert refusal(lambda: v2(inputs=[ZIP] * MAX_LISTED)) == "INPUT_UNKNOWN"
    assert refusal(lambda: v2(inputs=[ZIP] * (MAX_LISTED + 1))) == "FORMAT"


def test_outputs_are_counted():
    assert len(v2(outputs=[{"name": "x"}] * MAX_LISTED).outputs) == MAX_LISTED
    assert refusal(lambda: v2(outputs=[{"name": "x"}] * (MAX_LISTED + 1))) == "FORMAT"


def test_dimensions_are_counted():
    assert v2(inputs=[{**ZIP, "shape": [1] * MAX_DIMENSIONS}]).instances
    assert refusal(lambda: v2(inputs=[{**ZIP, "shape": [1] * (MAX_DIMENSIONS + 1)}])) == "FORMAT"


def test_json_before_binary_tensors_has_the_limit_of_json():
    head = json.dumps({"inputs": [ZIP]}).encode()
    body = head.ljust(MAX_JSON_BODY_BYTES + 1)
    assert decode_v2(body[:-1], str(MAX_JSON_BODY_BYTES)).instances
    assert refusal(lambda: decode_v2(body, str(MAX_JSON_BODY_BYTES + 1))) == "BODY_TOO_LARGE"


def test_a_shape_of_many_large_numbers_is_not_multiplied():
    began = time.process_time()
    assert refusal(lambda: v2(inputs=[{**ZIP, "shape": [2**31 - 1] * 100_000}])) == "FORMAT"
    assert time.process_time() - began < 1


def test_crops_are_counted():
    zeros = bytes(4 * 151 * 151 * MAX_CROPS)
    assert len(query_of([Tensor(CROP_INPUT, "FP32", (MAX_CROPS, 151, 151), zeros)], {}).instances) == MAX_CROPS
    assert refusal(lambda: query_of([Tensor(CROP_INPUT, "FP32", (MAX_CROPS + 1, 151, 151), zeros)], {})) == (
        "BATCH_TOO_LARGE"
    )


@pytest.mark.parametrize("data", [["UEsF"] * 9, (b"PK",) * 9, b"\2\0\0\0PK" * 9])
def test_studies_are_counted(data):
    def asked(count, given_data):
        return query_of([Tensor(DICOM_INPUT, "BYTES", (count,), given_data)], {}).instances

    eight = data[: len(data) * MAX_STUDIES // 9]
    assert len(asked(MAX_STUDIES, eight)) == MAX_STUDIES
    assert refusal(lambda: asked(MAX_STUDIES + 1, data)) == "BATCH_TOO_LARGE"
    assert refusal(lambda: asked(MAX_STUDIES, data)) == "V2_DATA"


ROWS = [[0.0] * 151] * 151


@pytest.mark.parametrize(
    ("shape", "data", "told"),
    [
        ((2, 151, 151), [0.0] * 22_801, "its shape [2, 151, 151] gives 45,602 values, and the number sent is 22,801"),
        ((2, 151, 151), [ROWS], "its shape [2, 151, 151] gives 45,602 values, and the number sent is 22,801"),
        ((1, 151, 151), [1], "its shape [1, 151, 151] gives 22,801 values, and the number sent is 1"),
        ((1, 151, 151), [], "its shape [1, 151, 151] gives 22,801 values, and the number sent is 0"),
        ((1, 151, 151), bytes(7), "its shape [1, 151, 151] gives 91,204 bytes, and the number sent is 7"),
    ],
)
def test_a_number_of_values_that_the_shape_does_not_give_is_refused_with_both(shape, data, told):
    with pytest.raises(InputError) as caught:
        query_of([Tensor(CROP_INPUT, "FP32", shape, data)], {})
    assert (caught.value.code, caught.value.safe_message) == ("V2_DATA", f"{CROP_INPUT}: {told}")


@pytest.mark.parametrize("data", [[[*ROWS[:-1], None]], [[[0.0] * 22_801]], [[*ROWS[:-1], ["a"] * 151]]])
def test_rows_of_another_form_are_refused_as_no_crop(data):
    assert refusal(lambda: query_of([Tensor(CROP_INPUT, "FP32", (1, 151, 151), data)], {})) == "CROP_SHAPE"


def test_an_id_has_a_length():
    assert v2(id="ü" * MAX_TEXT).request_id == "ü" * MAX_TEXT
    assert refusal(lambda: v2(id="ü" * (MAX_TEXT + 1))) == "FORMAT"


@given(st.binary(max_size=60))
def test_any_bytes_are_byte_strings_or_refused(data):
    try:
        assert b"".join(len(one).to_bytes(4, "little") + one for one in byte_strings(data)) == data
    except InputError as error:
        assert error.code == "V2_DATA"  # noqa: PT017 - some are byte strings
