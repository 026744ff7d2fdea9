"""Logs a bundle as an MLflow model of a run, which can be loaded where this project is not installed.

The model has two flavours. ``python_function`` is ``pyfunc_model.py`` with the bundle: ``mlflow.pyfunc.load_model``.
``keras`` is the same ensemble as a Keras model, for people who go on in Keras: ``mlflow.keras.load_model``.
"""

import importlib.metadata
import shutil
import stat
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.models import Model, ModelSignature

from components.common.mlflow_client import client, save_python_model
from components.model.bundle import PYFUNC_CODE, pip_requirements, signature
from components.model.bundle_files import Bundle

DIGEST_TAG = "srs.bundle_digest"
#: Where MLflow's flavour ``keras`` looks for the model, in the model's folder.
KERAS_FILE = Path("data", "model.keras")
#: MLflow runs the model's code to save it, and passes the model through a global variable.
_SAVING = threading.Lock()


def log_bundle(run_id: str, bundle_folder: Path, name: str, keras_file: Path | None = None) -> str:
    """Logs a bundle as an MLflow model of a run, unless the run has it already; returns its ``models:/m-...`` URI.

    The model is code (``pyfunc_model.py``) beside the bundle's files. An ensemble also gets its golden crop as input
    example; a single member does not, since the example is larger than the member.

    Parameters
    ----------
    run_id
        MLflow run of the ensemble or member.
    bundle_folder
        Folder written by ``write_bundle``.
    name
        Name of the logged model.
    keras_file
        The same members as a ``.keras`` file; None leaves out the flavour ``keras``.
    """
    bundle = Bundle.read(bundle_folder)
    model = _logged_model(run_id, bundle.manifest.digest, name)
    if model.status != "READY":
        with tempfile.TemporaryDirectory() as scratch:
            _save(Path(scratch) / "model", bundle_folder, bundle, model, keras_file)
            client().log_model_artifacts(model.model_id, str(Path(scratch) / "model"))
        _link(run_id, model.model_id)
        client().finalize_logged_model(model.model_id, "READY")
    return f"models:/{model.model_id}"


def _logged_model(run_id: str, digest: str, name: str) -> LoggedModel:
    """The run's model with this digest, finished or left unfinished by an earlier attempt, or a new one."""
    experiment_id = client().get_run(run_id).info.experiment_id
    condition = f"source_run_id = '{run_id}' AND tags.`{DIGEST_TAG}` = '{digest}'"
    models = client().search_logged_models([experiment_id], condition)
    return models[0] if models else client().create_logged_model(experiment_id, name, run_id, {DIGEST_TAG: digest})


def _link(run_id: str, model_id: str) -> None:
    """Makes the model an output of its run, unless it is one already, which MLflow would refuse."""
    outputs = client().get_run(run_id).outputs
    if model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
        client().log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def _save(folder: Path, bundle_folder: Path, bundle: Bundle, model: LoggedModel, keras_file: Path | None) -> None:
    members = bundle.manifest.members
    example = bundle.golden.crop[np.newaxis] if len(members) > 1 else None
    description = Model(
        artifact_path=model.artifact_location,
        run_id=model.source_run_id,
        model_uuid=model.model_id,
        model_id=model.model_id,
    )
    if keras_file:
        description.add_flavor(
            "keras",
            data=KERAS_FILE.parent.name,
            keras_version=importlib.metadata.version("keras"),
            keras_backend="tensorflow",
            save_exported_model=False,
        )
    with _SAVING, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*([Tt]ype hint|input example was not provided)")
        save_python_model(
            path=str(folder),
            python_model=str(PYFUNC_CODE),
            artifacts={"bundle": str(bundle_folder)},
            signature=ModelSignature.from_dict(signature(members)),
            input_example=example,
            pip_requirements=pip_requirements(),
            mlflow_model=description,
        )
    if keras_file:
        (folder / KERAS_FILE).parent.mkdir()
        shutil.copyfile(keras_file, folder / KERAS_FILE)
    # MLflow copies the code with its file mode here; all other files follow the umask.
    (folder / PYFUNC_CODE.name).chmod(stat.S_IMODE((folder / "MLmodel").stat().st_mode))
