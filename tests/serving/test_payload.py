"""V1 bodies and queries: how many instances, studies, files and fields a request may have."""

import base64
import json

import pytest

from components.common.errors import InputError
from components.common.limits import MAX_CROPS, MAX_FILES, MAX_QUERY_FIELDS, MAX_STUDIES, MAX_TEXT
from serving.payload import Study, check_batch, check_query, decode_v1, options_of
from tests.serving.test_content import form

FILE = base64.b64encode(bytes(128) + b"DICM").decode()


def refusal(call):
    with pytest.raises(InputError) as caught:
        call()
    return caught.value.code


def v1(*instances):
    return decode_v1(json.dumps({"instances": instances}).encode()).instances


def test_crops_are_counted_before_one_is_read():
    check_batch(MAX_CROPS, MAX_CROPS)
    assert refusal(lambda: v1(*[0] * MAX_CROPS)) == "FORMAT"
    assert refusal(lambda: v1(*[0] * (MAX_CROPS + 1))) == "BATCH_TOO_LARGE"


def test_studies_are_counted():
    assert len(v1(*[{"dicom_zip": "UEsF"}] * MAX_STUDIES)) == MAX_STUDIES
    assert refusal(lambda: v1(*[{"dicom_zip": "UEsF"}] * (MAX_STUDIES + 1))) == "BATCH_TOO_LARGE"


def test_files_of_a_study_are_counted():
    (study,) = v1({"dicom_files": [FILE] * MAX_FILES})
    assert len(study.files) == MAX_FILES
    assert refusal(lambda: v1({"dicom_files": [FILE] * (MAX_FILES + 1)})) == "FORMAT"


def test_an_instance_of_another_form_is_told_what_it_may_hold():
    with pytest.raises(InputError) as caught:
        v1({"dicom_zip": "UEsF", "rtstruct": "1.2"})
    for name in ("crop_hu", "dicom_zip", "dicom_files", "roi", "rtstruct_uid"):
        assert name in caught.value.safe_message
    assert '"roi": "GTV_1"' in caught.value.hint


def test_files_of_a_form_are_counted():
    files = [(f"{number}.dcm", bytes(128) + b"DICM") for number in range(MAX_FILES + 1)]
    (study,) = decode_v1(form(files[:MAX_FILES])).instances
    assert isinstance(study, Study)
    assert len(study.files) == MAX_FILES
    assert refusal(lambda: decode_v1(form(files))) == "FORM"


def test_options_have_a_length():
    assert options_of({"roi": "ü" * MAX_TEXT})["roi"] == "ü" * MAX_TEXT
    assert refusal(lambda: options_of({"roi": "ü" * (MAX_TEXT + 1)})) == "OPTION"


def test_fields_of_a_query_are_counted():
    check_query([("key", "")] * MAX_QUERY_FIELDS)
    assert refusal(lambda: check_query([("key", "")] * (MAX_QUERY_FIELDS + 1))) == "OPTION"
