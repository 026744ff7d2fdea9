import dataclasses
import io
import json
import zipfile

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    generate_uid,
)

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.crop import ImageDefinition
from components.imaging.dicom_io import HEAD_BYTES
from components.imaging.gtv import find_gtvs
from components.imaging.plan import read_folder
from components.imaging.size_rule import check_size
from components.preprocess.identity import identities_of_headers
from tests.components.studies import file_bytes, new_dataset

SETTINGS = PreprocessSettings()


def square(side, x=0.0, y=0.0):
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], dtype=float) - [side / 2, side / 2]


def one(study, **options):
    settings = options.pop("settings", SETTINGS)
    (candidate,) = find_gtvs(study.source(), "", settings, **options)
    return candidate


def folder_code(study, **options):
    settings = options.pop("settings", SETTINGS)
    with pytest.raises(TumourError) as caught:
        find_gtvs(study.source(), "", settings, **options)
    return caught.value.code


def test_a_plain_study_gives_one_tumour(make_study):
    candidate = one(make_study())
    assert (candidate.status, candidate.code, candidate.match_level) == ("ok", "", "uid")
    assert candidate.planes == 3
    assert candidate.z_mm == 4.5
    assert candidate.hu_mean == pytest.approx(60)
    assert candidate.hu_sd == pytest.approx(0, abs=1e-6)
    assert candidate.longest_diameter_mm == pytest.approx(16, abs=1e-3)
    assert candidate.area_mm2 == pytest.approx(np.pi * 64, rel=0.01)
    assert candidate.centroid_lps_mm == pytest.approx((0, 0, 4.5), abs=1e-6)
    assert candidate.crop.shape == (151, 151)
    assert candidate.crop[75, 75] == 60
    assert len(candidate.contours_xy_mm) == 1


def test_json_has_the_promised_fields_and_no_arrays(make_study):
    fields = one(make_study()).to_dict()
    promised = (
        "roi_name planes slice_sop_instance_uid z_mm area_mm2 centroid_lps_mm width_mm height_mm hu_mean hu_sd"
        " longest_diameter_mm match_level status code message"
    )
    assert set(promised.split()) <= set(fields)
    assert json.loads(json.dumps(fields)) == fields


@pytest.mark.parametrize(
    ("orientation", "spacing"),
    [((1, 0, 0, 0, 1, 0), (0.5, 0.8)), ((-1, 0, 0, 0, -1, 0), (1.0, 1.0)), ((0, 1, 0, 1, 0, 0), (0.9, 0.6))],
)
def test_orientation_sign_and_pixels_that_are_not_square(make_study, orientation, spacing):
    rois = {"GTV": {4.5: [square(12, x=8, y=-6)]}}
    study = make_study(rois, orientation=orientation, spacing=spacing, shape=(128, 128), centre=(8, -6))
    candidate = one(study)
    assert candidate.hu_mean == pytest.approx(60, abs=1.5)
    assert candidate.centroid_lps_mm[:2] == pytest.approx((8, -6))
    assert candidate.crop[75, 75] == 60
    bright = np.argwhere(candidate.crop > 55)
    assert bright.mean(axis=0) == pytest.approx([75, 75], abs=2)


def test_slice_rules(make_study):
    rois = {"GTV": {1.5: [circle_of(9)], 3.0: [circle_of(6)], 4.5: [circle_of(6)], 6.0: [circle_of(6)]}}
    assert one(make_study(rois)).z_mm == 3.0
    assert one(make_study(rois), settings=PreprocessSettings(slice_rule="largest")).z_mm == 1.5


def test_ties_are_broken_deterministically(make_study):
    rois = {"GTV": {3.0: [circle_of(6)], 4.5: [circle_of(6)]}}
    assert one(make_study(rois)).z_mm == 3.0
    assert one(make_study(rois), settings=PreprocessSettings(slice_rule="largest")).z_mm == 3.0


def circle_of(radius):
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


