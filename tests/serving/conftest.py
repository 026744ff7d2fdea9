"""A bundle, and a predictor that serves it in its own process."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.model.bundles import make_bundle

ROOT = Path(__file__).parents[2]
STARTED_WITHIN_SECONDS = 120


class Server:
    """A predictor's process and how to talk to it."""

    name = "srs-response"

    def __init__(self, bundle: Path, folder: Path, *flags: str, run: tuple[str, ...] = ("-m", "serving")) -> None:
        self.http_port, self.grpc_port = free_port(), free_port()
        self.log = folder / "server.log"
        command = [
            sys.executable, *run, "--model-dir", str(bundle), "--http-port", str(self.http_port),
            "--grpc-port", str(self.grpc_port), "--model-version", "7", "--linger-seconds", "0.2", *flags,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        end = time.monotonic() + STARTED_WITHIN_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.ask("GET", "/v2/health/ready")[0] == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"not ready, exit code {self.process.poll()}:\n{self.log.read_text()}")

    def ask(self, method: str, path: str, body=None, headers: dict | None = None) -> tuple[int, dict, bytes]:
        """Status, headers and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, dict(reply.headers), reply.read()
        finally:
            connection.close()

    def v1(self, *instances) -> tuple[int, dict]:
        status, _, body = self.ask("POST", f"/v1/models/{self.name}:predict", json.dumps({"instances": instances}))
        return status, json.loads(body)

    def v2(self, fields: dict, binary: bytes | None = None) -> tuple[int, dict, bytes]:
        """Status, JSON, and the bytes after it."""
        head = json.dumps(fields).encode()
        headers = {} if binary is None else {"Inference-Header-Content-Length": str(len(head))}
        status, given, body = self.ask("POST", f"/v2/models/{self.name}/infer", head + (binary or b""), headers)
        length = int({k.lower(): v for k, v in given.items()}.get("inference-header-content-length", len(body)))
        return status, json.loads(body[:length]), body[length:]

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(bundle: Path, folder: Path, *flags: str) -> Iterator[Server]:
    server = Server(bundle, folder, *flags)
    try:
        server.wait_ready()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def server(bundle, tmp_path_factory) -> Iterator[Server]:
    with running(bundle, tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def start(bundle, tmp_path):
    """Starts a server with flags for one test; it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *flags: stack.enter_context(running(bundle, tmp_path, *flags))
