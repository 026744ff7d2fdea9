import pytest

from components.common.errors import InputError
from components.preprocess.gtv_name import is_gtv_name


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


def test_a_pattern_of_ones_own_takes_the_place_of_the_rule():
    assert is_gtv_name("Met 4", r"met \d+")
    assert not is_gtv_name("GTV", r"met \d+")
    with pytest.raises(InputError) as caught:
        is_gtv_name("GTV", "(")
    assert caught.value.code == "ROI_PATTERN"


@pytest.mark.timeout(60)
def test_a_hostile_name_does_not_hang_the_rule():
    assert not is_gtv_name("GTV" + "_CT" * 5000 + "!")
    assert not is_gtv_name("GTV" + " A1" * 5000 + "!")
