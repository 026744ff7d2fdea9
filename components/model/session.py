"""ONNX Runtime, opened in one place: on processors that this process may use, and without its telemetry."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.processors import processors
from components.model.manifest import INPUT
from components.model.plain_file import damaged

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when the runtime is loaded
import onnxruntime


def open_session(graph: bytes, threads: int | None = None) -> Any:
    """A session of so many threads, by default one a processor; ``BUNDLE_DAMAGED`` where the graph cannot be opened."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or processors()
    # Threads that wait by spinning would take the processors from the requests beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions share no base class but this one
        raise damaged(f"the graph cannot be opened ({type(error).__name__})") from None


def run_session(session: Any, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """The graph's answers [n, members] to crops [n, 151, 151] float32 in HU."""
    answers: NDArray[np.float32] = session.run(None, {INPUT: crops})[0]
    return answers
