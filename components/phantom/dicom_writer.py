"""Writes a phantom study as DICOM: a CT series and an RTSTRUCT (PS3.3 A.3 and A.19), with invented identity.

Every UID is derived from the cohort's arguments, never from a clock.
"""

import dataclasses
from pathlib import Path

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from components.phantom.identity import Identity
from components.phantom.lesion import Floats
from components.phantom.study import Structure, Study

DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
CONTOUR_DATA = Tag("ContourData")
CONTRAST_AGENT = "Iohexol 300"
COLOURS = {"GTV": "255\\0\\0", "PTV": "255\\160\\0", "EXTERNAL": "0\\200\\0", "ORGAN": "0\\160\\255"}


@dataclasses.dataclass(frozen=True, slots=True)
class Uids:
    """Makes the UIDs of one study, which are derived from ``root``."""

    root: str

    def of(self, *what: object) -> str:
        """The UID of one object in this study."""
        return str(generate_uid(entropy_srcs=["srs-response phantom", self.root, *map(str, what)]))


def write_study(folder: Path, study: Study, identity: Identity, uids: Uids) -> None:
    """Writes ``CT_001.dcm`` ... and ``RS.dcm`` into the new folder ``folder``."""
    folder.mkdir(parents=True)
    image = _ct(study, identity, uids)
    for index, (z, hu) in enumerate(zip(study.scan.z_mm, study.slices_hu(), strict=True)):
        image.SOPInstanceUID, image.InstanceNumber = uids.of("CT", index), index + 1
        image.ImagePositionPatient = [study.scan.first_mm[0], study.scan.first_mm[1], float(z)]
        image.SliceLocation = float(z)
        image.PixelData = study.scan.store(hu).tobytes()
        _write(folder / f"CT_{index + 1:03d}.dcm", image, study.scan.model.transfer_syntax)
    _write(folder / "RS.dcm", _rtstruct(study, identity, uids), ExplicitVRLittleEndian)


