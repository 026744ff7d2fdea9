"""The quick header reader: what pydicom would say, or nothing."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from components.common.errors import TumourError
from components.preprocess.dicom_io import numbers, text
from components.preprocess.elements import Header, quick_header

LAST = 0x2FFF


def encoded(dataset, **options):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True, **options)
    return buffer.getvalue()


def with_sequences(dataset, *, undefined):
    inner, middle, outer = Dataset(), Dataset(), Dataset()
    inner.PatientComments = "Ä"
    middle.ReferencedStudySequence = Sequence([inner, inner])
    outer.RequestAttributesSequence = Sequence([middle])
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Öberg^Åke"
    dataset.ReferencedImageSequence = Sequence([outer, outer])
    dataset.ReferencedPatientSequence = Sequence([])
    for one in (outer, middle, inner):
        one.is_undefined_length_sequence_item = undefined
    for parent, keyword in (
        (dataset, "ReferencedImageSequence"),
        (outer, "RequestAttributesSequence"),
        (middle, "ReferencedStudySequence"),
    ):
        parent[keyword].is_undefined_length = undefined
    return dataset


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_says_what_pydicom_says(make_study, implicit, undefined):
    dataset = with_sequences(make_study().cts[0], undefined=undefined)
    dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "x")
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data = encoded(dataset)
    header, slow = quick_header(data, LAST), pydicom.dcmread(io.BytesIO(data))
    quick = header.dataset
    del slow.PixelData
    assert quick == slow
    assert quick.PatientName == "Öberg^Åke"
    assert (
        quick.ReferencedImageSequence[1].RequestAttributesSequence[0].ReferencedStudySequence[0].PatientComments == "Ä"
    )
    assert list(header.elements)[: len(slow.file_meta)] == [element.tag for element in slow.file_meta]
    assert text(header, "MediaStorageSOPInstanceUID") == slow.file_meta.MediaStorageSOPInstanceUID


@pytest.mark.parametrize("implicit", [True, False])
def test_text_and_numbers_are_those_of_pydicom(make_study, implicit):
    dataset = make_study().cts[0]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDescription = ""
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    quick = quick_header(encoded(dataset), LAST)
    for header in (quick, Header.of(dataset), quick.dataset, dataset):
        assert text(header, "SOPInstanceUID") == dataset.SOPInstanceUID
        assert text(header, "PatientName") == str(dataset.PatientName)
        assert text(header, "StudyDescription") == text(header, "GantryDetectorTilt") == ""
        assert numbers(header, "Rows", 1) == (dataset.Rows,)
        assert numbers(header, "PixelSpacing", 2) == tuple(map(float, dataset.PixelSpacing))
        for keyword, count in (("PixelSpacing", 3), ("KVP", 1)):
            with pytest.raises(TumourError, match="DICOM_DAMAGED"):
                numbers(header, keyword, count)


def test_text_that_changes_its_character_set_is_decoded(make_study):
    dataset = make_study().cts[0]
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.SeriesDescription = "計画"
    assert text(quick_header(encoded(dataset), LAST), "SeriesDescription") == "計画"


def test_big_endian_numbers_are_pydicoms_to_read(make_study):
    dataset = make_study().cts[0]
    buffer = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=False)
    buffer.seek(0)
    assert numbers(Header.of(pydicom.dcmread(buffer)), "Rows", 1) == (dataset.Rows,)


def test_leaves_to_pydicom_what_is_not_plain(make_study):
    data = encoded(make_study().cts[0])
    assert quick_header(data, LAST)
    assert quick_header(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"), LAST) is None
    assert quick_header(data[:300], LAST) is None
    assert quick_header(data[132:], LAST) is None
    assert quick_header(b"", LAST) is None


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_never_reads_differently(make_study):
    """Whatever bits are flipped: the elements are those of pydicom, or pydicom is asked."""
    data = encoded(with_sequences(make_study().cts[0], undefined=True))
    agreed = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        for place in rng.integers(132, 1400, 3):
            damaged[place] ^= 1 << int(rng.integers(8))
        quick = quick_header(bytes(damaged), LAST)
        if quick is None:
            continue
        slow = pydicom.filereader.read_partial(
            io.BytesIO(bytes(damaged)), stop_when=lambda tag, *_: tag >> 16 > LAST, force=True
        )
        assert list(quick.dataset.keys()) == list(slow.keys())
        for tag in slow.keys():  # noqa: SIM118
            one, other = quick.dataset.get_item(tag), slow.get_item(tag)
            if isinstance(other, RawDataElement):
                assert (one.VR, one.value) == (other.VR, other.value)
        agreed += 1
    assert agreed > 100
