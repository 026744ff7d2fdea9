import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from skimage.draw import polygon2mask


def hu_of(image):
    return image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)


def contours_of(rtstruct, name):
    number = next(roi.ROINumber for roi in rtstruct.StructureSetROISequence if roi.ROIName == name)
    sequence = next(roi for roi in rtstruct.ROIContourSequence if roi.ReferencedROINumber == number)
    return sequence.ContourSequence


def points_of(contour):
    return np.array(contour.ContourData, float).reshape(-1, 3)


def gtv_names(rtstruct):
    return [roi.ROIName for roi in rtstruct.StructureSetROISequence if roi.ROIName.startswith("GTV")]


def to_pixels(points, image):
    step = np.array(image.ImageOrientationPatient, float)[[0, 4]]
    return (points[:, :2] - np.array(image.ImagePositionPatient, float)[:2]) / (step * float(image.PixelSpacing[0]))


def test_uids_are_unique_and_consistent(studies):
    instances, series = [], []
    for row, images, rtstruct in studies:
        everything = [*images.values(), rtstruct]
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
            assert len({str(dataset[keyword].value) for dataset in everything}) == 1
        assert len({image.SeriesInstanceUID for image in images.values()}) == 1
        assert row["rtstruct_uid"] == rtstruct.SOPInstanceUID
        assert all(d.SOPInstanceUID == d.file_meta.MediaStorageSOPInstanceUID for d in everything)
        instances += [dataset.SOPInstanceUID for dataset in everything]
        series += [next(iter(images.values())).SeriesInstanceUID, rtstruct.SeriesInstanceUID]
    assert len(set(instances)) == len(instances)
    assert len(set(series)) == len(series)
    assert all(uid.is_valid for uid in instances)


def test_rtstruct_refers_to_its_series(studies):
    for _, images, rtstruct in studies:
        frame = rtstruct.ReferencedFrameOfReferenceSequence[0]
        study = frame.RTReferencedStudySequence[0]
        series = study.RTReferencedSeriesSequence[0]
        image = next(iter(images.values()))
        assert frame.FrameOfReferenceUID == image.FrameOfReferenceUID
        assert study.ReferencedSOPInstanceUID == image.StudyInstanceUID
        assert series.SeriesInstanceUID == image.SeriesInstanceUID
        assert {one.ReferencedSOPInstanceUID for one in series.ContourImageSequence} == set(images)
        numbers = [roi.ROINumber for roi in rtstruct.StructureSetROISequence]
        assert [roi.ReferencedROINumber for roi in rtstruct.ROIContourSequence] == numbers
        assert [one.ReferencedROINumber for one in rtstruct.RTROIObservationsSequence] == numbers


