"""What the benchmarks share: a real S3 server near and far, two ways timed in turn, and the file of the results."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.common.store.bucket import upload_folder

ONE_WAY_MS = "2.5"


def on_tensorflow() -> None:
    """Chooses TensorFlow as Keras' backend, before Keras is imported; the platform's own default is JAX."""
    assert "keras" not in sys.modules or os.environ.get("KERAS_BACKEND") == "tensorflow"
    os.environ["KERAS_BACKEND"] = "tensorflow"


@contextlib.contextmanager
def s3_places(folder: Path, uri: str, scratch: Path) -> Iterator[list[tuple[str, str]]]:
    """Uploads a folder to a server on this machine; yields the names and endpoints of two ways to it."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from conftest import S3Server

    scratch.mkdir()
    server = S3Server(scratch)
    try:
        os.environ.update(server.environment)
        upload_folder(folder, uri)
        with slow_link(os.environ["S3_ENDPOINT"]) as far:
            yield [("S3, same machine", os.environ["S3_ENDPOINT"]), ("S3, 5 ms away", far)]
    finally:
        server.stop()


@contextlib.contextmanager
def slow_link(endpoint: str) -> Iterator[str]:
    """The address of a proxy before ``endpoint``, ``ONE_WAY_MS`` away in each direction."""
    command = [sys.executable, Path(__file__).with_name("slow_link.py"), endpoint.rpartition(":")[2], ONE_WAY_MS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        try:
            yield f"http://127.0.0.1:{proxy.stdout.readline().strip()}"
        finally:
            proxy.terminate()


def timed_in_turn(
    ways: Mapping[str, Callable[[], Any]], rounds: int, before: Callable[[], None] = lambda: None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each way, called in turn after ``before``, and what it returned last."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(rounds):
        for name, way in ways.items():
            before()
            start = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}, found


def write_results(name: str, results: Any) -> None:
    """Writes ``runs/bench/NAME.json``."""
    out = Path("runs/bench")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
