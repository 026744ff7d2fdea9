"""Every supported codec, the checks of its frame headers, and the containment of damaged frames."""

import contextlib
import io
import itertools

import jpeg_ls
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from components.common.errors import TumourError
from components.common.limits import MAX_FRAGMENTS, MAX_JPEG_SEGMENTS, MAX_SLICE_COPIES, MAX_TILES
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.codecs import stored_pixels
from components.imaging.codestreams import describe
from components.imaging.gtv import find_gtvs
from tests.components.imaging.jpeg import encode, segment
from tests.components.studies import make_ct

SIDE = 32
SQUARE = [(-8, -8), (8, -8), (8, 8), (-8, 8)]
#: GDCM 3.2.6's own encoding of the samples below, 12 bits in 16, process 14 SV1.
GDCM_SAMPLES = [[24, 24, 30, 1064], [1084, 1100, 900, 24], [0, 4095, 2000, 1059]]
GDCM_FRAME = bytes.fromhex(
    "ffd8ffc3000b100003000401011100ffc4001b00000104030000000000000000000000000b00030a0c05080fffda000801010001"
    "0000e002e9e205109321a6f0931e1dff00fafa1052ffd900"
)


def slice_of(frame, syntax, shape=(SIDE, SIDE), bits=16, **changed):
    """A CT slice with a compressed frame, or with several."""
    ct = make_ct(0, "1.2", "1.3", (1, 1), shape)
    ct.BitsAllocated, ct.BitsStored, ct.HighBit = 16 if bits > 8 else 8, bits, bits - 1
    ct.PixelData = encapsulate([frame] if isinstance(frame, bytes) else frame, has_bot=False)
    ct["PixelData"].VR, ct["PixelData"].is_undefined_length = "OB", True
    ct.file_meta.TransferSyntaxUID = syntax
    for keyword, value in changed.items():
        setattr(ct, keyword, value)
    return ct


def read(ct):
    return stored_pixels(ct, 0, (ct.Rows, ct.Columns), is_multi_frame=False)


def refused(ct):
    with pytest.raises(TumourError) as error:
        read(ct)
    return error.value


def some_samples(shape=(SIDE, SIDE), bits=12):
    return np.random.default_rng(0).integers(0, 2**bits, shape).astype(np.uint16 if bits > 8 else np.uint8)


def jpeg_2000(samples, **options):
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "JPEG2000", irreversible=False, **{"no_jp2": True, **options})
    return buffer.getvalue()


def frames(samples):
    """The same samples by each lossless codec that can be written here."""
    shape = {"rows": samples.shape[0], "columns": samples.shape[1]}
    pixel = {"samples_per_pixel": 1, "bits_allocated": 16, "bits_stored": 16, "pixel_representation": 0}
    rle = get_encoder(RLELossless).encode(
        samples, **shape, **pixel, photometric_interpretation="MONOCHROME2", number_of_frames=1
    )
    return {
        JPEG2000Lossless: jpeg_2000(samples),
        JPEGLSLossless: bytes(jpeg_ls.encode_array(samples)),
        JPEGLossless: encode(samples),
        JPEGLosslessSV1: encode(samples, predictor=1),
        RLELossless: rle,
    }


LOSSLESS = (JPEG2000Lossless, JPEGLSLossless, JPEGLossless, JPEGLosslessSV1, RLELossless)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_lossless_codec_gives_back_its_samples(syntax):
    samples = some_samples()
    assert (read(slice_of(frames(samples)[syntax], syntax)) == samples).all()


def test_reads_what_gdcm_wrote():
    assert read(slice_of(GDCM_FRAME, JPEGLosslessSV1, (3, 4), 12)).tolist() == GDCM_SAMPLES


@settings(max_examples=15)
@given(st.integers(2, 16), st.integers(1, 7), st.integers(0, 3), st.integers(2, 9), st.integers(2, 9))
def test_jpeg_lossless_is_decoded_with_any_predictor_and_restart_interval(
    precision, predictor, restart_rows, rows, cols
):
    samples = some_samples((rows, cols), precision).astype(np.uint16)
    frame = encode(samples, precision, predictor, restart_rows)
    assert (read(slice_of(frame, JPEGLossless, (rows, cols), max(precision, 9))) == samples).all()


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


# --- frame headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLossless])
@pytest.mark.parametrize("shape", [(SIDE + 1, SIDE), (SIDE, SIDE - 1), (4096, SIDE)])
def test_a_frame_of_another_size_than_its_header_is_refused_before_it_is_decoded(syntax, shape, monkeypatch):
    monkeypatch.setattr("components.imaging.codecs.call", None)
    small = frames(some_samples((SIDE, SIDE)))[syntax]
    error = refused(slice_of(small, syntax, shape))
    assert (error.code, "another size" in error.safe_message) == ("DICOM_DAMAGED", True)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGBaseline8Bit])
