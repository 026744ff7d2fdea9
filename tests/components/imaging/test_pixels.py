import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from components.common.settings import PreprocessSettings
from components.common.store.memory import MemoryStore
from components.imaging.crop import ImageDefinition
from components.imaging.gtv import find_gtvs
from components.imaging.pixels import PADDING_HU
from tests.components.studies import circle

SETTINGS = PreprocessSettings()
BESIDE_THE_RIM = {"GTV": {3.0: [circle(6, x=20)]}}


def one(study):
    (candidate,) = find_gtvs(study.source(), "", SETTINGS)
    return candidate


def pad(study, value, *, signed, intercept, radius=28, tag=True, limit=None, air=True):
    """Stores HU by ``intercept``, and ``value`` outside a circle; a block of air lies inside it."""
    for ct in study.cts:
        hu = np.frombuffer(ct.PixelData, "<u2").astype(int).reshape(64, 64) - 1024
        y, x = np.mgrid[:64, :64] - 31.5
        if air:
            hu[28:36, 4:8] = -1000
        stored = np.where(np.hypot(x, y) > radius, value, hu - intercept)
        ct.PixelRepresentation, ct.RescaleIntercept = int(signed), intercept
        ct.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
        for keyword, number in (("PixelPaddingValue", value if tag else None), ("PixelPaddingRangeLimit", limit)):
            if number is not None:
                ct.add_new(keyword, "SS" if signed else "US", number)


def test_padding_is_air_as_outside_the_slice():
    assert ImageDefinition().outside_hu == PADDING_HU


@pytest.mark.parametrize("tag", [True, False])
@pytest.mark.parametrize(("value", "signed", "intercept"), [(-2000, True, -1024), (-2048, True, 0), (-32768, True, 0)])
def test_padding_below_all_hu_is_air_with_the_tag_and_without(make_study, tag, value, signed, intercept):
    study = make_study(BESIDE_THE_RIM, centre=(20, 0))
    pad(study, value, signed=signed, intercept=intercept, tag=tag)
    candidate = one(study)
    assert (candidate.status, candidate.hu_mean) == ("ok", pytest.approx(60))
    assert candidate.crop.min() == PADDING_HU


@pytest.mark.parametrize("tag", [True, False])
def test_padding_does_not_count_as_the_air_of_a_slice_in_hu(make_study, tag):
    study = make_study(BESIDE_THE_RIM, centre=(20, 0))
    pad(study, -2000, signed=True, intercept=0, tag=tag, air=False)
    assert one(study).code == "NOT_HU"


@pytest.mark.parametrize("tag", [True, False])
def test_a_round_image_inside_the_head_needs_no_air_where_stored_values_count_from_air(make_study, tag):
    study = make_study(BESIDE_THE_RIM, centre=(20, 0))
    pad(study, -2000, signed=True, intercept=-1024, tag=tag, air=False)
    assert one(study).status == "ok"


@pytest.mark.parametrize(
    ("value", "signed", "intercept", "limit"),
    [(0, True, 0, None), (63536, False, -1024, None), (30000, True, 0, 32000), (3000, True, 0, 2500)],
)
def test_padding_within_or_above_hu_is_air_where_it_begins_at_the_border(make_study, value, signed, intercept, limit):
    """0 HU inside the head is cerebrospinal fluid, even if it is also the padding value."""
    study = make_study(BESIDE_THE_RIM, centre=(20, 0))
    pad(study, value, signed=signed, intercept=intercept, limit=limit)
    for ct in study.cts:
        stored = np.frombuffer(ct.PixelData, "<i2" if signed else "<u2").reshape(64, 64).copy()
        stored[30:34, 50:54] = value
        ct.PixelData = stored.tobytes()
    candidate = one(study)
    assert candidate.status == "ok"
    assert candidate.crop.min() == PADDING_HU
    assert candidate.crop[75, 75] == value + intercept
    assert (candidate.crop[75, 140:] == PADDING_HU).all()


@pytest.mark.parametrize("vr", ["US", "SS"])
def test_a_padding_value_is_read_with_the_sign_of_the_pixels(make_study, vr):
    study = make_study(BESIDE_THE_RIM, centre=(20, 0))
    pad(study, 64000, signed=False, intercept=-1024)
    for ct in study.cts:
        ct.add_new("PixelPaddingValue", vr, 64000 if vr == "US" else 64000 - 2**16)
    assert one(study).crop.min() == PADDING_HU
    assert one(study).crop.max() < 1000


