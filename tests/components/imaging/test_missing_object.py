import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.folder import FolderStore
from components.common.store.memory import MemoryStore
from components.imaging.gtv import find_gtvs
from tests.components.studies import file_bytes, new_dataset

SEG, MR, DOSE, PLAN = (f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("66.4", "4", "481.2", "481.5"))


def refusal(source):
    with pytest.raises(TumourError) as caught:
        find_gtvs(source, "", PreprocessSettings())
    return caught.value


def other(sop_class, modality):
    dataset = new_dataset(sop_class, modality)
    dataset.SeriesDescription = "Lindqvist"
    return file_bytes(dataset)


def cts_of(study):
    return {name: data for name, data in study.files().items() if name.startswith("CT")}


@pytest.mark.parametrize(
    ("sop_class", "modality", "words"),
    [
        (SEG, "SEG", "Segmentation (SEG)"),
        (DOSE, "RTDOSE", "RT Dose (RTDOSE)"),
        (PLAN, "RTPLAN", "RT Plan (RTPLAN)"),
        (MR, "Lindqvist", "MR Image"),
        ("1.3.6.1.4.1.5962.301.9", "OT", "object of a private kind (OT)"),
    ],
)
def test_an_error_for_a_missing_rtstruct_lists_what_the_folder_holds(make_study, sop_class, modality, words):
    error = refusal(MemoryStore({**cts_of(make_study()), "x.dcm": other(sop_class, modality)}))
    assert error.code == "NO_RTSTRUCT"
    assert "9 x CT Image (CT)" in error.safe_message
    assert words in error.safe_message
    assert "Lindqvist" not in str(error)
    assert ("convert the segmentation" in error.hint) == (sop_class == SEG)


def test_an_error_for_a_missing_ct_lists_what_the_folder_holds(make_study):
    files = {"RS.dcm": file_bytes(make_study().rtstruct)}
    files |= {f"{number}.dcm": other(MR, "MR") for number in range(3)}
    error = refusal(MemoryStore(files))
    assert error.code == "NO_CT"
    assert "3 x MR Image (MR)" in error.safe_message
    assert "RT Structure Set (RTSTRUCT)" in error.safe_message


@pytest.mark.parametrize(
    "name", ["study.zip", "P/STUDY.ZIP", "all.tar.gz", "all.7z", "all.rar", "CT1.dcm.gz", "disk.iso"]
)
def test_archives_are_reported_with_a_hint_to_unpack_them(make_study, name):
    for files in ({}, cts_of(make_study())):
        error = refusal(MemoryStore({**files, name: gzip.compress(b"Lindqvist" * 99)}))
        assert error.code == "NO_RTSTRUCT"
        assert "(not opened)" in error.safe_message
        assert "Unpack it first" in error.hint


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nii", "CT.nrrd", "Mask.MHA"])
def test_masks_of_research_formats_are_reported(make_study, name):
    error = refusal(MemoryStore({**cts_of(make_study()), name: b"x" * 400}))
    assert "NIfTI" in error.safe_message
    assert "RTSTRUCT" in error.hint


def test_other_files_are_not_reported(make_study):
    error = refusal(MemoryStore({**cts_of(make_study()), "Lindqvist.docx": b"PK\3\4" * 99, "notes.txt": b"x" * 400}))
    assert error.safe_message.endswith("the folder holds: 9 x CT Image (CT)")


def test_a_folder_with_only_a_dicomdir_is_reported():
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.FileSetID, directory.DirectoryRecordSequence = "EXPORT", Sequence([])
    error = refusal(MemoryStore({"DICOMDIR": file_bytes(directory)}))
    assert error.safe_message.endswith("the folder holds: DICOMDIR")
    assert "only lists files" in error.hint


def test_damage_is_reported_before_the_content_of_the_folder(make_study):
    files = {**cts_of(make_study()), "RS.dcm": b"\0" * 128 + b"DICM" + b"\xff" * 400, "x.zip": b"x" * 400}
    assert refusal(MemoryStore(files)).code == "DICOM_DAMAGED"


def test_links_to_files_are_read_and_links_to_folders_are_reported(make_study, tmp_path):
    make_study().write(tmp_path / "real")
    (tmp_path / "files").mkdir()
    for number, path in enumerate(sorted((tmp_path / "real").rglob("*.dcm"))):
        (tmp_path / "files" / str(number)).symlink_to(path)
    assert find_gtvs(FolderStore(tmp_path / "files"), "", PreprocessSettings())[0].status == "ok"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "P1").symlink_to(tmp_path / "real")
    error = refusal(FolderStore(tmp_path / "folder"))
    assert error.code == "DICOM_MISSING"
    assert "links to folders" in error.hint


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([SEG, MR, "1.2.3", ""]), st.text("ABC^ ä", max_size=6)), min_size=1, max_size=4)
)
def test_no_free_text_of_a_file_is_reported(kinds):
    """Modality may hold a name, so only terms from the standard's lists are printed."""
    files = {}
    for number, (sop_class, modality) in enumerate(kinds):
        dataset = new_dataset(sop_class or SEG, f"Q{modality}")
        dataset.SpecificCharacterSet = "ISO_IR 192"
        files[f"Lindqvist{number}"] = file_bytes(dataset)
    error = refusal(MemoryStore(files))
    assert error.code == "NO_RTSTRUCT"
    for part in ("Q", "Lindqvist", "^", "1.2.3"):
        assert part not in str(error)


def test_files_of_which_none_is_dicom_are_counted():
    error = refusal(MemoryStore({"a.jpg": b"x", "Lindqvist": b"y"}))
    assert error.code == "NO_RTSTRUCT"
    assert "none of the 2 files in the folder is DICOM" in error.safe_message
    assert "Lindqvist" not in str(error)
    assert "; the only file in the folder is not DICOM" in refusal(MemoryStore({"Lindqvist": b"y"})).safe_message
