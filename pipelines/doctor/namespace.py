"""``srs doctor --cluster``, Kubernetes' part: what the namespace must hold, may do and can run."""

import contextlib
import dataclasses
import functools
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3
from kubernetes import client

from components.common.errors import SrsError
from components.deploy.cluster import (
    API_VERSION,
    GROUP,
    PLURAL,
    TEMPLATE_CONFIG_MAP,
    cluster_configuration,
    read_template,
)
from components.deploy.template import Template
from pipelines.definitions.options import Compiled
from pipelines.definitions.pods import ADDRESSES, PSEUDONYM_KEY, S3_KEYS
from pipelines.doctor.findings import Finding, Mend, finding

OLDEST_MINOR = 30
POD_SECURITY = "pod-security.kubernetes.io/enforce"
#: KServe's names for the mode without Knative; the second is the former one.
STANDARD_MODES = ("Standard", "RawDeployment")
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
SECONDS = 5
NO_ANSWER = "the cluster does not answer"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """Where to look and for what.

    Parameters
    ----------
    runs
        Namespace of the runs' pods: addresses and secrets.
    serving
        Namespace of the InferenceService: template, runtime and what the deploy step may do.
    service_account
        Of the pods: its rights are looked at; "" looks at your own.
    gpu_type
        Resource name of the GPUs.
    names
        Names of ConfigMap and Secrets, as compiled.
    """

    runs: str
    serving: str
    service_account: str
    gpu_type: str
    names: Compiled

    @property
    def configuration(self) -> Any:
        """The cluster of the current kubeconfig, asked once a question."""
        configuration = cluster_configuration()
        configuration.retries = False
        return configuration

    @property
    def api(self) -> Any:
        """A client of the cluster."""
        return client.ApiClient(self.configuration)


def examine_cluster(look: Look) -> list[Finding]:
    """Looks at everything in the cluster that the pipeline and the deploy step count on."""
    found = finding("kubeconfig", lambda: str(look.configuration.host))
    if not found.ok:
        return [found]
    version = finding("Kubernetes", functools.partial(_in_words, _version, look))
    if version.text.startswith(NO_ANSWER):  # nor would it answer the other questions
        return [found, version]
    checks: dict[str, Callable[[Look], str]] = {
        "namespace": _namespace,
        "addresses": _addresses,
        "S3 secret": lambda look: _secret(look, look.names.s3_secret, S3_KEYS),
        "pseudonym secret": lambda look: _secret(look, look.names.pseudonym_secret, (PSEUDONYM_KEY,)),
        "KServe": _kserve,
        "template": _template,
        "serving runtime": _runtime,
        "serving mode": _mode,
        "rights": _rights,
        "GPUs": _gpus,
    }
    return [found, version] + [
        finding(what, functools.partial(_in_words, check, look)) for what, check in checks.items()
    ]


def in_cluster_mlflow(look: Look) -> str:
    """MLflow's address as the pods call it; "" where the ConfigMap cannot be read."""
    with contextlib.suppress(Mend, SrsError):
        return str(_in_words(_map_of_addresses, look).get("MLFLOW_TRACKING_URI", ""))
    return ""


