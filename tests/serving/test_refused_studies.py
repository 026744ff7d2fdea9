"""A refusal over HTTP has the code, message and hint that preprocessing gives to the study or tumour."""

import base64
import io
import json

import grpc
import numpy as np
import pydicom
import pytest

from components.common.kserve_import import pb, pb_grpc
from components.common.limits import MAX_OFFERED_NAME, MAX_OFFERED_STRUCTURES, MAX_TEXT
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.candidate import Candidate
from components.imaging.crop import ImageDefinition
from components.imaging.gtv import find_gtvs
from serving.dicom import StudyRefused, _cut, cut_study
from serving.payload import Study
from serving.predictor import is_8_bit
from tests.components.model.bundles import draw_crops
from tests.serving.attacks import ZIP, zip_of
from tests.serving.studies import PATIENT_ID, study_files


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name not in names}


def emptied(files: dict[str, bytes], roi: str) -> dict[str, bytes]:
    """The study without the contours of one structure."""
    rtstruct = pydicom.dcmread(io.BytesIO(files["RS.dcm"]))
    number = next(item.ROINumber for item in rtstruct.StructureSetROISequence if item.ROIName == roi)
    for item in rtstruct.ROIContourSequence:
        if item.ReferencedROINumber == number:
            item.ContourSequence = []
    buffer = io.BytesIO()
    rtstruct.save_as(buffer)
    return {**files, "RS.dcm": buffer.getvalue()}


def inspected(files: dict[str, bytes]) -> list[Candidate]:
    return find_gtvs(MemoryStore(files), "", PreprocessSettings())


def ask(server, files: dict[str, bytes]) -> tuple[int, dict]:
    status, _, reply = server.ask("POST", f"/v1/models/{server.name}:predict", zip_of(files), ZIP)
    return status, json.loads(reply)


def test_the_only_tumour_that_cannot_be_cut_gives_the_error(server):
    files = without(study_files(), "CT06.dcm")
    (candidate,) = inspected(files)
    status, reply = ask(server, files)
    assert candidate.code
    assert (status, reply["code"]) == (400, candidate.code)
    assert (reply["error"], reply["hint"]) == (candidate.message, candidate.hint)
    assert reply["hint"]


def test_each_tumour_that_cannot_be_cut_is_listed(server):
    files = emptied(without(study_files(rois=("GTV1", "GTV2", "GTV3")), "CT06.dcm"), "GTV2")
    expected = [(one.roi_name, one.code, one.message, one.hint) for one in inspected(files)]
    status, reply = ask(server, files)
    assert status == 400
    found = [tuple(one[name] for name in ("roi_name", "code", "message", "hint")) for one in reply["unanswered"]]
    assert found == expected
    assert reply["code"] == expected[0][1]
    assert f"2 {expected[0][1]}, 1 ROI_EMPTY" in reply["error"]
    assert "GTV1" not in reply["error"]  # names are in other fields than the message, which may be logged


def test_a_tumour_left_out_of_an_answer_has_its_reason(server):
    files = emptied(study_files(rois=("GTV1", "GTV2")), "GTV2")
    status, reply = ask(server, files)
    assert status == 200
    assert [one["roi_name"] for one in reply["predictions"]] == ["GTV1"]
    (left,) = reply["unanswered"]
    assert (left["roi_name"], left["code"], left["instance"]) == ("GTV2", "ROI_EMPTY", 0)
    assert "no contour" in left["message"]


def test_the_refused_instance_is_named(server):
    good, bad = (base64.b64encode(zip_of(f)).decode() for f in (study_files(), without(study_files(), "RS.dcm")))
    status, reply = server.v1({"dicom_zip": good}, {"dicom_zip": bad})
    assert (status, reply["code"], reply["instance"]) == (400, "NO_RTSTRUCT", 1)


@pytest.mark.parametrize(
    ("rois", "options", "code"),
    [
        (("Ring", "Größe 1"), "", "NO_GTV"),
        (("GTV1", "Größe 1"), "?roi=GTV9", "ROI_MISSING"),
        (("GTV1", "Größe 1"), "?rtstruct_uid=1.2.3", "NO_RTSTRUCT"),
    ],
)
def test_a_caller_who_must_choose_gets_the_choices(server, rois, options, code):
    files = study_files(rois=rois)
    path = f"/v1/models/{server.name}:predict{options}"
    status, _, reply = server.ask("POST", path, zip_of(files), ZIP)
    reply = json.loads(reply)
    assert (status, reply["code"]) == (400, code)
    (offered,) = reply["offer"]
    assert [one["roi"] for one in offered["structures"]] == list(rois)
    assert [one["number"] for one in offered["structures"]] == ["1", "2"]
    uid = str(pydicom.dcmread(io.BytesIO(files["RS.dcm"])).SOPInstanceUID)
    assert (offered["rtstruct_uid"], offered["label"]) == (uid, "TEST")
    assert uid not in server.log.read_text()
    assert "unanswered" not in reply


