"""Elements and items are parsed as pydicom parses them."""

import io
import struct

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from components.common.errors import TumourError
from components.imaging.attributes import numbers, text
from components.imaging.elements import Header, read_header

LAST = 0x2FFF


def quick_header(data, last_group=LAST):
    return read_header(data, last_group)[0]


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
def test_reads_the_same_elements_as_pydicom(make_study, implicit, undefined):
    dataset = with_sequences(make_study().cts[0], undefined=undefined)
    dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "x")
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data = encoded(dataset)
    header, slow = quick_header(data), pydicom.dcmread(io.BytesIO(data))
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
def test_text_and_numbers_equal_those_of_pydicom(make_study, implicit):
    dataset = make_study().cts[0]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDescription = ""
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    quick = quick_header(encoded(dataset))
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
    assert text(quick_header(encoded(dataset)), "SeriesDescription") == "計画"


def test_big_endian_numbers_are_left_to_pydicom(make_study):
    dataset = make_study().cts[0]
    buffer = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=False)
    buffer.seek(0)
    assert numbers(Header.of(pydicom.dcmread(buffer)), "Rows", 1) == (dataset.Rows,)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_without_transfer_syntax_is_read_as_pydicom_reads_it(make_study):
    dataset = make_study().cts[0]
    data = encoded(dataset)
    big = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.save_as(big, enforce_file_format=True, implicit_vr=False, little_endian=False)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    implicit = encoded(dataset)
    begin = data.index(b"\x08\0\x08\0")
    for one in (
        data[132:],
        data[begin:],
        implicit[implicit.index(b"\x08\0\x08\0") :],
        data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"),
        implicit.replace(b"1.2.840.10008.1.2\0", b"1.2.3.40.50008.1.2"),
        big.getvalue(),
        big.getvalue()[big.getvalue().index(b"\0\x08\0\x08") :],
    ):
        slow = pydicom.dcmread(io.BytesIO(one), force=True, stop_before_pixels=True)
        quick = quick_header(one).dataset
        assert quick == slow
        assert (quick.Rows, quick.SOPInstanceUID) == (dataset.Rows, dataset.SOPInstanceUID)


def test_returns_the_offset_of_the_first_element_after_the_group(make_study):
    data = encoded(make_study().cts[0])
    pixels = data.index(b"\xe0\x7f\x10\0")
    assert read_header(data, 0x7FDF)[1] == pixels
    assert read_header(data[:pixels], 0x7FDF)[1] == pixels
    with pytest.raises((ValueError, struct.error)):
        read_header(data[: data.index(b"\x08\0\x08\0")] + b"\x08\0\x08\0SQ\0\0", LAST)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_never_reads_differently(make_study):
    """For any flipped bits the elements equal those of pydicom, or the file is reported as damaged."""
    data = encoded(with_sequences(make_study().cts[0], undefined=True))
    agreed = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        for place in rng.integers(132, 1400, 3):
            damaged[place] ^= 1 << int(rng.integers(8))
        try:
            quick = quick_header(bytes(damaged))
        except (ValueError, struct.error):
            continue
        try:
            slow = pydicom.filereader.read_partial(
                io.BytesIO(bytes(damaged)), stop_when=lambda tag, *_: tag >> 16 > LAST, force=True
            )
        except Exception:
            continue
        assert list(quick.dataset.keys()) == [tag for tag in slow.keys() if tag.group != 2]  # noqa: SIM118
        stored = {element.tag: element for element in slow.values()}
        for one in quick.dataset.values():
            if isinstance(other := stored[one.tag], RawDataElement):
                assert (one.VR, one.value) == (other.VR, other.value)
        agreed += 1
    assert agreed > 300
