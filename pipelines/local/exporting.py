"""Writes a registered ensemble in the formats of other programs."""

import shutil
import tempfile
from pathlib import Path
from types import ModuleType

from components.common.disk import disk_error
from components.common.errors import InputError, StorageError
from components.model.manifest import GRAPH

KERAS, ONNX, SAVED_MODEL = "a Keras model", "an ONNX graph", "a TensorFlow SavedModel"


def chosen_form(out: Path, *, keras: bool, onnx: bool, saved_model: bool) -> str:
    """The format that was chosen; ``EXPORT_REFUSED`` unless it is one, and ``out`` can be written in it."""
    chosen = [form for form, given in ((KERAS, keras), (ONNX, onnx), (SAVED_MODEL, saved_model)) if given]
    if len(chosen) != 1:
        hint = "srs export --keras champion ensemble.keras"
        raise InputError("EXPORT_REFUSED", "one of --keras, --onnx and --saved-model must be given", hint)
    if keras and out.suffix != ".keras":
        message = f"Keras reads a file only if its name ends in .keras, and {out.name} does not"
        raise InputError("EXPORT_REFUSED", message, f"Name it {out.stem}.keras.")
    if out.exists():
        raise InputError("EXPORT_REFUSED", f"{out} exists already", "Name another file, or remove this one first.")
    return chosen[0]


def write_model(registry: ModuleType, model_name: str, version: str, form: str, out: Path) -> str:
    """Writes a version as ``form`` to ``out``, whole or not at all; returns the version's number.

    Raises
    ------
    InputError, RegistryError, BundleError
        As ``download`` and ``keras_model``; ``KERAS_FAILED`` where TensorFlow cannot convert it.
    StorageError
        Where ``out`` cannot be written.
    """
    from components.model.keras_export import to_saved_model
    from components.promote.downloads import keras_model

    number = str(registry.version_of(model_name, version))
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".export-") as scratch:
            bundle = registry.download(model_name, number, Path(scratch))
            written = Path(scratch) / "written"
            if form == ONNX:
                shutil.copyfile(bundle / GRAPH, written)
            elif form == KERAS:
                shutil.copyfile(keras_model(model_name, number, bundle), written)
            else:
                to_saved_model(keras_model(model_name, number, bundle), written)
            written.rename(out)
    except OSError as error:
        message = f"{out} cannot be written: {error.strerror}"
        raise disk_error(error) or StorageError("OUTPUT_UNWRITABLE", message) from None
    return number
