"""Policies for every pod; each returns its problems as texts, none if the pod fulfils it."""

import re
from collections.abc import Iterator
from typing import Any

from tests.infra.manifests import Object, Pod, label, of_kind, pods

SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY", re.IGNORECASE)
CREDENTIALS_IN_URL = re.compile(r"://[^/@\s]*:(?!\$\()[^/@\s]+@")
Problems = Iterator[str]


def images_are_pinned(objects: list[Object]) -> Problems:
    for pod, container in _containers(objects):
        image = container["image"]
        name, _, tag = image.rpartition(":")
        if "/" not in image:
            yield f"{pod.owner}: {image} names no registry"
        if "@sha256:" not in image and (not name or "/" in tag or tag in ("latest", "stable", "main")):
            yield f"{pod.owner}: {image} is not pinned"


def pods_pass_restricted(objects: list[Object]) -> Problems:
    """Pod Security "restricted", of the Kubernetes documentation."""
    for pod in pods(objects):
        whole = pod.spec.get("securityContext", {})
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(name):
                yield f"{pod.owner}: {name}"
        for volume in pod.spec.get("volumes", []):
            if kind := set(volume) - {"name", "configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}:
                yield f"{pod.owner}: volume of kind {', '.join(kind)}"
        for container in pod.containers:
            own = container.get("securityContext", {})
            both = {**whole, **own}
            what = f"{pod.owner}, {container['name']}"
            if both.get("runAsNonRoot") is not True or not int(both.get("runAsUser", 0)):
                yield f"{what}: may be root"
            if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
                yield f"{what}: no seccomp profile"
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{what}: may gain privileges"
            if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
                yield f"{what}: keeps capabilities"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{what}: host port"


def root_file_systems_are_read_only(objects: list[Object]) -> Problems:
    for pod, container in _containers(objects):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{pod.owner}, {container['name']}: may write to its image"
        if not any(mount["mountPath"] == "/tmp" for mount in container.get("volumeMounts", [])):
            yield f"{pod.owner}, {container['name']}: has no /tmp to write to"


def resources_are_set(objects: list[Object]) -> Problems:
    for pod, container in _containers(objects):
        given = container.get("resources", {})
        for side in ("requests", "limits"):
            if missing := {"cpu", "memory"} - set(given.get(side, {})):
                yield f"{pod.owner}, {container['name']}: no {side} of {', '.join(sorted(missing))}"


def servers_are_probed(objects: list[Object]) -> Problems:
    for pod in pods(objects):
        for container in pod.spec["containers"]:
            missing = {"startupProbe", "readinessProbe", "livenessProbe"} - set(container)
            if container.get("ports") and missing:
                yield f"{pod.owner}, {container['name']}: no {', '.join(sorted(missing))}"


def nothing_is_secret(objects: list[Object]) -> Problems:
    """No Secret, and no value that looks like one."""
    for one in of_kind(objects, "Secret"):
        yield f"{label(one)} holds values"
    for pod, container in _containers(objects):
        for variable in container.get("env", []):
            if SECRET_NAME.search(variable["name"]) and "value" in variable:
                yield f"{pod.owner}, {container['name']}: {variable['name']} has a value"
    for one in objects:
        if any(CREDENTIALS_IN_URL.search(text) for text in _texts(one)):
            yield f"{label(one)}: an address with a password"


def _containers(objects: list[Object]) -> list[tuple[Pod, Object]]:
    return [(pod, container) for pod in pods(objects) for container in pod.containers]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


POD_POLICIES = (
    images_are_pinned,
    pods_pass_restricted,
    root_file_systems_are_read_only,
    resources_are_set,
    servers_are_probed,
    nothing_is_secret,
)
