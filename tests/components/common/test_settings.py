"""Settings from presets, files, flags and pipeline parameters."""

import ast
import dataclasses
import json
from pathlib import Path

import pytest

from components.common.checked import fields
from components.common.errors import InputError
from components.common.files import digest_of
from components.common.limits import MAX_MANIFEST_TEXT
from components.common.network_settings import Cha2018Settings
from components.common.patterns import pattern_problem
from components.common.presets import PRESETS, require_used_by_validation, resolve, resolve_parameters
from components.common.settings import SECTIONS, PreprocessSettings, StudySettings, TrainSettings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_survives_json(preset):
    study = resolve(preset)
    assert StudySettings.from_json(study.to_json()) == study


def test_paper_preset_has_every_value_that_the_paper_states():
    study = resolve("paper")
    assert (study.split.split_unit, study.evaluate.ensemble_score) == ("tumour", "vote")
    assert (study.split.groups, study.split.members) == (5, 10)
    assert (study.split.evaluation_responders, study.split.evaluation_non_responders) == (12, 11)
    assert (study.preprocess.min_diameter_mm, study.preprocess.max_diameter_mm) == (10, 35)
    assert (study.preprocess.max_metastases, study.evaluate.cut_off) == (5, 0.5)
    assert (study.network["dropout_after"], study.train.momentum, study.train.augmentation) == ("conv_2", 0, "none")


def test_later_overrides_win_and_text_becomes_numbers():
    study = resolve("default", {"seed": 2, "train": {"learning_rate": 0.5}}, {"train": {"learning_rate": "0.25"}})
    assert (study.seed, study.train.learning_rate) == (2, 0.25)


def test_floats_of_kfp_become_integers():
    assert resolve("default", {"split": {"groups": 3.0}}).split.groups == 3


def test_all_bad_values_are_named_at_once():
    with pytest.raises(InputError) as caught:
        resolve("default", {"train": {"batch_size": 0, "dropout": "much"}, "split": {"groups": 2.5}})
    for name in ("batch_size", "dropout", "groups"):
        assert name in caught.value.safe_message
    assert caught.value.exit_code == 2


def test_unknown_settings_are_named():
    with pytest.raises(InputError, match=r"train\.lerning_rate") as caught:
        resolve("default", {"train": {"lerning_rate": 1}})
    assert caught.value.code == "SETTING_UNKNOWN"


def test_what_a_validation_does_not_use_is_refused_by_name():
    """Everything that ``components/validate`` reads of the settings is accepted."""
    used = {"study": "elsewhere", "seed": 2, "preprocess": {"strict": True}, "evaluate": {"bootstrap": 500}, "gate": {}}
    require_used_by_validation(used)
    with pytest.raises(InputError) as caught:
        require_used_by_validation(
            used | {"train": {"momentum": 0, "max_steps": 3}, "evaluate": {"bootstrap": 500, "cut_off": 0.4}}
        )
    assert (caught.value.code, caught.value.exit_code) == ("SETTING_UNUSED", 2)
    named = [line.removeprefix("  - ") for line in caught.value.safe_message.splitlines()[1:]]
    assert named == ["evaluate.cut_off", "train.momentum", "train.max_steps"]
    assert caught.value.hint == "Leave them out: a validation uses only study, seed, preprocess, evaluate.bootstrap."


def test_unknown_names_and_bad_values_of_all_sections_are_named_at_once():
    with pytest.raises(InputError) as caught:
        resolve("default", {"train": {"lerning_rate": 1, "batch_size": 0}, "split": [1], "seed": -1, "tain": {}, 1: 2})
    assert caught.value.code == "SETTING_UNKNOWN"
    for line in (
        "train.lerning_rate: unknown name; did you mean learning_rate?",
        "train.batch_size: 0 is outside 1 to 4,096. Number of tumours in",
        "split: [1] is not a mapping",
        "seed: -1 is outside 0 to 2,147,483,647",
        "tain: unknown name; did you mean train?",
        "1: unknown name; known names: study, seed, preprocess",
    ):
        assert line in caught.value.safe_message


def test_conflicts_of_all_sections_are_named_at_once():
    with pytest.raises(InputError) as caught:
        resolve(
            "default", {"train": {"pool_1": 16, "pool_2": 16, "max_steps": 9}, "preprocess": {"min_diameter_mm": 40}}
        )
    for line in ("preprocess: min_diameter_mm is above", "network: the convolutions", "train: restart_step is beyond"):
        assert line in caught.value.safe_message


