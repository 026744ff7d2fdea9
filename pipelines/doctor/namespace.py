"""``srs doctor --cluster``: checks the Kubernetes objects, rights and GPUs that the pipeline needs."""

import contextlib
import dataclasses
import functools
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3
from kubernetes import client

from components.common.environment import PSEUDONYM_KEY, S3_KEYS
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
from pipelines.definitions.pods import ADDRESSES
from pipelines.doctor.findings import SECONDS, Finding, Problem, finding

OLDEST_MINOR = 30
POD_SECURITY = "pod-security.kubernetes.io/enforce"
#: KServe's names for the mode without Knative; the second is the former one.
STANDARD_MODES = ("Standard", "RawDeployment")
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
NO_ANSWER = "the cluster does not answer"

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The namespaces and objects to check.

    Parameters
    ----------
    runs
        Namespace of the runs' pods, with the addresses and secrets.
    serving
        Namespace of the InferenceService, with the template, the runtime and the deploy step's rights.
    service_account
        Service account of the pods, whose rights are checked; "" checks your own rights.
    gpu_type
        Resource name of the GPUs.
    names
        Compile options, with the names of ConfigMap and Secrets.
    """

    runs: str
    serving: str
    service_account: str
    gpu_type: str
    names: Compiled

    @property
    def configuration(self) -> Any:
        """The cluster of the current kubeconfig; requests are not retried."""
        configuration = cluster_configuration()
        configuration.retries = False
        return configuration

    @property
    def api(self) -> Any:
        """A client of the cluster."""
        return client.ApiClient(self.configuration)


def examine_cluster(target: Target) -> list[Finding]:
    """Checks everything in the cluster that the pipeline and the deploy step rely on."""
    kubeconfig = finding("kubeconfig", lambda: str(target.configuration.host))
    if not kubeconfig.ok:
        return [kubeconfig]
    version = finding("Kubernetes", functools.partial(_translated, _version, target))
    if version.text.startswith(NO_ANSWER):  # the other checks would fail alike
        return [kubeconfig, version]
    checks: dict[str, Callable[[Target], str]] = {
        "namespace": _namespace,
        "addresses": _addresses,
        "S3 secret": lambda target: _secret(target, target.names.s3_secret, S3_KEYS),
        "pseudonym secret": lambda target: _secret(target, target.names.pseudonym_secret, (PSEUDONYM_KEY,)),
        "KServe": _kserve,
        "template": _template,
        "serving runtime": _runtime,
        "serving mode": _mode,
        "rights": _rights,
        "GPUs": _gpus,
    }
    return [kubeconfig, version] + [
        finding(what, functools.partial(_translated, check, target)) for what, check in checks.items()
    ]


def in_cluster_mlflow(target: Target) -> str:
    """MLflow's address as the pods use it; "" if the ConfigMap cannot be read."""
    with contextlib.suppress(Problem, SrsError):
        return str(_translated(_map_of_addresses, target).get("MLFLOW_TRACKING_URI", ""))
    return ""


