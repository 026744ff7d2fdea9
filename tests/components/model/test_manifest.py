"""Untrusted manifests: type, range and length of every field are checked, even if the digest is right."""

import dataclasses
import json
from typing import Any

import pytest

from components.common import limits
from components.common.errors import BundleError
from components.common.files import digest_of
from components.model.manifest import ADDED_BY_VERSION_2, Manifest, read_manifest
from components.model.manifest_checks import problems


@pytest.fixture(scope="module")
def fields(bundle) -> dict[str, Any]:
    """The fields of a good manifest, as they stand in its file."""
    return json.loads(read_manifest(bundle))


def sealed(fields: dict[str, Any]) -> bytes:
    """A manifest's file with the digest that fits, as a careful forger would write it."""
    return json.dumps({**fields, "digest": digest_of({**fields, "digest": ""})}).encode()


def refused(content: bytes) -> tuple[str, str]:
    with pytest.raises(BundleError) as error:
        Manifest.parse(content)
    return error.value.code, error.value.safe_message


def some(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]


def test_a_valid_manifest_has_no_problem(fields):
    assert problems(fields) == []
    assert dataclasses.asdict(Manifest.parse(sealed(fields)))["cut_off"] == fields["cut_off"]


FLAT = {"mean_hu": {"0": 1.0, "50": 2, "100": 2}, "sd_hu": {"50": 0}}
KEPT = [
    ("cut_off", 0),
    ("cut_off", 1.0),
    ("seed", 2**31 - 1),
    ("calibration", None),
    ("calibration", {"slope": -50, "intercept": 50, "n": 1}),
    ("development_scores", {}),
    ("development_scores", {"0": 0, "50": 0.5, "100": 1.0}),
    ("pseudonym_key", ""),
    ("group", "g" * limits.MAX_MANIFEST_TEXT),
    ("split_digests", some(limits.MAX_MEMBERS)),
    ("seen_patients", some(limits.MAX_SEEN_PATIENTS)),
    ("seen_crops", some(limits.MAX_SEEN_CROPS)),
    ("golden_tolerance", {"crop_hu": limits.MAX_GOLDEN_CROP_HU, "probability": limits.MAX_GOLDEN_PROBABILITY}),
    ("export_difference", 1e-3),
    ("training_crops", FLAT),
]
BEYOND = [
    ("cut_off", -0.001),
    ("cut_off", 1.001),
    ("cut_off", "0.5"),
    ("cut_off", True),
    ("cut_off", None),
    ("cut_off", 10**400),
    ("ensemble_score", "median"),
    ("groups", {}),
    ("groups", {"A": {"members": ["A-01"]}}),
    ("groups", {"A": {"members": [], "held_out": []}}),
    ("groups", {"A": {"members": ["A-01", "A-01"], "held_out": []}}),
    ("groups", {"A": {"members": ["A-01"], "held_out": ["P001"]}}),
    ("groups", [["A"]]),
    ("calibration", {"slope": 1.0, "intercept": 0.0}),
    ("calibration", {"slope": 51, "intercept": 0.0, "n": 9}),
    ("calibration", {"slope": 1.0, "intercept": 0.0, "n": 0}),
    ("calibration", {"slope": 1.0, "intercept": 0.0, "n": 9.5}),
    ("development_scores", {"0": 0.5, "50": 0.4}),
    ("development_scores", {"0": 0.5, "50": 1.4}),
    ("development_scores", []),
    ("pseudonym_key", None),
    ("pseudonym_key", 1),
    ("ensemble_score", ["mean"]),
    ("seed", 2**31),
    ("seed", -1),
    ("seed", 1.0),
    ("group", "g" * (limits.MAX_MANIFEST_TEXT + 1)),
    ("group", ""),
    ("group", "A\n"),
    ("group", "\ud800"),
    ("members", []),
    ("members", ["A-1", "A-1"]),
    ("members", [["A-1"]]),
    ("members", "A-1"),
    ("members", [f"A-{number}" for number in range(limits.MAX_MEMBERS + 1)]),
    ("members", ["m" * (limits.MAX_MANIFEST_TEXT + 1)]),
    ("image_definition", []),
    ("image_digest", "F" * 64),
    ("dataset_digest", "0" * 63),
    ("split_digests", some(limits.MAX_MEMBERS + 1)),
    ("split_digests", []),
    ("seen_patients", some(limits.MAX_SEEN_PATIENTS + 1)),
    ("seen_crops", some(limits.MAX_SEEN_CROPS + 1)),
    ("seen_patients", some(1) * 2),
    ("seen_patients", ["P001"]),
    ("synthetic", 1),
    ("golden_tolerance", {"crop_hu": limits.MAX_GOLDEN_CROP_HU + 1e-9, "probability": 0}),
    ("golden_tolerance", {"crop_hu": 0, "probability": limits.MAX_GOLDEN_PROBABILITY + 1e-9}),
    ("golden_tolerance", {"crop_hu": 0, "probability": -1e-9}),
    ("golden_tolerance", {"crop_hu": 0}),
    ("golden_tolerance", {"crop_hu": 0, "probability": 0, "more": 0}),
    ("export_difference", 0.0011),
    ("training_crops", {"mean_hu": {"50": 1}}),
    ("training_crops", {**FLAT, "sd_hu": {}}),
    ("training_crops", {**FLAT, "sd_hu": {"101": 1}}),
    ("training_crops", {**FLAT, "sd_hu": {"half": 1}}),
    ("training_crops", {**FLAT, "sd_hu": {"٥": 1}}),
    ("training_crops", {**FLAT, "sd_hu": {"5": 2, "50": 1}}),
    ("training_crops", {**FLAT, "sd_hu": {"50": 1e6}}),
    ("training_crops", {**FLAT, "sd_hu": {"50": [1]}}),
    ("settings", {"train": {"no_such_setting": 1}}),
    ("settings", {"train": {"filters_1": 513}}),
    ("settings", {"train": [1]}),
    ("settings", {"preprocess": {"roi_pattern": "("}}),
    ("settings", {"preprocess": {"roi_pattern": "p" * (limits.MAX_MANIFEST_TEXT + 1)}}),
    ("settings", {"study": "s" * (limits.MAX_MANIFEST_TEXT + 1)}),
    ("settings", []),
    ("files", {"ensemble.onnx": "0"}),
    ("files", []),
    ("extra", []),
]


