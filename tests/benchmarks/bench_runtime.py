"""Compares runtimes for the ensemble: ONNX Runtime and LiteRT, with ten Keras networks as the baseline.

Run ``python tests/benchmarks/bench_runtime.py``; it prints a table and writes ``runs/bench/runtime.json``. Each
figure is the median of repeated calls with two threads, and ``times_faster`` is the ratio to ten
``keras.Model.predict`` calls, by TensorFlow, measured in the same run. LiteRT is measured where ``ai-edge-litert`` is
installed.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.common.settings import IMAGE_SIZE_PX, StudySettings, TrainSettings
from components.model.manifest import INPUT
from components.model.network import Network, Weights, window_scale
from tests.benchmarks.harness import on_tensorflow, write_results

MEMBERS = 10
THREADS = 2
BATCHES = (1, 32)
SECONDS_A_CASE = 6.0
TOLERANCE = 1e-5

Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def keras_members(network: Network, weights: list[Weights]) -> list:
    """The same networks as Keras models."""
    from components.model.keras_export import member_model

    return [member_model(network, member, TrainSettings()) for member in weights]


def onnx_call(network: Network, weights: list[Weights]) -> Call:
    """The project's own graph in ONNX Runtime."""
    import onnxruntime

    from components.model.export import ensemble_graph

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    model = ensemble_graph(network, weights, window_scale(TrainSettings())).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda crops: session.run(None, {INPUT: crops})[0]


def litert_call(models: list) -> Call:
    """The Keras networks traced as one function and converted."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    @tf.function(input_signature=[tf.TensorSpec([None, IMAGE_SIZE_PX, IMAGE_SIZE_PX], tf.float32)])
    def ensemble(crops):
        return tf.stack([model(crops, training=False)[:, 0] for model in models], axis=1)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([ensemble.get_concrete_function()])
    interpreter = Interpreter(model_content=converter.convert(), num_threads=THREADS)
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    allocated = [0]

    def call(crops):
        if allocated[0] != len(crops):
            interpreter.resize_tensor_input(given["index"], crops.shape)
            interpreter.allocate_tensors()
            allocated[0] = len(crops)
        interpreter.set_tensor(given["index"], crops)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return call


def median_ms(call: Call, crops: NDArray[np.float32]) -> float:
    """Median time of a call in milliseconds."""
    call(crops)
    times: list[float] = []
    end = time.perf_counter() + SECONDS_A_CASE
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 500):
        start = time.perf_counter()
        call(crops)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Measures all cases and prints them."""
    on_tensorflow()
    from components.model.networks.building import build_network

    network = build_network(StudySettings())
    rng = np.random.default_rng(1)
    weights = [network.initial_weights(rng) for _ in range(MEMBERS)]
    models = keras_members(network, weights)
    calls: dict[str, Call] = {
        "keras": lambda crops: np.stack([model.predict(crops, verbose=0)[:, 0] for model in models], axis=1),
        "onnxruntime": onnx_call(network, weights),
    }
    if importlib.util.find_spec("ai_edge_litert"):
        calls["litert"] = litert_call(models)
    else:
        print("LiteRT is not installed and not measured: pip install ai-edge-litert")
    rows = []
    for batch in BATCHES:
        crops = rng.normal(40, 60, (batch, IMAGE_SIZE_PX, IMAGE_SIZE_PX)).astype(np.float32)
        expected = calls["keras"](crops)
        baseline = median_ms(calls["keras"], crops)
        for name, call in calls.items():
            milliseconds = baseline if name == "keras" else median_ms(call, crops)
            difference = float(np.abs(call(crops) - expected).max())
            assert difference < TOLERANCE, (name, difference)
            rows.append(
                {"runtime": name, "crops": batch, "median_ms": milliseconds,
                 "times_faster": baseline / milliseconds, "largest_difference": difference}
            )  # fmt: skip
    write_results("runtime", {"members": MEMBERS, "threads": THREADS, "cases": rows})
    print(f"{'runtime':<12} {'crops':>5} {'median ms':>10} {'times faster':>12} {'largest difference':>18}")
    for row in rows:
        print(
            "{runtime:<12} {crops:>5} {median_ms:>10.2f} {times_faster:>12.1f} {largest_difference:>18.1e}".format(
                **row
            )
        )


if __name__ == "__main__":
    main()
