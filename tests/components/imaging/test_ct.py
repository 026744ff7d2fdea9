import copy

import numpy as np
import pytest
from pydicom.uid import generate_uid

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.gtv import find_gtvs
from tests.components.imaging.frames import ENHANCED, LEGACY, multi_frame
from tests.components.studies import circle, file_bytes

SETTINGS = PreprocessSettings()


def one(study):
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    return candidate


def contours(study):
    return study.rtstruct.ROIContourSequence[0].ContourSequence


# --- many frames ---


@pytest.mark.parametrize("sop_class", [ENHANCED, LEGACY])
@pytest.mark.parametrize("per_frame", [False, True])
def test_a_multi_frame_object_is_read(make_study, sop_class, per_frame):
    study = make_study(by_uid=False)
    study.cts = [multi_frame(study.cts, sop_class, per_frame=per_frame)]
    candidate = one(study)
    assert (candidate.status, candidate.z_mm, candidate.match_level) == ("ok", 4.5, "plane")
    assert candidate.hu_mean == pytest.approx(60)


def test_a_modality_lut_outside_the_functional_groups_is_used(make_study):
    study = make_study(by_uid=False)
    study.cts = [multi_frame(study.cts, LEGACY)]
    del study.cts[0].SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    assert one(study).code == "NOT_HU"
    study.cts[0].RescaleSlope, study.cts[0].RescaleIntercept = 1, -1024
    assert one(study).hu_mean == pytest.approx(60)


@pytest.mark.parametrize(("numbered", "level"), [(True, "uid"), (False, "plane")])
def test_contours_reference_frames_by_number_and_are_matched_by_plane_without_one(make_study, numbered, level):
    study = make_study()
    frame_of = {ct.SOPInstanceUID: number for number, ct in enumerate(study.cts, start=1)}
    study.cts = [multi_frame(study.cts, LEGACY)]
    for contour in contours(study):
        image = contour.ContourImageSequence[0]
        if numbered:
            image.ReferencedFrameNumber = frame_of[image.ReferencedSOPInstanceUID]
        image.ReferencedSOPInstanceUID = study.cts[0].SOPInstanceUID
    candidate = one(study)
    assert (candidate.status, candidate.z_mm, candidate.match_level) == ("ok", 4.5, level)


def test_contours_that_reference_the_slices_before_conversion_are_matched_to_the_frames(make_study):
    study = make_study()
    del study.rtstruct.ReferencedFrameOfReferenceSequence
    study.cts = [multi_frame(study.cts, LEGACY, names_sources=True)]
    study.cts[0].SeriesInstanceUID = generate_uid()
    candidate = one(study)
    assert (candidate.status, candidate.z_mm, candidate.match_level) == ("ok", 4.5, "uid")


def test_original_slices_are_preferred_to_the_object_converted_from_them(make_study):
    study = make_study()
    del study.rtstruct.ReferencedFrameOfReferenceSequence
    study.cts.append(multi_frame(study.cts, LEGACY, names_sources=True))
    study.cts[-1].SeriesInstanceUID = generate_uid()
    candidate = one(study)
    assert (candidate.status, candidate.slice_sop_instance_uid) == ("ok", study.cts[3].SOPInstanceUID)


# --- names of slices ---


@pytest.mark.parametrize("uid", ["2.25.4711", ""])
def test_slices_that_share_a_uid_lie_by_their_positions(make_study, uid):
    study = make_study()
    for ct in study.cts:
        ct.SOPInstanceUID = uid
        ct.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for contour in contours(study):
        contour.ContourImageSequence[0].ReferencedSOPInstanceUID = uid
    candidate = one(study)
    assert (candidate.status, candidate.planes, candidate.z_mm) == ("ok", 3, 4.5)
    assert candidate.match_level == "plane"


def test_a_uid_shared_by_two_slices_is_no_reference_to_either(make_study):
    study = make_study()
    study.cts[8].SOPInstanceUID = study.cts[2].SOPInstanceUID
    candidate = one(study)
    assert (candidate.status, candidate.z_mm, candidate.match_level) == ("ok", 4.5, "plane")


def test_copies_count_once_and_other_pixels_under_one_uid_and_position_are_refused(make_study):
    study = make_study()
    files = study.files()
    files["again/003.dcm"] = files["CT/003.dcm"]
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert (candidate.status, candidate.match_level) == ("ok", "uid")
    other = copy.deepcopy(study.cts[3])
    other.PixelData = (np.frombuffer(other.PixelData, "<u2") + 1).astype("<u2").tobytes()
    files["again/003.dcm"] = file_bytes(other)
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert candidate.code == "SLICES_DIFFER"


def test_a_slice_with_the_same_uid_and_position_but_another_spacing_is_not_a_copy(make_study):
    study = make_study()
    other = copy.deepcopy(study.cts[3])
    other.PixelSpacing = [2.0, 2.0]
    study.cts.append(other)
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    assert candidate.code == "DUPLICATE_SLICE"


def test_a_slice_missing_among_slices_of_one_uid_is_still_detected(make_study):
    study = make_study({"GTV": {z: [circle(7)] for z in (3.0, 4.5, 6.0)}})
    for ct in study.cts:
        ct.SOPInstanceUID = study.cts[0].SOPInstanceUID
    del study.cts[3]
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    assert candidate.code == "CONTOUR_WITHOUT_SLICE"


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows"])
def test_a_slice_without_a_position_is_damage_and_the_missing_attribute_is_named(make_study, keyword):
    study = make_study()
    study.cts[3].ImagerPixelSpacing = study.cts[3].PixelSpacing  # measured at the detector: no substitute
    delattr(study.cts[3], keyword)
    with pytest.raises(TumourError, match=f"it has no {keyword} .DICOM_DAMAGED"):
        find_gtvs(study.source(), "", SETTINGS)
