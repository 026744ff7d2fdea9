"""The study ensemble of fifty members: large layers part by part, with all members at once as the baseline.

Run ``python tests/benchmarks/bench_study_ensemble.py``; it prints a table and writes
``runs/bench/study_ensemble.json``. Each figure is the median of calls in turn. The baseline is the graph that computes
every layer for all members at once, called with three crops at a time, as many as 256 MiB hold. An ensemble of ten
members is measured too.
"""

import argparse
import functools
import math

import numpy as np
from numpy.typing import NDArray

from components.common.settings import IMAGE_SIZE_PX, StudySettings, TrainSettings
from components.model.network import Network, Weights, window_scale
from tests.benchmarks.harness import on_tensorflow, timed_in_turn, write_results

MEMBERS, FEWER = 50, 10
CROPS = (1, 16)
THREADS = (2, 1)
#: Crops in one call of the baseline.
AT_ONCE = 3
#: A crop's answer on two processors, ms.
TARGET_MS = 10.0
TOLERANCE = 1e-5

Crops = NDArray[np.float32]


def sessions_of(network: Network, weights: list[Weights], threads: int) -> dict[str, tuple[object, int]]:
    """The sessions by name, each with the number of crops in a call."""
    from components.model.export import ensemble_graph
    from components.model.onnx_parts import PART_BYTES
    from components.model.session import open_session

    window = window_scale(TrainSettings())
    return {
        name: (open_session(ensemble_graph(network, members, window, most).SerializeToString(), threads), step)
        for name, members, most, step in (
            ("at once", weights, math.inf, AT_ONCE),
            ("by parts", weights, PART_BYTES, 1),
            ("ten members", weights[:FEWER], PART_BYTES, 1),
        )
    }


def answers(session: object, step: int, crops: Crops) -> Crops:
    """The members' probabilities, by calls of ``step`` crops."""
    from components.model.session import run_session

    return np.concatenate([run_session(session, crops[first : first + step]) for first in range(0, len(crops), step)])


def measure(network: Network, weights: list[Weights], crops: Crops, threads: int, rounds: int) -> dict:
    """Milliseconds of each way, and the largest difference of a probability."""
    ways = {
        name: functools.partial(answers, session, step, crops)
        for name, (session, step) in sessions_of(network, weights, threads).items()
    }
    timed_in_turn(ways, 2)  # the first calls allocate
    seconds, found = timed_in_turn(ways, rounds)
    difference = float(np.abs(found["at once"] - found["by parts"]).max())
    assert difference < TOLERANCE, difference
    milliseconds = {name: 1e3 * value for name, value in seconds.items()}
    return {"threads": threads, "crops": len(crops), "ms": milliseconds, "largest_difference": difference}


def main() -> None:
    """Measures all cases and prints them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=100)
    rounds = options.parse_args().rounds
    on_tensorflow()
    from components.model.networks.building import build_network

    network, rng = build_network(StudySettings()), np.random.default_rng(1)
    weights = [network.initial_weights(rng) for _ in range(MEMBERS)]
    crops = rng.normal(40, 60, (max(CROPS), IMAGE_SIZE_PX, IMAGE_SIZE_PX)).astype(np.float32)
    cases = [
        measure(network, weights, crops[:count], threads, max(5, rounds // count))
        for threads in THREADS
        for count in CROPS
    ]
    write_results("study_ensemble", {"members": MEMBERS, "target_ms": TARGET_MS, "cases": cases})
    print(f"{MEMBERS} members of the default network; median ms of a request")
    print(f"{'threads':>7} {'crops':>5} {'at once':>9} {'by parts':>9} {'faster':>7} {'ten members':>12} {'ratio':>6}")
    for one in cases:
        at_once, by_parts, ten = one["ms"].values()
        figures = f"{at_once:>9.2f} {by_parts:>9.2f} {at_once / by_parts:>6.2f}x {ten:>12.2f} {by_parts / ten:>5.1f}x"
        print(f"{one['threads']:>7} {one['crops']:>5} {figures}")
    latency = cases[0]["ms"]["by parts"]
    verdict = "met" if latency < TARGET_MS else "not met"
    print(f"target: one crop on two threads in less than {TARGET_MS:g} ms: {verdict} ({latency:.2f} ms)")


if __name__ == "__main__":
    main()
