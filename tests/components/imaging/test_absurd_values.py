"""Absurd values in DICOM attributes are read, or refused by an SrsError that names the attribute; never a crash."""

import io

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from components.common.errors import InputError, TumourError
from components.common.limits import MAX_SPACING_MM, MIN_SPACING_MM
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.gtv import find_gtvs
from tests.components.studies import circle, file_bytes

SETTINGS = PreprocessSettings()
OF_CT = (
    *("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber"),
    *("NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("ImageType", "PatientName", "PlanarConfiguration"),
)
OF_RTSTRUCT = ("SOPInstanceUID", "FrameOfReferenceUID", "StructureSetLabel")
OF_STRUCTURE = ("ROINumber", "ROIName", "ReferencedFrameOfReferenceUID")
OF_CONTOUR = ("ContourGeometricType", "NumberOfContourPoints", "ContourData")

NUMBERS = st.one_of(
    st.sampled_from(["0", "-0", "1", "-1", "0.5", "2", "64", "65535", "1e-320", "5e-324", "1e-200", "1e-9", "1e5"]),
    st.sampled_from(["1e9", "1e200", "1e308", "1e400", "-1e30", "nan", "inf", "-inf", "1_0", "0x10", "1,5", "\u0663"]),
    st.just("9" * 4000),
    st.floats(allow_nan=True).map(str),
    st.integers(-(10**12), 10**12).map(str),
)
TEXTS = st.one_of(
    st.lists(NUMBERS, max_size=7).map("\\".join),
    st.lists(st.text(max_size=6), max_size=4).map("\\".join),
    st.sampled_from(["", " ", "\0", "\\", "RGB", "PALETTE COLOR", "MONOCHROME1", "ISO 2022 IR 149", "utf-7"]),
    st.just("1" * 20_000),
    st.just("\\".join("1" * 9_000)),
).map(lambda text: text.encode("utf-8", errors="replace"))
VALUES = st.one_of(TEXTS, st.binary(max_size=9), st.integers(0, 2**16 - 1).map(lambda n: n.to_bytes(2, "little")))


def put(item, keyword, value):
    """An encoded attribute of any length and content."""
    tag, vr = Tag(tag_for_keyword(keyword)), dictionary_VR(keyword)[:2]
    value += b" " * (len(value) % 2)
    item[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def outcome(files):
    try:
        return {candidate.code or "ok" for candidate in find_gtvs(MemoryStore(files), "", SETTINGS)}
    except InputError as error:
        return {error.code}


@pytest.fixture
def study(make_study):
    return make_study({"GTV": {z: [circle(6, points=8)] for z in (3.0, 4.5)}}, zs=np.arange(1, 5) * 1.5, shape=(32, 32))


def changed(data, kind, keyword, value):
    """A file with the encoded attribute in one of its parts."""
    dataset = pydicom.dcmread(io.BytesIO(data))  # only what was read is written without being decoded
    item = dataset
    if kind == "structure":
        item = dataset.StructureSetROISequence[0]
    if kind == "contour":
        item = dataset.ROIContourSequence[0].ContourSequence[0]
    put(item, keyword, value)
    return file_bytes(dataset)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own
@pytest.mark.parametrize("kind", ["series", "slice", "rtstruct", "structure", "contour"])
def test_any_value_gives_a_result_or_an_srs_error(study, kind):
    good = study.files()
    names = {"series": [name for name in good if name.startswith("CT")], "slice": ["CT/001.dcm"]}.get(kind, ["RS0.dcm"])
    keywords = {"rtstruct": OF_RTSTRUCT, "structure": OF_STRUCTURE, "contour": OF_CONTOUR}.get(kind, OF_CT)
    outcomes = set()

    @settings(max_examples=40, database=None)
    @given(st.sampled_from(keywords), VALUES)
    def try_value(keyword, value):
        outcomes.update(outcome(good | {name: changed(good[name], kind, keyword, value) for name in names}))

    try_value()
    assert len(outcomes) > 1


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("value", [b"utf-7     ", b"ISO_IR 999", b"\\\\\\\\\\\\\\\\\\\\", b"\xff" * 10, b"ISO 2022  "])
def test_odd_character_sets_give_a_result_or_an_srs_error(study, value):
    study.rtstruct.SpecificCharacterSet = "ISO_IR 100"
    files = study.files()
    files["RS0.dcm"] = files["RS0.dcm"].replace(b"ISO_IR 100", value)
    assert outcome(files)


ABSURD = [
    *[("PixelSpacing", value) for value in ("1e-320\\1e-320", "1e9\\1e9", "nan\\nan", "-1\\-1", "1e-320\\1", "inf\\1")],
    ("PixelSpacing", "1_0\\1_0"),
    *[("ImagePositionPatient", value) for value in ("1e9\\1e9\\1e9", "nan\\0\\0", "0\\0", "")],
    *[("ImageOrientationPatient", value) for value in ("9\\0\\0\\0\\9\\0", "1\\0\\0\\0\\1", "inf\\0\\0\\0\\1\\0")],
]


@pytest.mark.parametrize(("keyword", "value"), ABSURD)
def test_absurd_geometry_names_the_attribute(study, keyword, value):
    files = {
        name: changed(data, "slice", keyword, value.encode()) if name.startswith("CT") else data
        for name, data in study.files().items()
    }
    with pytest.raises(TumourError, match=keyword) as caught:
        find_gtvs(MemoryStore(files), "", SETTINGS)
    assert caught.value.code == "DICOM_DAMAGED"
    assert value[:7] not in caught.value.safe_message or not value


def test_zero_directions_are_no_axial_slice(study):
    for ct in study.cts:
        put(ct, "ImageOrientationPatient", b"0\\0\\0\\0\\0\\0")
    with pytest.raises(TumourError, match="OBLIQUE"):
        find_gtvs(study.source(), "", SETTINGS)


@pytest.mark.parametrize("end", [0, 1])
def test_a_spacing_at_either_end_of_its_range_is_read_and_one_beyond_is_not(make_study, end):
    def of(spacing_mm):
        side = spacing_mm * 8
        return make_study({"GTV": {3.0: [circle(side / 4)], 4.5: [circle(side / 4)]}}, spacing=(spacing_mm, spacing_mm))

    limit = MAX_SPACING_MM if end else MIN_SPACING_MM
    assert outcome(of(limit).files()) <= {"ok", "TOO_SMALL", "TOO_LARGE", "WIDER_THAN_CROP", "ROI_EMPTY"}
    assert outcome(of(limit * (0.99, 1.01)[end]).files()) == {"DICOM_DAMAGED"}


@pytest.mark.parametrize(("side", "is_read"), [(2, True), (1, False), (4096, True), (4097, False)])
def test_rows_beyond_their_range_are_refused(study, side, is_read):
    for ct in study.cts[:1]:  # no slice of the tumour
        ct.Rows = side
    codes = outcome(study.files())
    assert codes == ({"ok"} if is_read else {"DICOM_DAMAGED"})


@pytest.mark.parametrize(
    ("keyword", "value", "code", "words"),
    [
        ("PhotometricInterpretation", "PALETTE COLOR", "NOT_HU", "MONOCHROME2"),
        ("PhotometricInterpretation", "RGB", "NOT_HU", "MONOCHROME2"),
        ("SamplesPerPixel", 3, "NOT_HU", "MONOCHROME2"),
        ("SamplesPerPixel", 0, "NOT_HU", "MONOCHROME2"),
        ("BitsAllocated", 1, "DICOM_DAMAGED", "BitsAllocated"),
        ("BitsAllocated", 64, "DICOM_DAMAGED", "BitsAllocated"),
        ("NumberOfFrames", 2, "DICOM_DAMAGED", "NumberOfFrames"),
        ("NumberOfFrames", 10**9, "DICOM_DAMAGED", "NumberOfFrames"),
    ],
)
def test_an_image_without_grey_values_is_refused_before_a_pixel_is_decoded(
    study, monkeypatch, keyword, value, code, words
):
    monkeypatch.setattr("components.imaging.pixels.stored_pixels", lambda *_, **__: pytest.fail("it is read"))
    for ct in study.cts:
        setattr(ct, keyword, value)
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    assert candidate.code == code
    assert words in candidate.message


def test_slices_at_almost_one_position_are_duplicates(study):
    for index, ct in enumerate(study.cts):
        ct.ImagePositionPatient = [-15.5, -15.5, 4.5 + index * 1e-9]
    assert outcome(study.files()) <= {"DUPLICATE_SLICE", "CONTOUR_WITHOUT_SLICE", "CONTOUR_OFF_PLANE"}


@pytest.mark.parametrize("digits", [b"9" * 4000, b"9" * 20_000, b"1e400", b"1_0", b"-1.1e5"])
def test_a_coordinate_of_absurd_length_is_a_damaged_contour(study, digits):
    study.rtstruct.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = 3
    files = study.files()
    files["RS0.dcm"] = changed(files["RS0.dcm"], "contour", "ContourData", b"\\".join([digits, b"0", b"3.0"] * 3))
    assert outcome(files) == {"CONTOUR_DAMAGED"}
