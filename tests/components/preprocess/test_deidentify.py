import csv
import dataclasses
import io
import threading
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset as Item
from pydicom.sequence import Sequence

from components.common.errors import InputError
from components.common.settings import PreprocessSettings
from components.common.store.folder import FolderStore
from components.common.store.sealed import SealedStore
from components.imaging.elements import Header
from components.preprocess.cohort import preprocess_cohort
from components.preprocess.deidentify import Audit, Pseudonymiser
from components.preprocess.identity import identities_of_headers
from components.preprocess.parts import PartStore
from components.preprocess.table import Row


def test_pseudonyms_are_consistent_and_keyed():
    one, same, other = Pseudonymiser(b"k"), Pseudonymiser(b"k"), Pseudonymiser(b"q")
    assert one.patient("x") == same.patient("x") != other.patient("x")
    assert one.patient("x")[2:] != one.tumour("x")[2:]
    assert one.patient("x").startswith("P-")
    assert one.centre("x").startswith("C-")
    assert one.centre("x") == same.centre("x") != other.centre("x")
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
    found = identities_of_headers([Header.of(ct)])
    assert found["Lindqvist^Brunhilde"] == "PatientName"
    assert found["MRN-7781234"] == "PatientID"
    assert found["20140506"] == "StudyDate"
    assert found["Öberg^Åke"] == found["Li^X"] == "OperatorsName"
    assert found["St Elsewhere"] == "InstitutionName"
    assert not {"F", "061Y", ct.SOPClassUID, ct.SeriesInstanceUID} & set(found)


def test_identity_in_private_attributes_and_in_removed_sequences(make_study):
    ct = make_study().cts[0]
    block = ct.private_block(0x0009, "ACME", create=True)
    block.add_new(0x01, "LO", "Brunhilde at ward 7")
    block.add_new(0x02, "UN", b"room 7781 ")
    block.add_new(0x03, "DS", "12.75")
    request = Item()
    request.RequestedProcedureDescription = "Gamma knife"
    request.ScheduledProcedureStepID = "STEP-4711"
    code = Item()
    code.CodeValue, code.CodeMeaning, code.CodingSchemeDesignator = "P0-099A", "Irradiation", "99LOCAL"
    request.ScheduledProtocolCodeSequence = Sequence([code])
    ct.RequestAttributesSequence = Sequence([request])
    ct.PatientWeight = "73.5"
    found = identities_of_headers([Header.of(ct)])
    assert {"Brunhilde at ward 7", "room 7781", "Gamma knife", "STEP-4711"} <= set(found)
    assert not {"12.75", "73.5", "Irradiation", "99LOCAL", "ACME"} & set(found)
    assert found["Brunhilde at ward 7"] == "private attribute (0009,1001) of ACME"


def test_slices_of_a_series_are_searched_for_values_that_differ(make_study):
    study = make_study()
    study.cts[5].PatientComments = "seen by Dr Kettle"
    read = [
        Header.of(pydicom.dcmread(io.BytesIO(data))) for name, data in study.files().items() if name.startswith("CT")
    ]
    assert identities_of_headers(read)["seen by Dr Kettle"] == "PatientComments"


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


def audit(folder, identities=IDENTITIES):
    found = Audit()
    found.learn(identities)
    found.check([folder])


def leaks(folder):
    with pytest.raises(InputError) as caught:
        audit(folder)
    assert caught.value.code == "IDENTITY_LEFT"
    return caught.value.safe_message


def test_clean_outputs_pass(outputs):
    (outputs / "numbers.csv").write_text("tumour,area\nT-ab1234cdef,0.1234\nT-x,1234.5\nT-y,91234\nbrain_stem,3\n")
    (outputs / "text.txt").write_text("lindqvistian")
    audit(outputs)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("for LINDQVIST, B", "PatientName"),
        ("xmrn-7781234y", "PatientID"),
        ("date:20140506", "StudyDate"),
        ("id 1234.", "PatientID"),
    ],
)
def test_identity_in_texts_is_reported_by_file_and_attribute(outputs, text, kind):
    (outputs / "sub" / "log.txt").write_text(text)
    message = leaks(outputs)
    assert f"sub/log.txt: {kind}" in message
    assert text.split()[-1] not in message


