"""Fixtures of the commands' tests: a home with a registry, made once."""

import os
import shutil
from pathlib import Path

import pytest

from components.common.sqlite_store import DATABASE
from tests.registry_store import make_versions


@pytest.fixture(autouse=True)
def umask_is_put_back():
    """A home that is opened in this process makes its files private from then on."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def registry_home(tmp_path_factory) -> Path:
    """A home whose registry has three versions, the third champion. Tests must not change it."""
    home = tmp_path_factory.mktemp("a place") / "home"
    (home / "mlflow").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / DATABASE}")
        make_versions(home.parent / "bundles")
    return home


@pytest.fixture
def copied_home(registry_home, tmp_path) -> Path:
    """A copy of ``registry_home`` whose paths still name the original."""
    shutil.copytree(registry_home, tmp_path / "copy")
    return tmp_path / "copy"