def test_replacing_a_value_validates_it():
    with pytest.raises(InputError, match="batch_size: 0 is outside"):
        dataclasses.replace(TrainSettings(), batch_size=0)


#: Digests of what decides crops and members of earlier releases in their stores: a preset's settings as canonical JSON.
DIGESTS = {
    "default": "b337a00813d399c34844d2a9001890bf22e92140804554324ba7a21b83bd342c",
    "paper": "9f192cdbcbee4853907a7d9b8607518e5616a798d1b66856f8f582045e8c062a",
    "fast": "067d8e41c3c01763066b5bdc62a43d80a4f29491f2d7a7379bc9ac828142ba94",
}
DECIDING = ("seed", "preprocess", "train", "network")


@pytest.mark.parametrize("preset", PRESETS)
def test_digests_of_presets_are_unchanged(preset):
    """A default or a name that changes trains every stored member again: change these on purpose only."""
    settings = dataclasses.asdict(resolve(preset))
    assert digest_of({name: settings[name] for name in DECIDING}) == DIGESTS[preset]


def test_every_default_is_within_its_range():
    """A default itself is not checked when a value is made."""
    assert StudySettings.from_dict(dataclasses.asdict(StudySettings())) == StudySettings()


UNITS = {"_mm": ", mm", "_px": ", pixels", "_hu": ", HU", "_days": ", days", "_steps": "steps", "kernel_1": ", pixels"}


def test_every_setting_has_help_with_its_unit():
    for section, kind in SECTIONS.items():
        for name, field in fields(kind).items():
            text = field.description or ""
            assert len(text) > 20, f"{section}.{name}"
            assert all(unit in text for ending, unit in UNITS.items() if name.endswith(ending)), f"{section}.{name}"


