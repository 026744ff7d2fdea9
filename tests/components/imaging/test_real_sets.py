"""Public CT sets; the expected numbers were computed with scikit-image, not with this project's code."""

import csv

import pytest

from components.common.errors import TumourError
from components.common.settings import PreprocessSettings
from components.common.store.folder import FolderStore
from components.imaging.gtv import find_gtvs

LARGEST = PreprocessSettings(slice_rule="largest")


def expected(real_sets, name, roi):
    with (real_sets / "EXPECTED.csv").open() as file:
        return next(row for row in csv.DictReader(file) if (row["set"], row["roi"]) == (name, roi))


@pytest.mark.parametrize(
    ("name", "roi", "code", "scan"),
    [
        ("sts_008", "GTV_Mass_CT", "TOO_LARGE", (140, 3.27, "soft")),  # GE, SOFT
        ("sts_019", "GTV_Mass_CT", "", (140, 3.27, "soft")),
        ("dcpt_headphantom", "CTV", "TOO_LARGE", (120, 1.5, "standard")),  # Siemens, Qr40s
    ],
)
def test_golden_numbers(real_sets, name, roi, code, scan):
    golden = expected(real_sets, name, roi)
    default_rule = "GTV" in roi
    (found,) = find_gtvs(FolderStore(real_sets), name, LARGEST, roi="" if default_rule else roi)
    pixel = max(found.pixel_spacing_mm)
    assert (found.code, found.roi_name) == (code, roi)
    assert found.slice_sop_instance_uid == golden["SOPInstanceUID_of_slice"]
    assert found.planes == int(golden["planes"])
    assert found.z_mm == pytest.approx(float(golden["largest_z_mm"]), abs=0.01)
    assert found.area_mm2 == pytest.approx(float(golden["mask_area_mm2"]), rel=0.03)
    assert found.centroid_lps_mm[0] == pytest.approx(float(golden["centroid_x"]), abs=0.5)
    assert found.centroid_lps_mm[1] == pytest.approx(float(golden["centroid_y"]), abs=0.5)
    assert found.width_mm == pytest.approx(float(golden["width_mm"]), abs=pixel)
    assert found.height_mm == pytest.approx(float(golden["height_mm"]), abs=pixel)
    assert found.hu_mean == pytest.approx(float(golden["HU_mean"]), abs=3)
    assert found.hu_sd == pytest.approx(float(golden["HU_sd"]), abs=3)
    assert found.match_level == "plane"
    assert found.crop.shape == (151, 151)
    assert (found.kvp, found.slice_thickness_mm, found.kernel, found.contrast_agent) == (*scan, None)


def test_default_rule_finds_no_gtv_in_the_head_phantom(real_sets):
    with pytest.raises(TumourError) as caught:
        find_gtvs(FolderStore(real_sets), "dcpt_headphantom", PreprocessSettings())
    assert caught.value.code == "NO_GTV"


@pytest.mark.parametrize(("name", "roi"), [("cheese_raystation", "max"), ("dcpt_headphantom", "BrainStem")])
def test_contours_on_absent_slices_are_refused(real_sets, name, roi):
    (found,) = find_gtvs(FolderStore(real_sets), name, PreprocessSettings(), roi=roi)
    assert (found.status, found.code) == ("refused", "CONTOUR_WITHOUT_SLICE")
    assert found.crop is None


def test_a_study_that_requires_uids_refuses_contours_matched_by_plane(real_sets):
    (found,) = find_gtvs(FolderStore(real_sets), "sts_019", PreprocessSettings(lowest_match_level="uid"))
    assert found.code == "MATCH_LEVEL_TOO_LOW"
