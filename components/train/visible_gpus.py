"""The GPUs that an engine can use on this machine."""

import os
import subprocess
import sys

from components.common.errors import TrainingError

_COUNTING = {
    "jax": "import jax; print(sum(device.platform == 'gpu' for device in jax.devices()))",
    "tensorflow": "import tensorflow; print(len(tensorflow.config.list_physical_devices('GPU')))",
}


def visible_gpus(engine: str) -> int:
    """The number of GPUs that ``engine``, ``jax`` or ``tensorflow``, finds, asked in a process of its own.

    That process ends, so that it does not keep a GPU's memory.

    Raises
    ------
    TrainingError
        ``ENGINE_FAILED`` if the engine cannot be imported.
    """
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}  # Keras sets it to cpu
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    command = [sys.executable, "-c", _COUNTING[engine]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise TrainingError("ENGINE_FAILED", f"the engine {engine} cannot be used: {reason}", "Run make setup.")
    return int(done.stdout.strip() or 0)
