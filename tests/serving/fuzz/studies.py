"""Studies to send: reproducible zips, changed datasets, and slices in every codec that has an encoder."""

import io
import random
import zipfile
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import UID_dictionary

from tests.components.imaging import jpeg
from tests.serving.fuzz import odd

#: Transfer syntaxes that are written in another form than the others -> whether VRs are implicit, and little-endian.
ENCODINGS = {
    "1.2.840.10008.1.2": (True, True),
    "1.2.840.10008.1.2.2": (False, False),
    "1.2.840.10008.1.2.1.99": (False, True),
}
SYNTAXES = [uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"]


def zip_of(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A reproducible zip of name -> bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as zipped:
        for name, data in files.items():
            zipped.writestr(entry(name, compression), data)
    return buffer.getvalue()


def entry(name: str, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = compression
    return entry


def changed(data: bytes, rng: random.Random) -> bytes:
    """A DICOM file with some of its elements changed."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    odd.change_dataset(dataset, rng)
    if rng.random() < 0.1:
        dataset.file_meta.TransferSyntaxUID = rng.choice(SYNTAXES)
    elif rng.random() < 0.1:
        dataset.file_meta.TransferSyntaxUID = rng.choice(list(ENCODINGS))
    return _written(dataset, data)


def _written(dataset: Any, before: bytes) -> bytes:
    """A dataset's file; the first half of the file ``before`` if pydicom cannot write the invalid dataset."""
    buffer = io.BytesIO()
    try:
        implicit, little = ENCODINGS.get(dataset.file_meta.TransferSyntaxUID, (False, True))
        pydicom.dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=little)
    except Exception:  # whichever of pydicom's many
        return before[: len(before) // 2]
    return buffer.getvalue()


def compressed(data: bytes, uid: str, frames: bytes) -> bytes:
    """A slice with other pixel data, in another transfer syntax."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.PixelData = frames
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", bool(frames)
    return _written(dataset, data)


def frames_of(files: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """One slice in each codec for which there is an encoder: transfer syntax and frame."""
    import jpeg_ls

    pixels = pydicom.dcmread(io.BytesIO(files["CT06.dcm"])).pixel_array.astype(np.int32) + 0
    values = np.clip(pixels, 0, 2**16 - 1).astype(np.uint16)
    options = {"rows": 96, "columns": 96, "bits_allocated": 16, "bits_stored": 16, "samples_per_pixel": 1}
    options |= {"number_of_frames": 1, "pixel_representation": 0, "photometric_interpretation": "MONOCHROME2"}
    wavelets, cosines = io.BytesIO(), io.BytesIO()
    Image.fromarray(values).save(wavelets, "JPEG2000", no_jp2=True, irreversible=False)
    Image.fromarray((values >> 4).astype(np.uint8)).save(cosines, "JPEG")
    return [
        ("1.2.840.10008.1.2.5", RLELosslessEncoder.encode(values.tobytes(), **options)),
        ("1.2.840.10008.1.2.4.80", bytes(jpeg_ls.encode_array(values))),
        ("1.2.840.10008.1.2.4.90", wavelets.getvalue()),
        ("1.2.840.10008.1.2.4.50", cosines.getvalue()),
        ("1.2.840.10008.1.2.4.70", bytes(jpeg.encode(values))),
    ]
