"""Limits of a DICOM file: each is tested at the limit and one beyond, before any object is created."""

import contextlib
import io
import struct

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from components.common import limits
from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging import dicom_io, elements
from components.imaging.attributes import text
from components.imaging.dicom_io import read_dataset, read_headers, read_rtstruct
from components.imaging.elements import Header, read_header
from components.imaging.gtv import find_gtvs
from components.imaging.structure import OPENED, ElementBudget, Encoding, read_items
from tests.components.studies import circle, file_bytes, make_ct, new_dataset

SETTINGS = PreprocessSettings()
EMPTY_ITEM, ENDLESS_ITEM = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def code(files, **options):
    try:
        return next(candidate.code or "ok" for candidate in find_gtvs(MemoryStore(files), "", SETTINGS, **options))
    except TumourError as error:
        return error.code


def encoded(dataset, syntax, *, is_file=True):
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    options = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
    if not is_file:
        del dataset.file_meta
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=is_file, **options)
    return buffer.getvalue()


def undefined(dataset):
    """All sequences and items end at delimiters."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                undefined(item)


WITH_META = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("ends", ["length", "delimiter"])
@pytest.mark.parametrize(
    ("syntax", "is_file"),
    [*((syntax, True) for syntax in WITH_META), (ImplicitVRLittleEndian, False), (ExplicitVRLittleEndian, False)],
)
@pytest.mark.parametrize("keyword", ["StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"])
def test_items_are_counted_however_they_are_encoded(make_study, monkeypatch, syntax, is_file, ends, keyword):
    study = make_study({"GTV": {3.0: [circle(6, points=8)]}}, zs=[1.5, 3.0], shape=(32, 32))
    monkeypatch.setattr("components.imaging.structure.MAX_DICOM_ELEMENTS", 2_000)
    files = study.files()
    assert code(files) == "ok"
    rtstruct = study.rtstruct
    setattr(rtstruct, keyword, Sequence([*rtstruct.get(keyword, []), *(Dataset() for _ in range(1_000))]))
    if ends == "delimiter":
        undefined(rtstruct)
    files["RS0.dcm"] = encoded(rtstruct, syntax, is_file=is_file)
    made, make = [], Dataset.__init__
    monkeypatch.setattr(Dataset, "__init__", lambda self, *args, **more: made.append(1) or make(self, *args, **more))
    assert code(files) == "DICOM_TOO_LARGE"
    assert len(made) < 50


@pytest.mark.parametrize(("vr", "length"), [(b"SQ", None), (b"UN", None), (b"SQ", 0), (b"UN", 0)])
def test_items_of_private_sequences_do_not_stop_the_study_but_are_never_opened(make_study, monkeypatch, vr, length):
    study = make_study()
    files = study.files()
    items = EMPTY_ITEM * 2_500
    size = struct.pack("<L", 0xFFFFFFFF if length is None else len(items))
    private = struct.pack("<HH", 0x3007, 0x1001) + vr + b"\0\0" + size + items
    files["RS0.dcm"] += private + (SEQUENCE_END if length is None else b"")
    monkeypatch.setattr("components.imaging.structure.MAX_DICOM_ELEMENTS", 2_500)
    assert code(files) == ("DICOM_TOO_LARGE" if length is None else "ok")


def test_as_many_elements_as_the_limit_are_read_and_one_more_is_not(monkeypatch):
    data = file_bytes(make_ct(0.0, "1.2", "1.3", (1.0, 1.0), (8, 8)))
    count = len(read_header(data)[0].elements)
    monkeypatch.setattr("components.imaging.structure.MAX_DICOM_ELEMENTS", count)
    assert read_header(data)[0].budget.left == 0
    monkeypatch.setattr("components.imaging.structure.MAX_DICOM_ELEMENTS", count - 1)
    with pytest.raises(TumourError, match=rf"more than {count - 1} elements and items .DICOM_TOO_LARGE"):
        read_header(data)


@pytest.mark.parametrize("limit", ["MAX_HEADER_ELEMENTS", "MAX_IMAGE_ELEMENTS"])
def test_headers_and_images_have_bounds_of_their_own(monkeypatch, limit):
    source = MemoryStore({"a": file_bytes(make_ct(0.0, "1.2", "1.3", (1.0, 1.0), (8, 8)))})
    last_group = 0x2FFF if limit == "MAX_HEADER_ELEMENTS" else 0xFFFF
    header, _ = read_header(source.read("a"), last_group)

    def read():
        return read_headers(source, ["a"])[0] if limit == "MAX_HEADER_ELEMENTS" else read_dataset(source, "a")

    monkeypatch.setattr(dicom_io, limit, len(header.elements))
    assert read().dataset.Rows == 8 if limit == "MAX_HEADER_ELEMENTS" else read().Rows == 8
    monkeypatch.setattr(dicom_io, limit, len(header.elements) - 1)
    with pytest.raises(TumourError, match=f"more than {len(header.elements) - 1} elements and items"):
        raise found if isinstance(found := read(), TumourError) else AssertionError


def test_an_item_that_is_opened_counts_ten_times(monkeypatch):
    monkeypatch.setattr("components.imaging.structure.MAX_DICOM_ELEMENTS", 3 * OPENED)
    assert len(read_items(EMPTY_ITEM * 3, Encoding(implicit=True), ElementBudget(), 1)) == 3
    for four in (EMPTY_ITEM * 4, ENDLESS_ITEM * 4, bytes(8) * 4):
        with pytest.raises(TumourError, match="DICOM_TOO_LARGE"):
            read_items(four, Encoding(implicit=True), ElementBudget(), 1)


def test_the_limit_is_far_above_a_hundred_structures_of_three_hundred_contours():
    contours = 100 * 300
    passed = contours * (4 + 3)  # elements and items of a contour that names its slice
    assert contours * OPENED + 3 * passed < limits.MAX_DICOM_ELEMENTS


@pytest.mark.parametrize(
    ("depth", "expected"), [(limits.MAX_DICOM_DEPTH, "ok"), (limits.MAX_DICOM_DEPTH + 1, "DICOM_TOO_LARGE")]
)
def test_the_depth_of_nested_sequences_is_limited(make_study, depth, expected):
    study, inner = make_study(), Dataset()
    for _ in range(depth - 1):
        outer = Dataset()
        outer.ReferencedFrameOfReferenceSequence = Sequence([inner])
        inner = outer
    study.rtstruct.ReferencedFrameOfReferenceSequence = Sequence([inner])
    assert code(study.files()) == "ok"  # sequences of explicit length are not opened
    undefined(study.rtstruct)
    assert code(study.files()) == expected


def test_the_depth_of_nested_sequences_with_explicit_length_is_limited_when_they_are_opened():
    def opened(depth):
        items = b""
        for _ in range(depth):
            items = (
                struct.pack("<HHL", 0x0008, 0x1115, len(items) + 8)
                + EMPTY_ITEM[:4]
                + struct.pack("<L", len(items))
                + items
            )
        header = Header({0x00081115: ("SQ", items[8:])}, encoding=Encoding(implicit=True))
        header.check_size()

    opened(limits.MAX_DICOM_DEPTH)
    with pytest.raises(TumourError, match=f"more than {limits.MAX_DICOM_DEPTH} sequences inside each other"):
        opened(limits.MAX_DICOM_DEPTH + 1)


@pytest.mark.parametrize(
    ("vr", "values"),
    [
        ("LO", lambda n: b"\\" * n),
        ("UT", lambda n: b"\\" * n),
        ("US", lambda n: bytes(2 * n)),
        ("FD", lambda n: bytes(8 * n)),
    ],
)
def test_the_number_of_values_of_one_element_is_limited(vr, values):
    def data(count):
        item = values(count)
        return struct.pack("<HH2sHL", 0x0009, 0x1001, vr.encode() if vr != "LO" else b"UC", 0, len(item)) + item

    if vr in ("US", "FD"):  # their length takes 2 bytes where VRs are written: only without them they can be so long

        def data(count):
            tag = {"US": (0x0028, 0x0010), "FD": (0x0018, 0x9073)}[vr]
            return struct.pack("<HHL", *tag, len(values(count))) + values(count)

    head = struct.pack("<HHL", 0x0008, 0x0005, 0) if vr in ("US", "FD") else b"\x08\0\x05\0CS\0\0"
    assert read_header(head + data(limits.MAX_DICOM_VALUES))
    with pytest.raises(TumourError, match=f"more than {limits.MAX_DICOM_VALUES} values"):
        read_header(head + data(limits.MAX_DICOM_VALUES + 1))


def test_a_text_of_the_longest_length_is_read_and_one_byte_more_is_damage():
    def header(count):
        return Header({int(Tag("StudyDescription")): ("LO", b"x" * count)})

    assert len(text(header(limits.MAX_DICOM_TEXT_BYTES), "StudyDescription")) == limits.MAX_DICOM_TEXT_BYTES
    with pytest.raises(TumourError, match=f"StudyDescription is longer than {limits.MAX_DICOM_TEXT_BYTES} bytes"):
        text(header(limits.MAX_DICOM_TEXT_BYTES + 1), "StudyDescription")


@pytest.mark.parametrize("kind", ["header", "frames", "rtstruct"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_the_bytes_before_pixels_and_of_an_rtstruct_are_limited(monkeypatch, kind, syntax):
    dataset = new_dataset("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", syntax)
    dataset.add_new(0x00091001, "UN", bytes(40_000))
    dataset.add_new(0x40010010, "UN", bytes(8))
    source = MemoryStore({"a": file_bytes(dataset)})
    plain = dicom_io.inflate(source.read("a"))
    begins = plain.index(b"\x01\x40\x10\0")
    name, last, end = {
        "header": ("MAX_HEADER_BYTES", 0x2FFF, begins + 11),
        "frames": ("MAX_FRAMES_BYTES", 0x3FFF, begins + 11),
        "rtstruct": ("MAX_RTSTRUCT_BYTES", 0x7FDF, len(plain)),
    }[kind]

    def read():
        if kind == "rtstruct":
            return read_rtstruct(source, "a")
        (found,) = read_headers(source, ["a"], last)
        if isinstance(found, TumourError):
            raise found
        return found

    monkeypatch.setattr(dicom_io, name, end)
    assert text(read(), "Modality") == "RTSTRUCT"
    monkeypatch.setattr(dicom_io, name, end - 1)
    with pytest.raises(TumourError, match="DICOM_TOO_LARGE"):
        read()


def test_a_header_that_never_ends_is_not_read_to_its_end(monkeypatch):
    dataset = make_ct(0.0, "1.2", "1.3", (1.0, 1.0), (8, 8))
    for number in range(200):
        dataset.add_new(0x00091001 + number, "UN", bytes(2_000))
    sizes = []

    class Watched(MemoryStore):
        def read_head(self, name, size):
            sizes.append(size)
            return super().read_head(name, size)

    monkeypatch.setattr(dicom_io, "MAX_HEADER_BYTES", 200_000)
    (found,) = read_headers(Watched({"a": file_bytes(dataset)}), ["a"])
    assert found.code == "DICOM_TOO_LARGE"
    assert max(sizes) == 200_001


def test_an_rtstruct_that_is_too_large_is_not_reported_as_missing(make_study, monkeypatch):
    files = make_study().files()
    place = files["RS0.dcm"].index(b"\x08\0\x16\0")
    files["RS0.dcm"] = files["RS0.dcm"][:place] + b"\x08\0\x05\0CS\0\0" * 500 + files["RS0.dcm"][place:]
    monkeypatch.setattr("components.imaging.structure.MAX_DICOM_ELEMENTS", 400)
    with pytest.raises(TumourError, match=r"more than 400 elements and items .DICOM_TOO_LARGE"):
        find_gtvs(MemoryStore(files), "", SETTINGS)


@pytest.mark.parametrize(("frames", "expected"), [(0, "DICOM_DAMAGED"), (3, "ROI_EMPTY"), (4, "DICOM_TOO_LARGE")])
def test_the_number_of_frames_is_at_least_one_and_limited(make_study, monkeypatch, frames, expected):
    monkeypatch.setattr("components.imaging.ct.MAX_FRAMES", 3)
    study = make_study({"GTV": {}})
    series, frame_of_reference = study.cts[0].SeriesInstanceUID, study.cts[0].FrameOfReferenceUID
    image = new_dataset("1.2.840.10008.5.1.4.1.1.2.1", "CT")
    image.ImageType, image.SeriesInstanceUID, image.FrameOfReferenceUID = ["ORIGINAL"], series, frame_of_reference
    image.Rows = image.Columns = 8
    image.PerFrameFunctionalGroupsSequence = Sequence([a_frame(float(z)) for z in range(frames)])
    study.cts = [image]
    assert code(study.files()) == expected


def a_frame(z):
    frame, position, orientation, measures = (Dataset() for _ in range(4))
    position.ImagePositionPatient, measures.PixelSpacing = [0.0, 0.0, z], [1.0, 1.0]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    frame.PlanePositionSequence, frame.PlaneOrientationSequence = Sequence([position]), Sequence([orientation])
    frame.PixelMeasuresSequence = Sequence([measures])
    return frame


def test_sequences_beside_the_pixels_are_counted_before_pydicom_reads_the_file(monkeypatch):
    dataset = make_ct(0.0, "1.2", "1.3", (1.0, 1.0), (8, 8))
    dataset.ReferencedImageSequence = Sequence([Dataset() for _ in range(300)])
    source = MemoryStore({"a": file_bytes(dataset)})
    assert read_dataset(source, "a").Rows == 8
    monkeypatch.setattr("components.imaging.structure.MAX_DICOM_ELEMENTS", 2_000)
    monkeypatch.setattr("components.imaging.dicom_io.pydicom.dcmread", lambda *_, **__: pytest.fail("it is read"))
    with pytest.raises(TumourError, match="DICOM_TOO_LARGE"):
        read_dataset(source, "a")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pydicom_creates_no_more_elements_from_a_damaged_file_than_were_counted(make_study, monkeypatch):
    """For any flipped bytes, pydicom creates no more elements than were counted before."""
    study = make_study({"GTV": {3.0: [circle(6, points=8)] * 4}}, zs=[3.0], shape=(8, 8))
    undefined(study.rtstruct)
    data = file_bytes(study.rtstruct)
    made, make = [], Dataset.__init__
    monkeypatch.setattr(Dataset, "__init__", lambda self, *args, **more: made.append(1) or make(self, *args, **more))
    agreed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        for place in rng.integers(132, len(data), 4):
            damaged[place] ^= 1 << int(rng.integers(8))
        made.clear()
        try:
            count = limits.MAX_DICOM_ELEMENTS - read_header(bytes(damaged))[0].budget.left
        except (ValueError, struct.error):
            continue
        with contextlib.suppress(Exception):
            pydicom.dcmread(io.BytesIO(bytes(damaged)), force=True)
        assert len(made) <= count + 8  # those of the file itself
        agreed += len(made) > 12
    assert agreed > 100


# --- contours ---


def contoured(make_study, structures, contours, points):
    study = make_study(
        {f"GTV{n}": {3.0: [circle(6 + k / 9, points=points) for k in range(contours)]} for n in range(structures)}
    )
    return study.source()


@pytest.mark.parametrize(
    ("name", "keeps"), [("MAX_CONTOURS", 4), ("MAX_POINTS", 40), ("MAX_CONTOURS_IN_ALL", 8), ("MAX_POINTS_IN_ALL", 80)]
)
def test_contours_and_points_of_one_gtv_and_of_all_are_limited(make_study, monkeypatch, name, keeps):
    source = contoured(make_study, structures=2, contours=4, points=10)
    monkeypatch.setattr(f"components.imaging.contours.{name}", keeps)
    assert "CONTOURS_TOO_MANY" not in [candidate.code for candidate in find_gtvs(source, "", SETTINGS)]
    monkeypatch.setattr(f"components.imaging.contours.{name}", keeps - 1)
    codes = [candidate.code for candidate in find_gtvs(source, "", SETTINGS)]
    assert codes[-1] == "CONTOURS_TOO_MANY"
    assert (codes[0] == "CONTOURS_TOO_MANY") == (not name.endswith("IN_ALL"))
    with pytest.MonkeyPatch.context() as inner:
        inner.setattr("components.imaging.contours.read_contour", lambda _: pytest.fail("numbers are made"))
        if not name.endswith("IN_ALL"):
            find_gtvs(source, "", SETTINGS)


def test_work_on_outlines_is_limited_for_all_gtvs_together(make_study, monkeypatch):
    rng = np.random.default_rng(0)
    study = make_study({f"GTV{n}": {3.0: [rng.uniform(-15, 15, (300, 2))]} for n in range(4)})
    alone = {c.code for c in find_gtvs(study.source(), "", SETTINGS)}
    assert "CONTOURS_TOO_MANY" not in alone
    monkeypatch.setattr("components.imaging.scan_lines.MAX_CROSSINGS", 100_000)
    codes = [c.code for c in find_gtvs(study.source(), "", SETTINGS)]
    assert codes[0] != "CONTOURS_TOO_MANY"
    assert codes[-1] == "CONTOURS_TOO_MANY"


def test_an_outline_folded_across_a_huge_slice_is_refused_before_it_takes_minutes(make_study, monkeypatch):
    fold = np.column_stack([np.linspace(-1, 1, 3_000), np.where(np.arange(3_000) % 2, 15.0, -15.0)])
    study = make_study({"GTV": {3.0: [fold]}}, zs=[1.5, 3.0], spacing=(0.1, 0.1), shape=(400, 400))
    monkeypatch.setattr("components.imaging.scan_lines.MAX_CROSSINGS", 1_000_000)
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    assert candidate.code == "CONTOURS_TOO_MANY"


def test_the_cache_of_character_sets_is_bounded():
    for _ in range(100):
        with pytest.raises(ValueError):  # noqa: PT011
            Header({0x00080005: ("CS", generate_uid().encode() * 30)})
    assert elements._character_sets.cache_info().maxsize == 64
