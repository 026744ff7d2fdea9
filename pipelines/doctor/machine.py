"""``srs doctor``: checks Python, packages, disk, port and devices of this machine."""

import importlib.metadata
import os
import shutil
import sys
from pathlib import Path

from components.common import defaults
from components.common.errors import InputError, SrsError, TrainingError
from components.common.processors import processors
from components.common.versions import version_of
from components.train.visible_gpus import visible_gpus
from pipelines.doctor.findings import Finding
from pipelines.local.home import Home
from pipelines.local.predictor_process import require_free

NEEDED_GB = 6.0  # a demo writes 0.6 GB; the rest is for other runs
#: Versions that this platform was checked with; another one may fail silently.
CHECKED = {
    "kfp": "2.17",
    "kfp-kubernetes": "2.17",
    "kserve": "0.21",
    "mlflow": "3.17",
    "tensorflow": "2.21",
    "keras": "3.15",
    "pydicom": "3.0",
    "scikit-learn": "1.9",
    "minio": "7.2",
    "kubernetes": "30.1",
    "numpy": "2.4",
    "pandas": "2.3",
}


def examine(home: Path, port: int) -> list[Finding]:
    """Checks Python, versions, the output folder, the disk, the port and the devices."""
    return [
        _python(),
        *_versions(),
        _output(home),
        _disk(home),
        _port(port),
        _byte_code(),
        Finding("cores", ok=True, text=str(processors())),
        _devices(),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Finding("Python", ok, version if ok else f"{version}: use 3.11, 3.12 or 3.13 (make PYTHON=python3.12)")


def _versions() -> list[Finding]:
    findings = []
    for name, wanted in CHECKED.items():
        try:
            installed = version_of(name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, ok=False, text="not installed: run make"))
            continue
        ok = installed.startswith(f"{wanted}.") or installed == wanted
        findings.append(
            Finding(
                name, ok, installed if ok else f"{installed}: checked with {wanted}; run make to install that version"
            )
        )
    return findings


def _output(home: Path) -> Finding:
    try:
        return Finding("output", ok=True, text=str(Home.open(home).path))
    except SrsError as error:
        return Finding("output", ok=False, text=str(error))


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home.resolve(), *home.resolve().parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    ok = free >= NEEDED_GB
    return Finding(
        "disk", ok, f"{free:.0f} GB free" + ("" if ok else f": free {NEEDED_GB:.0f} GB, or name another --home")
    )


def _port(port: int) -> Finding:
    try:
        require_free(defaults.HOST, port)
    except InputError as error:
        return Finding("port", ok=False, text=str(error))
    return Finding("port", ok=True, text=f"{port} is free")


def _byte_code() -> Finding:
    ok = not os.environ.get("PYTHONDONTWRITEBYTECODE")
    hint = "PYTHONDONTWRITEBYTECODE is set: imports may take three times as long; unset it"
    return Finding("byte-code", ok, "is cached" if ok else hint)


def _devices() -> Finding:
    try:
        gpus = visible_gpus("jax")
    except TrainingError as error:
        return Finding("devices", ok=False, text=str(error))
    text = f"{gpus} GPU: `srs run --gpus {gpus}` trains on it" if gpus else "CPU only: members train on the cores"
    return Finding("devices", ok=True, text=text)
