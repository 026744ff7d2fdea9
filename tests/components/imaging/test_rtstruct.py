"""Structures as planning systems export them: numbers, names, contour types, damage, and several RTSTRUCTs."""

import io
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.contours import read_contour
from components.imaging.elements import Header
from components.imaging.gtv import find_gtvs, inspect_gtvs
from components.imaging.listing import list_rtstructs
from components.imaging.plan import read_folder
from components.preprocess.identity import identities_of_headers
from components.preprocess.locating import Location
from components.preprocess.patients import Patient, part_of_folder
from tests.components.studies import circle, make_contour

SETTINGS = PreprocessSettings()
FIVE = {z: [circle(8)] for z in (1.5, 3.0, 4.5, 6.0, 7.5)}


def found(study, **options):
    find = inspect_gtvs if options.pop("several", False) else find_gtvs
    return find(study.source(), "", SETTINGS, **options)


def one(study, **options):
    (candidate,) = found(study, **options)
    return candidate


def folder_error(study, **options):
    with pytest.raises(TumourError) as caught:
        found(study, **options)
    return caught.value


def contours(study, structure=0):
    return study.rtstruct.ROIContourSequence[structure].ContourSequence


def type_structure(study, number, kind):
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType, observation.ROIInterpreter = kind, ""
    study.rtstruct.RTROIObservationsSequence = [*study.rtstruct.get("RTROIObservationsSequence", []), observation]


# --- contour types ---


