"""A patient under several patient_ids and a tumour in several rows are found by DICOM and image, and refused."""

import copy
import csv
import shutil
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from components.common.errors import InputError
from components.common.setting_types import IDENTIFYING
from components.common.settings import PreprocessSettings
from components.common.store.folder import FolderStore
from components.common.store.sealed import SealedStore
from components.preprocess.cohort import preprocess_cohort
from components.preprocess.distinct import EVIDENCE_KINDS, RowEvidence, check_distinct
from components.preprocess.parts import PartStore

ROW = {
    "roi": "", "response": "PR", "follow_up_days": "60", "primary_brain_cancer": "no", "whole_brain_radiotherapy": "no",
    "n_brain_metastases": "1", "skull_infiltration": "no", "primary_site": "lung", "location": "cerebrum", "age": "61",
    "sex": "female", "kps": "90", "primary_controlled": "yes", "extracranial_metastases": "no", "systemic_therapy": "",
    "total_dose_gy": "24", "fractions": "3", "device": "linac",
}  # fmt: skip


def circle(radius, x=0.0):
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.column_stack([x + radius * np.cos(angle), radius * np.sin(angle)])


TWO = {"GTV_1": {3.0: [circle(7)]}, "GTV_2": {9.0: [circle(6, x=8.0)]}}


