"""Unusual values, and mutations of JSON, bytes, zips, DICOM datasets and protobuf messages by them."""

import copy
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

JSON: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 151, 1024, 2**31 - 1, 2**31, 2**53 + 1, 2**63, 2**64 - 1, 10**300),
    *(0.5, -0.0, 1e308, 1e-320, 3.5e38, -32769.0, 65536.0),
    *("", " ", "GTV", "gtv1", "1", "NaN", "\0", "é" * 100, "x" * 257, "1.2.840", "../", "data:;base64,", "UEsDBA=="),
    "=" * 9,
    *([], {}, [[]], [None], [{}], {"": None}, {"b64": ""}, {"b64": 1}, [1, "1"], [[1] * 151] * 151),
]
KEYS = ["instances", "crop_hu", "dicom_zip", "dicom_files", "roi", "rtstruct_uid", "inputs", "outputs", "parameters"]
KEYS += ["id", "name", "datatype", "shape", "data", "binary_data", "binary_data_size", "binary_data_output", "", "b64"]
TEXTS = ["crop_hu", "dicom_zip", "FP32", "BYTES", "FP64", "INT32", "BOOL", "probability", "members", "warnings"]


def deep(rng: random.Random) -> Any:
    """Lists or objects nested more deeply than a parser may support."""
    value: Any = copy.deepcopy(rng.choice(JSON))
    for _ in range(rng.choice((3, 30, 300))):
        value = [value] if rng.random() < 0.5 else {rng.choice(KEYS): value}
    return value


def json_value(rng: random.Random) -> Any:
    """Any JSON value, most often a short one."""
    kind = rng.random()
    if kind < 0.6:
        return copy.deepcopy(rng.choice(JSON))
    if kind < 0.8:
        return rng.choice(TEXTS)
    if kind < 0.85:
        return deep(rng)
    if kind < 0.95:
        return [copy.deepcopy(rng.choice(JSON)) for _ in range(rng.choice((1, 2, 9, 40)))]
    return {rng.choice(KEYS): copy.deepcopy(rng.choice(JSON)) for _ in range(3)}


def change_json(value: Any, rng: random.Random) -> Any:
    """A JSON value with one to four of its parts replaced, removed, repeated, wrapped or added."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 4))):
        holder, key = _place(value, rng)
        if holder is None:
            return json_value(rng)
        kind = rng.random()
        if kind < 0.5:
            holder[key] = json_value(rng)
        elif kind < 0.6:
            del holder[key]
        elif kind < 0.7:
            holder[key] = [holder[key]]
        elif isinstance(holder, dict):
            holder[rng.choice(KEYS)] = json_value(rng)
        else:
            holder.extend([holder[key]] * rng.choice((1, 2, 40)))
    return value


def _place(value: Any, rng: random.Random) -> tuple[Any, Any]:
    """A list or object within ``value``, and one of its keys."""
    holder, key = None, None
    while isinstance(value, dict | list) and value and (holder is None or rng.random() < 0.75):
        holder, key = value, rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        value = holder[key]
    return holder, key


def number(rng: random.Random, size: int) -> bytes:
    """A little-endian whole number of ``size`` bytes, often near a bound."""
    most = 256**size - 1
    value = rng.choice((0, 1, 2, 7, 8, 9, 12, 14, 20, 93, 255, most, most // 2, most // 2 + 1, rng.randint(0, most)))
    return min(value, most).to_bytes(size, "little")


#: Where the fields of a zip's records lie: signature -> (offset, bytes).
ZIP_FIELDS = {
    b"PK\x01\x02": [(at, 2) for at in (4, 6, 8, 10, 28, 30, 32, 34)] + [(at, 4) for at in (12, 16, 20, 24, 38, 42)],
    b"PK\x03\x04": [(at, 2) for at in (4, 6, 8, 26, 28)] + [(at, 4) for at in (10, 14, 18, 22)],
    b"PK\x05\x06": [(at, 2) for at in (4, 6, 8, 10, 20)] + [(at, 4) for at in (12, 16)],
}


def change_zip(data: bytes, rng: random.Random) -> bytes:
    """A zip with one to three fields of its records changed."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        signature = rng.choice(list(ZIP_FIELDS))
        offsets = [at for at in range(len(data) - 3) if data[at : at + 4] == signature] if len(data) < 4096 else []
        at = rng.choice(offsets) if offsets else data.rfind(signature)
        offset, size = rng.choice(ZIP_FIELDS[signature])
        changed[at + offset : at + offset + size] = number(rng, size)
    return bytes(changed)


ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ZIP_NAMES = ("", "/", "../x", "a/", "\0", "x" * 300, "é.dcm", "C:\\x", "a\\b", "DICOMDIR", "RS.dcm", "__MACOSX/._a.dcm")

