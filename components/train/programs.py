"""Opens the compiled program of an engine; imported only in a process that has chosen its Keras backend."""

import math

from components.common.errors import TrainingError
from components.train.jobs import Data
from components.train.lanes import Program

#: Lanes on a CPU, where more are not faster: they are computed one after another, by one core.
CPU_LANES = 1
#: Most lanes on a GPU, which this many fill, whatever the network.
GPU_LANES = 256
#: Lanes on a GPU for TensorFlow, which does not say what memory a program needs.
TENSORFLOW_GPU_LANES = 32
#: Part of a GPU's memory that a program's input and intermediate results may take; the rest holds its output and the
#: library.
MEMORY_PART = 0.7

#: Most bytes of dropout masks, one for each value of a masked map, for a call of a program. This process may hold them
#: three times: for each lane, for all lanes, and those of the next call.
MASK_BYTES = 1 << 29


def open_program(engine: str, data: Data, *, lanes: int, on_gpu: bool, rows: int) -> Program:
    """The program of ``engine``, ``jax`` or ``tensorflow``, with at most ``lanes`` lanes.

    ``rows`` is the largest number of validation tumours of a member. Raises ``NO_GPU`` where ``on_gpu`` is True and
    there is none.
    """
    open_one = {"jax": _jax_program, "tensorflow": _tensorflow_program}[engine]
    return open_one(data, min(lanes, lanes_of_masks(data)), on_gpu, rows)


def lanes_of_masks(data: Data) -> int:
    """The number of lanes, at least one, whose dropout masks for a call are no larger than ``MASK_BYTES`` together."""
    values = sum(math.prod(one.shape) for one in data.network.dropouts)
    return max(1, MASK_BYTES // max(1, data.settings.validate_every * data.settings.batch_size * values))


def lanes_that_fit(lanes: int, needed_bytes: int, memory_bytes: int) -> int:
    """The number of lanes, fewer than ``lanes`` where these need more memory than they may take; at least one."""
    return max(1, min(lanes, int(lanes * MEMORY_PART * memory_bytes / needed_bytes)))


_HINT = "Request no GPU, or give the task a node and an image with GPU support."


def _jax_program(data: Data, lanes: int, on_gpu: bool, rows: int) -> Program:
    from components.train.jax_program import JaxProgram, gpu_memory_bytes

    def of(lanes: int) -> JaxProgram:
        return JaxProgram(data, lanes=lanes, side_by_side=on_gpu)

    if not on_gpu:
        return of(min(lanes, CPU_LANES))
    memory = gpu_memory_bytes()
    if memory is None:
        raise TrainingError("NO_GPU", "a GPU was requested, but JAX finds none", _HINT)
    program = of(min(lanes, GPU_LANES))
    fitting = lanes_that_fit(program.lanes, program.needed_bytes(rows), memory)
    return program if fitting == program.lanes else of(fitting)


def _tensorflow_program(data: Data, lanes: int, on_gpu: bool, _rows: int) -> Program:
    from components.train.tensorflow_program import TensorflowProgram, prepare_gpu

    if on_gpu and not prepare_gpu():
        raise TrainingError("NO_GPU", "a GPU was requested, but TensorFlow finds none", _HINT)
    most, device = (TENSORFLOW_GPU_LANES, "GPU:0") if on_gpu else (CPU_LANES, "CPU:0")
    return TensorflowProgram(data, lanes=min(lanes, most), side_by_side=on_gpu, device=device)
