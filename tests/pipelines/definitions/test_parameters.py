"""Parameters and compile options: declared once, for the pipelines, their descriptions and the checks."""

import dataclasses
import inspect
from typing import Any

import pytest

from components.common.checked import fields, sentence
from components.common.errors import InputError
from pipelines.definitions import phantom, srs_response
from pipelines.definitions.options import Compiled
from pipelines.definitions.parameters import PhantomParameters, StudyParameters, read_parameters, typed

PIPELINES = [(srs_response, StudyParameters), (phantom, PhantomParameters)]


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
    default = kind(cohort_uri="s3://a/b")
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
        "groups: -1 is not 0 or more",
        "memory: '8 GB' is not a quantity such as 2 or 8G",
        "gpu_count: 'two' is not a number of GPUs",
        "deploy_to: 'prod' is not one of none, kserve",
        "gpus: unknown name; known names: cohort_uri, cpu",
        "state_uri: 'folder' is not s3://bucket/prefix or an absolute path",
        "node_selector: '[]' is not a JSON object",
    ):
        assert expected in error.safe_message


def test_values_have_the_declared_types():
    given = {"cohort_uri": "/data", "seed": "7", "tolerations": '[{"key": "gpu"}]', "gpu_count": "2", "cpu": "500m"}
    assert typed(STUDY, given) == {
        "cohort_uri": "/data",
        "seed": 7,
        "tolerations": [{"key": "gpu"}],
        "gpu_count": "2",
        "cpu": "500m",
    }
    assert typed(declared(phantom), {"cohort_uri": "s3://a", "signal": "0.5"}) == {
        "cohort_uri": "s3://a",
        "signal": 0.5,
    }


@pytest.mark.parametrize("signal", ["nan", "inf", "much"])
def test_a_number_is_finite(signal):
    assert "signal" in refused({"cohort_uri": "/data", "signal": signal}, declared(phantom)).safe_message


def test_a_version_of_another_release_is_read_by_its_own_types():
    other = {
        "gpu_count": {"parameterType": "NUMBER_INTEGER", "isOptional": True},
        "fast": {"parameterType": "BOOLEAN", "isOptional": True},
        "model_copy": {"parameterType": "STRUCT"},
    }
    given = {"gpu_count": "2", "fast": "true", "model_copy": '{"a": 1}'}
    assert typed(other, given) == {"gpu_count": 2, "fast": True, "model_copy": {"a": 1}}
    assert "model_copy: must be given" in refused({}, other).safe_message


def test_flags_are_pairs():
    assert read_parameters(["a=b=c", " d = e"]) == {"a": "b=c", "d": " e"}
    with pytest.raises(InputError, match="PARAMETER_INVALID"):
        read_parameters(["a"])


def test_all_problems_of_compile_options_are_named_at_once():
    with pytest.raises(InputError) as caught:
        Compiled(image="", parallelism=-1, retries="2.5", run_as_user=0, config_map="", shared_memory="2GB", shm="2Gi")
    assert caught.value.code == "COMPILE_OPTION_INVALID"
    for expected in (
        "image: '' is not the name of an image",
        "parallelism: -1 is not 0 or more. Largest number of training pods",
        "retries: '2.5' is not an integer",
        "run_as_user: 0 is not 1 or more",
        "config_map: '' is not a Kubernetes name",
        "shared_memory: '2GB' is not a quantity such as 2Gi",
        "shm: unknown name; known names: image",
    ):
        assert expected in caught.value.safe_message


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
