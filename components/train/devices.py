"""The devices that a pack trains on: the cores of this process, or GPUs."""

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
    """The data set on each of ``gpus`` GPUs, or once for all cores."""
    if not gpus:
        return [Arithmetic(crops, labels, settings)]
    from components.train.gpu import GpuArithmetic

    return [GpuArithmetic(crops, labels, settings, f"GPU:{number}") for number in range(gpus)]


def require_gpus(gpus: int) -> None:
    """Configures TensorFlow's GPUs; ``NO_GPU`` where there are fewer than ``gpus``."""
    if not gpus:
        return
    import tensorflow as tf

    available = tf.config.list_physical_devices("GPU")
    if len(available) < gpus:
        hint = "Request no GPU, or give the task a node and an image with GPU support."
        raise TrainingError("NO_GPU", f"{gpus} GPUs requested, but TensorFlow finds {len(available)}", hint)
    for gpu in available:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
