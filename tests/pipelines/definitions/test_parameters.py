"""Parameters and compile options: declared once, for the pipelines, their descriptions and the checks."""

import dataclasses
import inspect
import json
from typing import Any

import pytest

from components.common.checked import fields, sentence
from components.common.errors import InputError
from pipelines.definitions import phantom, srs_response, validate
from pipelines.definitions.options import Compiled
from pipelines.definitions.parameters import (
    PhantomParameters,
    StudyParameters,
    ValidateParameters,
    read_parameters,
    typed,
)

PIPELINES = [(srs_response, StudyParameters), (phantom, PhantomParameters), (validate, ValidateParameters)]


def declared(pipeline: Any) -> dict[str, dict[str, Any]]:
    """Parameters of the compiled pipeline, as a server returns them."""
    inputs = pipeline.build().pipeline_spec.root.input_definitions.parameters
    names = {0: "?", 1: "NUMBER_DOUBLE", 2: "NUMBER_INTEGER", 3: "STRING", 4: "BOOLEAN", 5: "LIST", 6: "STRUCT"}
    found = {}
    for name, one in inputs.items():
        found[name] = {"parameterType": names[one.parameter_type], "isOptional": one.is_optional}
        found[name] |= {"description": one.description}
        if one.HasField("default_value"):
            found[name]["defaultValue"] = getattr(one.default_value, one.default_value.WhichOneof("kind"))
    return found


STUDY = declared(srs_response)


def refused(given: dict[str, str], of: dict[str, Any] = STUDY) -> InputError:
    with pytest.raises(InputError) as caught:
        typed(of, given)
    return caught.value


@pytest.mark.parametrize(("pipeline", "kind"), PIPELINES)
def test_a_pipeline_has_the_declared_parameters_defaults_and_descriptions(pipeline, kind):
    function = pipeline.build().pipeline_func
    default = kind(cohort_uri="s3://abc/d")
    for (name, parameter), field in zip(inspect.signature(function).parameters.items(), fields(kind), strict=True):
        assert name == field
        if name != "cohort_uri":
            assert parameter.default == getattr(default, name)
    compiled = declared(pipeline)
    assert {name: one["description"] for name, one in compiled.items()} == {
        name: sentence(field) for name, field in fields(kind).items()
    }


def test_all_problems_of_parameters_are_named_at_once():
    given = {"seed": "one", "groups": "-1", "memory": "8 GB", "gpu_count": "two", "deploy_to": "prod", "gpus": "1"}
    error = refused(given | {"state_uri": "folder", "node_selector": "[]"})
    assert (error.code, error.exit_code) == ("PARAMETER_INVALID", 2)
    for expected in (
        "cohort_uri: must be given. Cohort table",
        "seed: 'one' is not an integer. Seed of",
        "groups: -1 is outside 0 to 2,147,483,647",
        "memory: '8 GB' is not an amount of memory above 0 such as 8G or 2Gi",
        "gpu_count: 'two' is not a number of GPUs",
        "deploy_to: 'prod' is not one of none, kserve",
        f"gpus: unknown name; known names: {', '.join(sorted(STUDY))}",
        "state_uri: 'folder' is not an absolute path",
        "node_selector: '[]' is not a JSON object",
    ):
        assert expected in error.safe_message


def test_an_empty_name_is_quoted():
    with pytest.raises(InputError, match="  - '': not of the form name=value"):
        read_parameters(["=1"])


def test_values_have_the_declared_types():
    given = {"cohort_uri": "/data", "seed": "7", "tolerations": '[{"key": "gpu"}]', "gpu_count": "2", "cpu": "500m"}
    assert typed(STUDY, given) == {
        "cohort_uri": "/data",
        "seed": 7,
        "tolerations": [{"key": "gpu"}],
        "gpu_count": "2",
        "cpu": "500m",
    }
    assert typed(declared(phantom), {"cohort_uri": "s3://abc", "signal": "0.5"}) == {
        "cohort_uri": "s3://abc",
        "signal": 0.5,
    }


@pytest.mark.parametrize("signal", ["nan", "inf", "much"])
def test_a_number_is_finite(signal):
    assert "signal" in refused({"cohort_uri": "/data", "signal": signal}, declared(phantom)).safe_message


