"""`make test` does not run the benchmarks; this checks that they can be imported, and what the one for GPUs needs."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.bench_gpu import NEEDED

FOLDER = Path(__file__).parent / "benchmarks"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("bench_*.py")), ids=lambda path: path.stem)
def test_a_benchmark_can_be_imported(script, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location(f"imported_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.main)


BLOCKED = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
import components.train.engine, components.train.lanes, components.train.programs
sys.argv = ["bench_gpu.py", "--part", "counts"]
runpy.run_path({script!r}, run_name="__main__")
import components.train.jax_program
"""


def with_requirements(names):
    """Installed distributions, with those that they require."""
    found, waiting = set(), list(names)
    while waiting:
        name = re.match(r"[\w.-]+", waiting.pop())[0].lower().replace("_", "-")
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        waiting += [one for one in required if "extra ==" not in one]
    return found


def test_the_benchmark_for_gpus_needs_the_packages_that_it_names():
    there = with_requirements(NEEDED) | {"srs-response"}
    owners = importlib.metadata.packages_distributions()
    absent = {name for name, by in owners.items() if not {one.lower().replace("_", "-") for one in by} & there}
    assert {"onnx", "tensorflow", "mlflow", "kfp", "pydicom"} <= absent
    code = BLOCKED.format(absent=sorted(absent), script=str(FOLDER / "bench_gpu.py"))
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "gflop_per_member_step" in done.stdout
