"""Multi-frame CT objects made of the slices of a study."""

import copy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

ENHANCED, LEGACY = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"


def group(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def multi_frame(cts, sop_class, *, names_sources=False, per_frame=False):
    """The slices as the frames of one object; what they share is in the shared group, or in each frame's."""
    whole = copy.deepcopy(cts[0])
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = sop_class
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    shared, frames = Dataset(), [Dataset() for _ in cts]
    for frame, ct in zip(frames, cts, strict=True):
        frame.PlanePositionSequence = group(ImagePositionPatient=ct.ImagePositionPatient)
        frame.UnassignedPerFrameConvertedAttributesSequence = group(InstanceNumber=7)
        if names_sources:
            frame.ConversionSourceAttributesSequence = group(
                ReferencedSOPClassUID=ct.SOPClassUID, ReferencedSOPInstanceUID=ct.SOPInstanceUID
            )
    for target in frames if per_frame else [shared]:
        target.PlaneOrientationSequence = group(ImageOrientationPatient=cts[0].ImageOrientationPatient)
        target.PixelMeasuresSequence = group(PixelSpacing=cts[0].PixelSpacing)
        target.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    whole.SharedFunctionalGroupsSequence = Sequence([] if per_frame else [shared])
    whole.PerFrameFunctionalGroupsSequence = Sequence(frames)
    whole.NumberOfFrames = len(cts)
    whole.PixelData = b"".join(ct.PixelData for ct in cts)
    for keyword in ("Position", "Orientation"):
        delattr(whole, f"Image{keyword}Patient")
    del whole.PixelSpacing, whole.RescaleSlope, whole.RescaleIntercept
    return whole