def _write(path: Path, dataset: Dataset, transfer_syntax: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta = meta
    dcmwrite(path, dataset, enforce_file_format=True)


def _common(identity: Identity, uids: Uids, modality: str) -> Dataset:
    """The attributes of patient, study and equipment that CT and RTSTRUCT share."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.Modality = modality
    dataset.PatientName = identity.name
    dataset.PatientID = identity.patient_id
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientSex = identity.sex
    dataset.PatientAge = f"{identity.age:03d}Y"
    dataset.PatientAddress = identity.address
    dataset.StudyInstanceUID = uids.of("study")
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = identity.study_date
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = identity.study_time
    dataset.StudyID = identity.accession[-4:]
    dataset.AccessionNumber = identity.accession
    dataset.ReferringPhysicianName = identity.physician
    dataset.StudyDescription = f"SYNTHETIC RT planning brain, {identity.name.split('^')[0]}"
    dataset.InstitutionName = f"{identity.institution} (SYNTHETIC)"
    dataset.FrameOfReferenceUID = uids.of("frame of reference")
    dataset.PositionReferenceIndicator = ""
    return dataset


def _ct(study: Study, identity: Identity, uids: Uids) -> Dataset:
    """The attributes that all slices share."""
    scan = study.scan
    image = _common(identity, uids, "CT")
    image.SOPClassUID = CTImageStorage
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SeriesInstanceUID, image.SeriesNumber = uids.of("CT series"), 2
    image.SeriesDescription = "SYNTHETIC Brain planning"
    if study.patient.conditions.contrast_agent:
        image.SeriesDescription, image.ContrastBolusAgent = "SYNTHETIC Brain CE planning", CONTRAST_AGENT
    image.ImageComments = "SYNTHETIC phantom, not a patient"
    image.Manufacturer, image.ManufacturerModelName = scan.model.manufacturer, scan.model.name
    image.StationName = identity.station
    image.AcquisitionNumber = 1
    image.KVP, image.SliceThickness = scan.protocol.tube_kv, scan.thickness_mm
    image.ConvolutionKernel = scan.protocol.kernel.name
    image.PatientPosition = "HFP" if scan.prone else "HFS"
    image.ImageOrientationPatient = [scan.step, 0, 0, 0, scan.step, 0]
    image.PixelSpacing = [scan.spacing_mm, scan.spacing_mm]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = scan.model.matrix
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = int(scan.model.signed)
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = scan.model.slope, scan.model.intercept, "HU"
    image.WindowCenter, image.WindowWidth = 40, 160
    return image


def _rtstruct(study: Study, identity: Identity, uids: Uids) -> Dataset:
    plan = _common(identity, uids, "RTSTRUCT")
    plan.SOPClassUID, plan.SOPInstanceUID = RTStructureSetStorage, uids.of("RTSTRUCT")
    plan.SeriesInstanceUID, plan.SeriesNumber = uids.of("RTSTRUCT series"), 3
    plan.SeriesDescription = "SYNTHETIC structures"
    plan.InstanceNumber = 1
    plan.Manufacturer, plan.ManufacturerModelName = "Northlight", "Planning"
    plan.StationName, plan.OperatorsName = identity.station, identity.physician
    plan.StructureSetLabel, plan.StructureSetName = "SYNTHETIC", "SRS"
    plan.StructureSetDate, plan.StructureSetTime = identity.study_date, identity.study_time
    plan.ApprovalStatus = "UNAPPROVED"
    plan.ReferencedFrameOfReferenceSequence = Sequence([_referenced_frame(study, uids)])
    rois = list(enumerate(study.structures(), start=1))
    plan.StructureSetROISequence = Sequence([_roi(number, one, uids) for number, one in rois])
    plan.ROIContourSequence = Sequence([_roi_contour(number, one, study, uids) for number, one in rois])
    plan.RTROIObservationsSequence = Sequence([_observation(number, one) for number, one in rois])
    return plan


def _referenced_frame(study: Study, uids: Uids) -> Dataset:
    frame, referenced_study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = uids.of("CT series")
    series.ContourImageSequence = Sequence([_image(uids, index) for index in range(study.scan.slices)])
    referenced_study.ReferencedSOPClassUID = DETACHED_STUDY
    referenced_study.ReferencedSOPInstanceUID = uids.of("study")
    referenced_study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = uids.of("frame of reference")
    frame.RTReferencedStudySequence = Sequence([referenced_study])
    return frame


def _image(uids: Uids, index: int) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CTImageStorage, uids.of("CT", index)
    return image


def _roi(number: int, structure: Structure, uids: Uids) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, structure.name
    roi.ReferencedFrameOfReferenceUID = uids.of("frame of reference")
    roi.ROIGenerationAlgorithm = "AUTOMATIC" if structure.kind in ("EXTERNAL", "PTV") else "MANUAL"
    return roi


def _roi_contour(number: int, structure: Structure, study: Study, uids: Uids) -> Dataset:
    roi = Dataset()
    roi.ROIDisplayColor = COLOURS.get(structure.kind, "255\\255\\0").split("\\")
    roi.ReferencedROINumber = number
    if structure.point_mm:
        roi.ContourSequence = Sequence([_contour(np.array([structure.point_mm]), "POINT")])
        return roi
    contours = []
    for index, points in structure.contours:
        contour = _contour(np.column_stack([points, np.full(len(points), study.scan.z_mm[index])]), "CLOSED_PLANAR")
        contour.ContourImageSequence = Sequence([_image(uids, index)])
        contours.append(contour)
    roi.ContourSequence = Sequence(contours)
    return roi


def _contour(points: Floats, kind: str) -> Dataset:
    """A contour of ``points`` [k, 3]. Its data is set as bytes, since pydicom takes 30 us to check each number."""
    contour = Dataset()
    contour.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding="iso8859")
    contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
    text = "\\".join(f"{value:.10g}" for value in points.ravel())
    data = (text + " " * (len(text) % 2)).encode("ascii")
    contour[CONTOUR_DATA] = RawDataElement(CONTOUR_DATA, "DS", len(data), data, 0, False, True)
    return contour


def _observation(number: int, structure: Structure) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType = structure.kind
    observation.ROIInterpreter = ""
    return observation