def test_a_frame_of_three_components_is_refused_before_it_is_decoded(syntax, monkeypatch):
    monkeypatch.setattr("components.imaging.codecs.call", None)
    buffer = io.BytesIO()
    colours = Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8))
    colours.save(buffer, "JPEG2000" if syntax == JPEG2000Lossless else "JPEG")
    assert "components" in refused(slice_of(buffer.getvalue(), syntax, bits=8)).safe_message


def test_a_frame_of_more_tiles_than_any_slice_is_refused_and_the_most_are_read():
    most = jpeg_2000(some_samples((256, 256)), tile_size=(8, 8), num_resolutions=1)
    assert describe(most).tiles == MAX_TILES
    assert read(slice_of(most, JPEG2000Lossless, (256, 256))).shape == (256, 256)
    wider = some_samples((256, 264))
    more = jpeg_2000(wider, tile_size=(8, 8), num_resolutions=1)
    error = refused(slice_of(more, JPEG2000Lossless, wider.shape))
    assert f"at most {MAX_TILES}" in error.safe_message


def test_a_jp2_file_in_place_of_a_codestream_is_read_and_bounded_too():
    samples = some_samples()
    assert (read(slice_of(jpeg_2000(samples, no_jp2=False), JPEG2000Lossless)) == samples).all()
    assert refused(slice_of(jpeg_2000(some_samples((64, 64)), no_jp2=False), JPEG2000Lossless)).code == "DICOM_DAMAGED"


def test_segments_before_the_scan_are_counted():
    frame, comment = encode(some_samples()), segment(0xFE, b"")
    own = 3  # frame header, Huffman table, scan
    most = frame[:2] + comment * (MAX_JPEG_SEGMENTS - own) + frame[2:]
    assert describe(most).shape == (SIDE, SIDE)
    with pytest.raises(ValueError, match="no scan"):
        describe(most[:2] + comment + most[2:])


@pytest.mark.parametrize(
    "late", [segment(0xF8, b"\4\2\0\0\0\0"), segment(0xDC, b"\x10\0"), segment(0xC1, b"\x08\0\1\0\1\1")]
)
def test_a_size_declared_outside_the_frame_header_is_refused(late):
    frame = encode(some_samples())
    assert refused(slice_of(frame.replace(b"\xff\xda", late + b"\xff\xda", 1), JPEGLossless)).code == "DICOM_DAMAGED"


def test_rle_segments_must_match_the_bytes_of_a_sample():
    frame = frames(some_samples())[RLELossless]
    for count in (0, 1, 3, 15, 2**31):
        assert "segments" in refused(slice_of(count.to_bytes(4, "little") + frame[4:], RLELossless)).safe_message


def test_a_frame_larger_than_its_pixels_is_refused():
    frame = frames(some_samples())[JPEGLSLossless]
    room = 2 * 2 * SIDE * SIDE + 2**16
    assert (read(slice_of(frame + bytes(room - len(frame)), JPEGLSLossless)) == some_samples()).all()
    assert "larger" in refused(slice_of(frame + bytes(room - len(frame) + 2), JPEGLSLossless)).safe_message


def test_more_fragments_than_the_limit_are_refused():
    frame = frames(some_samples())[JPEGLSLossless]
    parts = [frame[at : at + 2] for at in range(0, len(frame), 2)]
    many = slice_of(parts, JPEGLSLossless)
    assert (read(many) == some_samples()).all()  # a class of one frame: all of them are its
    many.PixelData = encapsulate([b"\0\0"] * MAX_FRAGMENTS, has_bot=False)  # the offset table is an item too
    assert f"more than {MAX_FRAGMENTS} fragments" in refused(many).safe_message


@pytest.mark.parametrize("number_of_frames", ["0", "2", "120"])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, None])
def test_a_single_frame_class_must_have_one_frame(number_of_frames, syntax):
    ct = slice_of(frames(some_samples())[JPEGLSLossless], JPEGLSLossless)
    if syntax is None:
        ct = make_ct(0, "1.2", "1.3", (1, 1), (SIDE, SIDE))
    ct.NumberOfFrames = number_of_frames
    if number_of_frames == "0":  # as some writers of single-frame objects put it
        assert read(ct).shape == (SIDE, SIDE)
    else:
        assert "another number" in refused(ct).safe_message


