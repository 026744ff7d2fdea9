"""Builds the InferenceService of a version from the platform engineer's template, and reads its status.

Only the deploy step writes the object; kustomize owns the template and the ServingRuntime, KServe the autoscaler.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from kubernetes import client

from components.common.errors import InputError
from components.common.kserve_import import kserve
from components.deploy.cluster import API_VERSION, GROUP
from components.deploy.template import Resources, Template

#: Our annotations: prefix of facts about the pinned version; the object as it was applied; the object before that.
PREFIX, APPLIED, FORMER = "srs-response/", "srs-response/applied", "srs-response/former"
#: URI schemes that KServe's storage initialiser can load and under which each version has its own address.
SCHEMES = ("s3://", "gs://")
#: KServe's states of a model that will not become ready by waiting.
BLOCKED = ("BlockedByFailedLoad", "InvalidSpec")


@dataclasses.dataclass(frozen=True, slots=True)
class Pin:
    """The version to serve: registered model, number, URI of its files, and digests for the annotations."""

    model_name: str
    version: str
    uri: str
    digests: Mapping[str, str]


def storage_uri(source: str) -> str:
    """The immutable address from which KServe loads a version; ``SOURCE_NOT_LOADABLE`` where it cannot."""
    if not source.startswith(SCHEMES):
        scheme = source.partition(":")[0]
        hint = (
            "Run the MLflow server with --no-serve-artifacts and an s3:// artifact root, and register the model again."
        )
        raise InputError("SOURCE_NOT_LOADABLE", f"KServe cannot load a version from a {scheme}: address", hint)
    return source.rstrip("/")


def build(template: Template, pin: Pin, namespace: str) -> dict[str, Any]:
    """The object to apply, built with KServe's own constructors, which refuse misspelt fields."""
    facts = {"model": pin.model_name, "version": pin.version, **pin.digests}
    annotations = {**template.annotations, **{f"{PREFIX}{name}": value for name, value in facts.items()}}
    model = kserve.V1beta1ModelSpec(
        model_format=kserve.V1beta1ModelFormat(name=template.model_format),
        runtime=template.runtime,
        storage_uri=storage_uri(pin.uri),
        args=[f"--model-name={pin.model_name}", f"--model-version={pin.version}"],
        resources=_resources(template.resources),
    )
    predictor = kserve.V1beta1PredictorSpec(
        model=model,
        min_replicas=template.min_replicas,
        max_replicas=template.max_replicas,
        service_account_name=template.service_account or None,
    )
    service = kserve.V1beta1InferenceService(
        api_version=f"{GROUP}/{API_VERSION}",
        kind="InferenceService",
        metadata=client.V1ObjectMeta(
            name=template.name, namespace=namespace, labels=dict(template.labels) or None, annotations=annotations
        ),
        spec=kserve.V1beta1InferenceServiceSpec(predictor=predictor),
    )
    body: dict[str, Any] = client.ApiClient().sanitize_for_serialization(service)
    body["metadata"]["annotations"][APPLIED] = json.dumps(body, sort_keys=True)
    return body


def _resources(given: Resources) -> client.V1ResourceRequirements | None:
    amounts = {name: dict(of_one) for name, of_one in dataclasses.asdict(given).items() if of_one}
    return client.V1ResourceRequirements(**amounts) if amounts else None


def problem_of(service: Mapping[str, Any], generation: int) -> str:
    """Why the object is not ready at ``generation`` or a later one; "" where it is."""
    status = service.get("status", {})
    if int(status.get("observedGeneration", 0)) < generation:
        return "KServe has not processed the new version yet"
    ready = {c["type"]: c for c in status.get("conditions", [])}.get("Ready", {})
    waiting = [one for one in status.get("canaryStatuses", []) if not one.get("ready")]
    if ready.get("status") == "True" and url_of(service):
        return "the canary is not ready" if waiting else ""
    return str(
        status.get("modelStatus", {}).get("lastFailureInfo", {}).get("reason") or ready.get("reason") or "not ready"
    )


def is_blocked(service: Mapping[str, Any], generation: int) -> bool:
    """Whether waiting is useless: KServe has processed ``generation`` and its model will not load."""
    status = service.get("status", {})
    current = int(status.get("observedGeneration", 0)) >= generation
    return current and status.get("modelStatus", {}).get("transitionStatus") in BLOCKED


def url_of(service: Mapping[str, Any]) -> str:
    """Address of the predictor inside the cluster."""
    status = service.get("status", {})
    return str(status.get("address", {}).get("url") or status.get("url") or "").rstrip("/")


def annotation(service: Mapping[str, Any], name: str) -> str:
    """An annotation of the object, "" where it has none."""
    return str(service["metadata"].get("annotations", {}).get(name, ""))