@pytest.mark.parametrize(
    "given",
    [
        {"cohort_uri": ""},
        {"cohort_uri": "s3://a..b/x"},
        {"cohort_uri": "s3://ab"},
        {"cohort_uri": "/a\0b"},
        {"seed": "\u0663"},
        {"seed": "1_0"},
        {"members": str(2**31)},
        {"members_per_task": "9" * 400},
        {"experiment": " "},
        {"experiment": "a\nb"},
        {"model_name": "a/b"},
        {"model_name": "a:b"},
        {"model_name": ".."},
        {"namespace": "Team_A"},
        {"gpu_type": ""},
        {"gpu_type": "nvidia.com/gpu/0"},
        {"gpu_count": "9" * 100},
        {"gpu_count": "\u0663"},
        {"memory": "0"},
        {"cpu": "0.0"},
        {"gather_memory": "\u0664G"},
        {"node_selector": '{"gpu": 1}'},
        {"node_selector": "[" * 5000},
        {"tolerations": "[1]"},
        {"tolerations": '[{"keys": "gpu"}]'},
        {"tolerations": '[{"key": "gpu", "operator": "Maybe"}]'},
        {"tolerations": '[{"key": "gpu", "effect": "No"}]'},
        {"tolerations": '[{"key": "bad key!", "operator": "Exists"}]'},
        {"tolerations": '[{"key": "gpu", "value": 5}]'},
        {"tolerations": "[{}]"},
        {"tolerations": '[{"operator": "Equal", "value": "b"}]'},
        {"tolerations": '[{"operator": "Exists", "value": "x"}]'},
        {"tolerations": '[{"key": "a", "tolerationSeconds": 60}]'},
        {"tolerations": '[{"key": "a", "effect": "NoExecute", "tolerationSeconds": 1.5}]'},
        {"node_selector": '{"a b": "x"}'},
        {"node_selector": '{"": ""}'},
        {"node_selector": json.dumps({"a": "x" * 64})},
        {"cpu": "4G"},
        {"memory": "1m"},
        {"experiment": "x" * 257},
        {"tolerations": "[" * 5000},
        {"tolerations": "NaN"},
        {"settings": "[" * 5000},
    ],
)
def test_what_the_cluster_would_refuse_is_refused_before_it_is_sent(given):
    error = refused({"cohort_uri": "/data"} | given)
    assert error.code in ("PARAMETER_INVALID", "SETTINGS_NOT_JSON")
    assert next(iter(given)) in error.safe_message


@pytest.mark.parametrize(
    "given",
    [
        {"cohort_uri": "s3://a.b-c/x y/#?%"},
        {"state_uri": ""},
        {"namespace": "1-team"},
        {"gpu_type": "amd.com/gpu"},
        {"tolerations": '[{"key": "example.org/gpu", "operator": "Exists"}, {"operator": "Exists"}, {"key": "a"}]'},
        {"tolerations": '[{"key": "a", "value": "", "effect": "NoExecute", "tolerationSeconds": 300.0}]'},
        {"tolerations": '[{"key": "a", "operator": "", "value": null, "effect": ""}]'},
        {"tolerations": ""},
        {"node_selector": ""},
        {"cohort_uri": "s3://Bucket_of.2019/x"},
        {"cpu": "0.5"},
        {"memory": "1Ei"},
        {"experiment": "Étude n° 2"},
        {"node_selector": '{"example.org/gpu": "a100"}'},
        {"model_name": "Brain mets, 2"},
        {"memory": "0.5Gi"},
    ],
)
def test_what_the_cluster_accepts_is_sent(given):
    assert str(next(iter(given))) in typed(STUDY, {"cohort_uri": "/data"} | given)


def test_a_version_of_another_release_is_read_by_its_own_types():
    other = {
        "gpu_count": {"parameterType": "NUMBER_INTEGER", "isOptional": True},
        "fast": {"parameterType": "BOOLEAN", "isOptional": True},
        "model_copy": {"parameterType": "STRUCT"},
    }
    given = {"gpu_count": "2", "fast": "true", "model_copy": '{"a": 1}'}
    assert typed(other, given) == {"gpu_count": 2, "fast": True, "model_copy": {"a": 1}}
    assert "model_copy: must be given" in refused({}, other).safe_message