def test_several_gtvs_are_several_tumours_and_roi_picks_one(make_study):
    rois = {"GTV_1": {3.0: [circle_of(7)]}, "GTV_2": {4.5: [circle_of(8)]}, "PTV": {3.0: [circle_of(9)]}}
    study = make_study(rois)
    assert [c.roi_name for c in find_gtvs(study.source(), "", SETTINGS)] == ["GTV_1", "GTV_2"]
    assert one(study, roi="gtv_2").roi_name == "GTV_2"
    assert one(study, roi="PTV").roi_name == "PTV"
    assert one(study, settings=PreprocessSettings(roi_pattern="P.V")).roi_name == "PTV"


def test_a_prefix_selects_one_patient_of_a_source(make_study):
    first, second = make_study({"GTV": {3.0: [circle_of(7)]}}), make_study({"GTV_Mass": {3.0: [circle_of(7)]}})
    both = {f"p1/{n}": d for n, d in first.files().items()} | {f"p10/{n}": d for n, d in second.files().items()}
    (found,) = find_gtvs(MemoryStore(both), "p1", SETTINGS)
    assert found.roi_name == "GTV"


# --- match levels ---


def test_the_plane_is_matched_where_the_uid_is_not_in_the_ct(make_study):
    study = make_study(by_uid=False)
    assert one(study).match_level == "plane"
    refused = one(study, settings=PreprocessSettings(lowest_match_level="uid"))
    assert (refused.status, refused.code) == ("refused", "MATCH_LEVEL_TOO_LOW")
    assert refused.area_mm2 > 0
    assert refused.hu_mean == pytest.approx(60)


def test_the_lowest_match_level_counts(make_study):
    study = make_study()
    del study.rtstruct.ROIContourSequence[0].ContourSequence[0].ContourImageSequence
    assert one(study).match_level == "plane"


def test_refuses_contour_on_absent_slice(make_study):
    study = make_study()
    study.cts = [ct for ct in study.cts if ct.ImagePositionPatient[2] != 6.0]
    candidate = one(study)
    assert (candidate.status, candidate.code) == ("refused", "CONTOUR_WITHOUT_SLICE")
    assert candidate.crop is None


def test_refuses_contour_elsewhere_than_the_slice_it_names(make_study):
    study = make_study()
    image = study.rtstruct.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    image.ReferencedSOPInstanceUID = study.cts[-1].SOPInstanceUID
    assert one(study).code == "CONTOUR_OFF_PLANE"


def test_refuses_another_frame_of_reference(make_study):
    study = make_study(by_uid=False)
    study.rtstruct.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()
    assert one(study).code == "FRAME_OF_REFERENCE"


def test_refuses_contour_that_leaves_its_plane(make_study):
    study = make_study(by_uid=False)
    contour = study.rtstruct.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = [*list(contour.ContourData)[:-1], 9.0]
    assert one(study).code == "CONTOUR_NOT_PLANAR"


def test_refuses_two_slices_at_one_position_in_the_lesion(make_study):
    assert one(make_study(zs=[0, 1.5, 3.0, 4.5, 4.5, 6.0, 7.5])).code == "DUPLICATE_SLICE"
    study = make_study({"GTV": {3.0: [circle_of(7)]}}, zs=[0, 1.5, 3.0, 3.05, 4.5], by_uid=False)
    assert one(study).code == "DUPLICATE_SLICE"


def test_two_slices_at_one_position_away_from_the_lesion_do_not_matter(make_study):
    assert one(make_study(zs=[0, 1.5, 3.0, 4.5, 6.0, 7.5, 9.0, 10.5, 10.5])).status == "ok"


def test_refuses_missing_slices_inside_the_lesion_but_fills_its_fields(make_study):
    rois = {"GTV": {3.0: [circle_of(7)], 6.0: [circle_of(8)], 7.5: [circle_of(7)]}}
    candidate = one(make_study(rois, zs=[0, 1.5, 3.0, 6.0, 7.5, 9.0]))
    assert candidate.code == "MISSING_SLICE"
    assert candidate.hu_mean is not None


