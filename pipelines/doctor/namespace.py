"""``srs doctor --cluster``: checks the Kubernetes objects, rights and GPUs that the pipeline needs."""

import contextlib
import functools
import re
from collections.abc import Callable

from kubernetes import client

from components.common.environment import PSEUDONYM_KEY, S3_KEYS
from components.common.errors import SrsError
from components.deploy.cluster import GROUP, PLURAL, TEMPLATE_CONFIG_MAP
from pipelines.definitions.pods import ADDRESSES
from pipelines.doctor import findings, kserve
from pipelines.doctor.findings import Finding, Problem, finding
from pipelines.doctor.target import NO_ANSWER, Target, read_object, translated

OLDEST_MINOR = 30
POD_SECURITY = "pod-security.kubernetes.io/enforce"


def examine_cluster(target: Target) -> list[Finding]:
    """Checks everything in the cluster that the pipeline and the deploy step rely on."""
    kubeconfig = finding("kubeconfig", lambda: str(target.configuration.host))
    if not kubeconfig.ok:
        return [kubeconfig]
    version = finding("Kubernetes", functools.partial(translated, _version, target))
    if version.text.startswith(NO_ANSWER):  # the other checks would fail alike
        return [kubeconfig, version]
    checks: dict[str, Callable[[Target], str]] = {
        "namespace": _namespace,
        "addresses": _addresses,
        "S3 secret": lambda target: _secret(target, target.names.s3_secret, S3_KEYS),
        "pseudonym secret": lambda target: _secret(target, target.names.pseudonym_secret, (PSEUDONYM_KEY,)),
        "KServe": kserve.services,
        "template": kserve.template,
        "serving runtime": kserve.runtime,
        "serving mode": kserve.serving_mode,
        "rights": _rights,
        "GPUs": _gpus,
    }
    return [kubeconfig, version] + [
        finding(what, functools.partial(translated, check, target)) for what, check in checks.items()
    ]


def in_cluster_mlflow(target: Target) -> str:
    """MLflow's address as the pods use it; "" if the ConfigMap cannot be read."""
    with contextlib.suppress(Problem, SrsError):
        return str(translated(_map_of_addresses, target).get("MLFLOW_TRACKING_URI", ""))
    return ""


def _version(target: Target) -> str:
    version = client.VersionApi(target.api).get_code(_request_timeout=findings.SECONDS)
    if int(re.sub(r"\D", "", version.minor)) < OLDEST_MINOR:
        raise Problem(f"{version.git_version}: this platform needs 1.{OLDEST_MINOR} or newer")
    return str(version.git_version)


def _namespace(target: Target) -> str:
    core = client.CoreV1Api(target.api)
    namespace = read_object(core.read_namespace, target.serving, missing=f"no namespace {target.serving}: apply infra/")
    level = (namespace.metadata.labels or {}).get(POD_SECURITY, "privileged")
    if level == "privileged":
        raise Problem(f"any pod is admitted; run kubectl label namespace {target.serving} {POD_SECURITY}=baseline")
    return f"{target.serving}, Pod Security {level}"


def _map_of_addresses(target: Target) -> dict[str, str]:
    name = target.names.config_map
    core = client.CoreV1Api(target.api)
    missing = f"no ConfigMap {name} in {target.runs}: apply infra/"
    return read_object(core.read_namespaced_config_map, name, target.runs, missing=missing).data or {}


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
    data = read_object(core.read_namespaced_secret, name, target.runs, missing=f"no Secret {name}: {hint}").data or {}
    if lacking := [key for key in keys if not data.get(key)]:
        raise Problem(f"Secret {name} lacks {', '.join(lacking)}: {hint}")
    return f"{name} holds {', '.join(keys)}"


def _rights(target: Target) -> str:
    """A Role may be limited to named objects, so each review names its object."""
    name = kserve.template_in(target).name
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
        return bool(
            authorization.create_self_subject_access_review(mine, _request_timeout=findings.SECONDS).status.allowed
        )
    user = f"system:serviceaccount:{target.runs}:{target.service_account}"
    theirs = client.V1LocalSubjectAccessReview(
        metadata=client.V1ObjectMeta(namespace=target.serving),
        spec=client.V1SubjectAccessReviewSpec(resource_attributes=attributes, user=user),
    )
    answer = authorization.create_namespaced_local_subject_access_review(
        target.serving, theirs, _request_timeout=findings.SECONDS
    )
    return bool(answer.status.allowed)


def _gpus(target: Target) -> str:
    nodes = client.CoreV1Api(target.api).list_node(_request_timeout=findings.SECONDS).items
    counts = [int((node.status.allocatable or {}).get(target.gpu_type, 0)) for node in nodes]
    if not sum(counts):
        return f"none called {target.gpu_type} on {len(nodes)} nodes: leave gpu_count at 0 to train on the CPU"
    return f"{sum(counts)} {target.gpu_type} on {sum(map(bool, counts))} of {len(nodes)} nodes"
