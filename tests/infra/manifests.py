"""Reads rendered manifests: pods, references, and connections through the network policies."""

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
OVERLAYS = ("kind", "gpu")
#: ``monitored`` is kind with the ServiceMonitor, and ``signed`` kind with the predictor of signed bundles.
RENDERINGS = (*OVERLAYS, "monitored", "signed")
KUBECTL = shutil.which("kubectl")

Object = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod that an object here creates: its owner, namespace, labels and specification."""

    owner: str
    namespace: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def serves(self) -> bool:
        return any(container.get("ports") for container in self.spec["containers"])


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization, by kubectl."""
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def namespace_of(one: Object) -> str:
    return str(one["metadata"].get("namespace", ""))


def label(one: Object) -> str:
    """The name of an object in the text of a problem."""
    return f"{one['kind']} {one['metadata']['name']}"


def template(objects: list[Object]) -> Object:
    """The InferenceService's template."""
    maps = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "srs-response-template"]
    return dict(yaml.safe_load(maps[0]["data"]["inferenceservice.yaml"]))


def pods(objects: list[Object]) -> list[Pod]:
    """The pods of all workloads; KServe creates the predictor's, with our runtime and service account."""
    made = [
        Pod(
            label(one),
            namespace_of(one),
            one["spec"]["template"]["metadata"]["labels"],
            one["spec"]["template"]["spec"],
        )
        for one in of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job")
    ]
    for runtime in of_kind(objects, "ServingRuntime"):
        values = template(objects)
        labels = {"serving.kserve.io/inferenceservice": values["name"]}
        spec = {
            **runtime["spec"],
            "serviceAccountName": values["service_account"],
            "automountServiceAccountToken": False,
        }
        made.append(Pod(label(runtime), namespace_of(runtime), labels, spec))
    return made


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches."""
    wanted = selector.get("matchLabels", {})
    chosen = all(labels.get(key) == value for key, value in wanted.items())
    return chosen and all(_expression(one, labels) for one in selector.get("matchExpressions", []))


def _expression(one: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert one["operator"] == "In", one
    return labels.get(one["key"]) in one["values"]


def references(spec: Object) -> Iterator[tuple[str, str, str]]:
    """``(kind, name, key)`` of every ConfigMap and Secret that a pod reads; the key is "" for all of them."""
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in source:
                    yield kind, source[field]["name"], source[field]["key"]
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    yield kind, source[field]["name"], ""
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], ""
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], ""


def documented_secrets() -> dict[str, dict[str, set[str]]]:
    """Namespace -> name -> keys of the Secrets that infra/README says to create."""
    return _documented("secret generic")


def documented_config_maps() -> dict[str, dict[str, set[str]]]:
    """Namespace -> name -> keys of the ConfigMaps that infra/README says to create."""
    return _documented("configmap")


def _documented(kind: str) -> dict[str, dict[str, set[str]]]:
    text = (INFRA / "README.md").read_text().replace("\\\n", " ")
    found: dict[str, dict[str, set[str]]] = {}
    for namespace, name, rest in re.findall(rf"kubectl -n (\S+) create {kind} (\S+)(.*)", text):
        keys = set(re.findall(r"--from-(?:literal|file)=\"?([\w.-]+)", rest))
        found.setdefault(namespace, {})[name] = keys
    return found


def may_flow(objects: list[Object], source: Pod, target: Pod, port: int) -> bool:
    """Whether the network policies of both sides let a connection pass."""
    return _side(objects, source, "Egress", target, port) and _side(objects, target, "Ingress", source, port)


def _side(objects: list[Object], pod: Pod, direction: str, other: Pod, port: int) -> bool:
    rules, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    binding = [
        one
        for one in of_kind(objects, "NetworkPolicy")
        if namespace_of(one) == pod.namespace
        and direction in one["spec"]["policyTypes"]
        and selects(one["spec"]["podSelector"], pod.labels)
    ]
    if not binding:
        return True
    return any(
        any(int(p["port"]) == port for p in rule.get("ports", []))
        and (peers not in rule or any(_is_peer(peer, pod, other) for peer in rule[peers]))
        for one in binding
        for rule in one["spec"].get(rules, [])
    )


def _is_peer(peer: Object, pod: Pod, other: Pod) -> bool:
    names = {"kubernetes.io/metadata.name": other.namespace}
    same = (
        selects(peer["namespaceSelector"], names) if "namespaceSelector" in peer else other.namespace == pod.namespace
    )
    return same and selects(peer.get("podSelector", {}), other.labels)