def _translated(check: Callable[[Target], T], target: Target) -> T:
    try:
        return check(target)
    except client.ApiException as error:
        if error.status in (401, 403):
            raise Problem(
                f"you are not allowed to read it ({error.status}): ask an administrator of the cluster for the right"
            ) from None
        raise Problem(f"the cluster answered with status {error.status}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Problem(f"{NO_ANSWER} ({type(error).__name__}): check the kubeconfig") from None


def _read(method: Callable[..., Any], *arguments: str, missing: str) -> Any:
    """Reads an object; ``missing`` is the text of the ``Problem`` if it does not exist."""
    try:
        return method(*arguments, _request_timeout=SECONDS)
    except client.ApiException as error:
        if error.status == 404:
            raise Problem(missing) from None
        raise


def _version(target: Target) -> str:
    version = client.VersionApi(target.api).get_code(_request_timeout=SECONDS)
    if int(re.sub(r"\D", "", version.minor)) < OLDEST_MINOR:
        raise Problem(f"{version.git_version}: this platform needs 1.{OLDEST_MINOR} or newer")
    return str(version.git_version)


def _namespace(target: Target) -> str:
    core = client.CoreV1Api(target.api)
    namespace = _read(core.read_namespace, target.serving, missing=f"no namespace {target.serving}: apply infra/")
    level = (namespace.metadata.labels or {}).get(POD_SECURITY, "privileged")
    if level == "privileged":
        raise Problem(f"any pod is admitted; run kubectl label namespace {target.serving} {POD_SECURITY}=baseline")
    return f"{target.serving}, Pod Security {level}"


def _map_of_addresses(target: Target) -> dict[str, str]:
    name = target.names.config_map
    core = client.CoreV1Api(target.api)
    missing = f"no ConfigMap {name} in {target.runs}: apply infra/"
    return _read(core.read_namespaced_config_map, name, target.runs, missing=missing).data or {}


def _addresses(target: Target) -> str:
    addresses = _map_of_addresses(target)
    if not addresses.get("MLFLOW_TRACKING_URI", "").startswith(("http://", "https://")):
        raise Problem(
            f"ConfigMap {target.names.config_map} has no MLFLOW_TRACKING_URI with the address of a server: set it"
        )
    return ", ".join(f"{key}={addresses[key]}" for key in ADDRESSES if key in addresses)


def _secret(target: Target, name: str, keys: tuple[str, ...]) -> str:
    core = client.CoreV1Api(target.api)
    hint = f"kubectl -n {target.runs} create secret generic {name} " + " ".join(
        f"--from-literal={key}=..." for key in keys
    )
    data = _read(core.read_namespaced_secret, name, target.runs, missing=f"no Secret {name}: {hint}").data or {}
    if lacking := [key for key in keys if not data.get(key)]:
        raise Problem(f"Secret {name} lacks {', '.join(lacking)}: {hint}")
    return f"{name} holds {', '.join(keys)}"


def _kserve(target: Target) -> str:
    custom = client.CustomObjectsApi(target.api)
    missing = "there are no InferenceServices in this cluster: install KServe"
    where = (GROUP, API_VERSION, target.serving, PLURAL)
    services = _read(custom.list_namespaced_custom_object, *where, missing=missing)["items"]
    return f"{GROUP}/{API_VERSION}, {len(services)} InferenceServices in {target.serving}"


def _read_template(target: Target) -> Template:
    return Template.from_mapping(read_template(target.configuration, target.serving))


def _template(target: Target) -> str:
    template = _read_template(target)
    share = f", canary {template.canary_percent} %" if template.canary_percent else ""
    return f"InferenceService {template.name}, {template.min_replicas} to {template.max_replicas} replicas{share}"


def _runtime(target: Target) -> str:
    template = _read_template(target)
    custom = client.CustomObjectsApi(target.api)
    where = (GROUP, "v1alpha1", target.serving, "servingruntimes", template.runtime)
    missing = f"no ServingRuntime {template.runtime} in {target.serving}: apply infra/"
    spec = _read(custom.get_namespaced_custom_object, *where, missing=missing)["spec"]
    formats = [one["name"] for one in spec.get("supportedModelFormats", [])]
    if template.model_format not in formats or spec.get("disabled"):
        raise Problem(
            f"ServingRuntime {template.runtime} does not serve the format {template.model_format}: apply infra/"
        )
    return f"{template.runtime} serves {template.model_format}"


def _mode(target: Target) -> str:
    template = _read_template(target)
    core = client.CoreV1Api(target.api)
    missing = "no ConfigMap inferenceservice-config in namespace kserve: install KServe there"
    configuration = (
        _read(core.read_namespaced_config_map, "inferenceservice-config", "kserve", missing=missing).data or {}
    )
    default = json.loads(configuration.get("deploy", "{}")).get("defaultDeploymentMode", "")
    mode = template.annotations.get(MODE_ANNOTATION, default)
    if mode not in STANDARD_MODES:
        raise Problem(f"{mode or 'unknown'}: set the annotation {MODE_ANNOTATION}: Standard in the template")
    gateway = bool(json.loads(configuration.get("ingress", "{}")).get("enableGatewayApi", False))
    if template.canary_percent and not (gateway and template.gateway_api):
        raise Problem(f"{mode}: a canary needs KServe's enableGatewayApi and gateway_api: true in the template")
    return f"{mode}, {'Gateway API' if gateway else 'Ingress'}"


def _rights(target: Target) -> str:
    """A Role may be limited to named objects, so each review names its object."""
    name = _read_template(target).name
    needed = [(verb, GROUP, PLURAL, name) for verb in ("get", "patch", "delete")]
    needed += [("create", GROUP, PLURAL, ""), ("get", "", "configmaps", TEMPLATE_CONFIG_MAP)]
    who = f"service account {target.service_account}" if target.service_account else "you"
    if lacking := [f"{verb} {kind}" for verb, group, kind, one in needed if not _may(target, verb, group, kind, one)]:
        raise Problem(f"{who} may not {', '.join(lacking)} in {target.serving}: apply infra/, or bind its Role")
    return f"{who} may do all that the deploy step does"


def _may(target: Target, verb: str, group: str, resource: str, name: str) -> bool:
    authorization = client.AuthorizationV1Api(target.api)
    where = {"namespace": target.serving, "group": group, "resource": resource, "name": name or None}
    attributes = client.V1ResourceAttributes(verb=verb, **where)
    if not target.service_account:
        mine = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        )
        return bool(authorization.create_self_subject_access_review(mine, _request_timeout=SECONDS).status.allowed)
    user = f"system:serviceaccount:{target.runs}:{target.service_account}"
    theirs = client.V1LocalSubjectAccessReview(
        metadata=client.V1ObjectMeta(namespace=target.serving),
        spec=client.V1SubjectAccessReviewSpec(resource_attributes=attributes, user=user),
    )
    answer = authorization.create_namespaced_local_subject_access_review(
        target.serving, theirs, _request_timeout=SECONDS
    )
    return bool(answer.status.allowed)


def _gpus(target: Target) -> str:
    nodes = client.CoreV1Api(target.api).list_node(_request_timeout=SECONDS).items
    counts = [int((node.status.allocatable or {}).get(target.gpu_type, 0)) for node in nodes]
    if not sum(counts):
        return f"none called {target.gpu_type} on {len(nodes)} nodes: leave gpu_count at 0 to train on the CPU"
    return f"{sum(counts)} {target.gpu_type} on {sum(map(bool, counts))} of {len(nodes)} nodes"
