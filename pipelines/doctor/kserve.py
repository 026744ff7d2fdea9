"""Checks KServe: the template of the InferenceService, its serving runtime and its mode."""

import json

from kubernetes import client

from components.deploy.cluster import API_VERSION, GROUP, PLURAL, read_template
from components.deploy.template import Template
from pipelines.doctor.findings import Problem
from pipelines.doctor.target import Target, read_object

#: KServe's names for the mode without Knative; the second is the former one.
STANDARD_MODES = ("Standard", "RawDeployment")
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"


def services(target: Target) -> str:
    """Whether KServe is installed, and how many InferenceServices the namespace has."""
    custom = client.CustomObjectsApi(target.api)
    missing = "there are no InferenceServices in this cluster: install KServe"
    where = (GROUP, API_VERSION, target.serving, PLURAL)
    found = read_object(custom.list_namespaced_custom_object, *where, missing=missing)["items"]
    return f"{GROUP}/{API_VERSION}, {len(found)} InferenceServices in {target.serving}"


def template_in(target: Target) -> Template:
    """The template in the cluster; raises as ``read_template`` and ``Template.from_mapping`` do."""
    return Template.from_mapping(read_template(target.configuration, target.serving))


def template(target: Target) -> str:
    """Whether the template is there and valid, and what it asks for."""
    found = template_in(target)
    share = f", canary {found.canary_percent} %" if found.canary_percent else ""
    return f"InferenceService {found.name}, {found.min_replicas} to {found.max_replicas} replicas{share}"


def runtime(target: Target) -> str:
    """Whether the template's ServingRuntime is there and serves its model format."""
    found = template_in(target)
    custom = client.CustomObjectsApi(target.api)
    where = (GROUP, "v1alpha1", target.serving, "servingruntimes", found.runtime)
    missing = f"no ServingRuntime {found.runtime} in {target.serving}: apply infra/"
    spec = read_object(custom.get_namespaced_custom_object, *where, missing=missing)["spec"]
    formats = [one["name"] for one in spec.get("supportedModelFormats", [])]
    if found.model_format not in formats or spec.get("disabled"):
        raise Problem(f"ServingRuntime {found.runtime} does not serve the format {found.model_format}: apply infra/")
    return f"{found.runtime} serves {found.model_format}"


def serving_mode(target: Target) -> str:
    """Whether KServe runs in the Standard mode, and can share traffic where the template wants a canary."""
    found = template_in(target)
    core = client.CoreV1Api(target.api)
    missing = "no ConfigMap inferenceservice-config in namespace kserve: install KServe there"
    configuration = (
        read_object(core.read_namespaced_config_map, "inferenceservice-config", "kserve", missing=missing).data or {}
    )
    default = json.loads(configuration.get("deploy", "{}")).get("defaultDeploymentMode", "")
    mode = found.annotations.get(MODE_ANNOTATION, default)
    if mode not in STANDARD_MODES:
        raise Problem(f"{mode or 'unknown'}: set the annotation {MODE_ANNOTATION}: Standard in the template")
    gateway = bool(json.loads(configuration.get("ingress", "{}")).get("enableGatewayApi", False))
    if found.canary_percent and not (gateway and found.gateway_api):
        raise Problem(f"{mode}: a canary needs KServe's enableGatewayApi and gateway_api: true in the template")
    return f"{mode}, {'Gateway API' if gateway else 'Ingress'}"
