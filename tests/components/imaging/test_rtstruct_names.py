import pytest

from components.common.errors import InputError
from components.imaging.gtv_name import is_gtv, is_gtv_name, may_be_gtv


@pytest.mark.parametrize(
    "name", ["GTV", "gtv", "GTV1", "GTV_2", "GTV 3", "GTV-a", "GTVp", "GTV_Mass", "GTV_Mass_CT", "GTV 1a", " GTV "]
)
def test_names_of_gtvs(name):
    assert is_gtv_name(name)


@pytest.mark.parametrize(
    "name", ["PTV", "CTV", "GTV+3mm", "GTV minus PTV", "PTV_GTV1", "GTV_margin", "notGTV", "", "BrainStem", "GTV_PTV"]
)
def test_names_of_other_structures(name):
    assert not is_gtv_name(name)


@pytest.mark.parametrize(
    "name",
    # TG-263: classifier, number, image series, dose, place, free text; then common clinical usage
    [
        "GTVp",
        "GTVn",
        "GTVsb",
        "GTVpar",
        "GTVp1",
        "GTVn2",
        "GTVn2a",
        "GTV_01",
        "GTVp1_CT",
        "GTVp1_CT1PT1",
        "GTV_MR2",
        "GTVp_2000",
        "GTV1_20Gy",
        "GTV_20Gyx3",
        "GTV_High",
        "GTV_Frontal_L",
        "GTV_Cerebellum",
        "GTVp2^plan B",
        "GTV#2",
        "GTV (li)",
        "GTV (2)",
        "GTV_Met3",
        "GTVmet1",
        "GTV BM 2 re",
        "gtv_lesion4",
    ],
)
def test_names_by_tg_263_and_of_clinics(name):
    assert is_gtv_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "zGTV",
        "zGTVeval",
        "GTV!",
        "GTVp!",
        "GTV-PTV",
        "GTV_Ring",
        "GTVring",
        "GTV sub",
        "GTV_eval",
        "GTV_opt",
        "GTV 3 mm",
        "GTV_03mm",
        "GTV1-GTV2",
        "GTVs",
        "GTV_sum",
        "GTV all",
        "GTV^Ring",
        "IGTV",
        "GTV_old",
        "GTV*1",
    ],
)
def test_structures_derived_from_gtvs_are_not_gtvs(name):
    assert not is_gtv_name(name)


@pytest.mark.parametrize(
    ("name", "kind", "is_used", "is_reported"),
    [
        ("Met1 li frontal", "GTV", True, False),
        ("Zielvolumen", "gtv", True, False),
        ("Brain met 2", "GTV", True, False),
        ("Met small", "GTV", True, False),
        ("Brain", "GTV", False, True),
        ("GTV+3mm", "GTV", False, True),
        ("PTV1", "GTV", False, True),
        ("Met1", "CTV", False, False),
        ("GTV", "CTV", True, False),
        ("GTV rest", "", False, True),
        ("GTV_Ring", "", False, False),
    ],
)
def test_interpreted_type_and_name_together(name, kind, is_used, is_reported):
    assert (is_gtv(name, kind), may_be_gtv(name, kind)) == (is_used, is_reported)


def test_a_pattern_replaces_the_rule():
    assert is_gtv_name("Met 4", r"met \d+")
    assert not is_gtv_name("GTV", r"met \d+")
    with pytest.raises(InputError) as caught:
        is_gtv_name("GTV", "(")
    assert caught.value.code == "ROI_PATTERN"


@pytest.mark.timeout(60)
def test_a_hostile_name_does_not_hang_the_rule():
    assert not is_gtv_name("GTV" + "_CT" * 5000 + "!")
    assert not is_gtv_name("GTV" + " A1" * 5000 + "!")
    for part in ("_1", "_1.11", " (1)", " -", "CT", "1", " "):
        assert not is_gtv_name("GTV_" + part * 5000 + "?")
    assert not is_gtv("Z" * 9000 + "GTV " * 5000, "GTV")
