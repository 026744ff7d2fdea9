"""Imports Keras, whose backend is chosen once per process: JAX on CPU, unless the process was started with another.

A process that trains on a GPU, or by TensorFlow, sets ``environment.KERAS_BACKEND`` and ``JAX_PLATFORMS`` before this
module is imported.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

from components.common.environment import KERAS_BACKEND

os.environ["KERAS_BACKEND"] = os.environ.get(KERAS_BACKEND, "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # a step that draws a picture must not occupy the memory of a GPU
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Keras imports TensorFlow where it reads and writes models


@contextlib.contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Modules that seem not to be installed, unless they were imported before."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _absent("matplotlib", "sklearn"):  # Keras imports them, for half of its seconds, to draw and to wrap models
    import keras
    from keras.src.utils import module_utils

if keras.backend.backend() == "jax":
    # To read and write models Keras imports TensorFlow where it is installed, for seconds and in vain.
    module_utils.tensorflow._available = False

__all__ = ["keras"]