def test_identity_in_file_names_is_not_quoted_in_the_error(outputs):
    (outputs / "sub" / "Lindqvist.txt").write_text("")
    message = leaks(outputs)
    assert "PatientName in the file's name" in message
    assert "lindqvist" not in message.casefold()


def test_arrays_must_be_plain_numbers(outputs):
    np.save(outputs / "names.npy", np.array(["Brunhilde"]))
    assert "names.npy: not a plain array" in leaks(outputs)


def test_text_after_an_array_is_found(outputs):
    with (outputs / "crops.npy").open("ab") as file:
        file.write(b"Lindqvist")
    assert "crops.npy" in leaks(outputs)


def test_uids_are_found_in_outputs_by_their_form(outputs):
    (outputs / "a.txt").write_text("version 3.11.7, at 127.0.0.1")
    audit(outputs)
    (outputs / "a.txt").write_text("slice 1.2.826.0.1.3680043.8.498.1234")
    assert "a.txt: a UID" in leaks(outputs)


def test_named_texts_are_searched(outputs):
    found = Audit()
    found.learn(IDENTITIES)
    with pytest.raises(InputError) as caught:
        found.check([outputs], {"the step's log": "reading lindqvist"})
    assert "the step's log: PatientName" in caught.value.safe_message


def test_identity_can_be_added_while_a_text_is_searched():
    audit, stop = Audit(), threading.Event()

    def learn():
        number = 0
        while not stop.is_set():
            audit.learn({f"Kettle^No{number}": "PatientName", f"Kettle {number}": "PatientComments"})
            number += 1

    learner = threading.Thread(target=learn)
    learner.start()
    try:
        for _ in range(30):
            audit.check(texts={"part": "\n".join(["seen by nobody 7"] * 30)})
        audit.learn({"Lindqvist": "PatientName"})
        with pytest.raises(InputError, match="IDENTITY_LEFT"):
            audit.check(texts={"part": "seen by lindqvist"})
    finally:
        stop.set()
        learner.join()


BASE = {
    "tumour_id": "Tumour-77", "patient_id": "MRN-7781234", "dicom": "Lindqvist_B", "roi": "", "response": "PR",
    "follow_up_days": "60", "primary_brain_cancer": "no", "whole_brain_radiotherapy": "no",
    "n_brain_metastases": "1", "skull_infiltration": "no", "primary_site": "lung",
    "location": "brain_stem", "age": "61", "sex": "female",
    "kps": "90", "primary_controlled": "yes", "extracranial_metastases": "no", "systemic_therapy": "",
    "total_dose_gy": "24", "fractions": "3", "device": "cyberknife",
}  # fmt: skip


def write_table(folder, row):
    with (folder / "cohort.csv").open("w") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)


def test_the_outputs_of_a_whole_cohort_hold_no_identity(tmp_path, make_study):
    make_study().write(tmp_path / "in" / "Lindqvist_B")
    write_table(tmp_path / "in", BASE)
    found = Audit()
    preprocess_cohort(str(tmp_path / "in"), PreprocessSettings(), b"key", audit=found).write(tmp_path / "out")
    found.check([tmp_path / "out"])
    for text in ("Lindqvist_B", "mrn-7781234", "Tumour-77", "LINDQVIST", "Brunhilde", "19510203"):
        (tmp_path / "out" / "extra.csv").write_text(f"T-1,{text}")
        with pytest.raises(InputError):
            found.check([tmp_path / "out"])


