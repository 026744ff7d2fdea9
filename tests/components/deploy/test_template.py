"""The template of the InferenceService: any mapping gives a template, or one error that names all problems."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.common.checked import fields
from components.common.errors import InputError
from components.deploy.inference_service import Pin, build
from components.deploy.template import Resources, Template

TEMPLATES = sorted((Path(__file__).parents[3] / "infra").rglob("inferenceservice.yaml"))
PIN = Pin("srs-response", "7", "s3://models/m-7/artifacts", {"bundle-digest": "d"})


def refused(values: dict[Any, Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        Template.from_mapping(values)
    return caught.value


def test_names_all_unknown_keys_and_the_allowed_ones() -> None:
    error = refused({"minReplicas": 1, "replicas": 2, "x": 3, "name": "x"})
    assert error.code == "TEMPLATE_UNKNOWN"
    for key in ("minReplicas", "replicas"):
        assert f"{key}: unknown name; did you mean min_replicas?" in error.safe_message
    assert f"x: unknown name; known names: {', '.join(fields(Template))}" in error.safe_message


def test_names_all_problems_at_once() -> None:
    values = {"name": "SRS", "max_replicas": "3", "resources": {"limit": {}, "requests": {"cpu": "two"}}, "x": 1}
    text = refused(values | {"labels": {"team": True}, "gateway_api": "yes"}).safe_message
    for said in (
        "x: unknown name",
        "name: 'SRS' is not a name",
        "max_replicas: '3' is not an integer",
        "resources.limit: unknown name; did you mean limits?",
        "resources.requests.cpu: 'two' is not an amount",
        "labels.team: true is not text",
        "gateway_api: 'yes' is not true or false",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"canary_percent": -1}, "canary_percent"),
        ({"canary_percent": 100}, "100 is outside 0 to 99"),
        ({"canary_percent": "10"}, "canary_percent"),
        ({"canary_percent": 0.5}, "canary_percent"),
        ({"canary_percent": True}, "canary_percent"),
        ({"min_replicas": 3, "max_replicas": 2}, "min_replicas is 3, which is above max_replicas (2)"),
        ({"min_replicas": 3}, "above max_replicas (1)"),
        ({"max_replicas": 0}, "0 is not 1 or more"),
        ({"resources": ["cpu"]}, 'resources: ["cpu"] is not a mapping'),
        ({"resources": {"limits": "2Gi"}}, "resources.limits: '2Gi' is not a mapping"),
        ({"resources": {"limits": {"memory": "2GiB"}}}, "memory: '2GiB' is not an amount"),
        ({"resources": {"limits": {"memory": -1}}}, "memory: '-1' is not an amount"),
        ({"labels": {"a b": "x"}}, "labels.a b: 'a b' is not a Kubernetes key"),
        ({"labels": {"": "x"}}, "'' is not a Kubernetes key"),
        ({"labels": {"a/b/c": "x"}}, "'a/b/c' is not a Kubernetes key"),
        ({"labels": {"A.b/c": "x"}}, "'A.b/c' is not a Kubernetes key"),
        ({"labels": {"a" * 64: "x"}}, "is not a Kubernetes key"),
        ({"labels": {"a": "the team"}}, "labels.a: 'the team' is not a label's value"),
        ({"labels": {"a": "x" * 64}}, "is not a label's value"),
        ({"labels": {"a": "-x"}}, "'-x' is not a label's value"),
        ({"annotations": {"a b": "x"}}, "'a b' is not a Kubernetes key"),
        ({"resources": {"limits": {"cpu s": 1}}}, "'cpu s' is not a Kubernetes key"),
        ({"resources": {"limits": {"cpu": "1e9999"}}}, "'1e9999' is not an amount"),
        (
            {"resources": {"requests": {"memory": "1.1Gi"}, "limits": {"memory": "1126M"}}},
            "resources: requests.memory is 1.1Gi, which is above limits.memory (1126M)",
        ),
        ({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1999m"}}}, "requests.cpu is 2, which is above"),
        ({"annotations": {"a": 1}}, "write a value that is no text in quotes"),
        ({"annotations": "a"}, "annotations: 'a' is not a mapping"),
        ({"service_account": 5}, "service_account"),
        ({"model_format": " "}, "model_format: ' ' is not a text with anything but spaces"),
        ({"runtime": ""}, "runtime"),
        ({1: 2, None: 3}, "1: unknown name"),
    ],
)
def test_names_the_allowed_values(values: dict[Any, Any], says: str) -> None:
    assert says in refused(values).safe_message


def test_keys_and_amounts_of_kubernetes_are_accepted() -> None:
    labels = {"app.kubernetes.io/part-of": "srs_response.v1", "team": "", "A": "x" * 63}
    resources = {"requests": {"cpu": "1000m", "memory": "1Gi", "nvidia.com/gpu": 1}, "limits": {"cpu": 1}}
    resources["limits"] |= {"memory": "1073741824", "nvidia.com/gpu": 1}
    read = Template.from_mapping(
        {"labels": labels, "annotations": {"example.org/A_b": "any text!"}, "resources": resources}
    )
    assert dict(read.labels) == labels
    assert read.resources.limits["memory"] == "1073741824"


def test_numbers_are_amounts_and_empty_keys_keep_their_defaults() -> None:
    template = Template.from_mapping({"resources": {"limits": {"cpu": 2, "memory": "1.5Gi"}}, "labels": None})
    assert template.resources == Resources(limits={"cpu": "2", "memory": "1.5Gi"})
    assert template.labels == {}


def test_every_default_is_allowed() -> None:
    """A default itself is not checked when a value is made."""
    assert Template.from_mapping(dataclasses.asdict(Template())) == Template()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parent.name)
def test_accepts_every_template_of_infra(path: Path) -> None:
    Template.from_mapping(yaml.safe_load(path.read_text()))


words = st.sampled_from(["a", "", "team", "2", "500m", "2Gi", "true", "requests", "limits", "cpu", "x" * 300, "Ü"])
leaves = st.one_of(st.none(), st.booleans(), st.integers(-5, 200), st.floats(), words, st.binary(max_size=2))
keys = st.one_of(words, st.integers(0, 3), st.none(), st.booleans())
values = st.recursive(
    leaves, lambda more: st.lists(more, max_size=2) | st.dictionaries(keys, more, max_size=3), max_leaves=6
)
amounts = st.dictionaries(words, leaves, max_size=2)
likely = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["srs", "a-b", "A"]),
        "min_replicas": st.integers(0, 3),
        "max_replicas": st.integers(1, 3),
        "resources": st.dictionaries(st.sampled_from(["limits", "requests"]), amounts),
        "labels": st.dictionaries(words, words, max_size=2),
        "canary_percent": st.integers(0, 99),
    },
)
mappings = st.dictionaries(st.one_of(st.sampled_from(sorted(fields(Template))), keys), values, max_size=5)


@given(st.one_of(mappings, likely))
def test_any_mapping_gives_a_service_or_an_input_error(given_values: dict[Any, Any]) -> None:
    try:
        template = Template.from_mapping(given_values)
    except InputError:
        return
    predictor = build(template, PIN, "hospital")["spec"]["predictor"]
    assert predictor["minReplicas"] <= predictor["maxReplicas"]