@pytest.mark.parametrize("kind", ["closed_planar", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR", "Closed Planar"])
def test_closed_types_are_taken_however_they_are_written(make_study, kind):
    study = make_study({"GTV": FIVE})
    for contour in contours(study):
        contour.ContourGeometricType = kind
    candidate = one(study)
    assert (candidate.planes, candidate.status, candidate.warnings) == (5, "ok", ())


@pytest.mark.parametrize("kind", ["INTERPOLATED_PLANAR", "", None])
def test_outlines_of_a_type_that_is_missing_or_not_standard_are_taken_with_a_warning(make_study, kind):
    study = make_study({"GTV": FIVE})
    for contour in list(contours(study))[1:4]:
        contour.ContourGeometricType = kind
        if kind is None:
            del contour.ContourGeometricType
    candidate = one(study)
    assert (candidate.planes, candidate.z_mm, candidate.status) == (5, 4.5, "ok")
    assert candidate.warnings == ("CONTOUR_TYPE",)
    assert "3 of 5" in candidate.message


def test_unknown_types_refuse_the_gtv_instead_of_cutting_it_from_the_rest(make_study):
    study = make_study({"GTV": FIVE})
    for contour in list(contours(study))[1:4]:
        contour.ContourGeometricType = "SPLINE"
    candidate = one(study)
    assert (candidate.code, "3 of the GTV's 5" in candidate.message) == ("CONTOUR_TYPE", True)


def test_open_lines_beside_closed_contours_are_left_out_with_a_warning(make_study):
    study = make_study({"GTV": FIVE})
    contours(study).append(make_contour(circle(3, x=20), 3.0, kind="OPEN_PLANAR"))
    contours(study).append(make_contour(np.zeros((1, 2)), 9.0, kind="POINT"))
    candidate = one(study)
    assert (candidate.planes, candidate.warnings) == (5, ("CONTOURS_NOT_CLOSED",))
    assert "2 of 7" in candidate.message
    contours(study).append(make_contour(circle(3), 9.0, kind="OPEN_PLANAR"))
    assert one(study).code == "ROI_NOT_CLOSED"


# --- damage ---


def spoil_odd(contour):
    contour.ContourData = list(contour.ContourData)[:-1]


def spoil_count(contour):
    contour.NumberOfContourPoints = 63


def spoil_text(contour):
    raw = "\\".join(["1.0", "x", "3.0"] * 3).encode()
    contour._dict[0x30060050] = pydicom.dataelem.RawDataElement(
        pydicom.tag.BaseTag(0x30060050), "DS", len(raw), raw, 0, False, True
    )
    contour.NumberOfContourPoints = 3


def spoil_gap(contour):
    raw = b"1\\2\\3\\\\5\\6"
    contour._dict[0x30060050] = pydicom.dataelem.RawDataElement(
        pydicom.tag.BaseTag(0x30060050), "DS", len(raw), raw, 0, False, True
    )
    contour.NumberOfContourPoints = 2


def spoil_far(contour):
    contour.ContourData = [*list(contour.ContourData)[:-3], 9e6, 0, 3]


@pytest.mark.parametrize("spoil", [spoil_odd, spoil_count, spoil_text, spoil_gap, spoil_far])
def test_a_damaged_contour_refuses_its_own_structure_only(make_study, spoil):
    study = make_study({"GTV_1": FIVE, "GTV_2": FIVE, "Eye": FIVE})
    spoil(contours(study, 1)[2])
    spoil(contours(study, 2)[2])
    first, second = found(study)
    assert (first.status, second.status, second.code) == ("ok", "refused", "CONTOUR_DAMAGED")
    assert second.message.startswith("a contour of the GTV ")
    assert second.hint
    assert one(study, roi="GTV_1").status == "ok"


def test_a_damaged_gtv_does_not_count_as_empty(make_study):
    study = make_study({"GTV": FIVE, "GTV*": FIVE})
    spoil_odd(contours(study, 1)[2])
    assert folder_error(study, roi="GTV").code == "ROI_AMBIGUOUS"


@settings(max_examples=60)
@given(st.lists(st.floats(-500, 500), min_size=0, max_size=30), st.integers(-1, 1))
def test_a_contour_is_read_whole_or_refused(values, stated):
    item = make_contour(np.zeros((0, 2)), 0.0)
    item.ContourData = [round(value, 3) for value in values]
    item.NumberOfContourPoints = len(values) // 3 + stated
    if len(values) % 3 or stated:
        with pytest.raises(TumourError) as caught:
            read_contour(Header.of(item))
        assert caught.value.code == "CONTOUR_DAMAGED"
    else:
        assert read_contour(Header.of(item)).points_mm.ravel() == pytest.approx([round(value, 3) for value in values])


def test_a_bad_item_of_another_structure_does_not_matter(make_study):
    study = make_study({"GTV": FIVE, "ISO": {3.0: [circle(1)]}, "Eye": FIVE, "Lens": FIVE})
    del study.rtstruct.ROIContourSequence[1].ReferencedROINumber
    del study.rtstruct.StructureSetROISequence[2].ROINumber
    del study.rtstruct.StructureSetROISequence[3].ROIName
    study.rtstruct.RTROIObservationsSequence = Sequence([Dataset()])
    assert one(study).status == "ok"


def test_a_number_that_is_missing_or_shared_refuses_the_gtv_itself(make_study):
    study = make_study({"GTV_1": FIVE, "GTV_2": FIVE, "GTV_3": FIVE})
    del study.rtstruct.ROIContourSequence[2].ReferencedROINumber
    study.rtstruct.StructureSetROISequence[1].ROINumber = 1
    assert [candidate.code for candidate in found(study)] == ["ROI_NUMBER"] * 3


def test_contours_in_two_items_of_one_number_are_all_taken(make_study):
    study = make_study({"GTV": {3.0: [circle(8)]}, "more": {4.5: [circle(8)]}})
    study.rtstruct.ROIContourSequence[1].ReferencedROINumber = 1
    assert one(study).planes == 2


# --- planes ---


@pytest.mark.parametrize("off", [0.0, 0.06, -0.1])
def test_thin_slices_take_the_nearest(make_study, off):
    zs = np.arange(40) * 0.25
    rois = {"GTV": {round(z + off, 3): [circle(8)] for z in zs[10:20]}}
    candidate = one(make_study(rois, zs=zs, by_uid=False))
    assert (candidate.status, candidate.planes, candidate.match_level) == ("ok", 10, "plane")


@pytest.mark.parametrize("by_uid", [True, False])
@pytest.mark.parametrize(("slices_mm", "drawn_mm"), [(0.5, 0.25), (0.4, 0.2), (0.5, 0.3)])
def test_contours_of_thinner_slices_do_not_cancel_on_one_slice(make_study, by_uid, slices_mm, drawn_mm):
    """Two outlines of a cone within the tolerance of one slice would leave only a rim by the even-odd rule."""
    drawn = {drawn_mm * k: [circle(9 - abs(k) / 2)] for k in range(-6, 7)}
    study = make_study({"GTV": drawn}, zs=slices_mm * np.arange(-12, 13), by_uid=False)
    if by_uid:
        for item in study.rtstruct.ROIContourSequence[0].ContourSequence:
            image = Dataset()
            nearest = min(study.cts, key=lambda ct: abs(ct.ImagePositionPatient[2] - item.ContourData[2]))
            image.ReferencedSOPInstanceUID = nearest.SOPInstanceUID
            item.ContourImageSequence = Sequence([image])
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    assert candidate.code == "CONTOUR_WITHOUT_SLICE"
    assert "thinner slices" in candidate.message


def test_a_name_that_holds_a_backslash_is_one_name(make_study):
    r"""A backslash separates values and is not allowed in a name, so pydicom returns a list."""
    study = make_study({"GTV\\li": {3.0: [circle(8)]}})
    (candidate,) = find_gtvs(study.source(), "", SETTINGS, roi="GTV\\li")
    assert (candidate.status, candidate.roi_name) == ("ok", "GTV\\li")


def test_contours_between_slices_are_reported_as_such(make_study):
    rois = {"GTV": {z + 0.75: [circle(8)] for z in (3.0, 4.5)}}
    candidate = one(make_study(rois, by_uid=False))
    assert candidate.code == "CONTOUR_WITHOUT_SLICE"
    assert "between two CT slices, 0.75 mm" in candidate.message
    assert "MR" in candidate.hint
    study = make_study({"GTV": {6.0: [circle(8)]}}, zs=[0, 1.5, 3.0, 9.0, 10.5, 12.0], by_uid=False)
    assert "whole CT series" in one(study).hint
    study = make_study({"GTV": {20.0: [circle(8)]}}, by_uid=False)
    assert "whole CT series" in one(study).hint


# --- names and numbers ---


def test_structures_of_one_name_are_distinguished_by_their_numbers(make_study):
    study = make_study({"GTV": {3.0: [circle(8)]}, "GTV*": {6.0: [circle(6)]}, "Brain": FIVE})
    assert [(c.roi_name, c.roi_number, c.z_mm) for c in found(study)] == [("GTV", "1", 3.0), ("GTV", "2", 6.0)]
    error = folder_error(study, roi="GTV")
    assert (error.code, "1, 2" in error.safe_message, "number" in error.hint) == ("ROI_AMBIGUOUS", True, True)
    for roi in ("2", "#2", " 2 ", "02"):
        assert one(study, roi=roi).z_mm == 6.0
    assert one(study, roi="#3").roi_name == "Brain"
    assert folder_error(study, roi="#4").code == "ROI_MISSING"
    assert [c.roi_number for c in found(study, roi="GTV", several=True)] == ["1", "2"]


def test_a_name_comes_before_a_number(make_study):
    study = make_study({"GTV": {3.0: [circle(8)]}, "1": {6.0: [circle(6)]}, "#3": {4.5: [circle(6)]}})
    assert [one(study, roi=roi).z_mm for roi in ("1", "#1", "2", "#3")] == [6.0, 3.0, 6.0, 4.5]


def test_an_empty_structure_of_the_same_name_is_ignored(make_study):
    for rois in ({"GTV": None, "GTV*": FIVE}, {"GTV": FIVE, "GTV*": {}}):
        assert one(make_study(rois), roi="GTV").status == "ok"
    assert one(make_study({"GTV": None, "GTV*": {}}), roi="GTV").code == "ROI_EMPTY"


@pytest.mark.parametrize("name", ["GTV (li)", "GTV+", "GTV*1", "GTV[2]", "^GTV", "Größe"])
def test_inspect_prefers_the_exact_name_to_a_pattern(make_study, name):
    study = make_study({"GTV": FIVE, "x": FIVE})
    study.rtstruct.SpecificCharacterSet = "ISO_IR 192"
    study.rtstruct.StructureSetROISequence[1].ROIName = name
    assert one(study, roi=name, several=True).roi_number == "2"
    assert one(study, roi=name).roi_number == "2"
    assert {c.roi_number for c in found(study, roi="GT.*|x", several=True)} >= {"1"}


def test_a_name_is_found_however_its_umlauts_are_composed(make_study):
    study = make_study({"Hirnöl": FIVE})
    study.rtstruct.SpecificCharacterSet = "ISO_IR 192"
    assert one(study, roi="hirno\N{COMBINING DIAERESIS}l").roi_name == "Hirnöl"


def test_structures_typed_gtv_are_found_whatever_their_name(make_study):
    study = make_study({"Met1 li frontal": FIVE, "Met2": FIVE, "Brain": FIVE, "GTV 3": FIVE, "GTV+3mm": FIVE})
    for number, kind in ((1, "GTV"), (2, "gtv"), (3, "ORGAN"), (5, "GTV")):
        type_structure(study, number, kind)
    candidates = found(study)
    assert [c.roi_name for c in candidates] == ["Met1 li frontal", "Met2", "GTV 3"]
    assert {c.warnings for c in candidates} == {("GTV_LEFT_OUT",)}  # the margin, which is typed as a GTV
    assert one(study, roi="GTV+3mm").warnings == ()


def test_an_organ_with_the_type_gtv_is_not_a_tumour_but_is_reported(make_study):
    """As in the example data of dicompyler-core: Breast and Tumor Bed Block are typed GTV."""
    study = make_study({"Breast": FIVE, "Tumor Bed Block": FIVE, "Lung_L": FIVE, "Heart": FIVE})
    for number in (1, 2, 3):
        type_structure(study, number, "GTV")
    error = folder_error(study)
    assert (error.code, "may still be GTVs: 3" in error.safe_message) == ("NO_GTV", True)
    assert one(study, roi="Breast").status == "ok"


def test_leaving_out_a_possible_gtv_is_reported(make_study):
    candidate = one(make_study({"GTV_1": FIVE, "GTV frontal op. 2": FIVE, "GTV_old": None, "zGTVeval": FIVE}))
    assert (candidate.status, candidate.warnings) == ("ok", ("GTV_LEFT_OUT",))
    assert candidate.message.endswith(": 1")
    assert one(make_study({"GTV_1": FIVE, "PTV": FIVE, "GTV_Ring": FIVE})).warnings == ()


def part(study, *rois):
    """The part of a patient whose rows have these values of roi."""
    rows = tuple(
        SimpleNamespace(number=number, roi=roi, rtstruct_uid="", longest_diameter_mm=None)
        for number, roi in enumerate(rois, start=2)
    )
    patient = Patient(Location(study.source(), "", "P1"), rows, tuple(roi for roi in rois if roi))
    return part_of_folder(read_folder(study.source(), ""), patient, SETTINGS, lambda kind, text: f"{kind} {text}")


@pytest.mark.parametrize("number", [0, -1, 2147483647])
def test_any_number_that_is_listed_names_its_structure(make_study, number):
    study = make_study({"GTV": FIVE, "gtv": FIVE})
    study.rtstruct.StructureSetROISequence[1].ROINumber = number
    study.rtstruct.ROIContourSequence[1].ReferencedROINumber = number
    for roi in (f"{number}", f"#{number}"):
        assert one(study, roi=roi).roi_name == "gtv"


def test_rows_of_a_table_name_structures_by_number_where_names_are_not_enough(make_study):
    study = make_study({"GTV": {3.0: [circle(8)]}, "GTV*": {6.0: [circle(6)]}, "GTV_3": FIVE})
    by_number = part(study, "#1", "2")
    assert [outcome.code for outcome in by_number.outcomes] == ["", ""]
    assert [round(outcome.measures["longest_diameter_mm"]) for outcome in by_number.outcomes] == [16, 12]
    assert by_number.unlisted == 1
    (by_name,) = part(study, "GTV").outcomes
    assert (by_name.code, "ROINumber 1, 2" in by_name.message) == ("ROI_AMBIGUOUS", True)


def test_a_row_without_a_name_counts_possible_gtvs_besides_its_own(make_study):
    study = make_study({"GTV": FIVE, "GTV frontal op. 2": FIVE, "PTV": FIVE})
    assert part(study, "").unlisted == 1
    assert part(study, "GTV").unlisted == 0


def test_a_damaged_contour_keeps_its_hint_in_the_row(make_study):
    study = make_study({"GTV": FIVE})
    spoil_odd(contours(study)[0])
    (outcome,) = part(study, "GTV").outcomes
    assert (outcome.code, outcome.hint) == ("CONTOUR_DAMAGED", "Export the RTSTRUCT again.")


# --- several RTSTRUCTs and series ---


def encoded(dataset, syntax):
    again = pydicom.dcmread(io.BytesIO(written(dataset)))
    again.file_meta.TransferSyntaxUID = syntax
    again.file_meta.ImplementationVersionName = "OTHER"
    return written(again)


def written(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True, implicit_vr=dataset.file_meta.TransferSyntaxUID.is_implicit_VR)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_copies_of_an_rtstruct_are_one_however_they_are_encoded(make_study, syntax):
    study = make_study()
    files = study.files() | {"copy.dcm": encoded(study.rtstruct, syntax)}
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert candidate.status == "ok"


@pytest.mark.parametrize("first", ["a.dcm", "z.dcm"])
@pytest.mark.parametrize("change", ["contour", "name", "number", "series", "frame"])
def test_different_rtstructs_under_one_uid_are_refused(make_study, first, change):
    study = make_study()
    other = pydicom.dcmread(io.BytesIO(study.files()["RS0.dcm"]))
    other.PatientID = "MRN-OTHER-1"
    if change == "contour":
        data = other.ROIContourSequence[0].ContourSequence[0].ContourData
        other.ROIContourSequence[0].ContourSequence[0].ContourData = [float(data[0]) + 0.5, *list(data)[1:]]
    elif change == "name":
        other.StructureSetROISequence[0].ROIName = "GTV_2"
    elif change == "series":
        reference = other.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        reference.RTReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()
    elif change == "frame":
        other.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()
    else:
        other.StructureSetROISequence[0].ROINumber = other.ROIContourSequence[0].ReferencedROINumber = 5
    source = MemoryStore(study.files() | {first: written(other)})
    with pytest.raises(TumourError) as caught:
        find_gtvs(source, "", SETTINGS)
    assert caught.value.code == "RTSTRUCT_CONFLICT"
    assert "MRN-OTHER-1" in identities_of_headers(read_folder(source, "").headers)


def test_several_rtstructs_are_listed_for_their_owner(make_study):
    study = make_study({"GTV": FIVE, "Brain": FIVE})
    study.rtstructs.append(make_study({"GTV_2": FIVE}).rtstruct)
    study.rtstructs[1].StructureSetDate, study.rtstructs[1].StructureSetLabel = "20250304", "REPLAN"
    error = folder_error(study)
    assert (error.code, "rtstruct_uid" in error.hint) == ("RTSTRUCT_AMBIGUOUS", True)
    first, second = list_rtstructs(study.source(), "")
    assert [(label.number, label.name) for label in first.structures] == [("1", "GTV"), ("2", "Brain")]
    assert (second.date, second.label) == ("20250304", "REPLAN")
    assert second.sop_instance_uid not in str(error)
    assert list_rtstructs(study.source(), "", second.sop_instance_uid) == [second]
    assert one(study, rtstruct_uid=first.sop_instance_uid).roi_name == "GTV"
    assert one(study, rtstruct_uid=f" {first.sop_instance_uid}\n").roi_name == "GTV"
    error = folder_error(study, rtstruct_uid="1.2.3")
    assert (error.code, "none of the 2 RTSTRUCTs" in error.safe_message) == ("NO_RTSTRUCT", True)
    assert "srs inspect" in error.hint
    del study.rtstructs[1]
    error = folder_error(study, rtstruct_uid="1.2.3")
    assert (error.code, "does not name the only RTSTRUCT in" in error.safe_message) == ("NO_RTSTRUCT", True)


def refer_to(study, *series):
    references = study.rtstruct.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    references.RTReferencedSeriesSequence = []
    for uid in series:
        reference = Dataset()
        reference.SeriesInstanceUID = uid
        references.RTReferencedSeriesSequence.append(reference)


def test_contours_decide_between_two_referenced_series(make_study):
    study, other = make_study(), make_study(centre=(9, 9), radius=4)
    refer_to(study, other.cts[0].SeriesInstanceUID, study.cts[0].SeriesInstanceUID)
    study.cts += other.cts
    assert one(study).hu_mean == pytest.approx(60)


def test_the_frame_of_reference_decides_among_referenced_series_whose_slices_no_contour_names(make_study):
    study, other = make_study(by_uid=False), make_study()
    refer_to(study, other.cts[0].SeriesInstanceUID, study.cts[0].SeriesInstanceUID)
    study.cts += other.cts
    assert one(study).status == "ok"


def test_reference_and_contours_that_contradict_each_other_are_refused(make_study):
    study, other = make_study(), make_study()
    refer_to(study, other.cts[0].SeriesInstanceUID)
    study.cts += other.cts
    assert folder_error(study).code == "CT_AMBIGUOUS"
    del study.rtstruct.ROIContourSequence[0].ContourSequence
    study.rtstruct.SOPInstanceUID = generate_uid()
    assert one(study).code == "ROI_EMPTY"
