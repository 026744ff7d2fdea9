"""The InferenceService of a version, built from the template."""

import json

import pytest

from components.common.errors import InputError
from components.deploy.inference_service import APPLIED, Pin, build, storage_uri
from components.deploy.template import Template

TEMPLATE = Template(
    service_account="predictor",
    max_replicas=2,
    resources={"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
    annotations={"serving.kserve.io/deploymentMode": "Standard"},
)


def pin(version: str) -> Pin:
    return Pin("srs-response", version, f"s3://models/m-{version}/artifacts", {"bundle-digest": f"digest-{version}"})


def test_builds_a_pinned_service_of_the_template() -> None:
    body = build(TEMPLATE, pin("7"), "hospital")
    model = body["spec"]["predictor"]["model"]
    assert (body["apiVersion"], body["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert body["metadata"]["namespace"] == "hospital"
    assert model["storageUri"] == "s3://models/m-7/artifacts"
    assert model["args"] == ["--model-name=srs-response", "--model-version=7"]
    assert model["runtime"] == "srs-response"
    assert model["resources"]["limits"] == {"memory": "1Gi"}
    assert body["spec"]["predictor"]["serviceAccountName"] == "predictor"
    assert body["metadata"]["annotations"]["srs-response/bundle-digest"] == "digest-7"
    assert body["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    recorded = json.loads(body["metadata"]["annotations"][APPLIED])
    assert recorded["spec"] == body["spec"]


@pytest.mark.parametrize("source", ["mlflow-artifacts:/1/models/m-1/artifacts", "/runs/m-1", "file:///runs/m-1"])
def test_refuses_a_source_that_kserve_cannot_load(source: str) -> None:
    with pytest.raises(InputError) as caught:
        storage_uri(source)
    assert caught.value.code == "SOURCE_NOT_LOADABLE"
    assert "--no-serve-artifacts" in caught.value.hint
