"""The InferenceService of a version: built from a template, applied, waited for, asked, and put back if it fails.

This step alone writes the object (server-side apply, a field manager of its own); kustomize owns the template and
the ServingRuntime, KServe the autoscaler. What was applied last is kept as an annotation, so that a failed
deployment goes back to exactly that.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from kserve import (
    V1beta1InferenceService,
    V1beta1InferenceServiceSpec,
    V1beta1ModelFormat,
    V1beta1ModelSpec,
    V1beta1PredictorSpec,
)
from kubernetes import client

from components.common.errors import InputError, SrsError
from components.deploy.cluster import API_VERSION, GROUP, Cluster

#: Our annotations: facts of the pinned version, the object as it was applied, and as it was before.
PREFIX, APPLIED, FORMER = "srs-response/", "srs-response/applied", "srs-response/former"
#: Schemes that KServe's storage initialiser can load and that one version never shares with another.
SCHEMES = ("s3://", "gs://")
#: KServe's words for a model that will not become ready by waiting.
BLOCKED = ("BlockedByFailedLoad", "InvalidSpec")
POLL_S = 2.0

Outcome = Literal["deployed", "unchanged", "moved on"]


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """What the platform engineer sets in the template ConfigMap; everything else comes of the version.

    Parameters
    ----------
    name
        Name of the InferenceService.
    runtime, model_format
        Our ServingRuntime, and the format that it declares.
    service_account
        Gives the storage initialiser its access to the bucket.
    min_replicas, max_replicas
        Of KServe's autoscaler.
    resources
        ``{"requests": {...}, "limits": {...}}`` of the predictor's container.
    labels, annotations
        Added as they are, e.g. ``serving.kserve.io/deploymentMode``.
    """

    name: str = "srs-response"
    runtime: str = "srs-response"
    model_format: str = "srs-response"
    service_account: str = ""
    min_replicas: int = 1
    max_replicas: int = 1
    resources: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """A template from parsed YAML; ``TEMPLATE_UNKNOWN`` names keys that are not known."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise InputError(
                "TEMPLATE_UNKNOWN", f"the InferenceService template has unknown keys: {', '.join(unknown)}"
            )
        return cls(**values)


@dataclasses.dataclass(frozen=True, slots=True)
class Pin:
    """The version that is served: registered model, its number, where its files lie, digests told as annotations."""

    model_name: str
    version: str
    uri: str
    digests: Mapping[str, str]


def storage_uri(source: str) -> str:
    """The immutable address that KServe loads a version from; ``SOURCE_NOT_LOADABLE`` where it could not."""
    if not source.startswith(SCHEMES):
        scheme = source.partition(":")[0]
        hint = (
            "Run the MLflow server with --no-serve-artifacts and an s3:// artifact root, and register the model again."
        )
        raise InputError("SOURCE_NOT_LOADABLE", f"KServe cannot load a version from {scheme}: addresses", hint)
    return source.rstrip("/")


def build(template: Template, pin: Pin, namespace: str) -> dict[str, Any]:
    """The object to apply, made by KServe's own constructors, which refuse misspelt fields."""
    facts = {"model": pin.model_name, "version": pin.version, **pin.digests}
    annotations = {**template.annotations, **{f"{PREFIX}{name}": value for name, value in facts.items()}}
    model = V1beta1ModelSpec(
        model_format=V1beta1ModelFormat(name=template.model_format),
        runtime=template.runtime,
        storage_uri=storage_uri(pin.uri),
        args=[f"--model-name={pin.model_name}", f"--model-version={pin.version}"],
        resources=client.V1ResourceRequirements(**template.resources) if template.resources else None,
    )
    predictor = V1beta1PredictorSpec(
        model=model,
        min_replicas=template.min_replicas,
        max_replicas=template.max_replicas,
        service_account_name=template.service_account or None,
    )
    service = V1beta1InferenceService(
        api_version=f"{GROUP}/{API_VERSION}",
        kind="InferenceService",
        metadata=client.V1ObjectMeta(
            name=template.name, namespace=namespace, labels=dict(template.labels) or None, annotations=annotations
        ),
        spec=V1beta1InferenceServiceSpec(predictor=predictor),
    )
    body: dict[str, Any] = client.ApiClient().sanitize_for_serialization(service)
    body["metadata"]["annotations"][APPLIED] = json.dumps(body, sort_keys=True)
    return body