def test_equal_values_are_no_contradiction_in_whatever_form():
    given = {"cohort_uri": "/data", "seed": "3", "groups": "4"}
    settings = '{"seed": "3", "split": {"groups": "4", "members": 5}}'
    assert typed(STUDY, given | {"settings": settings})["groups"] == 4


@pytest.mark.parametrize("given", [{"seed": "1"}, {"seed": "2"}, {"groups": "2"}, {"members": "9"}])
def test_a_parameter_and_settings_that_contradict_each_other_are_refused(given):
    """The seed 1 is the default, but given here."""
    settings = '{"seed": 3, "split": {"groups": 4, "members": 5}}'
    error = refused({"cohort_uri": "/data", "settings": settings} | given)
    assert error.code == "SETTING_INVALID"
    [(name, value)] = given.items()
    assert f"{name}: the parameter is {value}, settings says" in error.safe_message


@pytest.mark.parametrize("unused", [{"split": {"groups": 3}}, {"train": {"max_steps": 300}}])
def test_settings_that_the_pipeline_validate_does_not_use_are_refused_before_it_is_sent(unused):
    """``max_steps`` alone also contradicts the default ``restart_step`` unless it is checked first."""
    given = {"cohort_uri": "s3://dicom/elsewhere", "settings": json.dumps(unused)}
    assert refused(given, declared(validate)).code == "SETTING_UNUSED"
    typed(STUDY, given | {"settings": json.dumps({"split": {"groups": 3}})})
    used = {"cohort_uri": "s3://dicom/elsewhere", "settings": json.dumps({"seed": 3, "evaluate": {"bootstrap": 100}})}
    assert typed(declared(validate), used) == used


def test_a_toleration_s_problem_is_named():
    error = refused({"cohort_uri": "/data", "tolerations": '[{"key": "gpu", "operator": "Maybe"}]'})
    assert "operator is one of Exists, Equal" in error.safe_message


@pytest.mark.parametrize("flags", [["a"], ["=1"], ["a=1", "a=2"]])
def test_flags_of_another_form_or_given_twice_are_refused(flags):
    with pytest.raises(InputError, match="PARAMETER_INVALID"):
        read_parameters(flags)


def test_flags_are_pairs():
    assert read_parameters(["a=b=c", " d = e"]) == {"a": "b=c", "d": " e"}


def test_all_problems_of_compile_options_are_named_at_once():
    with pytest.raises(InputError) as caught:
        Compiled(image="", parallelism=-1, retries="2.5", run_as_user=0, config_map="", shared_memory="2GB", shm="2Gi")
    assert caught.value.code == "COMPILE_OPTION_INVALID"
    for expected in (
        "image: '' is not the name of an image",
        "parallelism: -1 is outside 0 to 2,147,483,647. Largest number of training pods",
        "retries: '2.5' is not an integer",
        "run_as_user: 0 is outside 1 to 2,147,483,647",
        "config_map: '' is not a Kubernetes name",
        "shared_memory: '2GB' is not an amount of memory",
        "shm: unknown name; known names: image",
    ):
        assert expected in caught.value.safe_message


@pytest.mark.parametrize("name", ["parallelism", "retries", "timeout_seconds", "run_as_user"])
def test_a_compile_option_fits_the_field_that_it_is_written_to(name):
    assert getattr(Compiled(**{name: 2**31 - 1}), name) == 2**31 - 1
    with pytest.raises(InputError, match=f"{name}: 2147483648 is outside"):
        Compiled(**{name: 2**31})


def test_compile_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Compiled().retries = 1


def test_every_default_is_allowed():
    """A default itself is not checked when a value is made."""
    for value in (Compiled(), StudyParameters(cohort_uri="/data"), PhantomParameters(cohort_uri="/data")):
        assert type(value)(**dataclasses.asdict(value)) == value


@pytest.mark.parametrize("kind", [StudyParameters, PhantomParameters, Compiled])
def test_everything_has_help(kind):
    assert all(len(field.description or "") > 15 for field in fields(kind).values())
