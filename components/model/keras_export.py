"""Writes members and ensembles as complete Keras models, which TensorFlow loads without this project.

    crop_hu [n,151,151] -> window to [0,1] -> each member's network -> its probability -> probabilities [n,members]

They consist of Keras' own layers alone. The window is a ``Rescaling`` and a ``ReLU`` with a largest value; the
probability of non-response is the sigmoid of the difference of the two logits, a ``Dense`` layer of fixed weights.
"""

import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.errors import BundleError
from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.model.keras_backend import keras
from components.model.keras_network import model_of, set_weights
from components.model.manifest import INPUT, OUTPUT
from components.model.network import Network, Weights, window_scale

#: Largest difference of a bundle's probabilities from those of its Keras model.
TOLERANCE = 1e-5
#: Script that loads a Keras model with TensorFlow, in a process of its own.
SCRIPT = Path(__file__).with_name("tensorflow_process.py")
#: Longest time that it may take, s: TensorFlow alone may need half a minute to be imported.
SECONDS = 600
#: Date of the files in a ``.keras`` file, so that the same weights give the same bytes.
DATE = (1980, 1, 1, 0, 0, 0)


def member_model(network: Network, weights: Weights, settings: TrainSettings, name: str = "member") -> Any:
    """A member as a Keras model from crops [n, 151, 151] float32 in HU to its probability of non-response [n, 1]."""
    return ensemble_model(network, [(name, weights)], settings)


def ensemble_model(network: Network, members: Sequence[tuple[str, Weights]], settings: TrainSettings) -> Any:
    """An ensemble as a Keras model from crops [n, 151, 151] float32 in HU to probabilities [n, members].

    Parameters
    ----------
    network
        The members' network.
    members
        Name and weights of each member; its network is a model of this name within the model.
    settings
        The CT window.
    """
    layers = keras.layers
    slope, intercept = window_scale(settings)
    crop = keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX), name=INPUT)
    scaled = layers.Rescaling(slope, intercept, name="window")(crop)
    windowed = layers.ReLU(max_value=1.0, name="clip")(scaled)
    image = layers.Reshape((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), name="image")(windowed)
    answers = [_probability(name, _named(network, name, weights)(image)) for name, weights in members]
    joined = layers.Concatenate(name=OUTPUT)(answers) if len(answers) > 1 else answers[0]
    return keras.Model(crop, joined, name="ensemble" if len(answers) > 1 else f"{members[0][0]}_model")


def save_keras(model: Any, path: Path) -> None:
    """Writes a ``.keras`` file; the same model gives the same bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        model.save(Path(scratch) / "model.keras")
        saved = (Path(scratch) / "model.keras").read_bytes()
    with zipfile.ZipFile(io.BytesIO(saved)) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name in sorted(given.namelist()):
            content = _REPRODUCIBLE.get(name, bytes)(given.read(name))
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            written.writestr(entry, content)


def _numbered(config: bytes) -> bytes:
    """Ids of objects, which are addresses in memory, as numbers in order."""
    found = re.findall(rb'"shared_object_id": (\d+)', config)
    numbers = {one: str(number).encode() for number, one in enumerate(dict.fromkeys(found), start=1)}
    return re.sub(rb'("shared_object_id": )(\d+)', lambda match: match[1] + numbers[match[2]], config)


#: What is done with the content of files that Keras does not write alike each time: its metadata hold the date.
_REPRODUCIBLE: dict[str, Callable[[bytes], bytes]] = {
    "config.json": _numbered,
    "metadata.json": lambda content: json.dumps({"keras_version": json.loads(content)["keras_version"]}).encode(),
}


def tensorflow_answers(keras_file: Path, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [n, members] of crops [n, 151, 151] in HU, by TensorFlow in a process without this project.

    Raises
    ------
    BundleError
        ``KERAS_FAILED`` where TensorFlow cannot load or run the model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        given, answered = Path(scratch) / "crops.npy", Path(scratch) / "answers.npy"
        np.save(given, crops, allow_pickle=False)
        _run("answers", keras_file, given, answered)
        answers: NDArray[np.float32] = np.load(answered, allow_pickle=False)
    return answers


def to_saved_model(keras_file: Path, folder: Path) -> None:
    """Converts a ``.keras`` file to a TensorFlow SavedModel; raises as ``tensorflow_answers``."""
    _run("saved-model", keras_file, folder)


def _named(network: Network, name: str, weights: Weights) -> Any:
    """The network under another name, with a member's weights."""
    config = {**network.architecture["config"], "name": name}
    with keras.StatelessScope(initialize_variables=False):  # JAX would compile a program for each shape that it draws
        model = model_of({**network.architecture, "config": config})
    keras.utils.clear_session(free_memory=False)  # forgets that the weights are still to be drawn
    set_weights(model, network, weights)
    for variable in model.non_trainable_variables:  # the seeds of dropout layers, which Keras draws at random
        variable.assign(np.zeros(variable.shape, variable.dtype))
    return model


def _probability(name: str, logits: Any) -> Any:
    """The probability of unit 1 of a softmax over two logits."""
    difference = keras.layers.Dense(
        1, "sigmoid", use_bias=False, trainable=False, kernel_initializer="zeros", name=f"{name}_probability"
    )
    answer = difference(logits)
    difference.set_weights([np.array([[-1], [1]], np.float32)])
    return answer


def _run(*arguments: str | Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
        try:
            done = subprocess.run(
                command, env=_environment(home), capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise _failed(f"it took longer than {SECONDS} s") from None
    if done.returncode:
        raise _failed((done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1])


def _environment(home: str) -> Mapping[str, str]:
    """That of a process on CPU, with no settings of Keras but its own."""
    return {
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": home,
        "HOME": home,
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _failed(reason: str) -> BundleError:
    message = f"TensorFlow could not load or run the Keras model: {reason[:500]}"
    return BundleError("KERAS_FAILED", message, "Train a network of standard Keras layers.")
