"""The images' lock files are parts of requirements.lock: each package has one version everywhere."""

import importlib.metadata
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.manifests import INFRA, ROOT

IMAGES = INFRA / "images"
#: What only the images hold.
MORE = {"psycopg2-binary"}


def pins(path) -> dict[str, str]:
    """Name -> the requirement with its hashes, of a lock file."""
    text = path.read_text().replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("-r ")]
    return {line.partition(" --hash")[0]: line for line in lines}


def name_of(pin: str) -> str:
    return canonicalize_name(re.split(r"[=\s;]", pin)[0])


@pytest.mark.parametrize("image", ["pipeline", "predictor"])
def test_lock_takes_versions_and_hashes_from_the_projects(image):
    # a smaller set may need a package on fewer platforms, so its markers may differ
    known, here = (
        {re.sub(r" ;.*?(?= --hash)", "", line) for line in pins(lock).values()}
        for lock in (ROOT / "requirements.lock", IMAGES / f"{image}.lock")
    )
    strangers = [line for line in here - known if name_of(line) not in MORE]
    assert here
    assert not strangers, "make lock"


@pytest.mark.parametrize("lock", sorted(IMAGES.glob("*.lock")), ids=lambda path: path.name)
def test_every_requirement_has_its_hashes_and_no_place(lock):
    for pin, line in pins(lock).items():
        assert "==" in pin
        assert "--hash=sha256:" in line
    assert "index" not in lock.read_text().partition("==")[0]
    assert "://" not in lock.read_text()


def test_cuda_adds_to_the_pipelines_lock_what_tensorflow_asks_for():
    text = (IMAGES / "pipeline-cuda.lock").read_text()
    assert text.startswith("-r pipeline.lock\n")
    required = [Requirement(text) for text in importlib.metadata.requires("tensorflow")]
    wanted = {canonicalize_name(r.name) for r in required if r.marker and r.marker.evaluate({"extra": "and-cuda"})}
    wanted -= {canonicalize_name(r.name) for r in required if not r.marker or r.marker.evaluate({"extra": ""})}
    assert wanted
    assert wanted <= {name_of(pin) for pin in pins(IMAGES / "pipeline-cuda.lock")}


def test_predictor_holds_what_serving_imports_and_neither_tensorflow_nor_mlflow():
    names = {name_of(pin) for pin in pins(IMAGES / "predictor.lock")}
    assert {"cryptography", "kserve", "onnx", "onnxruntime", "pydicom", "pyjpegls", "numpy", "scipy"} <= names
    assert not names & {"tensorflow", "keras", "minio", "mlflow", "mlflow-skinny", "kfp", "matplotlib"}