def _in_words(check: Callable[[Look], T], look: Look) -> T:
    try:
        return check(look)
    except client.ApiException as error:
        if error.status in (401, 403):
            raise Mend(f"you may not look at it ({error.status}): ask who administers the cluster") from None
        raise Mend(f"the cluster answered {error.status}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Mend(f"{NO_ANSWER} ({type(error).__name__}): check the kubeconfig") from None


def _read(method: Callable[..., Any], *arguments: str, missing: str) -> Any:
    """An object; ``missing`` says what to do where there is none."""
    try:
        return method(*arguments, _request_timeout=SECONDS)
    except client.ApiException as error:
        if error.status == 404:
            raise Mend(missing) from None
        raise


def _version(look: Look) -> str:
    version = client.VersionApi(look.api).get_code(_request_timeout=SECONDS)
    if int(re.sub(r"\D", "", version.minor)) < OLDEST_MINOR:
        raise Mend(f"{version.git_version}: this platform needs 1.{OLDEST_MINOR} or newer")
    return str(version.git_version)


def _namespace(look: Look) -> str:
    core = client.CoreV1Api(look.api)
    found = _read(core.read_namespace, look.serving, missing=f"no namespace {look.serving}: apply infra/")
    level = (found.metadata.labels or {}).get(POD_SECURITY, "privileged")
    if level == "privileged":
        raise Mend(f"any pod is let in: kubectl label namespace {look.serving} {POD_SECURITY}=baseline")
    return f"{look.serving}, Pod Security {level}"


def _map_of_addresses(look: Look) -> dict[str, str]:
    name = look.names.config_map
    core = client.CoreV1Api(look.api)
    missing = f"no ConfigMap {name} in {look.runs}: apply infra/"
    return _read(core.read_namespaced_config_map, name, look.runs, missing=missing).data or {}


def _addresses(look: Look) -> str:
    found = _map_of_addresses(look)
    if not found.get("MLFLOW_TRACKING_URI", "").startswith(("http://", "https://")):
        raise Mend(f"ConfigMap {look.names.config_map} has no MLFLOW_TRACKING_URI of a server: set it")
    return ", ".join(f"{key}={found[key]}" for key in ADDRESSES if key in found)


def _secret(look: Look, name: str, keys: tuple[str, ...]) -> str:
    core = client.CoreV1Api(look.api)
    hint = f"kubectl -n {look.runs} create secret generic {name} " + " ".join(
        f"--from-literal={key}=..." for key in keys
    )
    found = _read(core.read_namespaced_secret, name, look.runs, missing=f"no Secret {name}: {hint}").data or {}
    if lacking := [key for key in keys if not found.get(key)]:
        raise Mend(f"Secret {name} lacks {', '.join(lacking)}: {hint}")
    return f"{name} holds {', '.join(keys)}"


def _kserve(look: Look) -> str:
    custom = client.CustomObjectsApi(look.api)
    missing = "there are no InferenceServices in this cluster: install KServe"
    where = (GROUP, API_VERSION, look.serving, PLURAL)
    found = _read(custom.list_namespaced_custom_object, *where, missing=missing)["items"]
    return f"{GROUP}/{API_VERSION}, {len(found)} InferenceServices in {look.serving}"


def _read_template(look: Look) -> Template:
    return Template.from_mapping(read_template(look.configuration, look.serving))


def _template(look: Look) -> str:
    template = _read_template(look)
    share = f", canary {template.canary_percent} %" if template.canary_percent else ""
    return f"InferenceService {template.name}, {template.min_replicas} to {template.max_replicas} replicas{share}"


def _runtime(look: Look) -> str:
    template = _read_template(look)
    custom = client.CustomObjectsApi(look.api)
    where = (GROUP, "v1alpha1", look.serving, "servingruntimes", template.runtime)
    missing = f"no ServingRuntime {template.runtime} in {look.serving}: apply infra/"
    spec = _read(custom.get_namespaced_custom_object, *where, missing=missing)["spec"]
    formats = [one["name"] for one in spec.get("supportedModelFormats", [])]
    if template.model_format not in formats or spec.get("disabled"):
        raise Mend(f"ServingRuntime {template.runtime} does not serve the format {template.model_format}: apply infra/")
    return f"{template.runtime} serves {template.model_format}"


def _mode(look: Look) -> str:
    template = _read_template(look)
    core = client.CoreV1Api(look.api)
    missing = "no ConfigMap inferenceservice-config in namespace kserve: install KServe there"
    found = _read(core.read_namespaced_config_map, "inferenceservice-config", "kserve", missing=missing).data or {}
    default = json.loads(found.get("deploy", "{}")).get("defaultDeploymentMode", "")
    mode = template.annotations.get(MODE_ANNOTATION, default)
    if mode not in STANDARD_MODES:
        raise Mend(f"{mode or 'unknown'}: set the annotation {MODE_ANNOTATION}: Standard in the template")
    gateway = bool(json.loads(found.get("ingress", "{}")).get("enableGatewayApi", False))
    if template.canary_percent and not (gateway and template.gateway_api):
        raise Mend(f"{mode}: a canary needs KServe's enableGatewayApi and gateway_api: true in the template")
    return f"{mode}, {'Gateway API' if gateway else 'Ingress'}"


def _rights(look: Look) -> str:
    """A role may allow named objects only, so that each question names its object."""
    name = _read_template(look).name
    asked = [(verb, GROUP, PLURAL, name) for verb in ("get", "patch", "delete")]
    asked += [("create", GROUP, PLURAL, ""), ("get", "", "configmaps", TEMPLATE_CONFIG_MAP)]
    who = f"service account {look.service_account}" if look.service_account else "you"
    if lacking := [f"{verb} {kind}" for verb, group, kind, one in asked if not _may(look, verb, group, kind, one)]:
        raise Mend(f"{who} may not {', '.join(lacking)} in {look.serving}: apply infra/, or bind its Role")
    return f"{who} may do what the deploy step does"


def _may(look: Look, verb: str, group: str, resource: str, name: str) -> bool:
    authorization = client.AuthorizationV1Api(look.api)
    where = {"namespace": look.serving, "group": group, "resource": resource, "name": name or None}
    asked = client.V1ResourceAttributes(verb=verb, **where)
    if not look.service_account:
        mine = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
        return bool(authorization.create_self_subject_access_review(mine, _request_timeout=SECONDS).status.allowed)
    user = f"system:serviceaccount:{look.runs}:{look.service_account}"
    theirs = client.V1LocalSubjectAccessReview(
        metadata=client.V1ObjectMeta(namespace=look.serving),
        spec=client.V1SubjectAccessReviewSpec(resource_attributes=asked, user=user),
    )
    answer = authorization.create_namespaced_local_subject_access_review(look.serving, theirs, _request_timeout=SECONDS)
    return bool(answer.status.allowed)


def _gpus(look: Look) -> str:
    nodes = client.CoreV1Api(look.api).list_node(_request_timeout=SECONDS).items
    counts = [int((node.status.allocatable or {}).get(look.gpu_type, 0)) for node in nodes]
    if not sum(counts):
        return f"none called {look.gpu_type} on {len(nodes)} nodes: leave gpu_count at 0, and training runs on CPU"
    return f"{sum(counts)} {look.gpu_type} on {sum(map(bool, counts))} of {len(nodes)} nodes"
