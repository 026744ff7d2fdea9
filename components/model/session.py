"""Opens ONNX Runtime sessions on the processors that this process may use, without telemetry."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.processors import processors
from components.model.manifest import INPUT
from components.model.plain_file import damaged

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reads it once, when it is loaded
import onnxruntime


def open_session(graph: bytes, threads: int | None = None) -> Any:
    """A session with ``threads`` threads, by default one per processor; ``BUNDLE_DAMAGED`` for an invalid graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or processors()
    # Threads that spin while they wait would take processor time from concurrent requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of ONNX Runtime share no other base class
        raise damaged(f"the graph cannot be opened ({type(error).__name__})") from None


def run_session(session: Any, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """The graph's probabilities [n, members] for crops [n, 151, 151] float32 in HU."""
    answers: NDArray[np.float32] = session.run(None, {INPUT: crops})[0]
    return answers