def name_of(case: tuple[str, Any]) -> str:
    return f"{case[0]}-{str(case[1])[:20].encode('ascii', 'replace').decode()}"


@pytest.mark.parametrize(("name", "value"), KEPT, ids=map(name_of, KEPT))
def test_a_value_within_its_limit_is_accepted(fields, name, value):
    assert problems({**fields, name: value}) == []


@pytest.mark.parametrize(("name", "value"), BEYOND, ids=map(name_of, BEYOND))
def test_a_value_beyond_its_limit_is_refused_naming_the_field(fields, name, value):
    code, message = refused(sealed({**fields, name: value}))
    assert code == "BUNDLE_DAMAGED"
    assert f"{name} must be " in message


def test_all_problems_are_reported_at_once_without_values(fields):
    _, message = refused(sealed({**fields, "cut_off": 7.25, "group": "secret\n"}))
    assert "cut_off must be a number from 0 to 1" in message
    assert "group must be text of 1 to 1,000 characters" in message
    assert "secret" not in message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_nan_and_infinity_are_refused_in_any_field(fields, number):
    content = sealed({**fields, "extra": {"deep": [{"cut": 12.75}]}})
    assert refused(content.replace(b"12.75", number.encode()))[0] == "BUNDLE_DAMAGED"


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"1" * 5000, b"\xfe\xff\x00"])
def test_bytes_that_are_not_a_manifest_are_reported(content):
    assert refused(content)[0] == "BUNDLE_DAMAGED"


@pytest.mark.parametrize("version", [True, 2.0, "2", 3, 0, None, [1]])
def test_a_version_is_the_integer_1_or_2(fields, version):
    assert refused(sealed({**fields, "version": version}))[0] == "BUNDLE_UNKNOWN"


def test_a_missing_or_unknown_field_is_refused(fields):
    assert "an unknown one" in refused(sealed({**fields, "more": 1}))[1]
    less = {name: value for name, value in fields.items() if name != "extra"}
    assert "lacks a field" in refused(sealed(less))[1]


def test_a_manifest_of_version_1_is_read(fields):
    former = {name: value for name, value in fields.items() if name not in ADDED_BY_VERSION_2}
    manifest = Manifest.parse(sealed({**former, "version": 1}))
    assert manifest.groups == {"A": {"members": fields["members"], "held_out": []}}
    assert (manifest.calibration, manifest.development_scores, manifest.pseudonym_key) == (None, {}, "")
    assert manifest.seen_crops == ()
    assert refused(sealed({**fields, "version": 1}))[0] == "BUNDLE_DAMAGED"
    assert refused(sealed(former))[0] == "BUNDLE_DAMAGED"


def test_a_manifest_from_before_images_were_compared_is_read(fields):
    less = {name: value for name, value in fields.items() if name != "seen_crops"}
    assert Manifest.parse(sealed(less)).seen_crops == ()


def test_as_many_members_and_patients_as_the_limits_allow_are_accepted(fields):
    members = [f"A-{number}" for number in range(limits.MAX_MEMBERS)]
    groups = {"A": {"members": members, "held_out": []}}
    assert problems({**fields, "members": members, "groups": groups, "seen_patients": []}) == []


def test_groups_hold_each_member_once_and_only_patients_that_another_group_saw(fields):
    groups = {"A": {"members": fields["members"], "held_out": some(1)}}
    assert "groups must hold out only seen_patients" in refused(sealed({**fields, "groups": groups}))[1]
    groups = {"A": {"members": fields["members"][:-1], "held_out": []}}
    assert "groups must hold each of members once" in refused(sealed({**fields, "groups": groups}))[1]


def test_settings_of_an_earlier_release_with_fewer_settings_are_accepted(fields):
    others = {name: value for name, value in fields["settings"].items() if name != "network"}
    settings = {**others, "train": {"filters_1": 4, "filters_2": 6, "dense_1": 8, "dense_2": 5}}
    assert problems({**fields, "settings": settings}) == []


def test_a_manifest_larger_than_allowed_is_not_read(tmp_path, fields):
    content = sealed(fields)
    padded = content + b" " * (limits.MAX_MANIFEST_BYTES - len(content))
    (tmp_path / "manifest.json").write_bytes(padded)
    assert Manifest.read(tmp_path).group == "A"
    (tmp_path / "manifest.json").write_bytes(padded + b" ")
    with pytest.raises(BundleError, match="more than the 8,388,608 bytes allowed") as error:
        Manifest.read(tmp_path)
    assert error.value.code == "BUNDLE_TOO_LARGE"