def test_every_setting_is_read():
    sources = [path.read_text() for folder in ("components", "pipelines") for path in (ROOT / folder).rglob("*.py")]
    read = {node.attr for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    assert not [f"{section}.{name}" for section, kind in SECTIONS.items() for name in fields(kind) if name not in read]


def test_unknown_preset_lists_the_known():
    with pytest.raises(InputError) as caught:
        resolve("papre")
    assert "paper" in caught.value.hint


def test_image_that_pools_to_nothing_is_refused():
    with pytest.raises(InputError, match="nothing of the image"):
        Cha2018Settings(pool_1=16, pool_2=16)


def test_settings_of_the_network_are_those_of_the_network_that_is_named():
    assert resolve("default", {"train": {"network": "residual"}, "network": {"filters": 16}}).network == {
        "filters": 16,
        "blocks": 3,
        "channels_per_group": 4,
        "dropout": 0.25,
    }
    with pytest.raises(InputError, match=r"network\.filters_1: unknown name; did you mean filters") as caught:
        resolve("default", {"train": {"network": "residual", "batch_size": 0}, "network": {"filters_1": 16}})
    assert "train.batch_size" in caught.value.safe_message
    assert caught.value.code == "SETTING_UNKNOWN"
    assert resolve("default", {"train": {"network": "mine:net"}, "network": {"width": 3}}).network == {"width": 3}
    with pytest.raises(InputError, match="'vgg' is not cha2018, residual or package"):
        resolve("default", {"train": {"network": "vgg"}})


def test_settings_of_the_network_have_their_former_place_too():
    """Release 0.1 had them among those of training, as have its studies and bundles."""
    former = resolve("default", {"train": {"filters_1": 4, "batch_size": 9}})
    assert former == resolve("default", {"train": {"batch_size": 9}, "network": {"filters_1": 4}})
    with pytest.raises(InputError, match=r"train\.filters_1: the former name of network\.filters_1"):
        resolve("default", {"train": {"filters_1": 4}, "network": {"filters_1": 5}})


def test_parameters_of_the_pipeline_override_the_preset():
    study = resolve_parameters("fast", 3, 0, 4, json.dumps({"split": {"split_unit": "tumour"}}))
    assert (study.seed, study.split.groups, study.split.members, study.split.split_unit) == (3, 2, 4, "tumour")
    with pytest.raises(InputError) as caught:
        resolve_parameters("default", 1, 0, 0, "[1]")
    assert caught.value.code == "SETTINGS_NOT_JSON"


@pytest.mark.parametrize("text", ["[" * 5000, '{"a": NaN}', "{", '"text"', "\ud800"])
def test_settings_that_are_no_json_object_are_refused(text):
    with pytest.raises(InputError) as caught:
        resolve_parameters("default", 1, 0, 0, text)
    assert caught.value.code == "SETTINGS_NOT_JSON"


def test_a_parameter_that_contradicts_the_settings_is_refused():
    """Neither of two values wins silently."""
    settings = json.dumps({"seed": 5, "split": {"groups": 3, "members": 4}})
    with pytest.raises(InputError) as caught:
        resolve_parameters("fast", 2, 4, 5, settings)
    assert caught.value.code == "SETTING_INVALID"
    assert caught.value.safe_message.endswith(
        "seed: the parameter is 2, settings says 5\n"
        "  - groups: the parameter is 4, settings says 3\n"
        "  - members: the parameter is 5, settings says 4"
    )
    assert resolve_parameters("fast", 5, 3, 0, settings) == resolve_parameters("fast", 1, 0, 0, settings)


def test_a_default_seed_is_no_contradiction():
    with pytest.raises(InputError) as caught:
        resolve_parameters("fast", 1, 4, 0, json.dumps({"seed": 5, "split": {"groups": 3}}))
    assert "groups: the parameter is 4, settings says 3" in caught.value.safe_message
    assert "seed" not in caught.value.safe_message


@pytest.mark.parametrize("parts", [({"split": 3}, {"split": {"groups": 2}}), ({"split": {"groups": 2}}, {"split": 3})])
def test_a_value_in_place_of_a_section_is_refused_whatever_it_is_merged_with(parts):
    with pytest.raises(InputError, match="split: 3 is not a mapping"):
        resolve("fast", *parts)


def test_shared_attributes_must_be_known_names():
    assert PreprocessSettings(shared_attributes="PatientID, pixels").shared == ("PatientID", "pixels")
    with pytest.raises(InputError, match=r"shared_attributes: 1 name is not one of PatientID, .*, separated by commas"):
        PreprocessSettings(shared_attributes="PatientID;pixels")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("GTV (", r"missing \), unterminated subpattern, at character 5"),
        ("*", "nothing to repeat, at character 1"),
        ("a{99999999999}", "repetition number is too large"),
        ("(?u)(?a)GTV", "ASCII and UNICODE flags are incompatible"),
        ("(" * 500 + ")" * 500, "nested too deeply"),
    ],
)
def test_a_pattern_that_is_no_regular_expression_is_refused_with_its_place_and_reason(pattern, reason):
    """It would otherwise fail only while crops are cut."""
    message = rf"preprocess\.roi_pattern: .* is not a regular expression: .*{reason}"
    with pytest.raises(InputError, match=message) as caught:
        resolve("default", {"preprocess": {"roi_pattern": pattern}})
    assert caught.value.code == "SETTING_INVALID"
    assert pattern_problem(r"met \d+") == ""


@pytest.mark.parametrize(("section", "name"), [("", "study"), ("preprocess", "roi_pattern")])
def test_a_text_that_no_manifest_may_hold_is_refused(section, name):
    """It would otherwise fail only at promotion, after all members were trained."""
    longest = "m" * MAX_MANIFEST_TEXT
    resolve("default", {section: {name: longest}} if section else {name: longest})
    with pytest.raises(InputError, match=rf"{name}: longer than 1,000 characters") as caught:
        resolve("default", {section: {name: longest + "m"}} if section else {name: longest + "m"})
    assert caught.value.code == "SETTING_INVALID"


def test_a_setting_is_accepted_by_its_name_in_the_first_release():
    """Study files, and bundles that were registered then, hold it."""
    former = {"preprocess": {"lowest_rung": "uid"}}
    assert resolve("default", former).preprocess.lowest_match_level == "uid"
    assert StudySettings.from_dict(former) == StudySettings(preprocess=PreprocessSettings(lowest_match_level="uid"))
    settings = dataclasses.replace(PreprocessSettings(), lowest_match_level="uid")
    assert settings.to_dict()["lowest_match_level"] == "uid"
    assert "lowest_rung" not in settings.to_dict()


def test_a_former_name_is_used_in_the_error_where_it_was_given():
    with pytest.raises(InputError, match=r"preprocess\.lowest_rung: 'high' is not one of uid, plane"):
        resolve("default", {"preprocess": {"lowest_rung": "high"}})
