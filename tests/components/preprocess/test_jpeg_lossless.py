import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

from components.common.settings import PreprocessSettings
from components.preprocess import jpeg_lossless
from components.preprocess.gtv import find_gtvs
from components.preprocess.jpeg_lossless import decode_jpeg_lossless
from tests.components.preprocess.jpeg import TABLE, encode, segment

#: GDCM 3.2.6's own encoding of the samples below, 12 bits in 16, process 14 SV1.
GDCM_SAMPLES = [[24, 24, 30, 1064], [1084, 1100, 900, 24], [0, 4095, 2000, 1059]]
GDCM_FRAME = bytes.fromhex(
    "ffd8ffc3000b100003000401011100ffc4001b00000104030000000000000000000000000b00030a0c05080fffda000801010001"
    "0000e002e9e205109321a6f0931e1dff00fafa1052ffd900"
)


def test_reads_what_gdcm_wrote():
    samples = np.array(GDCM_SAMPLES)
    assert (decode_jpeg_lossless(GDCM_FRAME, samples.shape) == samples).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 16).flatmap(
        lambda precision: st.tuples(
            st.just(precision),
            hnp.arrays(
                np.uint16,
                hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
                elements=st.integers(0, 2**precision - 1),
            ),
        )
    ),
    st.integers(1, 7),
    st.integers(0, 3),
)
def test_any_slice_comes_back_whatever_its_predictor_and_restarts(slice_, predictor, restart_rows):
    precision, samples = slice_
    frame = encode(samples, precision, predictor, restart_rows)
    assert (decode_jpeg_lossless(frame, samples.shape) == samples).all()


def test_a_slice_longer_than_one_block_comes_back(monkeypatch):
    monkeypatch.setattr(jpeg_lossless, "BLOCK_BYTES", 16)
    samples = np.random.default_rng(1).integers(0, 2**16, (12, 17))
    assert (decode_jpeg_lossless(encode(samples), samples.shape) == samples).all()


def test_a_point_transform_loses_the_lowest_bits_only():
    samples = np.arange(24).reshape(4, 6) * 37
    frame = encode(samples, precision=12, predictor=4, point_transform=2)
    assert (decode_jpeg_lossless(frame, samples.shape) == samples // 4 * 4).all()


def refused(frame, shape):
    with pytest.raises(ValueError):  # noqa: PT011 - it has no words: DICOM_DAMAGED has them
        decode_jpeg_lossless(frame, shape)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_frame_is_a_value_error_or_a_slice_and_nothing_else(data):
    frame = bytearray(
        encode(np.arange(40).reshape(5, 8) * 99, 12, data.draw(st.integers(1, 7)), data.draw(st.integers(0, 2)))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frame = bytes(frame[: data.draw(st.integers(0, len(frame)))])
    with contextlib.suppress(ValueError):
        assert decode_jpeg_lossless(frame, (5, 8)).shape == (5, 8)


def test_refuses_another_shape_a_cut_frame_and_another_process():
    samples = np.arange(40).reshape(5, 8) * 99
    frame = encode(samples, 12)
    refused(frame, (8, 5))
    refused(frame[: len(frame) // 2], (5, 8))
    refused(frame.replace(b"\xff\xc3", b"\xff\xc0"), (5, 8))
    refused(b"", (5, 8))


@pytest.mark.parametrize(
    "filling",
    [
        b"\xff" * 2**20,
        b"\xff\0" * 2**19,
        b"\xff\xd0" * 2**19,
        segment(0xC4, (b"\0" + TABLE) * 1000) * 20,
        b"\xff\x01" * 2**19,
    ],
)
def test_a_frame_that_is_large_for_its_slice_is_soon_refused(filling):
    """Each may take time by the square of its length, or by what it defines: for pytest's own time limit to find."""
    frame = encode(np.zeros((300, 300)), 12)
    scan = frame.index(b"\xff\xda") + 10
    for place in (2, scan, scan + 100):
        with contextlib.suppress(ValueError):
            decode_jpeg_lossless(frame[:place] + filling + frame[place:], (300, 300))


def compress(study, uid, precision, mask=0xFFFF):
    for ct in study.cts:
        stored = np.frombuffer(ct.PixelData, "<u2").reshape(ct.Rows, ct.Columns) & mask
        frame = encode(stored, precision)
        ct.PixelData = encapsulate([frame], fragments_per_frame=2 if uid == JPEGLossless else 1)
        ct["PixelData"].VR, ct["PixelData"].is_undefined_length = "OB", True
        ct.file_meta.TransferSyntaxUID = uid


@pytest.mark.parametrize(("uid", "masked"), list(itertools.product([JPEGLossless, JPEGLosslessSV1], [False, True])))
def test_jpeg_lossless_studies_are_read(make_study, uid, masked):
    """Signed values of 12 bits too, whether the encoder has written their sign into the bits above or not."""
    study = make_study(
        {"GTV": {3.0: [[(-8, -8), (8, -8), (8, 8), (-8, 8)]]}}, shape=(40, 40), zs=[1.5, 3.0, 4.5], radius=20
    )
    for ct in study.cts:
        hu = np.frombuffer(ct.PixelData, "<u2").astype(int) - 1024
        ct.PixelRepresentation, ct.RescaleIntercept, ct.BitsStored, ct.HighBit = 1, 0, 12, 11
        ct.PixelData = hu.astype("<i2").tobytes()
    (plain,) = find_gtvs(study.source(), "", PreprocessSettings())
    compress(study, uid, *((12, 0xFFF) if masked else (16,)))
    (candidate,) = find_gtvs(study.source(), "", PreprocessSettings())
    assert (candidate.status, candidate.hu_mean) == ("ok", pytest.approx(60))
    assert (candidate.crop == plain.crop).all()


def test_a_damaged_frame_is_a_damaged_file(make_study):
    study = make_study()
    for ct in study.cts:
        ct.PixelData, ct.file_meta.TransferSyntaxUID = encapsulate([b"abcd"]), JPEGLosslessSV1
        ct["PixelData"].is_undefined_length = True
    (candidate,) = find_gtvs(study.source(), "", PreprocessSettings())
    assert candidate.code == "DICOM_DAMAGED"