def test_identity_in_the_centre_and_in_texts_of_the_scan_does_not_leave(tmp_path, make_study):
    row = {**BASE, "tumour_id": "Tumour-77", "patient_id": "P-77", "dicom": "a", "centre": "Klinikum Grünwald"}
    study = make_study()
    for ct in study.cts:
        ct.ContrastBolusAgent, ct.ConvolutionKernel = "for Wintergreen", ["Marigold", "B30f 4711-0815"]
    study.write(tmp_path / "in" / "a")
    write_table(tmp_path / "in", row)
    found, parts = Audit(), PartStore(SealedStore(FolderStore(tmp_path / "parts")))
    dataset = preprocess_cohort(str(tmp_path / "in"), PreprocessSettings(), b"key", audit=found, store=parts)
    dataset.write(tmp_path / "out")
    found.check([tmp_path / "out"])
    (tumour,) = dataset.tumours.to_dict("records")
    assert (tumour["contrast_agent"], tumour["kernel"]) == ("yes", "unknown")
    assert tumour["centre"] == Pseudonymiser(b"key").centre("Klinikum Grünwald")
    files = [path for place in ("out", "parts") for path in (tmp_path / place).rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in files if path.suffix != ".zip"]
    for path in (path for path in files if path.suffix == ".zip"):
        with zipfile.ZipFile(path) as archive:
            contents += [archive.read(name) for name in archive.namelist()]
    assert len(contents) > 6
    for text in ("Wintergreen", "Marigold", "4711", "Grünwald", "Klinikum"):
        assert not any(text.encode() in content for content in contents)


@pytest.mark.parametrize(
    ("column", "text"), [("device", "Klinikum Grünwald"), ("kernel", "grunwald, Klinikum Grunwald")]
)
def test_a_centre_that_was_written_is_found_by_the_audit(tmp_path, column, text):
    audit = Audit()
    audit.learn_rows([table_row(centre="Klinikum Grünwald")])
    with pytest.raises(InputError, match="column centre in row 2"):
        audit.check(texts={"tumours.csv": f'{column}\n"{text}"\n'})


def test_the_centres_name_does_not_hide_an_identifier_of_the_same_text():
    audit = Audit()
    audit.learn_rows([table_row(dicom="A7", centre="A7")])
    with pytest.raises(InputError, match="column dicom"):
        audit.check(texts={"the step's log": "reading A7"})


def test_pseudonyms_of_another_run_are_refused(tmp_path):
    audit, row = Audit(), table_row()
    audit.learn_rows([row], Pseudonymiser(b"key"))
    audit.check(texts={"tumours.csv": f"tumour\n{Pseudonymiser(b'key').tumour('Tumour-77')}\n"})
    with pytest.raises(InputError, match="a pseudonym that this run did not make in row 2, column centre"):
        audit.check(texts={"tumours.csv": f"centre\n{Pseudonymiser(b'other').centre('north')}\n"})
    with pytest.raises(InputError, match="a pseudonym that this run did not make in row 2, column tumour"):
        audit.check(texts={"tumours.csv": f"tumour\n{Pseudonymiser(b'other').tumour('Tumour-77')}\n"})


def table_row(**cells):
    fields = dict.fromkeys(field.name for field in dataclasses.fields(Row))
    known = {
        "tumour_id": "Tumour-77",
        "patient_id": "MRN-7781234",
        "dicom": "scans/Lindqvist_B.zip",
        "rtstruct_uid": "1.2.3.4.5",
    }
    return Row(**{**fields, **known, **cells})


def test_an_error_names_output_attribute_and_location_and_gives_a_hint():
    audit = Audit()
    audit.learn_rows([table_row()])
    log = "srs-progress preprocess 1/2 1 tumours\nreading lindqvist_b\nreading Lindqvist_B again\n"
    with pytest.raises(InputError) as caught:
        audit.check(texts={"the step's log": log})
    assert "the step's log: column dicom in line 2 and 1 more places" in caught.value.safe_message
    assert "lindqvist" not in str(caught.value).casefold()
    assert "names in the cohort table" in caught.value.hint
    assert "1.2.3.4.5" not in str(vars(audit))
