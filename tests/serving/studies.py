"""A planning CT and RTSTRUCT small enough for a test: a bright ball in a box, contoured as GTV."""

import io
import zipfile

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

SIDE_PX, SPACING_MM, THICKNESS_MM, PLANES = 96, 0.75, 2.0, 14
ORIGIN_MM = (-36.0, -40.0, 10.0)
CENTRE_MM = np.array([2.0, -4.0, 22.0])
PATIENT_NAME, PATIENT_ID = "Doe^Never^Logged", "SECRET-8127364"


def study_files(radius_mm: float = 8.0, rois: tuple[str, ...] = ("GTV",), slices: int = PLANES) -> dict[str, bytes]:
    """Name -> bytes of the slices and the RTSTRUCT; each ROI is the same circle on each of its planes."""
    frame, series, study = generate_uid(), generate_uid(), generate_uid()
    common = {"StudyInstanceUID": study, "FrameOfReferenceUID": frame}
    common |= {"PatientName": PATIENT_NAME, "PatientID": PATIENT_ID}
    files, planes = {}, []
    for index in range(slices):
        slice_ = _slice(index, radius_mm, series, common)
        planes.append((slice_.SOPInstanceUID, ORIGIN_MM[2] + index * THICKNESS_MM))
        files[f"CT{index:02d}.dcm"] = _bytes(slice_)
    files["RS.dcm"] = _bytes(_rtstruct(planes, radius_mm, rois, series, common))
    return files


def study_zip(**options) -> bytes:
    """The files of ``study_files`` as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in study_files(**options).items():
            zipped.writestr(f"study/{name}", data)
    return buffer.getvalue()


def _slice(index: int, radius_mm: float, series: str, common: dict) -> FileDataset:
    z = ORIGIN_MM[2] + index * THICKNESS_MM
    y, x = (np.mgrid[:SIDE_PX, :SIDE_PX] * SPACING_MM) + np.array([ORIGIN_MM[1], ORIGIN_MM[0]])[:, None, None]
    inside = (x - CENTRE_MM[0]) ** 2 + (y - CENTRE_MM[1]) ** 2 + (z - CENTRE_MM[2]) ** 2 < radius_mm**2
    hu = 35 + 30 * inside + np.random.default_rng(index).normal(0, 6, inside.shape)
    hu[:, :4] = -1000  # every real slice has air
    one = _file(CTImageStorage, "CT", common)
    one.SeriesInstanceUID, one.InstanceNumber = series, index + 1
    one.ImagePositionPatient = [ORIGIN_MM[0], ORIGIN_MM[1], z]
    one.ImageOrientationPatient, one.ImageType = [1, 0, 0, 0, 1, 0], ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.PixelSpacing, one.SliceThickness = [SPACING_MM, SPACING_MM], THICKNESS_MM
    one.Rows = one.Columns = SIDE_PX
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
    one.PixelData = (np.round(hu) + 1024).astype("<i2").tobytes()
    return one


def _rtstruct(planes: list, radius_mm: float, rois: tuple[str, ...], series: str, common: dict) -> FileDataset:
    one = _file(RTStructureSetStorage, "RTSTRUCT", common)
    one.SeriesInstanceUID, one.StructureSetLabel = generate_uid(), "TEST"
    listed = [_item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=uid) for uid, _ in planes]
    of_series = _item(SeriesInstanceUID=series, ContourImageSequence=listed)
    of_study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=common["StudyInstanceUID"],
        RTReferencedSeriesSequence=[of_series],
    )
    frame = common["FrameOfReferenceUID"]
    one.ReferencedFrameOfReferenceSequence = [_item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[of_study])]
    one.StructureSetROISequence = [
        _item(ROINumber=n, ReferencedFrameOfReferenceUID=frame, ROIName=name, ROIGenerationAlgorithm="MANUAL")
        for n, name in enumerate(rois, 1)
    ]
    contours = [_contour(uid, z, radius_mm) for uid, z in planes if abs(z - CENTRE_MM[2]) < radius_mm - 0.5]
    one.ROIContourSequence = [_item(ReferencedROINumber=n, ContourSequence=contours) for n in range(1, len(rois) + 1)]
    return one


def _contour(uid: str, z: float, radius_mm: float) -> Dataset:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    r = np.sqrt(radius_mm**2 - (z - CENTRE_MM[2]) ** 2)
    points = np.column_stack([CENTRE_MM[0] + r * np.cos(angle), CENTRE_MM[1] + r * np.sin(angle), np.full(48, z)])
    return _item(
        ContourImageSequence=[_item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=uid)],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=48,
        ContourData=[f"{value:.3f}" for value in points.ravel()],
    )


def _file(sop_class: str, modality: str, common: dict) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID, one.Modality = sop_class, meta.MediaStorageSOPInstanceUID, modality
    for name, value in common.items():
        setattr(one, name, value)
    return one


def _item(**fields) -> Dataset:
    one = Dataset()
    for name, value in fields.items():
        setattr(one, name, value)
    return one


def _bytes(one: FileDataset) -> bytes:
    buffer = io.BytesIO()
    one.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
