"""Every overlay, rendered by kubectl: schemas, KServe's own constructors, and names."""

import copy
import json
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes import client

from components.common.environment import PSEUDONYM_KEY, S3_KEYS, SIGNING_KEY
from components.common.kserve_import import kserve
from components.deploy.inference_service import Pin, Template, build
from pipelines.definitions.options import Compiled
from pipelines.definitions.pods import ADDRESSES
from serving.__main__ import MOUNTED_KEY
from tests.infra import policies
from tests.infra.manifests import (
    INFRA,
    OVERLAYS,
    RENDERINGS,
    documented_config_maps,
    documented_secrets,
    namespace_of,
    of_kind,
    render,
    template,
)

#: Oldest and newest Kubernetes that the manifests are for.
KUBERNETES = ("1.32", "1.34")
CUSTOM = ("ServingRuntime", "ServiceMonitor")


@pytest.mark.parametrize(("overlay", "version"), [("kind", KUBERNETES[0]), ("gpu", KUBERNETES[1])])
def test_built_in_kinds_fulfil_their_schema(rendered, overlay, version):
    for one in rendered[overlay]:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


def test_misspelt_field_is_refused_by_the_schema(rendered):
    (broken,) = [copy.deepcopy(o) for o in of_kind(rendered["kind"], "Deployment")]
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES[0], strict=True)


def construct(kind: str, value: Any) -> Any:
    """A value built by the SDKs' own constructors, which refuse unknown keywords and report missing ones."""
    if isinstance(value, list):
        return [construct(re.sub(r"^list\[(.*)\]$", r"\1", kind), one) for one in value]
    if kind.startswith("dict("):
        return {key: construct(kind[5:-1].partition(", ")[2], one) for key, one in value.items()}
    model = getattr(kserve, kind, None) or getattr(client, kind, None)
    if model is None or not isinstance(value, dict):
        return value
    names = {there: here for here, there in model.attribute_map.items()}
    unknown = sorted(set(value) - set(names))
    assert not unknown, f"{kind} has no {', '.join(unknown)}"
    return model(**{names[key]: construct(model.openapi_types[names[key]], one) for key, one in value.items()})


@pytest.mark.parametrize("overlay", RENDERINGS)
def test_serving_runtime_is_built_by_kserves_constructor(rendered, overlay):
    (runtime,) = of_kind(rendered[overlay], "ServingRuntime")
    built = construct("V1alpha1ServingRuntime", runtime)
    assert built.spec.containers[0].name == "kserve-container"
    assert client.ApiClient().sanitize_for_serialization(built) == runtime


def test_misspelt_field_is_refused_by_kserves_constructor(rendered):
    broken = copy.deepcopy(of_kind(rendered["kind"], "ServingRuntime")[0])
    broken["spec"]["supportedModelFormat"] = broken["spec"].pop("supportedModelFormats")
    with pytest.raises(AssertionError, match="supportedModelFormat"):
        construct("V1alpha1ServingRuntime", broken)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_template_makes_the_inference_service(rendered, overlay):
    pin = Pin("srs-response", "7", "s3://models/mlflow/1/models/m-1/artifacts", {"bundle-digest": "0" * 64})
    body = build(Template.from_mapping(template(rendered[overlay])), pin, "srs-response")
    service = construct("V1beta1InferenceService", body)
    assert service.spec.predictor.service_account_name == "srs-response-predictor"
    assert body["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_names_are_those_that_the_pipeline_is_compiled_with(rendered, overlay):
    names, secrets = Compiled(), documented_secrets()
    (account,) = [o for o in of_kind(rendered[overlay], "ServiceAccount") if "pipeline" in o["metadata"]["name"]]
    runs = namespace_of(account)
    maps = {
        o["metadata"]["name"]: o["data"] for o in of_kind(rendered[overlay], "ConfigMap") if namespace_of(o) == runs
    }
    assert set(ADDRESSES) <= set(maps[names.config_map])
    assert secrets[runs][names.s3_secret] == set(S3_KEYS)
    assert secrets[runs][names.pseudonym_secret] == {PSEUDONYM_KEY}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_patch_hits(rendered, overlay):
    kustomization = yaml.safe_load((INFRA / "overlays" / overlay / "kustomization.yaml").read_text())
    assert kustomization["patches"]
    for patch in kustomization["patches"]:
        kind, name = patch["target"]["kind"], patch["target"]["name"]
        (target,) = [o for o in of_kind(rendered[overlay], kind) if o["metadata"]["name"] == name]
        steps = yaml.safe_load((INFRA / "overlays" / overlay / patch["path"]).read_text())
        for step in [step for step in steps if step["op"] != "test"]:
            assert at(target, step["path"]) == step["value"]


def at(value: Any, path: str) -> Any:
    for part in path.strip("/").split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def test_base_renders_alone(rendered):
    assert len(render(INFRA / "base")) < len(rendered["kind"])


def test_plugin_configuration_is_json_and_names_mlflow(rendered):
    plugin = json.loads((INFRA / "components" / "kfp-mlflow-plugin" / "plugin.json").read_text())["plugins"]["mlflow"]
    host = plugin["endpoint"].partition("://")[2].partition(":")[0]
    assert host in policies.mlflow_hosts(rendered["kind"])
    assert plugin["settings"]["injectUserEnvVars"] is True


def test_the_predictor_of_signed_bundles_is_started_with_the_mounted_key(rendered):
    spec = of_kind(rendered["signed"], "ServingRuntime")[0]["spec"]
    (container,) = spec["containers"]
    (argument,) = [one for one in container["args"] if one.startswith("--public-key=")]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "bundle-key"]
    (volume,) = [one["configMap"] for one in spec["volumes"] if one["name"] == "bundle-key"]
    assert argument == f"--public-key={mount['mountPath']}/{volume['items'][0]['path']}"
    assert argument == f"--public-key={MOUNTED_KEY}"
    assert "optional" not in volume  # no pod starts without the key
    assert documented_config_maps()["srs-response"][volume["name"]] == {volume["items"][0]["key"]}
    assert documented_secrets()["kubeflow"]["srs-response-signing"] == {SIGNING_KEY}


def test_every_overlay_is_rendered():
    assert {folder.name for folder in (INFRA / "overlays").iterdir() if folder.is_dir()} == set(OVERLAYS)
