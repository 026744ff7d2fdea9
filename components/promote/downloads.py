"""Downloads a registered version and locates the bundle among its files."""

import tempfile
from pathlib import Path

from components.common.errors import BundleError, RegistryError
from components.common.files import digest_of_file, safe_name
from components.common.mlflow_client import client, download_artifacts, load_model_description
from components.common.mlflow_errors import NOT_FOUND, artifacts_missing
from components.model.manifest import KERAS_DIGEST, Manifest
from components.model.plain_file import damaged
from components.promote.bundle_model import KERAS_FILE
from components.promote.versions import SIGNED_BY, version_info, version_of


def source_uri(model_name: str, version: str) -> str:
    """The URI of a version's files, which a deployment pins; it never changes for a version."""
    return str(client().get_model_version_download_uri(model_name, version))


def download(model_name: str, alias_or_version: str, dst: Path) -> Path:
    """Downloads a version to its own folder in ``dst``, unless it is there already; returns its bundle's folder.

    A version that has been signed since it was downloaded is downloaded again. Raises as ``version_of``, and
    ``BundleError``: ``ARTIFACTS_MISSING`` where the version's files are gone, ``BUNDLE_DAMAGED`` for another bundle
    than the registered one.
    """
    version = version_of(model_name, alias_or_version)
    info = version_info(model_name, version)
    marks = (safe_name(model_name), version, info.bundle_digest[:12], info.tags.get(SIGNED_BY, "")[:12])
    folder = dst / "-".join(filter(None, marks))
    if not folder.is_dir():
        dst.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=dst) as scratch:
            local = _downloaded(model_name, version, Path(scratch))
            local.replace(folder)
    bundle = _bundle_in(folder)
    if Manifest.read(bundle).digest != info.bundle_digest:
        raise damaged(f"version {version} contains another bundle than the registered one")
    return bundle


def keras_model(model_name: str, alias_or_version: str, bundle: Path) -> Path:
    """The ``.keras`` file beside a bundle that ``download`` returned, verified against the bundle's manifest.

    Raises
    ------
    BundleError
        ``KERAS_MISSING`` for a version of a release that registered none; ``BUNDLE_DAMAGED`` for another file.
    """
    manifest = Manifest.read(bundle)
    if KERAS_DIGEST not in manifest.extra:
        message = f"{model_name} version {alias_or_version} was registered by a release that wrote no Keras model"
        raise BundleError("KERAS_MISSING", message, "Export it by --onnx, or train and register it again.")
    path = next((above / KERAS_FILE for above in bundle.parents if (above / "MLmodel").is_file()), bundle)
    if not path.is_file() or digest_of_file(path) != manifest.extra[KERAS_DIGEST]:
        raise damaged("the Keras model is missing, or is not the one that the manifest names")
    return path


def _bundle_in(model: Path) -> Path:
    """The bundle's folder in a downloaded model, as its description states; refuses one outside the model."""
    try:
        path = str(load_model_description(model).flavors["python_function"]["artifacts"]["bundle"]["path"])
    except (KeyError, TypeError):
        path = ".."
    bundle = model / path
    if not bundle.resolve().is_relative_to(model.resolve()):
        raise damaged("the model's description names no bundle in its folder")
    return bundle


def _downloaded(model_name: str, version: str, scratch: Path) -> Path:
    """A version's files. For a missing folder, an object store returns an empty one, other stores raise an error."""
    try:
        local = download_artifacts(source_uri(model_name, version), scratch)
    except RegistryError as error:
        if error.code == NOT_FOUND:
            raise artifacts_missing(model_name, version) from error
        raise
    if not (local / "MLmodel").is_file():
        raise artifacts_missing(model_name, version)
    return local
