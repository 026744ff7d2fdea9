"""Containers by Docker's API, which podman speaks too: each pod of the cluster is one container on this machine.

Each runs as on the cluster: the image's own user, a read-only root file system with ``/tmp`` to write to, no
capabilities, no new privileges. All share the host's network, where every server binds the loopback address.
"""

import contextlib
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest
from kfp.local import docker_task_handler

from components.common.errors import SrsError
from components.common.steps import parse_progress

#: As the ServingRuntime and the Deployments of infra/ ask of a pod.
RESTRICTED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "mode=1777"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "host",
}
READY_SECONDS = 120


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[docker.DockerClient]:
    """A client of DOCKER_HOST, or of podman's service, started for the block; skips the test if there is neither."""
    if os.environ.get("DOCKER_HOST"):
        yield docker.from_env(timeout=600)
        return
    podman = shutil.which(os.environ.get("ENGINE", "podman"))
    if podman is None:
        pytest.skip("needs podman, or the Docker API at DOCKER_HOST")
    address = f"unix://{folder}/podman.sock"
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    with subprocess.Popen([podman, "system", "service", "--time=0", address], env=environment) as service:
        try:
            _until(lambda: (folder / "podman.sock").exists(), "podman's service")
            os.environ["DOCKER_HOST"] = address
            yield docker.from_env(timeout=600)
        finally:
            os.environ.pop("DOCKER_HOST", None)
            service.terminate()


def need_image(client: docker.DockerClient, name: str) -> str:
    """The name of an image; skips the test if it does not exist here."""
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        pytest.skip(f"there is no image {name}: make images")
    return name


@contextlib.contextmanager
def running(client: docker.DockerClient, image: str, command: list[str], **arguments: Any) -> Iterator[Any]:
    """A started container, removed at the end, even if it could not be started."""
    container = client.containers.create(image, command, **arguments)
    try:
        container.start()
        yield container
    finally:
        container.remove(force=True)


class Tasks:
    """Runs the tasks of ``kfp.local``'s DockerRunner, and records the exit code and duration of each.

    kfp removes a container as soon as it ends and then counts one that it can no longer query as successful.
    """

    def __init__(self) -> None:
        self.ended: list[tuple[str, int, float]] = []
        self.errors: list[SrsError] = []

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Replaces kfp's own."""
        before = docker_task_handler.run_docker_container
        docker_task_handler.run_docker_container = self.run
        try:
            yield
        finally:
            docker_task_handler.run_docker_container = before

    def run(
        self, client: docker.DockerClient, image: str, command: list[str], volumes: Mapping[str, Any], **arguments: Any
    ) -> int:
        """Runs one task to its end and returns the container's exit code."""
        step, started = command[command.index("--function_to_execute") + 1], time.monotonic()
        with running(client, image, command, volumes=volumes, **arguments) as container:
            code = int(container.wait()["StatusCode"])
            lines = container.logs().decode(errors="replace").splitlines()
        self.errors += [error for line in lines if (error := SrsError.from_line(line))]
        self.ended.append((step, code, time.monotonic() - started))
        if code:
            print("\n".join(line for line in lines if not parse_progress(line)), flush=True)
        return code


@contextlib.contextmanager
def server(client: docker.DockerClient, image: str, command: list[str], ready: Any, **arguments: Any) -> Iterator[Any]:
    """Runs a container for the block, once ``ready`` reports that it answers; removes it afterwards."""
    with running(client, image, command, **RESTRICTED, **arguments) as container:
        _until(ready, f"{image} {' '.join(command)}", lambda: _alive(container))
        yield container
        container.stop(timeout=10)


def readable(folder: Path) -> Path:
    """A folder that the containers' user, which is not ours, can read."""
    for path in (*list(folder.parents)[:3], folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def writable(folder: Path) -> Path:
    """An empty folder that the containers' user can write to."""
    for path in (folder, *list(folder.parents)[:2]):
        path.chmod(0o777)
    return folder


def answers(url: str) -> bool:
    """Whether a server answers 200."""
    with urllib.request.urlopen(url, timeout=2) as reply:
        return bool(reply.status == 200)


def _alive(container: Any) -> bool:
    container.reload()
    if container.status in ("created", "running"):
        return True
    print(container.logs().decode(errors="replace"))
    return False


def _until(true: Any, what: str, alive: Any = lambda: True) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and alive():
        with contextlib.suppress(OSError):
            if true():
                return
        time.sleep(0.2)
    raise RuntimeError(f"did not become ready: {what}")