def refused_by_grpc(server, files: dict[str, bytes]) -> dict:
    given = {"name": "dicom_zip", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [zip_of(files)]}}
    request = pb.ModelInferRequest(model_name=server.name, inputs=[given])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request, timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return json.loads(refused.value.details())


def test_grpc_reports_the_same(server):
    files = without(study_files(rois=("GTV1", "GTV2")), "CT06.dcm")
    assert refused_by_grpc(server, files) == ask(server, files)[1]


def test_grpc_leaves_out_long_lists(server):
    reply = refused_by_grpc(server, study_files(rois=tuple(f"Structure {'ü' * 40} {n}" for n in range(90))))
    assert reply["code"] == "NO_GTV"
    assert reply["hint"]
    assert "offer" not in reply


def test_names_in_replies_are_in_no_log(server):
    ask(server, without(study_files(rois=("GTV 77 left", "GTV 78")), "CT06.dcm"))
    shown = server.log.read_text()
    assert "GTV 77" not in shown
    assert PATIENT_ID not in shown


def test_warnings_of_the_contours_go_with_the_answer():
    class Warned:
        roi_name, roi_number = "GTV", "7"
        slice_sop_instance_uid, crop = "1.2", np.zeros((151, 151), np.float32)
        status, code, message, hint, warnings = "refused", "TOO_SMALL", "", "", ("STRAY_CONTOUR",)

    assert _cut(Warned()).warnings == ("TOO_SMALL", "STRAY_CONTOUR")
    assert _cut(Warned()).roi_number == "7"


def test_a_picture_of_8_bits_is_warned_of_and_hu_is_not(server):
    crops = draw_crops(40, np.random.default_rng(3))
    assert not any(map(is_8_bit, crops))
    window = np.clip(crops[0], -100, 200)
    picture = (window - window.min()) / np.ptp(window) * 255
    for sent, warned in ((picture, True), (picture.round(), True), (crops[0], False), (crops[0] * 0 + 40, False)):
        status, reply = server.v1(sent.tolist())
        assert status == 200
        assert ("INPUT_8_BIT" in reply["predictions"][0]["warnings"]) is warned


def test_a_cut_crop_is_never_taken_for_a_picture(server):
    _, reply = ask(server, study_files())
    assert "INPUT_8_BIT" not in reply["predictions"][0]["warnings"]


@pytest.mark.filterwarnings("ignore:The value length")  # of pydicom, as it writes the names
def test_a_reply_repeats_no_more_of_a_name_than_an_option_may_have():
    files = tuple(study_files(rois=("GTV" + "x" * 5000, "y" * MAX_TEXT)).values())
    (cut,) = cut_study(Study(files=files, roi="1"), PreprocessSettings(), ImageDefinition())
    assert len(cut.roi_name) == MAX_TEXT
    with pytest.raises(StudyRefused) as refused:
        cut_study(Study(files=files, roi="none of them"), PreprocessSettings(), ImageDefinition())
    assert [len(one["roi"]) for one in refused.value.offer[0]["structures"]] == [MAX_OFFERED_NAME] * 2


def test_a_refusal_names_a_limited_number_of_structures_of_all_rtstructs():
    named = tuple(f"structure {number}" for number in range(MAX_OFFERED_STRUCTURES - 1))
    files = list(study_files(rois=named).values())
    two = tuple(data for data in study_files(rois=("a", "b")).values() if b"RTSTRUCT" in data[:2000])
    with pytest.raises(StudyRefused) as refused:
        cut_study(Study(files=(*files, *two)), PreprocessSettings(), ImageDefinition())
    counts = [len(one["structures"]) for one in refused.value.offer]
    assert (refused.value.code, sorted(counts)) == ("RTSTRUCT_AMBIGUOUS", [1, MAX_OFFERED_STRUCTURES - 1])
