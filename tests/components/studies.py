"""Small CT series and RTSTRUCTs written with pydicom, in which each test changes the attribute that it tests."""

import dataclasses
import io
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from components.common.store.memory import MemoryStore

CT = "1.2.840.10008.5.1.4.1.1.2"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
AIR, TISSUE, LESION = -1000, 30, 60


def circle(radius=8.0, x=0.0, y=0.0, points=64):
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


def file_bytes(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def new_dataset(sop_class, modality, syntax=ExplicitVRLittleEndian):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality = modality
    dataset.PatientName = "Lindqvist^Brunhilde"
    dataset.PatientID = "MRN-7781234"
    dataset.PatientBirthDate = "19510203"
    dataset.StudyInstanceUID = generate_uid()
    return dataset


@dataclasses.dataclass
class Study:
    """CT datasets from low to high z and RTSTRUCT datasets, to be changed before ``source()`` or ``write()``."""

    cts: list
    rtstructs: list

    @property
    def rtstruct(self):
        return self.rtstructs[0]

    def files(self):
        named = {f"CT/{i:03d}.dcm": ct for i, ct in enumerate(self.cts)}
        named |= {f"RS{i}.dcm": rtstruct for i, rtstruct in enumerate(self.rtstructs)}
        return {name: file_bytes(dataset) for name, dataset in named.items()}

    def of_patient(self, name):
        """The same study of another patient, with another identifier and other noise."""
        rng = np.random.default_rng(list(name.encode()))
        for dataset in (*self.cts, *self.rtstructs):
            dataset.PatientID = f"MRN-{name}"
        for ct in self.cts:
            pixels = np.frombuffer(ct.PixelData, "<u2")
            ct.PixelData = np.clip(pixels + rng.integers(-9, 10, pixels.shape), 0, None).astype("<u2").tobytes()
        return self

    def source(self):
        return MemoryStore(self.files())

    def write(self, folder):
        for name, data in self.files().items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def make_ct(z, series, frame, spacing, shape, orientation=(1, 0, 0, 0, 1, 0), centre=(0.0, 0.0), radius=8.0):
    dataset = new_dataset(CT, "CT")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = series, frame
    steps = np.array(orientation, dtype=float).reshape(2, 3)[:, :2]
    column_step, row_step = steps[0] * spacing[1], steps[1] * spacing[0]
    origin = -column_step * (shape[1] - 1) / 2 - row_step * (shape[0] - 1) / 2
    dataset.ImagePositionPatient = [float(origin[0]), float(origin[1]), float(z)]
    dataset.ImageOrientationPatient = list(orientation)
    dataset.PixelSpacing = list(spacing)
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    rows, cols = np.indices(shape)
    x = origin[0] + cols * column_step[0] + rows * row_step[0]
    y = origin[1] + cols * column_step[1] + rows * row_step[1]
    half = min(shape[0] * spacing[0], shape[1] * spacing[1]) / 2
    hu = np.where(np.hypot(x, y) < 0.95 * half, TISSUE, AIR)
    hu = np.where(np.hypot(x - centre[0], y - centre[1]) < radius, LESION, hu)
    dataset.PixelData = (hu + 1024).astype("<u2").tobytes()
    return dataset


def make_contour(points, z, uid="", kind="CLOSED_PLANAR"):
    contour = Dataset()
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(points)
    z = np.broadcast_to(z, len(points))
    contour.ContourData = [round(float(v), 4) for p, h in zip(points, z, strict=True) for v in (*p, h)]
    if uid:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CT, uid
        contour.ContourImageSequence = Sequence([image])
    return contour


def make_rtstruct(rois, frame, series):
    """``rois``: name -> list of contours, or None for a structure that is listed but has no contour item."""
    dataset = new_dataset(RTSTRUCT, "RTSTRUCT")
    dataset.StructureSetLabel = "planning"
    study, one, reference = Dataset(), Dataset(), Dataset()
    one.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = Sequence([one])
    reference.FrameOfReferenceUID, reference.RTReferencedStudySequence = frame, Sequence([study])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([reference])
    listed, drawn = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        item = Dataset()
        item.ROINumber, item.ROIName, item.ReferencedFrameOfReferenceUID = number, name.rstrip("*"), frame
        listed.append(item)
        if contours is not None:
            drawing = Dataset()
            drawing.ReferencedROINumber, drawing.ContourSequence = number, Sequence(contours)
            drawn.append(drawing)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(listed), Sequence(drawn)
    return dataset
