"""A freshly written bundle."""

from pathlib import Path

import pytest

from tests.components.model.bundles import make_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """For reading: a test that changes it works on a copy."""
    folder = tmp_path_factory.mktemp("made-bundle")
    make_bundle(folder)
    return folder
