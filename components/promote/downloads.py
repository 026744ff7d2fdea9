"""A version's files fetched from the registry, with its bundle found among them."""

import tempfile
from pathlib import Path

from components.common.errors import RegistryError
from components.common.files import safe_name
from components.common.mlflow_door import client, download_artifacts, load_model_description
from components.common.mlflow_errors import NOT_FOUND, artifacts_missing
from components.model.manifest import Manifest
from components.model.plain_file import damaged
from components.promote.versions import SIGNED_BY, version_info, version_of


def source_uri(model_name: str, version: str) -> str:
    """Where the version's files lie: what a deployment pins. It never changes for a version."""
    return str(client().get_model_version_download_uri(model_name, version))


def download(model_name: str, alias_or_version: str, dst: Path) -> Path:
    """Fetches a version into a folder of its own in ``dst`` unless it is there; the folder of its bundle.

    A version that was signed since it was fetched is fetched again. Raises as ``version_of``, and a ``BundleError``:
    ``ARTIFACTS_MISSING`` where the version's files are gone, ``BUNDLE_DAMAGED`` where the bundle is not the one
    registered.
    """
    version = version_of(model_name, alias_or_version)
    info = version_info(model_name, version)
    marks = (safe_name(model_name), version, info.bundle_digest[:12], info.tags.get(SIGNED_BY, "")[:12])
    folder = dst / "-".join(filter(None, marks))
    if not folder.is_dir():
        dst.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=dst) as scratch:
            local = _fetched(model_name, version, Path(scratch))
            local.replace(folder)
    bundle = _bundle_in(folder)
    if Manifest.read(bundle).digest != info.bundle_digest:
        raise damaged(f"version {version} holds another bundle than was registered")
    return bundle


def _bundle_in(model: Path) -> Path:
    """The folder of the bundle in a fetched model, as its description says; never one outside."""
    try:
        named = str(load_model_description(model).flavors["python_function"]["artifacts"]["bundle"]["path"])
    except (KeyError, TypeError):
        named = ".."
    bundle = model / named
    if not bundle.resolve().is_relative_to(model.resolve()):
        raise damaged("the model's description names no bundle in its folder")
    return bundle


def _fetched(model_name: str, version: str, scratch: Path) -> Path:
    """A version's files. An object store answers a missing folder with an empty one, other stores with an error."""
    try:
        local = download_artifacts(source_uri(model_name, version), scratch)
    except RegistryError as error:
        if error.code == NOT_FOUND:
            raise artifacts_missing(model_name, version) from error
        raise
    if not (local / "MLmodel").is_file():
        raise artifacts_missing(model_name, version)
    return local
