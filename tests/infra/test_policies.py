"""Every overlay fulfils every policy, and every policy is shown to detect a violation."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.infra import pod_policies, policies
from tests.infra.manifests import RENDERINGS, Object, of_kind
from tests.infra.policies import POLICIES


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("overlay", RENDERINGS)
def test_overlay_fulfils(rendered, overlay, policy):
    assert list(policy(rendered[overlay])) == []


def one(objects: list[Object], kind: str, name: str = "") -> Object:
    return next(o for o in of_kind(objects, kind) if o["metadata"]["name"] == (name or o["metadata"]["name"]))


def pod(objects: list[Object], kind: str = "Deployment") -> Object:
    return dict(one(objects, kind)["spec"]["template"]["spec"])


def container(objects: list[Object]) -> Object:
    return dict(pod(objects))["containers"][0]


def put(policy: Any, what: str, change: Callable[[list[Object]], Any]) -> Any:
    return pytest.param(policy, change, id=f"{policy.__name__}-{what}")


def edit(place: Callable[[list[Object]], Object], **values: Any) -> Callable[[list[Object]], None]:
    """Sets fields at a position in the objects; None removes them."""

    def change(objects: list[Object]) -> None:
        found = place(objects)
        for key, value in values.items():
            found.pop(key, None)
            if value is not None:
                found[key] = value

    return change


def policy_named(name: str) -> Callable[[list[Object]], Object]:
    return lambda objects: one(objects, "NetworkPolicy", name)["spec"]


def runtime(objects: list[Object]) -> Object:
    return dict(one(objects, "ServingRuntime"))["spec"]["containers"][0]


def drop(kind: str, name: str = "") -> Callable[[list[Object]], None]:
    return lambda objects: objects.remove(one(objects, kind, name))


BROKEN = [
    put(pod_policies.images_are_pinned, "latest", edit(container, image="docker.io/library/postgres:latest")),
    put(pod_policies.images_are_pinned, "untagged", edit(runtime, image="localhost:5000/predictor")),
    put(pod_policies.images_are_pinned, "bare", edit(runtime, image="srs-response-predictor:0.1.0")),
    put(pod_policies.pods_pass_restricted, "root", edit(lambda o: pod(o)["securityContext"], runAsNonRoot=False)),
    put(pod_policies.pods_pass_restricted, "user-0", edit(lambda o: runtime(o)["securityContext"], runAsUser=0)),
    put(pod_policies.pods_pass_restricted, "seccomp", edit(lambda o: pod(o)["securityContext"], seccompProfile=None)),
    put(
        pod_policies.pods_pass_restricted,
        "privileges",
        edit(lambda o: container(o)["securityContext"], allowPrivilegeEscalation=None),
    ),
    put(
        pod_policies.pods_pass_restricted,
        "capabilities",
        edit(lambda o: container(o)["securityContext"], capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
    ),
    put(
        pod_policies.pods_pass_restricted,
        "host",
        lambda o: one(o, "Deployment")["spec"]["template"]["spec"].update(hostNetwork=True),
    ),
    put(
        pod_policies.pods_pass_restricted,
        "host-path",
        lambda o: pod(o)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
    ),
    put(
        pod_policies.root_file_systems_are_read_only,
        "writable",
        edit(lambda o: runtime(o)["securityContext"], readOnlyRootFilesystem=False),
    ),
    put(pod_policies.root_file_systems_are_read_only, "no-tmp", edit(runtime, volumeMounts=None)),
    put(pod_policies.resources_are_set, "none", edit(container, resources=None)),
    put(
        pod_policies.resources_are_set,
        "memory",
        edit(runtime, resources={"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}),
    ),
    put(pod_policies.servers_are_probed, "startup", edit(container, startupProbe=None)),
    put(
        pod_policies.nothing_is_secret,
        "secret",
        lambda o: o.append({"kind": "Secret", "metadata": {"name": "s"}, "data": {}}),
    ),
    put(
        pod_policies.nothing_is_secret,
        "value",
        lambda o: container(o)["env"].append({"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}),
    ),
    put(
        pod_policies.nothing_is_secret,
        "address",
        lambda o: container(o)["args"].append("--backend-store-uri=postgresql://mlflow:pw@host/db"),
    ),
    put(
        policies.references_exist,
        "config-map",
        edit(lambda o: container(o)["envFrom"][0]["configMapRef"], name="other"),
    ),
    put(
        policies.references_exist,
        "secret",
        edit(lambda o: container(o)["env"][0]["valueFrom"]["secretKeyRef"], name="undocumented"),
    ),
    put(
        policies.references_exist,
        "key",
        edit(lambda o: container(o)["env"][0]["valueFrom"]["secretKeyRef"], key="pasword"),
    ),
    put(policies.references_exist, "account", drop("ServiceAccount", "srs-response-mlflow")),
    put(policies.references_exist, "predictors-account", drop("ServiceAccount", "srs-response-predictor")),
    put(
        policies.references_exist,
        "token",
        lambda o: one(o, "Deployment")["spec"]["template"]["spec"].pop("automountServiceAccountToken"),
    ),
    put(
        policies.services_reach_pods,
        "selector",
        lambda o: one(o, "Service", "srs-response-mlflow")["spec"]["selector"].update(app="x"),
    ),
    put(
        policies.services_reach_pods, "port", lambda o: one(o, "Service")["spec"]["ports"][0].update(targetPort="grpc")
    ),
    put(policies.services_reach_pods, "stateful-set", lambda o: one(o, "StatefulSet")["spec"].update(serviceName="db")),
    put(
        policies.workloads_select_their_pods,
        "labels",
        lambda o: one(o, "Deployment")["spec"]["template"]["metadata"]["labels"].pop("app.kubernetes.io/name"),
    ),
    put(
        policies.selectors_hit_pods,
        "budget",
        lambda o: one(o, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(app="x"),
    ),
    put(
        policies.selectors_hit_pods,
        "policy",
        lambda o: policy_named("objects")(o)["podSelector"]["matchLabels"].update(app="x"),
    ),
    put(
        policies.selectors_hit_pods,
        "peer",
        lambda o: policy_named("postgres-from-mlflow")(o)["ingress"][0]["from"][0]["podSelector"]["matchLabels"].update(
            a="x"
        ),
    ),
    put(
        policies.selectors_hit_pods,
        "monitor",
        lambda o: one(o, "ServiceMonitor")["spec"]["selector"]["matchLabels"].update(app="x"),
    ),
    put(policies.network_is_closed_but_for_what_is_needed, "open", drop("NetworkPolicy", "default-deny")),
    put(policies.network_is_closed_but_for_what_is_needed, "no-egress", drop("NetworkPolicy", "mlflow-to-postgres")),
    put(policies.network_is_closed_but_for_what_is_needed, "no-ingress", drop("NetworkPolicy", "postgres-from-mlflow")),
    put(policies.network_is_closed_but_for_what_is_needed, "no-runs", drop("NetworkPolicy", "runs-to-mlflow")),
    put(policies.network_is_closed_but_for_what_is_needed, "no-smoke", drop("NetworkPolicy", "callers-to-predictor")),
    put(policies.network_is_closed_but_for_what_is_needed, "no-objects", drop("NetworkPolicy", "predictor-to-objects")),
    put(
        policies.network_is_closed_but_for_what_is_needed,
        "wrong-port",
        lambda o: policy_named("runs-to-mlflow")(o)["ingress"][0]["ports"][0].update(port=5001),
    ),
    put(
        policies.network_is_closed_but_for_what_is_needed,
        "anyone",
        lambda o: policy_named("runs-to-mlflow")(o)["ingress"][0].pop("from"),
    ),
    put(policies.rights_are_bound_and_least, "role", drop("Role")),
    put(policies.rights_are_bound_and_least, "subject", drop("ServiceAccount", "srs-response-pipeline")),
    put(policies.rights_are_bound_and_least, "star", lambda o: one(o, "Role")["rules"][0].update(verbs=["*"])),
    put(
        policies.rights_are_bound_and_least,
        "secrets",
        lambda o: one(o, "Role")["rules"][2].update(resources=["secrets"]),
    ),
    put(policies.rights_are_bound_and_least, "cluster", lambda o: one(o, "Role").update(kind="ClusterRole")),
    put(
        policies.deploy_step_finds_its_parts,
        "runtime",
        lambda o: one(o, "ServingRuntime")["metadata"].update(name="other"),
    ),
    put(
        policies.deploy_step_finds_its_parts,
        "format",
        lambda o: one(o, "ServingRuntime")["spec"]["supportedModelFormats"][0].update(name="onnx"),
    ),
    put(
        policies.deploy_step_finds_its_parts,
        "rights",
        lambda o: one(o, "Role")["rules"][0].update(resourceNames=["other"]),
    ),
    put(
        policies.deploy_step_finds_its_parts,
        "owner",
        lambda o: o.append({"kind": "InferenceService", "metadata": {"name": "srs-response"}}),
    ),
    put(
        policies.addresses_agree,
        "differ",
        lambda o: one(o, "ConfigMap", "srs-response")["data"].update(S3_ENDPOINT="http://x"),
    ),
    put(
        policies.addresses_agree,
        "port",
        lambda o: one(o, "Service", "srs-response-mlflow")["spec"]["ports"][0].update(port=80),
    ),
    put(
        policies.addresses_agree,
        "hosts",
        lambda o: one(o, "Deployment", "srs-response-mlflow")["spec"]["template"]["spec"]["containers"][0].update(
            args=["--allowed-hosts=srs-response-mlflow.srs-response"]
        ),
    ),
]


@pytest.mark.parametrize(("policy", "change"), BROKEN)
def test_policy_detects(rendered, policy, change):
    objects = copy.deepcopy(rendered["monitored"])
    change(objects)
    assert list(policy(objects))


def test_each_policy_is_shown_to_detect_a_violation():
    assert {param.values[0] for param in BROKEN} == set(POLICIES)