_TEXT = (b"", b" ", b"x", b"\xff\xfe", b"\0\0", b"\\", b"\\\\\\", b"9" * 300, b"GTV", b"1.2.3", b"\x1b$B\x1b(J")
_TEXT += (b"a" * 5000,)
_FLOAT = (
    b"1" * 40,
    *rb"nan inf -inf 1e-320 1e-9 1e9 1e300 1e400 -1 0 0\0 1\2 1,5 1_0 1\ 0.75\1e-30 -0.75\0.75".split(),
)
_FLOAT += tuple(rb"1\0\0\0\1\0 0\0\0\0\0\0 1\0\0\1\0\0 1e9\1e9 1e-320\1e-320".split())
_WHOLE = (b"-1", b"0", b"1", b"2", b"1.5", b"1e3", b"2147483648", b"-2147483649", b"9" * 400, b"1\\2", b"0x10")
_CODES = (b"PALETTE COLOR", b"ORIGINAL\\PRIMARY\\LOCALIZER", b"ISO_IR 192", b"ISO 2022 IR 149")
_CODES += tuple(b"RGB MONOCHROME1 YBR_FULL POINT OPEN_PLANAR CLOSED_PLANAR CLOSED_PLANAR_XOR".split())
_CODES += tuple(b"CT MR RTSTRUCT GB18030 HU".split())
_UIDS = (b"1." + b"2" * 70, b"1..2", b"0", *(b"1.2.840.10008.5.1.4.1.1." + last for last in (b"2", b"2.1", b"481.3")))
_TEXT_VRS = ("CS", "LO", "SH", "PN", "DA", "TM", "ST", "LT", "UT", "AE", "AS", "DT", "UC", "UR")
#: VR -> values as a file holds them.
RAW = {
    **dict.fromkeys(("DS", "FL", "FD", "OF", "OD"), _FLOAT + _TEXT),
    **dict.fromkeys(("IS", "SL", "SS"), _WHOLE + _FLOAT + _TEXT),
    **dict.fromkeys(_TEXT_VRS, _CODES + _TEXT),
    **dict.fromkeys(("UI",), _UIDS + _TEXT),
    **dict.fromkeys(("OB", "OW", "UN", "OL", "OV"), (b"", b"\0", bytes(100), bytes(20_000), b"\xff" * 40_000)),
}
VRS = (*RAW, "US", "UL", "AT", "SQ", "UV", "SV", "XX", "\0\0")
#: Elements on which the reading of a study depends.
WORDS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "NumberOfFrames", "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType", "SliceThickness", "ImageType",
    "SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID", "Modality", "PixelPaddingValue",
    "SpecificCharacterSet", "PixelData", "ContourData", "ContourGeometricType", "NumberOfContourPoints", "ROIName",
    "ROINumber", "ReferencedROINumber", "ModalityLUTSequence", "PlanarConfiguration", "FloatPixelData",
    "GantryDetectorTilt", "InstanceNumber",
)  # fmt: skip


def change_dataset(dataset: Dataset, rng: random.Random) -> None:
    """A dataset with one to four of its elements, at any depth, changed in place."""
    levels = list(_levels(dataset))
    for _ in range(rng.choice((1, 1, 2, 4))):
        holder = rng.choice(rng.choice(levels))
        tags = [Tag(word) for word in WORDS] if rng.random() < 0.3 else list(holder.keys())
        tag = rng.choice(tags or [Tag("ROIName")])
        known = holder._dict.get(tag)
        if known is not None and rng.random() < 0.1:
            del holder[tag]
        elif isinstance(known, DataElement) and isinstance(known.value, Sequence):
            _change_items(known.value, rng)
        else:
            put(holder, tag, raw_value(known, rng), rng.choice(VRS) if rng.random() < 0.05 else "")


def _levels(dataset: Dataset) -> Iterator[list[Dataset]]:
    """The datasets at each depth: the whole first, then the items within it, and theirs."""
    level = [dataset]
    while level:
        yield level
        values = [element.value for one in level for element in one]
        level = [item for value in values if isinstance(value, Sequence) for item in value]


def _change_items(items: Sequence, rng: random.Random) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        items.clear()
    elif kind == 1 and items:
        items.extend([items[0]] * rng.choice((1, 5, 50)))
    elif kind == 2 and items:
        items.pop(rng.randrange(len(items)))
    else:
        items.append(Dataset())


def put(dataset: Dataset, tag: Any, value: bytes, vr: str = "") -> None:
    """Sets an element's raw bytes, whether or not its VR allows them."""
    known = dataset._dict.get(Tag(tag))
    vr = vr or (known.VR if known is not None and known.VR else "UN")
    dataset._dict[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def raw_value(known: Any, rng: random.Random) -> bytes:
    """Unusual bytes for a ``known`` or unknown element, mostly padded to an even number."""
    vr = known.VR if known is not None and known.VR else rng.choice(list(RAW))
    choose: Callable[[], bytes] = lambda: rng.choice(RAW[vr])  # noqa: E731
    value = choose() if vr in RAW else number(rng, rng.choice((1, 2, 2, 2, 4)))
    if vr == "DS" and rng.random() < 0.3:
        value = b"\\".join(rng.choice(_FLOAT) for _ in range(rng.choice((2, 3, 6, 9, 144))))
    return value + b" " * (len(value) % 2) if rng.random() < 0.98 else value


def framed(frame: bytes, rng: random.Random) -> bytes:
    """A compressed frame with some bytes of its header, or of the rest, changed."""
    changed = bytearray(frame)
    for _ in range(rng.choice((0, 1, 1, 3, 10))):
        at = rng.randrange(min(len(changed), rng.choice((40, 200, 10**6))))
        size = rng.choice((1, 1, 2, 4))
        large = struct.pack(">I", rng.choice((0, 1, 60_000, 2**31)))[-size:]
        changed[at : at + size] = rng.choice((number(rng, size), large))
    return bytes(changed)