@pytest.mark.parametrize("bits", [(16, 17, 16), (16, 12, 20), (64, 16, 15), (16, 0, 15), (1, 1, 0)])
def test_contradicting_bit_depths_are_refused(bits):
    ct = slice_of(frames(some_samples())[JPEGLSLossless], JPEGLSLossless)
    ct.BitsAllocated, ct.BitsStored, ct.HighBit = bits
    assert refused(ct).code == "DICOM_DAMAGED"


# --- syntaxes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", [HTJ2K, JPEGExtended12Bit])
def test_the_error_for_a_codec_that_is_not_installed_names_its_package(uid):
    error = refused(slice_of(b"abcd", uid))
    assert (error.code, "pylibjpeg-" in error.safe_message) == ("CODEC_MISSING", True)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.100", "1.2.3.4"])
def test_a_syntax_that_is_not_listed_is_refused_by_its_public_name(uid):
    error = refused(slice_of(b"abcd", uid))
    assert error.code == "CODEC_MISSING"
    assert "1.2.3.4" not in error.safe_message


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", LOSSLESS)
@settings(max_examples=10)
@given(data=st.data())
def test_a_damaged_frame_is_refused_or_decoded_and_affects_no_other(syntax, data):
    frame = bytearray(frames(some_samples((16, 16)))[syntax])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(frame[: data.draw(st.integers(2, len(frame)))])
    with contextlib.suppress(TumourError):
        assert read(slice_of(damaged, syntax, (16, 16))).shape == (16, 16)
    assert (read(slice_of(frames(some_samples())[syntax], syntax)) == some_samples()).all()


def test_a_frame_that_takes_too_long_is_ended_and_the_limit_named(monkeypatch):
    monkeypatch.setattr("components.imaging.codecs.DECODING_SECONDS", 0.02)
    monkeypatch.setattr("components.imaging.codecs.DECODING_PIXELS_PER_SECOND", 10**9)
    slow = slice_of(jpeg_2000(some_samples((1024, 1024))), JPEG2000Lossless, (1024, 1024))
    error = refused(slow)
    assert (error.code, "0.021 s" in error.safe_message) == ("PIXELS_TOO_COSTLY", True)


def test_a_frame_that_takes_too_much_memory_is_ended_and_the_limit_named(monkeypatch):
    monkeypatch.setattr("components.imaging.codecs.DECODING_BYTES", 2**20)
    monkeypatch.setattr("components.imaging.codecs.DECODING_BYTES_PER_PIXEL", 0)
    error = refused(slice_of(jpeg_2000(some_samples((1024, 1024))), JPEG2000Lossless, (1024, 1024)))
    assert (error.code, "1 MiB" in error.safe_message) == ("PIXELS_TOO_COSTLY", True)


def test_a_malicious_slice_excludes_its_tumour_and_does_not_end_the_run(make_study):
    """Preprocessing continues with the other tumours, including those of the same patient."""
    study = make_study({"GTV1": {3.0: [SQUARE]}, "GTV2": {9.0: [SQUARE]}})
    good = {one.roi_name: one for one in find_gtvs(study.source(), "", PreprocessSettings())}
    (poisoned,) = (ct for ct in study.cts if ct.ImagePositionPatient[2] == 3.0)
    poisoned.PixelData = encapsulate([encode(some_samples((4, 4)))])
    poisoned["PixelData"].VR, poisoned["PixelData"].is_undefined_length = "OB", True
    poisoned.file_meta.TransferSyntaxUID = JPEGLossless
    found = {one.roi_name: one for one in find_gtvs(study.source(), "", PreprocessSettings())}
    assert (found["GTV1"].status, found["GTV1"].code) == ("refused", "DICOM_DAMAGED")
    assert (found["GTV2"].crop == good["GTV2"].crop).all()


def test_copies_of_a_slice_are_compared_up_to_the_limit(make_study):
    """Each is decoded: a file of a few kilobytes, two thousand times, would take seconds."""
    study = make_study({"GTV": {3.0: [SQUARE]}})
    files = study.files()
    (drawn_on,) = (data for data in files.values() if b"\\3.0" in data[:2000] and b"RTSTRUCT" not in data[:2000])
    files |= {f"copy {number}": drawn_on for number in range(MAX_SLICE_COPIES)}
    assert find_gtvs(MemoryStore(files), "", PreprocessSettings())[0].status == "ok"
    (one,) = find_gtvs(MemoryStore({**files, "one more": drawn_on}), "", PreprocessSettings())
    assert (one.code, f"more than {MAX_SLICE_COPIES}" in one.message) == ("DICOM_TOO_LARGE", True)