def test_planes_without_contour_inside_the_lesion_are_fine(make_study):
    assert one(make_study({"GTV": {3.0: [circle_of(7)], 6.0: [circle_of(7)]}})).status == "ok"


# --- structures ---


def test_refuses_more_points_than_can_be_measured(make_study, monkeypatch):
    angle = np.linspace(0, 2 * np.pi, 50_001, endpoint=False)
    dense = np.column_stack([8 * np.cos(angle), 8 * np.sin(angle)])
    study, thinner = make_study({"GTV": {3.0: [dense]}}), make_study({"GTV": {3.0: [dense[::6]]}})
    for each in (study, thinner):  # explicit VR cannot hold so many numbers
        each.rtstruct.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    for each in (study, thinner):
        candidate = one(each)
        assert candidate.area_mm2 == pytest.approx(64 * np.pi, rel=1e-4)
        assert candidate.longest_diameter_mm == pytest.approx(16, abs=1e-3)
    monkeypatch.setattr("components.imaging.contours.MAX_POINTS", 50_000)
    assert one(study).code == "CONTOURS_TOO_MANY"
    assert one(thinner).status == "ok"
    monkeypatch.setattr("components.imaging.contours.MAX_CONTOURS", 0)
    assert one(thinner).code == "CONTOURS_TOO_MANY"


def test_points_and_empty_structures_are_refused_with_their_reason(make_study):
    study = make_study({"GTV1": {3.0: [circle_of(7)]}, "GTV2": {}, "GTV3": None, "GTV4": {3.0: [np.zeros((1, 2))]}})
    study.rtstruct.ROIContourSequence[2].ContourSequence[0].ContourGeometricType = "POINT"
    codes = {c.roi_name: c.code for c in find_gtvs(study.source(), "", SETTINGS)}
    assert codes == {"GTV1": "", "GTV2": "ROI_EMPTY", "GTV3": "ROI_EMPTY", "GTV4": "ROI_NOT_CLOSED"}


def test_contours_that_enclose_no_area_are_refused(make_study):
    line = np.array([[0.0, 0], [5, 0], [10, 0]])
    assert one(make_study({"GTV": {3.0: [line]}})).code == "ROI_EMPTY"


def test_ring_and_islands_are_even_odd(make_study):
    ring = one(make_study({"GTV": {3.0: [square(14), square(6)]}}))
    assert ring.area_mm2 == pytest.approx(196 - 36)
    assert ring.message == ""
    islands = one(make_study({"GTV": {3.0: [square(8, x=-6), square(8, x=6)]}}))
    assert islands.area_mm2 == pytest.approx(128)
    assert islands.centroid_lps_mm[:2] == pytest.approx((0, 0))


def test_crossing_contours_are_flagged(make_study):
    candidate = one(make_study({"GTV": {3.0: [square(12), square(12, x=5)]}}))
    assert candidate.status == "ok"
    assert "even-odd" in candidate.message


def test_size_rule_fills_every_field(make_study):
    studies = [make_study({"GTV": {3.0: [circle_of(radius)]}}) for radius in (18, 3)]
    for ct in (ct for study in studies for ct in study.cts):
        ct.KVP, ct.SliceThickness, ct.ConvolutionKernel, ct.ContrastBolusAgent = "120", "1.5", "UB", "NONE"
    large, small = map(one, studies)
    assert (large.code, small.code) == ("TOO_LARGE", "TOO_SMALL")
    assert None not in large.to_dict().values()
    assert None not in small.to_dict().values()
    assert large.crop is not None


@pytest.mark.parametrize(("diameter", "code"), [(10.0, ""), (9.99, "TOO_SMALL"), (35.0, ""), (35.01, "TOO_LARGE")])
def test_limits_of_the_size_rule_are_included(make_study, diameter, code):
    points = np.array([[-diameter / 2, 0], [0, 2], [diameter / 2, 0], [0, -2]])
    assert one(make_study({"GTV": {3.0: [points]}})).code == code


