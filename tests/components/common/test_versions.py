import importlib.metadata

import pytest

from components.common.versions import version_of


def test_version_of_an_installed_package():
    assert version_of("numpy") == importlib.metadata.version("numpy")


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow-cpu"])
def test_tensorflow_is_found_under_both_of_its_names(name, tmp_path, monkeypatch):
    info = tmp_path / f"{name.replace('-', '_')}-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert version_of("tensorflow") == "2.0"


@pytest.mark.parametrize("name", ["tensorflow", "keras"])
def test_a_missing_package_is_an_error(name, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        version_of(name)
