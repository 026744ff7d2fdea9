import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.gtv import find_gtvs
from components.imaging.pydicom_errors import dicom_errors

SETTINGS = PreprocessSettings()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(
    "without", [(), ("MediaStorageSOPClassUID",), ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")]
)
def test_files_that_begin_with_any_element_of_the_file_meta_are_read(make_study, syntax, without):
    """pydicom writes neither preamble nor (0002,0000) unless it is asked to."""
    study = make_study()
    files = {}
    for number, dataset in enumerate((*study.cts, study.rtstruct)):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.TransferSyntaxUID = syntax
        for keyword in without:
            del dataset.file_meta[keyword]
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=False)
        files[str(number)] = buffer.getvalue()
        assert files[str(number)][:4] not in (b"\x02\0\0\0", bytes(4))
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert (candidate.status, candidate.hu_mean) == ("ok", pytest.approx(60))


@pytest.mark.parametrize("is_little_endian", [True, False])
def test_files_without_file_meta_that_begin_with_any_element_are_read(make_study, is_little_endian):
    study = make_study()
    files = {}
    for number, dataset in enumerate((*study.cts, study.rtstruct)):
        del dataset.file_meta
        dataset.InstanceCreationDate = "20250102"  # (0008,0012)
        dataset.pop("ImageType", None)
        if "PixelData" in dataset and not is_little_endian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=False, implicit_vr=False, little_endian=is_little_endian)
        files[str(number)] = buffer.getvalue()
        assert files[str(number)][:4] == (b"\x08\0\x12\0" if is_little_endian else b"\0\x08\0\x12")
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert (candidate.status, candidate.hu_mean) == ("ok", pytest.approx(60))


def test_running_out_of_memory_is_not_reported_as_damage():
    with pytest.raises(TumourError) as error, dicom_errors():
        raise MemoryError
    assert error.value.code == "DICOM_TOO_LARGE"