def test_every_contour_lies_on_the_slice_that_it_references(studies):
    for _, images, rtstruct in studies:
        for roi in rtstruct.ROIContourSequence:
            for contour in roi.ContourSequence:
                points = points_of(contour)
                assert len(points) == contour.NumberOfContourPoints
                if contour.ContourGeometricType != "POINT":
                    image = images[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
                    np.testing.assert_allclose(points[:, 2], float(image.ImagePositionPatient[2]), atol=1e-6)
                    pixels = to_pixels(points, image)
                    assert (pixels > 0).all()
                    assert (pixels < image.Rows - 1).all()


def test_gtv_is_contoured_on_consecutive_planes_within_its_ptv(studies):
    for _, images, rtstruct in studies:
        thickness = float(next(iter(images.values())).SliceThickness)
        for name in gtv_names(rtstruct):
            gtv = [points_of(contour) for contour in contours_of(rtstruct, name)]
            ptv = {points[0, 2]: points for points in map(points_of, contours_of(rtstruct, name.replace("GTV", "PTV")))}
            np.testing.assert_allclose(np.diff([points[0, 2] for points in gtv]), thickness, atol=2e-3)
            for points in gtv:
                assert (np.ptp(ptv[points[0, 2]], axis=0)[:2] >= np.ptp(points, axis=0)[:2] - 0.1).all()


def test_other_structures_are_there(studies):
    names = [{roi.ROIName for roi in rtstruct.StructureSetROISequence} for _, _, rtstruct in studies]
    assert all({"External", "Isocentre"} < found for found in names)
    assert any("BrainStem" in found for found in names)
    assert len({name for _, _, rtstruct in studies for name in gtv_names(rtstruct)}) > 3


def test_pixels_are_hu_of_a_head_with_a_lesion_inside_the_contour(studies):
    inside, around = [], []
    for _, images, rtstruct in studies:
        contour = max(contours_of(rtstruct, gtv_names(rtstruct)[0]), key=lambda c: c.NumberOfContourPoints)
        image = images[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        hu = hu_of(image)
        assert hu.min() == pytest.approx(-1000, abs=60)
        assert hu.max() > 700
        pixels = to_pixels(points_of(contour), image)[:, ::-1]
        lesion = polygon2mask(hu.shape, pixels)
        ring = polygon2mask(hu.shape, pixels.mean(0) + 1.3 * (pixels - pixels.mean(0))) & ~lesion
        inside.append(np.median(hu[lesion]) if lesion.any() else np.nan)
        around.append(np.median(hu[ring]) if ring.any() else np.nan)
    assert 20 < np.nanmedian(around) < 45
    assert np.nanmedian(np.array(inside) - np.array(around)) > 10


def test_table_diameter_agrees_with_the_contours(cohort, studies):
    by_folder = {row["dicom"]: (images, rtstruct) for row, images, rtstruct in studies}
    for row in cohort.rows:
        images, rtstruct = by_folder[row["dicom"]]
        outlines = [points_of(c)[:, :2] for c in contours_of(rtstruct, row["roi"] or gtv_names(rtstruct)[0])]
        longest = max(np.linalg.norm(o[:, None] - o[None], axis=2).max() for o in outlines)
        spacing = float(next(iter(images.values())).PixelSpacing[0])
        assert row["longest_diameter_mm"] == "" or abs(float(row["longest_diameter_mm"]) - longest) < spacing
        assert row["roi"] in ["", *gtv_names(rtstruct)]
        assert row["roi"] or len(gtv_names(rtstruct)) == 1


def test_series_differ_in_format(studies):
    images = [next(iter(images.values())) for _, images, _ in studies]
    assert {i.file_meta.TransferSyntaxUID for i in images} == {ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}
    assert {image.PixelRepresentation for image in images} == {0, 1}
    assert {image.Rows for image in images} == {256, 512}
    assert len({(float(i.RescaleSlope), float(i.RescaleIntercept)) for i in images}) > 2
    assert len({float(image.PixelSpacing[0]) for image in images}) == len(images)
    assert len({float(image.SliceThickness) for image in images}) > 2


def test_headers_hold_identity_and_are_labelled_synthetic(studies):
    for row, images, rtstruct in studies:
        for dataset in (next(iter(images.values())), rtstruct):
            assert dataset.PatientID == row["patient_id"]
            for keyword in (
                "PatientName",
                "PatientBirthDate",
                "AccessionNumber",
                "ReferringPhysicianName",
                "StudyDate",
            ):
                assert str(dataset[keyword].value)
            assert "^" in str(dataset.PatientName)
            assert "SYNTHETIC" in dataset.InstitutionName
            assert "SYNTHETIC" in dataset.SeriesDescription
            assert "SYNTHETIC" in dataset.StudyDescription
        assert "SYNTHETIC" in next(iter(images.values())).ImageComments
        assert rtstruct.StructureSetLabel == "SYNTHETIC"


def test_a_patient_takes_few_megabytes_on_disk(cohort, studies):
    total = sum(path.stat().st_size for path in cohort.folder.rglob("*") if path.is_file())
    assert total / len(studies) < 400e6 / 110