@pytest.fixture
def preprocess(tmp_path):
    """``preprocess((patient_id, dicom), ...)``: the dataset of a table of these rows; a row may name more columns."""

    def run(*rows, store=None, **settings):
        rows = [{"tumour_id": f"t{i}", "patient_id": p, "dicom": d, **ROW, **more} for i, (p, d, more) in filled(rows)]
        with (tmp_path / "cohort.csv").open("w", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return preprocess_cohort(str(tmp_path), PreprocessSettings(**settings), b"key", store=store)

    return run


def filled(rows):
    return enumerate((*row, {})[:3] for row in rows)


def refusal(preprocess, *rows, **settings):
    with pytest.raises(InputError) as caught:
        preprocess(*rows, **settings)
    return caught.value


@pytest.fixture
def patients(tmp_path, make_study):
    """Folders P1, P2 and P3 of three patients; P1's study."""
    studies = [make_study().of_patient(name) for name in ("P1", "P2", "P3")]
    for name, study in zip(("P1", "P2", "P3"), studies, strict=True):
        study.write(tmp_path / name)
    return studies[0]


def with_new_uids(study):
    """The study as an anonymising export writes it: all UIDs are replaced, but references stay consistent."""
    again, known = copy.deepcopy(study), {}
    for dataset in (*again.cts, *again.rtstructs):
        for element in dataset.iterall():
            if element.VR == "UI" and "Class" not in element.keyword:
                element.value = known.setdefault(str(element.value), generate_uid())
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return again


def test_different_patients_pass_and_the_dataset_lists_the_kinds_of_evidence(patients, preprocess):
    dataset = preprocess(("a", "P1"), ("b", "P2"), ("c", "P3"))
    assert dataset.flow.used_patients == 3
    assert dataset.distinguished_by == EVIDENCE_KINDS


@pytest.mark.parametrize("name", ["P1/", "./P1", "P1\\", ".\\P1/", "p1", "absolute", "link", "file"])
def test_all_names_of_a_folder_are_one_location(patients, preprocess, tmp_path, name):
    (tmp_path / "link").symlink_to(tmp_path / "P1", target_is_directory=True)
    name = {"absolute": str(tmp_path / "P1"), "file": (tmp_path / "P1").as_uri()}.get(name, name)
    error = refusal(preprocess, ("a", "P1"), ("b", name))
    assert error.code == "COHORT_INVALID"
    assert (
        "row 3, patient_id: not that of row 2, whose dicom is the same. Give all rows of a patient one patient_id"
        in error.safe_message
    )
    twice = refusal(preprocess, ("a", "P1"), ("a", name)).safe_message
    assert "row 3, roi: the same structure as in row 2. Give each tumour one row" in twice


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_folder_is_found_whatever_its_unicode_form(patients, preprocess, tmp_path, form):
    (tmp_path / "P2").rename(tmp_path / unicodedata.normalize("NFD", "Größe É"))
    dataset = preprocess(("a", "P1"), ("b", unicodedata.normalize(form, "Größe É")))
    assert dataset.flow.used == 2


def test_a_zip_beside_the_table_is_read_and_is_one_location(patients, preprocess, tmp_path):
    shutil.make_archive(str(tmp_path / "P2"), "zip", tmp_path / "P2")
    shutil.rmtree(tmp_path / "P2")
    assert preprocess(("a", "P1"), ("b", "P2.zip")).flow.used == 2
    assert "whose dicom is the same" in refusal(preprocess, ("a", "P2.zip"), ("b", "./P2.zip")).safe_message


def test_a_copied_folder_is_the_same_patient_and_tumour(patients, preprocess, tmp_path):
    shutil.copytree(tmp_path / "P1", tmp_path / "deep" / "P9")
    error = refusal(preprocess, ("a", "P1"), ("b", "P2"), ("c", "deep/P9"))
    assert error.code == "COHORT_DUPLICATES"
    assert "rows 2, 4: one patient under 2 patient_ids, by " in error.safe_message
    assert all(kind in error.safe_message for kind in EVIDENCE_KINDS[1:])
    assert "row 3" not in error.safe_message
    assert (
        "rows 2, 4: one tumour, by the same structure"
        in refusal(preprocess, ("a", "P1"), ("b", "P2"), ("a", "deep/P9")).safe_message
    )


@pytest.mark.parametrize("kind", IDENTIFYING)
def test_one_shared_attribute_is_enough(preprocess, tmp_path, make_study, kind):
    first, second = make_study().of_patient("P1"), make_study().of_patient("P2")
    for one, other in zip((*first.cts, first.rtstruct), (*second.cts, second.rtstruct), strict=True):
        if kind in other:
            setattr(other, kind, one[kind].value)
    for name, study in (("P1", first), ("P2", second)):
        for dataset in (*study.cts, *study.rtstructs):
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        study.write(tmp_path / name)
    assert (
        f"rows 2, 3: one patient under 2 patient_ids, by {kind}"
        in refusal(preprocess, ("a", "P1"), ("b", "P2")).safe_message
    )
    assert preprocess(("a", "P1"), ("b", "P2"), shared_attributes=f" {kind} ").distinguished_by == tuple(
        one for one in EVIDENCE_KINDS if one != kind
    )


def test_another_export_with_new_uids_and_identifiers_is_found_by_its_pixels(preprocess, tmp_path, make_study):
    study = make_study(TWO, zs=np.arange(9) * 1.5).of_patient("P1")
    again = with_new_uids(study)
    for dataset in (*again.cts, *again.rtstructs):
        dataset.PatientID = "anonymous"
    study.write(tmp_path / "P1")
    again.write(tmp_path / "P2")
    # the other tumour of the other export: its crop is another
    error = refusal(preprocess, ("a", "P1", {"roi": "GTV_1"}), ("b", "P2", {"roi": "GTV_2"}))
    assert "rows 2, 3: one patient under 2 patient_ids, by the pixels of the CT" in error.safe_message
    error = refusal(preprocess, ("a", "P1", {"roi": "GTV_1"}), ("b", "P2", {"roi": "GTV_1"}))
    assert "by the pixels of the CT, near-identical crops" in error.safe_message


def some_slices(study):
    del study.cts[:9]


def other_air(study):
    for ct in study.cts:
        ct.PixelData = np.where(ct.pixel_array < 100, 0, ct.pixel_array).astype("<u2").tobytes()


def other_direction(study):
    for ct in study.cts:
        ct.PixelData = np.ascontiguousarray(ct.pixel_array[::-1, ::-1]).tobytes()
        (x, y, z), (row, column) = ct.ImagePositionPatient, ct.PixelSpacing
        ct.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
        ct.ImagePositionPatient = [x + column * (ct.Columns - 1), y + row * (ct.Rows - 1), z]


@pytest.mark.parametrize("change", [some_slices, other_air, other_direction])
def test_another_export_with_another_encoding_is_found_by_its_pixels(preprocess, tmp_path, make_study, change):
    lesions = {"GTV_1": {3.0: [circle(7)]}, "GTV_2": {21.0: [circle(6, x=8.0)]}}
    study = make_study(lesions, zs=np.arange(20) * 1.5).of_patient("P1")
    again = with_new_uids(study)
    for dataset in (*again.cts, *again.rtstructs):
        dataset.PatientID = "anonymous"
    change(again)
    study.write(tmp_path / "P1")
    again.write(tmp_path / "P2")
    error = refusal(preprocess, ("a", "P1", {"roi": "GTV_1"}), ("b", "P2", {"roi": "GTV_2"}))
    assert error.code == "COHORT_DUPLICATES"
    assert "rows 2, 3: one patient under 2 patient_ids, by the pixels of the CT" in error.safe_message


def test_phantoms_may_share_their_pixels_if_the_settings_allow_it(preprocess, tmp_path, make_study):
    for name in ("P1", "P2"):
        study = make_study()
        for dataset in (*study.cts, *study.rtstructs):
            dataset.PatientID = name
        study.write(tmp_path / name)
    error = refusal(preprocess, ("a", "P1"), ("b", "P2"))
    assert "phantoms with the same pixels" in error.hint
    dataset = preprocess(("a", "P1"), ("b", "P2"), shared_attributes="pixels,crops")
    assert dataset.flow.used_patients == 2
    assert dataset.distinguished_by == EVIDENCE_KINDS[:-2]


def test_merge_joins_several_patient_ids_into_one_patient(preprocess, tmp_path, make_study):
    study = make_study(TWO).of_patient("P1")
    study.write(tmp_path / "P1")
    with_new_uids(study).write(tmp_path / "P2")
    rows = [("a", "P1", {"roi": "GTV_1"}), ("b", "P2", {"roi": "GTV_2"})]
    dataset = preprocess(*rows, one_patient="merge")
    assert (dataset.flow.used, dataset.flow.used_patients, dataset.tumours.patient.nunique()) == (2, 1, 1)
    twice = refusal(preprocess, rows[0], ("b", "P2", {"roi": "GTV_1"}), one_patient="merge")
    assert "rows 2, 3: one tumour, by near-identical crops" in twice.safe_message


def test_merged_patients_have_one_centre(preprocess, tmp_path, make_study):
    study = make_study(TWO).of_patient("P1")
    study.write(tmp_path / "P1")
    with_new_uids(study).write(tmp_path / "P2")
    row = ("a", "P1", {"roi": "GTV_1", "centre": "north"})
    error = refusal(preprocess, row, ("b", "P2", {"roi": "GTV_2", "centre": "south"}), one_patient="merge")
    assert error.code == "COHORT_INVALID"
    assert "row 3, centre: not that of row 2, which is of the same patient" in error.safe_message
    for other in ("north", ""):
        dataset = preprocess(row, ("b", "P2", {"roi": "GTV_2", "centre": other}), one_patient="merge")
        assert dataset.tumours.centre.nunique(dropna=False) == 1


def test_one_gtv_by_name_and_as_the_only_one_is_one_tumour(patients, preprocess):
    error = refusal(preprocess, ("a", "P1", {"roi": "GTV"}), ("a", "P1"), ("b", "P2"))
    assert (error.code, error.exit_code) == ("COHORT_DUPLICATES", 2)
    assert "rows 2, 3: one tumour, by the same structure" in error.safe_message


def test_two_hospitals_may_assign_the_same_patient_id(preprocess, tmp_path, make_study):
    for name, born in (("P1", "19510203"), ("P2", "19440101")):
        study = make_study().of_patient(name)
        for dataset in (*study.cts, *study.rtstructs):
            dataset.PatientID, dataset.PatientBirthDate = "4711", born
        study.write(tmp_path / name)
    assert preprocess(("a", "P1"), ("b", "P2")).flow.used_patients == 2
    study.of_patient("P3")
    for dataset in (*study.cts, *study.rtstructs):
        dataset.PatientID = "4711"
    with_new_uids(study).write(tmp_path / "P3")
    assert "rows 3, 4: one patient" in refusal(preprocess, ("a", "P1"), ("b", "P2"), ("c", "P3")).safe_message


def test_a_resumed_run_refuses_the_same_rows(patients, preprocess, tmp_path):
    shutil.copytree(tmp_path / "P1", tmp_path / "P9")
    store = PartStore(SealedStore(FolderStore(tmp_path / "parts")))
    first = refusal(preprocess, ("a", "P1"), ("b", "P2"), ("c", "P9"), store=store)
    assert list((tmp_path / "parts").rglob("*.zip"))
    again = refusal(preprocess, ("a", "P1"), ("b", "P2"), ("c", "P9"), store=store)
    assert str(first) == str(again)


def test_the_message_names_rows_and_never_a_patient(patients, preprocess, tmp_path):
    shutil.copytree(tmp_path / "P1", tmp_path / "Lindqvist")
    message = str(refusal(preprocess, ("Brunhilde", "P1"), ("Lindqvist", "Lindqvist")))
    assert not any(name in message for name in ("Lindqvist", "Brunhilde", "MRN", "P1"))


def test_an_excluded_row_is_not_compared(patients, preprocess, tmp_path):
    shutil.copytree(tmp_path / "P1", tmp_path / "P9")
    dataset = preprocess(("a", "P1"), ("b", "P2"), ("c", "P9", {"n_brain_metastases": "9"}))
    assert dataset.flow.used_patients == 2


def test_problems_come_in_the_order_of_the_table():
    order = [7, 3, 9, 5, 2, 8, 4, 6]  # of the pseudonyms
    evidence = [RowEvidence(row, f"id{row}", (f"PatientID:{row // 2}",), f"s{row // 2}") for row in order]
    crops = np.random.default_rng(0).normal(30, 8, (len(order), 151, 151)).astype(np.float32)
    with pytest.raises(InputError) as caught:
        check_distinct(evidence, crops)
    lines = [line for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert [line.split(":")[0].strip(" -") for line in lines] == [f"rows {i}, {i + 1}" for i in (2, 4, 6, 8)]


@settings(max_examples=40)
@given(st.data())
def test_patients_are_joined_exactly_where_a_chain_of_evidence_joins_them(data):
    people = data.draw(st.integers(2, 6))
    rows = []
    for person in range(people):
        links = data.draw(st.integers(0, 3))
        for sight in range(links + 1):
            # each export shares one thing with the one before it, and nothing with any other
            kinds = st.sampled_from([*IDENTIFYING, "pixels"])
            evidence = [f"{data.draw(kinds)}:{person}.{tie}" for tie in (sight - 1, sight) if tie >= 0]
            rows.append((person, evidence))
    order = data.draw(st.permutations(range(len(rows))))
    chained = [RowEvidence(i, f"id{i}", tuple(_linked(rows, i)), f"s{i}") for i in order]
    crops = np.random.default_rng(0).normal(30, 8, (len(rows), 151, 151)).astype(np.float32)
    named = check_distinct(chained, crops, merge=True)
    for i, (person, _) in enumerate(rows):
        for j, (other, _) in enumerate(rows):
            assert (named[f"id{i}"] == named[f"id{j}"]) == (person == other)


def _linked(rows, index):
    """The evidence of a row, and the first of the same person's row after it: a chain."""
    person, evidence = rows[index]
    after = rows[index + 1][1][:1] if index + 1 < len(rows) and rows[index + 1][0] == person else []
    return [*evidence, *after]