def test_refuses_a_gtv_wider_than_the_crop(make_study):
    candidate = one(make_study({"GTV": {3.0: [square(41)]}}, shape=(64, 64)), settings=PreprocessSettings())
    assert candidate.code == "TOO_LARGE"
    wide = one(make_study({"GTV": {3.0: [square(24)], 4.5: [square(12)]}}))
    assert (
        check_size(dataclasses.replace(wide, width_mm=40.5), SETTINGS, ImageDefinition(), 30.0).code
        == "WIDER_THAN_CROP"
    )


def test_refuses_a_gtv_beyond_the_slice(make_study):
    assert one(make_study({"GTV": {3.0: [square(12, x=30)]}})).code == "OUTSIDE_IMAGE"


# --- series ---


def test_refuses_localizers_alone(make_study):
    study = make_study()
    for ct in study.cts:
        ct.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    assert folder_code(study) == "LOCALIZERS_ONLY"


def test_localizers_and_other_files_are_ignored(make_study):
    study = make_study()
    study.cts[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    study.cts[0].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    files = study.files() | {"DICOMDIR": b"x" * 300, "notes.txt": b"", "plan.dcm": b"\0" * 128 + b"DICM"}
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert candidate.status == "ok"


def test_a_copied_slice_counts_once(make_study):
    files = make_study().files()
    files["CT/copy.dcm"] = files["CT/003.dcm"]
    files["RS-copy.dcm"] = files["RS0.dcm"]
    assert find_gtvs(MemoryStore(files), "", SETTINGS)[0].status == "ok"


def test_folder_without_rtstruct_ct_or_files(make_study):
    study = make_study()
    study.rtstructs = []
    assert folder_code(study) == "NO_RTSTRUCT"
    study = make_study()
    study.cts = []
    assert folder_code(study) == "NO_CT"
    study.rtstructs = []
    assert folder_code(study) == "DICOM_MISSING"


def test_several_rtstructs_need_a_name(make_study):
    study = make_study()
    second = make_study({"GTV_other": {3.0: [circle_of(6)]}})
    study.rtstructs.append(second.rtstruct)
    assert folder_code(study) == "RTSTRUCT_AMBIGUOUS"
    assert one(study, rtstruct_uid=study.rtstruct.SOPInstanceUID).roi_name == "GTV"
    assert folder_code(study, rtstruct_uid="1.2.3") == "NO_RTSTRUCT"


def test_the_rtstructs_own_reference_decides_among_series(make_study):
    study, other = make_study(), make_study(centre=(5, 5))
    study.cts += other.cts
    assert one(study).crop[75, 75] == 60
    del study.rtstruct.ReferencedFrameOfReferenceSequence
    assert one(study).status == "ok"


def test_another_series_without_positions_does_not_matter(make_study):
    study, other = make_study(), make_study()
    for ct in other.cts:
        del ct.ImagePositionPatient
    study.cts += other.cts
    assert one(study).status == "ok"
    study.rtstructs = other.rtstructs
    assert folder_code(study) == "DICOM_DAMAGED"


def test_refuses_series_that_fit_equally(make_study):
    study, other = make_study(by_uid=False), make_study()
    for ct in other.cts:
        ct.FrameOfReferenceUID = study.cts[0].FrameOfReferenceUID
    study.cts += other.cts
    reference = study.rtstruct.ReferencedFrameOfReferenceSequence[0]
    reference.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    assert folder_code(study) == "CT_AMBIGUOUS"


def test_refuses_rtstruct_of_another_series(make_study):
    study = make_study()
    study.rtstructs = make_study().rtstructs
    assert folder_code(study) == "CT_MISMATCH"


def test_no_gtv_and_missing_or_ambiguous_roi(make_study):
    study = make_study({"PTV": {3.0: [circle_of(7)]}, "BrainStem": {3.0: [circle_of(7)]}})
    assert folder_code(study) == "NO_GTV"
    assert folder_code(study, roi="GTV_9") == "ROI_MISSING"
    assert folder_code(make_study({"GTV": {3.0: [circle_of(7)]}, "GTV*": {4.5: [circle_of(7)]}}), roi="GTV") == (
        "ROI_AMBIGUOUS"
    )


def test_refuses_series_without_frame_of_reference(make_study):
    study = make_study()
    for ct in study.cts:
        ct.FrameOfReferenceUID = ""
    assert folder_code(study) == "NO_FRAME_OF_REFERENCE"


def test_refuses_mixed_orientation_and_oblique_planes(make_study):
    study = make_study()
    study.cts[4].ImageOrientationPatient = [0.98, 0.198997, 0, -0.198997, 0.98, 0]
    assert folder_code(study) == "MIXED_ORIENTATION"
    study = make_study()
    for ct in study.cts:
        ct.ImageOrientationPatient = [1, 0, 0, 0, 0.98, 0.198997]
    assert folder_code(study) == "OBLIQUE"


@pytest.mark.parametrize("shear_mm", [0.0, 0.4])
def test_the_planes_decide_on_a_tilt_rather_than_the_attribute(make_study, shear_mm):
    """A series resampled upright keeps GantryDetectorTilt; positions may shear, since pixels lie by them."""
    study = make_study(by_uid=False)
    for number, ct in enumerate(study.cts):
        x, y, z = ct.ImagePositionPatient
        ct.GantryDetectorTilt = -15
        ct.ImagePositionPatient = [x, float(y) + number * shear_mm, z]
    assert one(study).status == "ok"
    for ct in study.cts:
        ct.ImageOrientationPatient = [1, 0, 0, 0, 0.965926, -0.258819]
    assert folder_code(study) == "OBLIQUE"


# --- pixels ---


def test_slice_thickness_is_not_needed_and_signed_pixels_are_read(make_study):
    study = make_study()
    for ct in study.cts:
        hu = np.frombuffer(ct.PixelData, "<u2").astype(int) - 1024
        ct.PixelRepresentation, ct.RescaleIntercept = 1, 0
        ct.PixelData = hu.astype("<i2").tobytes()
        ct.SliceThickness = None
    assert one(study).hu_mean == pytest.approx(60)


def test_rle_is_read(make_study):
    study = make_study()
    for ct in study.cts:
        ct.compress(RLELossless, generate_instance_uid=False)
    candidate = one(study)
    assert candidate.status == "ok"
    assert candidate.hu_mean == pytest.approx(60)


def test_deflated_files_are_read_by_their_heads(make_study, monkeypatch):
    study = make_study(shape=(256, 256), spacing=(0.25, 0.25))
    rng = np.random.default_rng(1)
    for dataset in (*study.cts, study.rtstruct):
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        if "PixelData" in dataset:
            noise = rng.integers(0, 2, 256 * 256)
            dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") + noise).astype("<u2").tobytes()
    sizes = []
    original = MemoryStore.read_head
    monkeypatch.setattr(MemoryStore, "read_head", lambda self, n, size: sizes.append(size) or original(self, n, size))
    candidate = one(study)
    assert (candidate.status, round(candidate.hu_mean)) in (("ok", 60), ("ok", 61))
    assert set(sizes) == {HEAD_BYTES}


@pytest.mark.parametrize("implicit", [True, False])
def test_old_exports_without_preamble_are_read(make_study, implicit):
    study = make_study()
    files = {}
    for number, dataset in enumerate((*study.cts, study.rtstruct)):
        buffer = io.BytesIO()
        del dataset.file_meta
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=False, implicit_vr=implicit, little_endian=True)
        files[str(number)] = buffer.getvalue()
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert (candidate.status, candidate.hu_mean) == ("ok", pytest.approx(60))


