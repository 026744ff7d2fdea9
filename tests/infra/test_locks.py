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


def test_cuda_adds_to_the_pipelines_lock_what_jax_asks_for():
    lock = IMAGES / "pipeline-cuda.lock"
    assert lock.read_text().startswith("-r pipeline.lock\n")
    required = [Requirement(text) for text in importlib.metadata.requires("jax")]
    wanted = {canonicalize_name(r.name) for r in required if r.marker and r.marker.evaluate({"extra": "cuda12"})}
    added = {name_of(pin) for pin in pins(lock)}
    assert wanted - {"jaxlib"} == {"jax-cuda12-plugin"} <= added
    assert "nvidia-cudnn-cu12" in added
    assert not added & {name_of(pin) for pin in pins(IMAGES / "pipeline.lock")}, (
        "one version of each, and CPU TensorFlow"
    )


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_cuda_plugin_has_the_version_of_jax(python):
    here = {"python_full_version": f"{python}.0", "sys_platform": "linux", "platform_machine": "x86_64"}
    found = {
        one.name: str(one.specifier)
        for lock in ("pipeline.lock", "pipeline-cuda.lock")
        for one in map(Requirement, pins(IMAGES / lock))
        if "jax" in one.name and (not one.marker or one.marker.evaluate(here))
    }
    assert set(found) == {"jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda12-pjrt"}
    assert len(set(found.values())) == 1


def test_predictor_holds_what_serving_imports_and_neither_tensorflow_nor_mlflow():
    names = {name_of(pin) for pin in pins(IMAGES / "predictor.lock")}
    assert {"cryptography", "kserve", "onnx", "onnxruntime", "pydicom", "pyjpegls", "numpy", "scipy"} <= names
    assert not names & {"tensorflow", "keras", "minio", "mlflow", "mlflow-skinny", "kfp", "matplotlib"}
