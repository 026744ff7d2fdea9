"""What a pack trains on: the cores of this process, or GPUs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.errors import TrainingError
from components.common.settings import TrainSettings
from components.train.arithmetic import Arithmetic
from components.train.training import Device


def devices(
    crops: NDArray[np.float32], labels: NDArray[np.integer[Any]], settings: TrainSettings, gpus: int
) -> list[Device]:
    """The data set on every GPU asked for, or once for all cores."""
    if not gpus:
        return [Arithmetic(crops, labels, settings)]
    from components.train.gpu import GpuArithmetic

    return [GpuArithmetic(crops, labels, settings, f"GPU:{number}") for number in range(gpus)]


def require_gpus(gpus: int) -> None:
    """Takes the GPUs that were asked for, their memory as it is needed; ``NO_GPU`` where TensorFlow sees fewer."""
    if not gpus:
        return
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    if len(found) < gpus:
        hint = "Ask for none, or give the task a node and an image with GPU support."
        raise TrainingError("NO_GPU", f"{gpus} GPU asked for, TensorFlow sees {len(found)}", hint)
    for gpu in found:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
