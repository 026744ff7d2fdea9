"""The quick header reader: what pydicom would say, or nothing."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from components.preprocess.elements import quick_header

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
    quick, slow = quick_header(data, LAST), pydicom.dcmread(io.BytesIO(data))
    del slow.PixelData
    assert quick == slow
    assert quick.PatientName == "Öberg^Åke"
    assert (
        quick.ReferencedImageSequence[1].RequestAttributesSequence[0].ReferencedStudySequence[0].PatientComments == "Ä"
    )
    assert quick.file_meta == slow.file_meta


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
        assert list(quick.keys()) == list(slow.keys())
        for tag in slow.keys():  # noqa: SIM118
            one, other = quick.get_item(tag), slow.get_item(tag)
            if isinstance(other, RawDataElement):
                assert (one.VR, one.value) == (other.VR, other.value)
        agreed += 1
    assert agreed > 100