def test_big_endian_studies_are_read(make_study):
    study = make_study()
    files = {}
    for number, dataset in enumerate((*study.cts, study.rtstruct)):
        if "PixelData" in dataset:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
            dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=False)
        files[str(number)] = buffer.getvalue()
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert (candidate.status, candidate.hu_mean) == ("ok", pytest.approx(60))


@pytest.mark.parametrize("character_set", ["ISO_IR 192", ["", "ISO 2022 IR 87"], "ISO_IR 144"])
def test_text_of_any_character_set_is_read(make_study, character_set):
    study = make_study()
    for dataset in (*study.cts, study.rtstruct):
        dataset.SpecificCharacterSet = character_set
        dataset.PatientName = {"ISO_IR 192": "Öberg^Åke", "ISO_IR 144": "Люксембург"}.get(
            str(character_set), "Yamada^Tarou=山田^太郎"
        )
    assert one(study).status == "ok"


def test_files_that_exports_add_to_a_study_are_ignored(make_study):
    """A DICOMDIR, an archive, a report, an empty file, and system files; with no byte taken for a slice."""
    study = make_study()
    files = study.files()
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.FileSetID, directory.DirectoryRecordSequence = "EXPORT", Sequence([])
    files["DICOMDIR"] = file_bytes(directory)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("CT.dcm", files["CT/000.dcm"])
    files |= {
        "all.zip": packed.getvalue(), "report.pdf": b"%PDF-1.7 " * 99, "empty.dcm": b"", "._CT": b"\0\5\x16\7" * 9
    }  # fmt: skip
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert (candidate.status, candidate.code) == ("ok", "")


