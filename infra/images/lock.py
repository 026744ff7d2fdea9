"""Writes the images' lock files with the versions of requirements.lock: ``python infra/images/lock.py``. Needs uv.

``pipeline.lock`` leaves out the development tools; ``predictor.lock`` also leaves out TensorFlow and MLflow;
``pipeline-cuda.lock`` adds to the pipeline's lock the packages that JAX needs on NVIDIA GPUs.
"""

import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def compile_lock(output: Path, *chosen: str) -> None:
    """Resolves the ``chosen`` requirements for every supported Python and platform, within requirements.lock."""
    form = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header"]
    within = ["--constraints", "requirements.lock"]
    command = ["uv", "pip", "compile", *form, *within, "--output-file", str(output), *chosen]
    subprocess.run(command, cwd=ROOT, check=True)


def blocks(lock: Path) -> list[str]:
    """A lock file's requirements, each with its hashes."""
    return lock.read_text().replace("\\\n", "\0").splitlines()


def main() -> None:
    """Writes all three lock files."""
    pipeline = HERE / "pipeline.lock"
    compile_lock(pipeline, "--extra", "cluster", "pyproject.toml")
    compile_lock(HERE / "predictor.lock", "--group", "pyproject.toml:predictor")
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole.lock"
        compile_lock(whole, "--extra", "cluster", "--extra", "cuda", "pyproject.toml", "--constraints", str(pipeline))
        known = set(blocks(pipeline))
        more = [block.replace("\0", "\\\n") for block in blocks(whole) if block not in known]
    (HERE / "pipeline-cuda.lock").write_text("\n".join(["-r pipeline.lock", *more]) + "\n")


if __name__ == "__main__":
    main()
