import csv

import numpy as np
import pytest

from components.common.errors import InputError
from components.common.settings import PreprocessSettings
from components.common.sources import FolderSource
from components.preprocess.cohort import preprocess_cohort, read_table
from components.preprocess.deidentify import OWN_WORDS, Pseudonymiser, audit, identities_of
from components.preprocess.identity import identities_in, name_parts


def test_pseudonyms_are_consistent_and_keyed():
    one, same, other = Pseudonymiser(b"k"), Pseudonymiser(b"k"), Pseudonymiser(b"q")
    assert one.patient("x") == same.patient("x") != other.patient("x")
    assert one.patient("x")[2:] != one.tumour("x")[2:]
    assert one.patient("x").startswith("P-")
    assert len(one.tumour("x")) == 12
    with pytest.raises(InputError):
        Pseudonymiser(b"")


def test_identity_in_headers(make_study):
    study = make_study()
    ct = study.cts[0]
    ct.OperatorsName = ["Öberg^Åke", "Li^X"]
    ct.InstitutionName = "St Elsewhere"
    ct.PatientSex, ct.PatientAge = "F", "061Y"
    ct.StudyDate = "20140506"
    found = identities_in(ct)
    assert found["Lindqvist"] == "PatientName"
    assert found["MRN-7781234"] == "PatientID"
    assert found["20140506"] == "StudyDate"
    assert found["Öberg"] == "OperatorsName"
    assert found["St Elsewhere"] == "InstitutionName"
    assert ct.SeriesInstanceUID in found
    assert not {"Li", "X", "F", "061Y", ct.SOPClassUID} & set(found)


def test_name_parts_have_three_letters():
    assert name_parts("Meyer-Lüden^Jo^von=山田^太郎") == ["Meyer", "Lüden", "von"]


@pytest.fixture
def outputs(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "flow.json").write_text('{"listed": 4, "reason": "metastasis infiltrates the skull"}')
    np.save(tmp_path / "crops.npy", np.zeros((2, 151, 151), np.float32))
    return tmp_path


IDENTITIES = {
    "Lindqvist": "PatientName",
    "MRN-7781234": "PatientID",
    "20140506": "StudyDate",
    "1234": "PatientID",
    "Stem": "PatientName",
}


def leaks(folder):
    with pytest.raises(InputError) as caught:
        audit(folder, IDENTITIES)
    assert caught.value.code == "IDENTITY_LEFT"
    return caught.value.safe_message


def test_clean_outputs_pass(outputs):
    (outputs / "numbers.csv").write_text("tumour,area\nT-ab1234cdef,0.1234\nT-x,1234.5\nT-y,91234\nbrain_stem,3\n")
    (outputs / "text.txt").write_text("lindqvistian")
    audit(outputs, IDENTITIES)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("for LINDQVIST, B", "PatientName"),
        ("xmrn-7781234y", "PatientID"),
        ("date:20140506", "StudyDate"),
        ("id 1234.", "PatientID"),
    ],
)
def test_what_is_left_in_texts_is_named_by_file_and_attribute(outputs, text, kind):
    (outputs / "sub" / "log.txt").write_text(text)
    message = leaks(outputs)
    assert f"sub/log.txt: {kind}" in message
    assert text.split()[-1] not in message


def test_what_is_left_in_file_names_does_not_come_out_again(outputs):
    (outputs / "sub" / "Lindqvist.txt").write_text("")
    message = leaks(outputs)
    assert "PatientName in the file's name" in message
    assert "lindqvist" not in message.casefold()


def test_arrays_must_be_plain_numbers(outputs):
    np.save(outputs / "names.npy", np.array(["Brunhilde"]))
    assert "names.npy: not a plain array" in leaks(outputs)


def test_text_behind_an_array_is_noticed(outputs):
    with (outputs / "crops.npy").open("ab") as file:
        file.write(b"Lindqvist")
    assert "crops.npy" in leaks(outputs)


def test_a_plain_list_of_identities_will_do(outputs):
    (outputs / "a.txt").write_text("Lindqvist")
    with pytest.raises(InputError):
        audit(outputs, ["Lindqvist"])


def test_a_whole_cohort_leaves_nothing(tmp_path, make_study):
    base = {
        "tumour_id": "Tumour-77", "patient_id": "MRN-7781234", "dicom": "Lindqvist_B", "roi": "", "response": "PR",
        "follow_up_days": "60", "primary_brain_cancer": "no", "whole_brain_radiotherapy": "no",
        "n_brain_metastases": "1", "skull_infiltration": "no", "primary_site": "lung",
        "location": "brain_stem", "age": "61", "sex": "female",
        "kps": "90", "primary_controlled": "yes", "extracranial_metastases": "no", "systemic_therapy": "",
        "total_dose_gy": "24", "fractions": "3", "device": "cyberknife",
    }  # fmt: skip
    make_study().write(tmp_path / "in" / "Lindqvist_B")
    with (tmp_path / "in" / "cohort.csv").open("w") as file:
        writer = csv.DictWriter(file, list(base))
        writer.writeheader()
        writer.writerow(base)
    preprocess_cohort(str(tmp_path / "in"), PreprocessSettings(), b"key").write(tmp_path / "out")
    source = FolderSource(tmp_path / "in")
    identities = identities_of(source, read_table(source, "cohort.csv"))
    assert {"Lindqvist_B", "MRN-7781234", "Tumour-77", "Lindqvist", "Brunhilde", "19510203"} <= set(identities)
    audit(tmp_path / "out", identities)
    (tmp_path / "out" / "extra.csv").write_text("T-1,mrn-7781234")
    with pytest.raises(InputError):
        audit(tmp_path / "out", identities)


def test_words_of_the_outputs_themselves_are_no_identity():
    assert {"stem", "cyberknife", "lung", "patients", "tumours", "synthetic"} <= OWN_WORDS