def test_one_slice_without_a_sop_class_is_damage_only_where_an_object_is_missing(make_study):
    study = make_study(zs=np.arange(12) * 1.5)
    files = study.files()
    place = files["CT/011.dcm"].index(b"\x08\0\x08\0CS")
    files["CT/011.dcm"] = files["CT/011.dcm"][: place + 4] + b"CR" + files["CT/011.dcm"][place + 6 :]
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert candidate.status == "ok"
    assert read_folder(MemoryStore(files), "").damaged == 1


@pytest.mark.parametrize("kind", ["LOCALIZER", "AXIAL"])
def test_identity_of_a_truncated_multi_frame_object_is_still_read(make_study, kind):
    cut = new_dataset("1.2.840.10008.5.1.4.1.1.2.1", "CT")
    cut.ImageType, cut.PatientID = ["ORIGINAL", "PRIMARY", kind, "NONE"], "MRN-99999"
    cut.PerFrameFunctionalGroupsSequence = Sequence([Dataset()])
    cut["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    folder = read_folder(MemoryStore({**make_study().files(), "cut": file_bytes(cut)[:-6]}), "")
    assert "MRN-99999" in identities_of_headers(folder.headers)


def test_a_deflated_bomb_is_damage(make_study, monkeypatch):
    study = make_study()
    for dataset in (*study.cts, study.rtstruct):
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    monkeypatch.setattr("components.imaging.dicom_io.MAX_INFLATED_BYTES", 8_000)
    assert one(study).code == "DICOM_DAMAGED"
    monkeypatch.setattr("components.imaging.dicom_io.MAX_RTSTRUCT_BYTES", 4_000)
    assert folder_code(study) == "DICOM_TOO_LARGE"


def test_jpeg_2000_is_read(make_study):
    study = make_study()
    for ct in study.cts:
        buffer = io.BytesIO()
        Image.fromarray(ct.pixel_array).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
        ct.PixelData = encapsulate([buffer.getvalue()])
        ct["PixelData"].VR, ct["PixelData"].is_undefined_length = "OB", True
        ct.file_meta.TransferSyntaxUID = JPEG2000Lossless
    candidate = one(study)
    assert (candidate.status, candidate.code) == ("ok", "")
    assert candidate.hu_mean == pytest.approx(60)


def test_jpeg_ls_is_read(make_study):
    study = make_study()
    for ct in study.cts:
        ct.compress(JPEGLSLossless, generate_instance_uid=False)
    candidate = one(study)
    assert (candidate.status, candidate.hu_mean) == ("ok", pytest.approx(60))


@pytest.mark.parametrize("uid", [HTJ2KLossless, JPEGExtended12Bit])
def test_the_error_for_a_missing_codec_names_its_package(make_study, uid):
    study = make_study()
    for ct in study.cts:
        ct.file_meta.TransferSyntaxUID = uid
        ct.PixelData = encapsulate([b"abcd"])
        ct["PixelData"].is_undefined_length = True
    candidate = one(study)
    assert candidate.code == "CODEC_MISSING"
    assert "pylibjpeg-" in candidate.message
    assert candidate.area_mm2 > 0


@pytest.mark.parametrize("spoil", ["no_air", "no_rescale", "other_unit"])
def test_refuses_values_that_are_not_hu(make_study, spoil):
    study = make_study()
    for ct in study.cts:
        if spoil == "no_air":
            ct.RescaleIntercept = 0
        if spoil == "no_rescale":
            del ct.RescaleIntercept, ct.RescaleSlope
        if spoil == "other_unit":
            ct.RescaleType = "OD"
    candidate = one(study)
    assert candidate.code == "NOT_HU"
    assert candidate.planes == 3
    assert candidate.hu_mean == (pytest.approx(60 + 1024) if spoil == "no_air" else None)


def test_a_slice_of_impossible_size_is_damage(make_study):
    study = make_study()
    study.cts[4].Rows = 60_000
    assert folder_code(study) == "DICOM_DAMAGED"


def test_pixels_that_do_not_fill_the_slice_are_damage(make_study):
    study = make_study()
    for ct in study.cts:
        ct.PixelData = ct.PixelData[:100]
    assert one(study).code == "DICOM_DAMAGED"


def test_damaged_header_is_named_where_something_is_absent(make_study):
    files = {n: d for n, d in make_study().files().items() if n.startswith("CT")}
    files["RS0.dcm"] = b"\0" * 128 + b"DICM" + b"\xff" * 400
    with pytest.raises(TumourError) as caught:
        find_gtvs(MemoryStore(files), "", SETTINGS)
    assert caught.value.code == "DICOM_DAMAGED"


def test_headers_longer_than_the_first_read_are_read_further(make_study):
    study = make_study()
    for ct in study.cts:
        ct.add_new(0x00090010, "LO", "PRIVATE")
        ct.add_new(0x00091001, "OB", b"\0" * 60_000)
    assert one(study).status == "ok"


def test_enhanced_multi_frame_ct_is_read(make_study):
    study = make_study(by_uid=False)
    multi = study.cts[0].copy()
    multi.SOPClassUID = multi.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    frames = []
    for ct in study.cts:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = ct.ImagePositionPatient
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    shared, towards, measures, values = Dataset(), Dataset(), Dataset(), Dataset()
    towards.ImageOrientationPatient = multi.ImageOrientationPatient
    measures.PixelSpacing = multi.PixelSpacing
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
    shared.PlaneOrientationSequence = Sequence([towards])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([values])
    multi.SharedFunctionalGroupsSequence = Sequence([shared])
    multi.PerFrameFunctionalGroupsSequence = Sequence(frames)
    multi.NumberOfFrames = len(frames)
    multi.PixelData = b"".join(ct.PixelData for ct in study.cts)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        del multi[keyword]
    study.cts = [multi]
    candidate = one(study)
    assert candidate.status == "ok"
    assert candidate.z_mm == 4.5
    assert candidate.hu_mean == pytest.approx(60)


def test_no_message_holds_identity(make_study):
    study = make_study()
    study.rtstruct.StructureSetROISequence[0].ROIName = "GTV_Lindqvist"
    with pytest.raises(TumourError) as caught:
        find_gtvs(study.source(), "", SETTINGS)
    assert "Lindqvist" not in str(caught.value)