def deploy(
    cluster: Cluster,
    body: dict[str, Any],
    *,
    is_champion: Callable[[], bool],
    smoke: Callable[[str], str],
    put_back: Callable[[str], None],
    timeout_s: float = 600.0,
) -> Outcome:
    """Brings the cluster to ``body``, or back to where it was.

    Parameters
    ----------
    cluster
        The namespace to write to.
    body
        From ``build``.
    is_champion
        Whether the alias still names the version; asked before anything is written. Where another deployment wrote
        after us, nothing is taken back.
    smoke
        Queries the predictor at a base URL and returns "" where it is the new version and right, else what is wrong.
    put_back
        Told the reason of a failure when the former object is back, or could not be: restores the registry's alias.
    timeout_s
        For the new generation to be ready and to answer, s.

    Raises
    ------
    SrsError
        ``DEPLOY_FAILED`` with the reason.
    """
    name, wanted = body["metadata"]["name"], _annotation(body, APPLIED)
    before = cluster.read(name)
    if not is_champion():
        return "moved on"
    if before is not None and _annotation(before, APPLIED) == wanted and not problem_of(before, 0):
        return "unchanged"
    former = _former(before, wanted)
    body["metadata"]["annotations"][FORMER] = former
    generation = int(cluster.apply(body)["metadata"]["generation"])
    reason = _wait(cluster, name, generation, smoke, timeout_s)
    if not reason:
        return "deployed"
    now = cluster.read(name)
    if now is not None and _annotation(now, APPLIED) != wanted:
        return "moved on"
    try:
        _restore(cluster, name, former)
    finally:
        put_back(reason)
    raise SrsError("DEPLOY_FAILED", f"the version was taken back: {reason}", "`kubectl describe isvc` tells more.")


def _former(before: Mapping[str, Any] | None, wanted: str) -> str:
    """What to go back to: the object before, or, where an attempt that died applied ours, the one before that."""
    if before is None:
        return ""
    applied = _annotation(before, APPLIED)
    return applied if applied != wanted else _annotation(before, FORMER)


def _restore(cluster: Cluster, name: str, former: str) -> None:
    if not former:
        cluster.delete(name)
        return
    body = json.loads(former)
    body["metadata"]["annotations"] |= {APPLIED: former, FORMER: ""}
    cluster.apply(body)


def _annotation(service: Mapping[str, Any], name: str) -> str:
    return str(service["metadata"].get("annotations", {}).get(name, ""))


def _wait(cluster: Cluster, name: str, generation: int, smoke: Callable[[str], str], timeout_s: float) -> str:
    """Waits until the new generation is ready and answers rightly; "" or why it did not."""
    deadline, problem = time.monotonic() + timeout_s, "it was not looked at"
    while time.monotonic() < deadline:
        service = cluster.read(name)
        if service is None:
            return "the InferenceService was deleted"
        problem = problem_of(service, generation) or smoke(url_of(service))
        if not problem or _blocked(service, generation):
            return problem
        time.sleep(POLL_S)
    return f"not ready in {timeout_s:.0f} s: {problem}"


def problem_of(service: Mapping[str, Any], generation: int) -> str:
    """Why the object is not ready at ``generation`` or a later one; "" where it is."""
    status = service.get("status", {})
    if int(status.get("observedGeneration", 0)) < generation:
        return "KServe has not looked at the new version yet"
    ready = {c["type"]: c for c in status.get("conditions", [])}.get("Ready", {})
    if ready.get("status") == "True" and url_of(service):
        return ""
    return str(
        status.get("modelStatus", {}).get("lastFailureInfo", {}).get("reason") or ready.get("reason") or "not ready"
    )


def _blocked(service: Mapping[str, Any], generation: int) -> bool:
    status = service.get("status", {})
    current = int(status.get("observedGeneration", 0)) >= generation
    return current and status.get("modelStatus", {}).get("transitionStatus") in BLOCKED


def url_of(service: Mapping[str, Any]) -> str:
    """Address of the predictor inside the cluster."""
    status = service.get("status", {})
    return str(status.get("address", {}).get("url") or status.get("url") or "").rstrip("/")
