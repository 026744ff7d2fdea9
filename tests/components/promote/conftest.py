"""A bundle as it is written."""

from pathlib import Path

import pytest

from tests.serving.bundles import make_bundle


@pytest.fixture(scope="session")
def made_bundle(tmp_path_factory) -> Path:
    """For reading: a test that changes it works on a copy."""
    folder = tmp_path_factory.mktemp("made-bundle")
    make_bundle(folder)
    return folder
