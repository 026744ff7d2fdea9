"""Facts of the scan are those of the cropped slice, in closed vocabularies and ranges, and never refuse a tumour."""

import dataclasses

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from components.common.settings import PreprocessSettings
from components.imaging.gtv import find_gtvs
from components.imaging.scan_facts import ScanFacts
from tests.components.imaging.frames import ENHANCED, LEGACY, group, multi_frame

NAMES = [field.name for field in dataclasses.fields(ScanFacts)]


def facts(study):
    (candidate,) = find_gtvs(study.source(), "", PreprocessSettings())
    assert (candidate.status, candidate.z_mm) == ("ok", 4.5)
    return {name: getattr(candidate, name) for name in NAMES}


def scanned(study, **attributes):
    for ct in study.cts:
        for keyword, value in attributes.items():
            setattr(ct, keyword, value)
    return facts(study)


def test_facts_of_a_slice(make_study):
    found = scanned(
        make_study(),
        KVP="120",
        SliceThickness="1.25",
        ConvolutionKernel=["Br40d", "3"],
        ContrastBolusAgent="OMNIPAQUE 300",
    )
    assert found == {"contrast_agent": "yes", "kvp": 120, "slice_thickness_mm": 1.25, "kernel": "standard"}


def test_facts_that_are_absent_are_unknown(make_study):
    assert set(facts(make_study()).values()) == {None}
    empty = dict.fromkeys(("KVP", "SliceThickness", "ConvolutionKernel", "ContrastBolusAgent"), "")
    assert set(scanned(make_study(), **empty).values()) == {None}


def test_facts_are_those_of_the_chosen_slice(make_study):
    study = make_study()
    for ct in study.cts:
        ct.KVP = "100" if ct.ImagePositionPatient[2] == 4.5 else "120"
    assert facts(study)["kvp"] == 100


def test_noise_of_floats_is_rounded(make_study):
    assert scanned(make_study(), SliceThickness="3.26999999999998")["slice_thickness_mm"] == 3.27


@pytest.mark.parametrize(
    ("keyword", "inside", "outside"),
    [("KVP", ("20", "200"), ("0", "19.9", "200.1", "-120")), ("SliceThickness", ("0.05", "20"), ("0", "20.1", "-1"))],
)
def test_numbers_out_of_range_are_empty(make_study, keyword, inside, outside):
    name = {"KVP": "kvp", "SliceThickness": "slice_thickness_mm"}[keyword]
    for value in inside:
        assert scanned(make_study(), **{keyword: value})[name] == float(value)
    for value in outside:
        assert scanned(make_study(), **{keyword: value})[name] is None


@pytest.mark.parametrize("value", [b"Lindqvist ", b"120\\100 ", b"1e999 ", b"nan ", b"\xff\xfe", b"1" * 20_000])
def test_damaged_values_are_empty_and_do_not_exclude(make_study, value):
    study = make_study()
    for ct in study.cts:
        for keyword in ("KVP", "SliceThickness", "ConvolutionKernel", "ContrastBolusAgent"):
            tag = Tag(keyword)
            ct[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
    found = facts(study)
    assert (found["kvp"], found["slice_thickness_mm"]) == (None, None)
    assert found["kernel"] in (None, "unknown")
    assert found["contrast_agent"] in (None, "yes")


@pytest.mark.parametrize("group", ["CTXRayDetailsSequence", "ContrastBolusUsageSequence"])
def test_functional_groups_of_another_vr_are_left_out(make_study, group):
    study = make_study(by_uid=False)
    whole = multi_frame(study.cts, ENHANCED)
    tag = Tag(group)
    whole.SharedFunctionalGroupsSequence[0][tag] = RawDataElement(tag, "LO", 10, b"Lindqvist ", 0, False, True)
    whole.KVP, whole.ContrastBolusAgent = "120", "NONE"
    study.cts = [whole]
    assert (facts(study)["kvp"], facts(study)["contrast_agent"]) == (120, "no")


# --- contrast agent ---


def code():
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "C-B0322", "SRT", "Iohexol"
    return Sequence([item])


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ContrastBolusAgentSequence": code()}, "yes"),
        ({"ContrastBolusAgentSequence": Sequence([])}, None),
        ({"ContrastBolusAgent": "", "ContrastBolusVolume": "80"}, "yes"),
        ({"ContrastBolusAgent": "", "ContrastBolusTotalDose": "40"}, "yes"),
        ({"ContrastBolusAgent": "", "ContrastBolusVolume": "0"}, None),
        ({"ContrastBolusAgent": "NONE", "ContrastBolusVolume": "80"}, "no"),
    ],
)
def test_codes_and_amounts_tell_where_the_agent_was_emptied(make_study, attributes, expected):
    assert scanned(make_study(), **attributes)["contrast_agent"] == expected


# --- many frames ---


@pytest.mark.parametrize("per_frame", [False, True])
def test_facts_of_enhanced_ct_stand_in_functional_groups(make_study, per_frame):
    study = make_study(by_uid=False)
    whole = multi_frame(study.cts, ENHANCED, per_frame=per_frame)
    shared = whole.SharedFunctionalGroupsSequence
    for target in whole.PerFrameFunctionalGroupsSequence if per_frame else shared:
        target.CTXRayDetailsSequence = group(KVP=100.0)
        target.CTReconstructionSequence = group(ConvolutionKernel="UB")
        target.PixelMeasuresSequence[0].SliceThickness = "0.8"
    study.cts = [whole]
    assert facts(study) == {"contrast_agent": None, "kvp": 100, "slice_thickness_mm": 0.8, "kernel": "standard"}


@pytest.mark.parametrize(("administered", "expected"), [("YES", "yes"), ("NO", "no"), ("", "yes")])
def test_enhanced_ct_says_of_each_frame_whether_an_agent_was_given(make_study, administered, expected):
    study = make_study(by_uid=False)
    whole = multi_frame(study.cts, ENHANCED)
    whole.ContrastBolusAgentSequence = code()
    for frame in whole.PerFrameFunctionalGroupsSequence:
        frame.ContrastBolusUsageSequence = group(ContrastBolusAgentAdministered=administered)
    study.cts = [whole]
    assert facts(study)["contrast_agent"] == expected


def test_an_agent_given_beside_one_that_was_not_is_a_yes(make_study):
    study = make_study(by_uid=False)
    whole = multi_frame(study.cts, ENHANCED)
    usages = [group(ContrastBolusAgentAdministered=word)[0] for word in ("NO", "YES")]
    whole.SharedFunctionalGroupsSequence[0].ContrastBolusUsageSequence = Sequence(usages)
    study.cts = [whole]
    assert facts(study)["contrast_agent"] == "yes"


@pytest.mark.parametrize("place", ["shared", "frame", "object"])
def test_facts_of_converted_ct_may_stand_among_the_unassigned_attributes(make_study, place):
    study = make_study(by_uid=False)
    whole = multi_frame(study.cts, LEGACY)
    attributes = {"KVP": "80", "SliceThickness": "2", "ConvolutionKernel": "SOFT", "ContrastBolusAgent": "NONE"}
    if place == "shared":
        whole.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = group(**attributes)
    elif place == "frame":
        for frame in whole.PerFrameFunctionalGroupsSequence:
            frame.UnassignedPerFrameConvertedAttributesSequence = group(**attributes)
    else:
        for keyword, value in attributes.items():
            setattr(whole, keyword, value)
    study.cts = [whole]
    assert facts(study) == {"contrast_agent": "no", "kvp": 80, "slice_thickness_mm": 2, "kernel": "soft"}
