"""The predictor as its own process on this machine, and a client that sends it DICOM."""

import contextlib
import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.common.errors import InputError, SrsError

READY_SECONDS = 60.0
MAX_REPLY_BYTES = 64 * 2**20


def command(model: Path, version: str, model_name: str, host: str, port: int, grpc: str = "off") -> list[str]:
    """The command line that starts the predictor."""
    options = ["--model-dir", str(model), "--model-name", model_name, "--model-version", version]
    address = ["--host", host, "--http-port", str(port), "--grpc-port", grpc]
    return [sys.executable, "-m", "serving", *options, *address]


def require_free(host: str, port: int) -> None:
    """Refuses a port that something already listens on.

    Raises
    ------
    InputError
        ``PORT_IN_USE``, or ``ADDRESS_INVALID`` where the host is not an address of this machine.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise InputError("PORT_IN_USE", f"port {port} on {host} is in use", "Name another by --port.") from None
            raise InputError("ADDRESS_INVALID", f"{host}:{port} cannot be listened on: {error}") from None


def free_port() -> int:
    """A port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command_line: list[str], url: str, model_name: str, log: Path) -> Iterator[None]:
    """The predictor's process from ready to stopped; its output goes to ``log``."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
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


def pack_study(path: Path) -> bytes:
    """A folder of DICOM, a ``.zip`` of one, or a single file, as the bytes of a zip with neutral file names.

    Raises
    ------
    InputError
        ``STUDY_MISSING`` or ``STUDY_EMPTY``.
    """
    if not path.exists():
        raise InputError("STUDY_MISSING", f"there is no file or folder {path}")
    if path.is_file() and zipfile.is_zipfile(path):
        return path.read_bytes()
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    if not files:
        raise InputError("STUDY_EMPTY", f"{path} holds no file", "Name the folder of the CT slices and the RTSTRUCT.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, file in enumerate(files):
            archive.writestr(f"{number:05d}.dcm", file.read_bytes())
    return buffer.getvalue()


def predict(url: str, model_name: str, study: bytes, *, roi: str = "", timeout: float = 120.0) -> list[dict[str, Any]]:
    """One answer per tumour of a zipped study.

    Raises
    ------
    SrsError
        ``PREDICTOR_UNREACHABLE``, or the code that the predictor replied.
    """
    query = f"?{urllib.parse.urlencode({'roi': roi})}" if roi else ""
    address = f"{url.rstrip('/')}/v1/models/{model_name}:predict{query}"
    if not address.startswith(("http://", "https://")):
        raise InputError("ADDRESS_INVALID", f"{url} is not an http address")
    request = urllib.request.Request(address, study, {"Content-Type": "application/zip"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:  # noqa: S310
            return list(json.loads(reply.read(MAX_REPLY_BYTES))["predictions"])
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        hint = "`srs serve` starts the predictor."
        raise InputError("PREDICTOR_UNREACHABLE", f"no predictor answers at {url}: {reason}", hint) from None
    except (ValueError, KeyError):
        raise SrsError("PREDICTOR_UNKNOWN", f"what answers at {url} is not this predictor") from None


def _refusal(error: urllib.error.HTTPError) -> SrsError:
    try:
        reply = json.loads(error.read(MAX_REPLY_BYTES))
        kind = InputError if error.code < 500 else SrsError
        return kind(str(reply["code"]), str(reply["error"]), str(reply.get("hint", "")))
    except (ValueError, KeyError, TypeError):
        return SrsError(f"HTTP_{error.code}", f"the predictor answered {error.code} {error.reason}")


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
