"""The served ensemble against ten Keras models: start, memory, latency and throughput at the default network size.

Run ``python tests/benchmarks/bench_serving.py`` from the repository; it prints a table and writes
``runs/bench/serving.json``. The baseline is a plain threaded HTTP server that holds ten Keras models; both servers and
the clients share the machine, one server at a time. ``--seconds`` sets the time of each case.
"""

import argparse
import contextlib
import http.client
import http.server
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from components.common.processors import processors
from components.common.settings import StudySettings
from tests.benchmarks.harness import on_tensorflow, write_results

MEMBERS = 10
CLIENTS = (1, 8, 32)
PATH = "/v2/models/srs-response/infer"


def request_of(crops: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a V2 binary request for the probabilities alone."""
    tensor = {"name": "crop_hu", "shape": list(crops.shape), "datatype": "FP32"}
    fields = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": crops.nbytes}}],
        "outputs": [{"name": "members", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(fields).encode()
    return head + crops.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def keras_members() -> list:
    """Predicts by ten Keras models, one call each."""
    on_tensorflow()
    from components.model.keras_export import member_model
    from components.model.networks.building import build_network

    study = StudySettings()
    network, rng = build_network(study), np.random.default_rng(1)
    models = [member_model(network, network.initial_weights(rng), study.train) for _ in range(MEMBERS)]
    for model in models:
        model.predict(np.zeros((1, 151, 151), np.float32), verbose=0)
    return models


def largest_bodies(port: int, process: subprocess.Popen) -> dict[str, float]:
    """Peak memory in MB while eight callers send bodies of the largest size allowed, by kind of body."""
    from tests.serving.test_hostile import largest

    peaks = {}
    for name, (path, body, headers) in largest().items():
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        callers = [threading.Thread(target=post, args=(port, path, body, headers)) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        peaks[name] = memory_mb(process, "VmHWM")
    return peaks


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> None:
    """Sends one request and ignores the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with contextlib.suppress(OSError):
        connection.request("POST", path, body, headers)
        connection.getresponse().read()
    connection.close()


def keras_server(port: int) -> None:
    """The baseline: reads a V2 binary request and answers by ten ``keras.Model.predict`` calls."""
    models = keras_members()
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._reply(b"{}")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            start = int(self.headers["Inference-Header-Content-Length"])
            crops = np.frombuffer(body[start:], "<f4").reshape(-1, 151, 151)
            with lock:
                answers = [model.predict(crops, verbose=0)[:, 0] for model in models]
            self._reply(np.stack(answers, axis=1).tobytes())

        def _reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

    Server(("127.0.0.1", port), Handler).serve_forever()


@contextlib.contextmanager
def started(command: list[str], port: int, ready_path: str) -> Iterator[tuple[subprocess.Popen, float]]:
    """A server's process and the seconds until it was ready."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
        try:
            while not answers(port, ready_path):
                if process.poll() is not None or time.perf_counter() - begin > 180:
                    raise SystemExit(f"the server did not start: {command}")
                time.sleep(0.02)
            yield process, time.perf_counter() - begin
        finally:
            process.terminate()
            process.wait(60)


def answers(port: int, path: str) -> bool:
    """Whether a GET gets status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def memory_mb(process: subprocess.Popen, field: str) -> float:
    """``VmRSS`` or ``VmHWM`` (the highest ever) of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def load(port: int, clients: int, seconds: float, crops: np.ndarray) -> dict[str, float]:
    """Latency percentiles in ms, and answers per second, of ``clients`` that each send one request after another."""
    body, headers = request_of(crops)
    times: list[float] = []
    refused = [0]
    end = time.perf_counter() + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.perf_counter() < end:
            begin = time.perf_counter()
            connection.request("POST", PATH, body, headers)
            reply = connection.getresponse()
            reply.read()
            if reply.status == 200:
                times.append(1e3 * (time.perf_counter() - begin))
            else:
                refused[0] += 1
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begin
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "per_second": len(times) / took, "refused": refused[0]}


def median_ms(call: Callable[[], object], seconds: float) -> float:
    """Median time of a call."""
    call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def measure(seconds: float) -> dict:
    """Measures all figures."""
    on_tensorflow()
    from components.model.runtime import Ensemble
    from tests.components.model.bundles import draw_crops, make_bundle

    crop = draw_crops(1, np.random.default_rng(1))
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Path(folder), MEMBERS, StudySettings())
        ensemble = Ensemble.open(Path(folder))
        bare = median_ms(lambda: ensemble.probabilities(crop), seconds)
        port = free_port()
        command = ["-m", "serving", "--model-dir", folder, "--http-port", str(port), "--log-level", "warning"]
        with started(command, port, "/v2/health/ready") as (process, ready):
            served = {"ready_s": ready, "idle_mb": memory_mb(process, "VmRSS")}
            served["clients"] = {clients: load(port, clients, seconds, crop) for clients in CLIENTS}
            served["largest_bodies_mb"] = largest_bodies(port, process)
    direct = keras_members()
    ten = median_ms(lambda: [model.predict(crop, verbose=0) for model in direct], seconds)
    port = free_port()
    with started([__file__, "--keras-port", str(port)], port, "/") as (process, ready):
        keras = {"ready_s": ready, "idle_mb": memory_mb(process, "VmRSS")}
        keras["clients"] = {clients: load(port, clients, seconds, crop) for clients in CLIENTS}
    return {
        "members": MEMBERS,
        "processors": processors(),
        "bare_call_ms": bare,
        "ten_keras_predicts_ms": ten,
        "served": served,
        "keras": keras,
    }


def main() -> None:
    """Measures and prints."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--seconds", type=float, default=8.0)
    flags.add_argument("--keras-port", type=int)
    given = flags.parse_args()
    if given.keras_port:
        keras_server(given.keras_port)
    show(measure(given.seconds))


def show(found: dict) -> None:
    """Prints the figures and stores them as JSON."""
    write_results("serving", found)
    served, keras = found["served"], found["keras"]
    one, ten, bare = served["clients"][1]["p50_ms"], found["ten_keras_predicts_ms"], found["bare_call_ms"]
    print(
        f"ready in {served['ready_s']:.1f} s (Keras {keras['ready_s']:.1f} s), idle {served['idle_mb']:.0f} MB", end=""
    )
    print(f" (Keras {keras['idle_mb']:.0f} MB); required: at most 3 s and 400 MB")
    peaks = ", ".join(f"{name} {peak:.0f} MB" for name, peak in served["largest_bodies_mb"].items())
    print(f"highest memory under eight of the largest bodies: {peaks}")
    ratio = f"1/{ten / one:.0f} of ten keras.Model.predict calls ({ten:.0f} ms; required: 1/20)"
    print(f"one crop over HTTP {one:.2f} ms: {ratio}")
    print(f"HTTP adds {one - bare:.2f} ms to the bare call of {bare:.2f} ms (required: at most 10 ms)")
    print(f"{'server':<8} {'clients':>7} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'answers/s':>10} {'refused':>8}")
    for name in ("served", "keras"):
        for clients, row in found[name]["clients"].items():
            line = "{p50_ms:>8.1f} {p95_ms:>8.1f} {p99_ms:>8.1f} {per_second:>10.1f} {refused:>8}"
            print(f"{name:<8} {clients:>7} " + line.format(**row))


if __name__ == "__main__":
    main()
