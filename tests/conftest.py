"""Settings of Hypothesis and fixtures for all tests: a real S3 server."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import minio
import pytest
import urllib3

#: No test fails by the clock of a busy machine.
hypothesis.settings.register_profile("off the clock", deadline=None)
hypothesis.settings.load_profile("off the clock")
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester-secret"}
BUCKETS = ("dicom", "models")
PORTS = ("master", "master.port.grpc", "volume", "volume.port.grpc", "filer", "filer.port.grpc", "s3", "s3.port.grpc")


class S3Server:
    """SeaweedFS on free loopback ports; ``environment`` is what a client needs, ``stop`` kills it."""

    def __init__(self, folder: Path) -> None:
        for attempt in range(3):
            try:
                self._start(folder)
            except RuntimeError:  # another process has taken one of its ports meanwhile
                self.stop()
                if attempt == 2:
                    raise
            else:
                return

    def _start(self, folder: Path) -> None:
        ports = _free_ports(len(PORTS) + 1)
        named = {name if "." in name else f"{name}.port": port for name, port in zip(PORTS, ports, strict=False)}
        self.environment = {"S3_ENDPOINT": f"http://127.0.0.1:{named['s3.port']}", **KEYS}
        weed = shutil.which("weed", path=str(Path(sys.executable).parent))
        off = [
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-bucket={','.join(BUCKETS)}",
        ]
        address = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", *(f"-{name}={port}" for name, port in named.items())]
        self._log = (folder / "weed.log").open("w")
        self._process = subprocess.Popen(
            [weed, "mini", f"-dir={folder}", *address, *off], stdout=self._log, stderr=subprocess.STDOUT, env=KEYS
        )
        self._wait(named["s3.port"])

    def _wait(self, port: int) -> None:
        """Waits until its buckets exist, which is after it starts to listen."""
        client = minio.Minio(f"127.0.0.1:{port}", *KEYS.values(), secure=False)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, urllib3.exceptions.HTTPError, minio.error.MinioException):
                socket.create_connection(("127.0.0.1", port), 1).close()
                if all(client.bucket_exists(bucket) for bucket in BUCKETS):
                    return
            time.sleep(0.1)
        raise RuntimeError(f"the S3 server did not start: {self._log.name}")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


def _free_ports(count: int) -> list[int]:
    """Free ports below the range of client connections, of which other tests open thousands."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            one, port = stack.enter_context(socket.socket()), random.randrange(10_000, 32_000)
            with contextlib.suppress(OSError):  # it is taken
                one.bind(("127.0.0.1", port))
                found.append(port)
        return found


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> S3Server:
    """The module's S3 server, with its address and keys in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(autouse=True)
def environment_is_put_back():
    """Restores environment variables that a command run in this process sets, such as MLflow's address."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
