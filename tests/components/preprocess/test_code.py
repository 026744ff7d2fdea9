"""Cached datasets and stored crops depend on the digest of every module that takes part in making them."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.common.files import digest_of_sources
from components.phantom.phantom import write_cohort
from components.preprocess import code, step

COMPONENTS = Path(code.__file__).parent.parent


def imported_with(module):
    """Modules of ``components`` that a process has after it imported ``module``, functions' own imports left out."""
    line = f"import sys, {module}; print(*(m for m in sys.modules if m.startswith('components.')))"
    return subprocess.run([sys.executable, "-c", line], check=True, capture_output=True, text=True).stdout.split()


def test_the_digest_covers_every_module_that_makes_a_dataset():
    packages = {module.split(".")[1] for module in imported_with("components.preprocess.step")}
    assert packages <= set(code.PACKAGES)
    assert {"imaging", "preprocess", "common"} <= packages


@pytest.mark.parametrize("package", code.PACKAGES)
@pytest.mark.parametrize("below", ["new.py", "deeper/new.py"])
def test_a_changed_file_of_any_package_changes_the_digest(tmp_path, package, below):
    for name in code.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text("1")
    packages = [tmp_path / name for name in code.PACKAGES]
    before = digest_of_sources(*packages)
    (tmp_path / package / below).parent.mkdir(exist_ok=True)
    (tmp_path / package / below).write_text("2")
    assert digest_of_sources(*packages) != before


def test_the_key_of_kfps_cache_covers_the_code(tmp_path, monkeypatch):
    write_cohort(tmp_path / "cohort", tumours=6, patients=5)
    asked = str(tmp_path / "cohort"), "fast", 1, 2, 2, "{}"
    before = step.plan(*asked)
    assert step.plan(*asked) == before
    monkeypatch.setattr(step, "code_digest", lambda: "of another release")
    assert step.plan(*asked)[0] != before[0]
