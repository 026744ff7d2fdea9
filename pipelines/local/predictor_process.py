"""Starts and stops the predictor as a process on this machine."""

import contextlib
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from components.common.defaults import HOST
from components.common.errors import InputError, SrsError
from components.common.field_types import shown
from pipelines.local.home import SOURCES

READY_SECONDS = 60.0

#: What turns gRPC off.
OFF = "off"
_HOST = "Give --host an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them."


def command(
    model: Path, version: str, model_name: str, host: str, port: int, grpc: str = OFF, public_key: Path | None = None
) -> list[str]:
    """The command line that starts the predictor."""
    options = ["--model-dir", str(model), "--model-name", model_name, "--model-version", version]
    address = ["--host", host, "--http-port", str(port), "--grpc-port", grpc]
    verified = ["--public-key", str(public_key)] if public_key else []
    return [sys.executable, "-m", "serving", *options, *address, *verified]


def require_free(host: str, port: int, option: str = "--port") -> None:
    """Refuses a port that something already listens on; ``option`` is where the user gave it.

    Raises
    ------
    InputError
        ``PORT_IN_USE``, or ``ADDRESS_INVALID`` if the host is not an address of this machine.
    """
    if not host.strip():  # the system would take it for all addresses
        raise InputError("ADDRESS_INVALID", "--host is empty", _HOST)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise InputError(
                    "PORT_IN_USE", f"port {port} on {host} is in use", f"Name another by {option}."
                ) from None
            raise InputError("ADDRESS_INVALID", f"{host}:{port} cannot be listened on: {error}", _HOST) from None


def require_grpc(host: str, grpc: str, port: int) -> None:
    """Refuses a value of ``--grpc`` that the predictor could not use beside its HTTP port.

    Raises
    ------
    InputError
        ``ADDRESS_INVALID`` for anything but ``off`` and another port from 1 to 65535; and as ``require_free``.
    """
    if grpc == OFF:
        return
    number = int(grpc) if re.fullmatch(r"[0-9]{1,5}", grpc) else 0
    if not 0 < number < 2**16:
        message = f"--grpc is {shown(grpc)}, which is not a port from 1 to 65535, and not {OFF}"
        raise InputError("ADDRESS_INVALID", message, f"Give --grpc a port such as 8081, or {OFF}.")
    if number == port:
        raise InputError("ADDRESS_INVALID", f"--port and --grpc are both {port}", "Name another port by --grpc.")
    require_free(host, number, "--grpc")


def free_port() -> int:
    """A port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command_line: list[str], url: str, model_name: str, log: Path) -> Iterator[None]:
    """Runs the predictor, ready, for the duration of the block; its output goes to ``log``."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with (
        log.open("w") as file,
        subprocess.Popen(command_line, stdout=file, stderr=subprocess.STDOUT, env=environment) as process,
    ):
        try:
            _wait_ready(process, f"{url}/v2/models/{model_name}/ready", log)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SrsError("PREDICTOR_STOPPED", "the predictor stopped before it was ready", f"Its log: {log}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):  # noqa: S310
            return
        time.sleep(0.1)
    raise SrsError(
        "PREDICTOR_NOT_READY", f"the predictor was not ready within {READY_SECONDS:.0f} s", f"Its log: {log}"
    )
