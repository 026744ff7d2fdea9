"""Studies and JSON in the forms that clients send: unambiguous ones are read, the others are named in the error."""

import base64
import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common.errors import InputError
from components.common.limits import MAX_DELIMITER_BYTES, MAX_PART_HEAD_BYTES, MAX_PARTS
from serving.content import form_parts, is_form
from serving.encodings import base64_of, json_object
from serving.payload import check_query, decode_v1
from tests.components.model.bundles import draw_crops
from tests.serving.attacks import V1, V2
from tests.serving.studies import study_files, study_zip


@pytest.fixture(scope="module")
def study():
    return study_zip(rois=("GTV", "GTV2"))


def post(server, body: bytes, kind: str | None = None, path: str = V1, name: str = "Content-Type"):
    status, _, reply = server.ask("POST", path, body, {} if kind is None else {name: kind})
    return status, json.loads(reply)


def form(files: list[tuple[str, bytes]], boundary: str = "x7", fields: dict[str, str] | None = None) -> bytes:
    """A multipart/form-data body as curl and browsers write it."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value.encode()
        for name, value in (fields or {}).items()
    ]
    parts += [
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n'.encode()
        + b"Content-Type: application/octet-stream\r\n\r\n"
        + data
        for name, data in files
    ]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])


KINDS = (
    None, "", "application/zip", "application/ZIP ", "application/x-zip", "application/x-zip-compressed; q=1",
    "application/octet-stream", "text/plain; charset=utf-8", "application/json", "application/x-www-form-urlencoded",
    "multipart/form-data", "nonsense", "application/dicom+zip",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_zip_is_read_whatever_its_content_type_says(server, study, kind):
    for name in ("Content-Type", "CONTENT-TYPE"):
        status, reply = post(server, study, kind, f"{V1}?roi=gtv2", name)
        assert status == 200, reply
        assert [one["roi_name"] for one in reply["predictions"]] == ["GTV2"]


@pytest.mark.parametrize(
    "query",
    [
        "ROI=GTV2",
        "roi_number=2",
        "rtstruct=1.2",
        "RTSTRUCT_UID=1.2",
        "roi=GTV&roi=GTV2",
        "rio=nope",
        "rtstructuid=1",
        "Struct_UID=1",
    ],
)
def test_a_repeated_or_misspelt_option_is_refused(server, study, query):
    status, reply = post(server, study, "application/zip", f"{V1}?{query}")
    assert (status, reply["code"]) == (400, "OPTION")
    assert "roi and rtstruct_uid" in reply["error"]


def test_a_misspelt_option_is_refused_with_the_one_that_was_meant():
    for name, meant in (("rio", "roi"), ("ROI", "roi"), ("rois", "roi"), ("rtsruct_uid", "rtstruct_uid")):
        with pytest.raises(InputError, match=f"did you mean {meant}?"):
            check_query([(name, "1")])


def test_fields_that_a_gateway_adds_to_the_query_are_ignored(server, study):
    check_query([(name, "1") for name in ("rid", "uid", "trace_id", "route", "region", "structure", "")])
    status, reply = post(server, study, "application/zip", f"{V1}?roi=GTV2&subscription-key=1")
    assert (status, len(reply["predictions"])) == (200, 1)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x7", "application/zip", None, "application/json"])
def test_a_form_with_one_zip_is_read(server, study, kind):
    status, reply = post(server, form([("s.zip", study)]), kind, f"{V1}?roi=GTV2")
    assert status == 200, reply
    status, reply = post(server, form([("s.zip", study)], fields={"roi": "GTV2"}), kind)
    assert [one["roi_name"] for one in reply["predictions"]] == ["GTV2"]


def test_a_form_with_the_files_of_a_study_is_read(server):
    status, reply = post(server, form(list(study_files().items())), "multipart/form-data; boundary=x7")
    assert status == 200, reply


def test_a_form_that_holds_no_study_is_refused(server, study):
    for body, code in (
        (form([("a.zip", study), ("b.zip", study)]), "FORM"),
        (form([], fields={"roi": "GTV"}), "FORM"),
        (form([("s.zip", study)])[:-30], "FORM"),
        (form([("s.tar", tar({"a": b"b"}))]), "CONTENT_UNREADABLE"),
    ):
        status, reply = post(server, body, "multipart/form-data; boundary=x7")
        assert (status, reply["code"]) == (400, code)


@pytest.mark.parametrize("body", [b"\n", b"1", b"x=1", b"--x7--\r\n", b"--x7\r\n\r\nPK\r\n--x7--\r\n"])
def test_a_form_without_parts_or_boundary_is_not_taken_for_json(server, body):
    for kind in ("multipart/form-data", "Multipart/form-data; boundary=x7"):
        status, reply = post(server, body, kind)
        assert (status, reply["code"], "JSON" in reply["error"]) == (400, "FORM", False)
    assert post(server, b"{", "application/json")[1]["code"] == "JSON"


def test_json_is_read_whatever_its_content_type_says():
    body = b'{"instances": [{"dicom_zip": "UEsF"}]}'
    assert decode_v1(body, "multipart/form-data").instances


@settings(max_examples=60)
@given(
    files=st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    boundary=st.from_regex(r"[-A-Za-z0-9'()+_,./:=?]{1,60}[A-Za-z0-9]", fullmatch=True),
)
def test_forms_return_the_bytes_that_they_were_made_of(files, boundary):
    body = form([(f"{index}.dcm", data) for index, data in enumerate(files)], boundary)
    if not any(f"--{boundary}".encode() in data for data in files):
        assert [part.data for part in form_parts(body)] == files
    assert is_form(body)


def test_the_parts_of_a_form_are_counted():
    parts = [(str(number), b"") for number in range(MAX_PARTS + 1)]
    assert len(form_parts(form(parts[:-1]))) == MAX_PARTS
    with pytest.raises(InputError) as refused:
        form_parts(form(parts))
    assert (refused.value.code, "2,016 parts" in refused.value.safe_message) == ("BATCH_TOO_LARGE", True)


def test_a_forms_delimiter_and_the_headers_of_its_parts_have_a_length():
    boundary = "b" * (MAX_DELIMITER_BYTES - 2)
    assert form_parts(form([("a", b"1")], boundary))[0].data == b"1"
    body = form([("a", b"1")], "x7")
    used = body.index(b"\r\n\r\n") + len("\r\n") - len("--x7\r\n")
    line = b"X: ".ljust(MAX_PART_HEAD_BYTES - used - len("\r\n"), b"y")
    allowed, too_long = (body.replace(b"\r\n\r\n", b"\r\n" + line + more + b"\r\n\r\n", 1) for more in (b"", b"y"))
    assert form_parts(allowed)[0].data == b"1"
    for wrong in (form([("a", b"1")], boundary + "b"), too_long):
        with pytest.raises(InputError) as refused:
            form_parts(wrong)
        assert refused.value.code == "FORM"


def test_the_largest_form_is_copied_once():
    body = bytearray(form([("a", bytes(2**24))]))
    tracemalloc.start()
    try:
        assert len(form_parts(body)[0].data) == 2**24
        assert tracemalloc.get_traced_memory()[1] < 1.1 * 2**24
    finally:
        tracemalloc.stop()


PIECES = [b"--x", b"\r\n", b"content-disposition: form-data; name=", b'"', b"PK", b"DICM", b"\0", b"roi"]


@given(st.lists(st.sampled_from(PIECES), max_size=20))
def test_any_form_is_taken_apart_or_refused(pieces):
    try:
        decode_v1(b"--x\r\nContent-" + b"".join(pieces))
    except InputError as error:
        assert error.code in ("FORM", "OPTION", "JSON", "CONTENT_UNREADABLE", "CONTENT_EMPTY")  # noqa: PT017


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def others() -> dict[str, bytes]:
    """Bodies that are neither a zip nor JSON, by the text that names their format."""
    zipped, files = study_zip(), study_files()
    return {
        "gzip": gzip.compress(zipped),
        "bzip2": bz2.compress(zipped),
        "xz": lzma.compress(zipped),
        "tar": tar(files),
        "7z": b"7z\xbc\xaf\x27\x1c" + bytes(100),
        "RAR": b"Rar!\x1a\x07\x01\x00" + bytes(100),
        "single DICOM file": files["CT00.dcm"],
        "zip in base64": base64.b64encode(zipped),
        "PDF": b"%PDF-1.7\n",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "NumPy": b"\x93NUMPY\x01\x00",
        "HTML": b"<!DOCTYPE html><html></html>",
    }


@pytest.mark.parametrize("name", others())
def test_other_content_is_named(server, name):
    body = others()[name]
    for kind in ("application/zip", "application/octet-stream", None):
        for sent in (body, form([("s", body)])):
            status, reply = post(server, sent, kind)
            if sent is body or name != "single DICOM file":  # one file of a study, which is then found wanting
                assert (status, reply["code"]) == (400, "CONTENT_UNREADABLE"), reply
                assert name in reply["error"]
    status, reply = post(server, json.dumps({"instances": [{"dicom_zip": base64.b64encode(body).decode()}]}).encode())
    assert name in reply["error"]


def test_large_content_of_another_kind_is_named_before_its_brackets_are_counted():
    for body in (b"\x1f\x8b" + b"[" * 300_000, bytes(128) + b"DICM" + b"{" * 300_000):
        with pytest.raises(InputError) as refused:
            decode_v1(body, "application/octet-stream")
        assert refused.value.code == "CONTENT_UNREADABLE"
    assert decode_v1(b'{"instances":[{"dicom_zip":"UEsF"}],"' + b"x" * 91 + b'DICM":1}').instances


def test_an_empty_body_and_an_empty_study_are_refused(server):
    for body, path in ((b"", V1), (b"", V2), (b'{"instances":[{"dicom_zip":""}]}', V1)):
        for kind in (None, "application/json"):
            status, reply = post(server, body, kind, path)
            assert (status, reply["code"]) == (400, "CONTENT_EMPTY")
    assert post(server, b"", "application/zip")[1]["code"] == "CONTENT_EMPTY"
    empty = b"PK\x05\x06" + bytes(18)
    assert post(server, empty)[1]["code"] == "DICOM_MISSING"
    assert "table" not in post(server, empty)[1]["hint"]


def test_the_refusal_of_a_zip_at_the_address_of_v2_says_where_it_goes(server, study):
    for kind in ("application/zip", None):
        status, reply = post(server, study, kind, V2)
        assert (status, reply["code"]) == (400, "CONTENT_UNREADABLE")
        assert ":predict" in reply["hint"]
        assert "dicom_zip" in reply["hint"]


def test_a_zip_in_a_smaller_type_has_the_limit_of_zips(start, study):
    server = start("--max-json-mb", "1", "--max-binary-mb", "3", "--grpc-port", "off")
    padded = study + bytes(2 * 2**20 - len(study))  # behind the zip's end: damaged, yet read
    for kind in ("application/octet-stream", None):
        assert post(server, padded, kind)[0] != 413
        status, reply = post(server, study + bytes(3 * 2**20), kind)
        assert (status, reply["code"]) == (413, "BODY_TOO_LARGE")
        assert "3 MiB" in reply["error"]
    status, reply = post(server, b" " * 2**20 + b'{"instances": []}', "application/octet-stream")
    assert (status, reply["code"]) == (413, "BODY_TOO_LARGE")
    assert "1 MiB" in reply["error"]


CROP = np.full((151, 151), 40.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_in_json_is_refused_with_its_byte(server, value):
    crop = CROP.copy()
    crop[3, 5] = value
    text = json.dumps({"id": "ü", "instances": [crop.tolist()]}, ensure_ascii=False)
    status, reply = post(server, text.encode())
    assert (status, reply["code"]) == (400, "CROP_NOT_FINITE")
    at = int(reply["error"].split("byte ")[1].split()[0])
    assert text.encode()[at:].startswith((b"NaN", b"Infinity", b"-Infinity"))
    tensor = {"name": "crop_hu", "shape": [1, 151, 151], "datatype": "FP32", "data": crop.ravel().tolist()}
    status, reply, _ = server.v2({"inputs": [tensor]})
    assert (status, reply["code"]) == (400, "CROP_NOT_FINITE")


def test_a_lost_header_of_binary_tensors_is_named(server):
    crop = draw_crops(1, np.random.default_rng(1))
    tensor = {"name": "crop_hu", "shape": [1, 151, 151], "datatype": "FP32"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": crop.nbytes}}]}).encode()
    for kind in ("application/octet-stream", "application/json", None):
        status, reply = post(server, head + crop.tobytes(), kind, V2)
        assert (status, reply["code"]) == (400, "V2_HEADER")
        assert str(crop.nbytes) in reply["error"]
        assert "Inference-Header-Content-Length" in reply["hint"]


def test_json_in_other_encodings(server):
    body = json.dumps({"instances": [CROP.tolist()], "note": "ü"}, ensure_ascii=False)
    assert post(server, body.encode("utf-8-sig"))[0] == 200
    for encoding, word in (("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-32", "UTF-32"), ("cp1252", "UTF-8")):
        status, reply = post(server, body.encode(encoding), f"application/json; charset={encoding}")
        assert (status, reply["code"]) == (400, "JSON")
        assert word in reply["error"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_short_body_in_another_encoding_is_not_taken_for_one_with_tensors(encoding):
    body = '{"instances": [{"dicom_zip": "x", "roi": "Größe"}]}'.encode(encoding)
    with pytest.raises(InputError) as refused:
        decode_v1(body)
    assert (refused.value.code, "UTF-8" in refused.value.safe_message) == ("JSON", True)


@given(
    behind=st.binary(min_size=1, max_size=50), note=st.text(max_size=20), mark=st.sampled_from([b"", b"\xef\xbb\xbf"])
)
def test_the_bytes_after_json_are_counted_as_bytes(behind, note, mark):
    head = mark + json.dumps({"note": note}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    body = head + b"\0" + behind
    with pytest.raises(InputError) as refused:
        json_object(body, len(body))
    assert (refused.value.code, f" {len(behind) + 1} bytes" in refused.value.safe_message) == ("V2_HEADER", True)


def wrapped(text: str, width: int, end: str) -> str:
    return "".join(text[at : at + width] + end for at in range(0, len(text), width))


@settings(max_examples=200)
@given(
    data=st.binary(max_size=200), width=st.integers(1, 80), end=st.sampled_from(["\n", "\r\n", " ", "\n\t", ""]),
    safe=st.booleans(), padded=st.booleans(), prefix=st.sampled_from(["", "data:x/zip;base64,", "DATA:;BASE64,"]),
)  # fmt: skip
def test_every_spelling_of_base64_gives_the_bytes(data, width, end, safe, padded, prefix):
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(data).decode()
    text = prefix + wrapped(text if padded else text.rstrip("="), width, end)
    assert base64_of(text) == data
    assert base64_of({"b64": text}) == data


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AA=A", "ä", "@@", "A\0AA", 5, None, [], {"b64": 5}, "data:text/plain,A"]
)
def test_invalid_base64_is_refused(text):
    with pytest.raises(InputError) as refused:
        base64_of(text)
    assert refused.value.code == "BASE64"


def test_base64_as_tools_write_it_is_answered(server, study):
    for text in (
        base64.encodebytes(study).decode(),
        base64.urlsafe_b64encode(study).decode().rstrip("="),
        f"data:application/zip;base64,{base64.b64encode(study).decode()}",
    ):
        status, reply = server.v1({"dicom_zip": text, "roi": "GTV2"})
        assert status == 200, reply


def test_options_are_text_of_a_limited_length(study):
    with pytest.raises(InputError) as refused:
        decode_v1(form([("s.zip", study)], fields={"roi": "x" * 300}))
    assert refused.value.code == "OPTION"
    assert decode_v1(study, options={"roi": "Größe"}).instances[0].roi == "Größe"


def test_a_number_names_a_structure_whether_it_is_written_as_a_number_or_as_text(server, study):
    zipped = base64.b64encode(study).decode()
    answers = [server.v1({"dicom_zip": zipped, "roi": roi}) for roi in ("2", 2)]
    assert [(status, reply["predictions"][0]["roi_number"]) for status, reply in answers] == [(200, "2")] * 2
    for wrong in (True, 2.5, [2], {"number": 2}):
        assert server.v1({"dicom_zip": zipped, "roi": wrong})[1]["code"] == "OPTION"