def test_padding_that_is_clipped_air_stays_as_it_is(make_study):
    """Many scanners store both as 0 with an intercept of -1024; crops of such series do not change."""
    study = make_study(BESIDE_THE_RIM, centre=(20, 0))
    pad(study, 0, signed=False, intercept=-1024, air=False)
    candidate = one(study)
    assert candidate.status == "ok"
    assert candidate.crop.min() == -1024


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-32768, -1201), st.floats(20, 31), st.booleans())
def test_no_crop_holds_values_below_all_hu(make_study, value, radius, tag):
    study = make_study(BESIDE_THE_RIM, centre=(20, 0))
    pad(study, value, signed=True, intercept=0, radius=radius, tag=tag)
    crop = one(study).crop
    assert crop.min() >= PADDING_HU
    assert crop.max() <= 60


# --- modality LUT ---


@pytest.mark.parametrize(
    ("intercept", "code"), [(-1024, ""), (-1048, ""), (-1124, "NOT_HU"), (-900, "NOT_HU"), (0, "NOT_HU")]
)
def test_an_unspecified_unit_is_taken_as_hu_where_air_is_near_minus_1000(make_study, intercept, code):
    """GDCM writes RescaleType US into every CT that has none."""
    study = make_study()
    for ct in study.cts:
        ct.RescaleType, ct.RescaleIntercept = "US", intercept
    assert one(study).code == code


def lut_of(study, spoil):
    for ct in study.cts:
        spoil(ct)
    return one(study)


@pytest.mark.parametrize(
    ("keyword", "value", "word"),
    [
        ("RescaleIntercept", None, "RescaleIntercept"),
        ("RescaleSlope", None, "RescaleSlope"),
        ("RescaleIntercept", "", "RescaleIntercept"),
        ("RescaleSlope", "", "RescaleSlope"),
        ("RescaleSlope", 0, "not above 0"),
        ("RescaleSlope", -1, "not above 0"),
        ("RescaleType", "ED", "not HU"),
        ("RescaleType", "HU_MOD", "not HU"),
        ("RescaleType", "Z_EFF", "not HU"),
    ],
)
def test_refuses_a_modality_lut_that_does_not_give_hu(make_study, keyword, value, word):
    def spoil(ct):
        if value is None:
            delattr(ct, keyword)
        else:
            setattr(ct, keyword, value)

    candidate = lut_of(make_study(), spoil)
    assert candidate.code == "NOT_HU"
    assert word in candidate.message
    assert candidate.hu_mean is None


def test_values_that_make_the_tumour_air_are_not_hu(make_study):
    """The intercept was applied to the stored values already, and is applied once more."""

    def shift(ct):
        ct.RescaleIntercept = -2048

    candidate = lut_of(make_study(), shift)
    assert candidate.code == "NOT_HU"
    assert "air" in candidate.message


@pytest.mark.parametrize("kind", ["HU", "hu", ""])
def test_a_rescale_type_of_hu_or_none_is_hu(make_study, kind):
    assert lut_of(make_study(), lambda ct: setattr(ct, "RescaleType", kind)).status == "ok"


@pytest.mark.parametrize(("kind", "hu"), [("HU", 2060), ("OD", None), ("HU_MOD", None)])
def test_a_table_in_place_of_slope_and_intercept_is_used_where_it_gives_hu(make_study, kind, hu):
    """Its unsigned output cannot represent air, so the slice is refused."""
    table = Dataset()
    table.ModalityLUTType = kind
    table.LUTDescriptor = [1200, 0, 16]
    table.add_new("LUTData", "US", [i + 976 for i in range(1200)])

    def spoil(ct):
        ct.ModalityLUTSequence = Sequence([table])
        del ct.RescaleSlope, ct.RescaleIntercept

    candidate = lut_of(make_study(), spoil)
    assert (candidate.code, candidate.hu_mean) == ("NOT_HU", hu)


def test_a_slope_that_is_not_a_number_is_damage(make_study):
    files = make_study().files()
    for name, data in files.items():
        files[name] = data.replace(b"\x28\0\x53\x10DS\4\x001.0 ", b"\x28\0\x53\x10DS\4\0x.0 ")
    (candidate,) = find_gtvs(MemoryStore(files), "", SETTINGS)
    assert candidate.code == "DICOM_DAMAGED"
