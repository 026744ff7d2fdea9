"""Runs a pack repeatedly on one member store and one MLflow store, and kills it; each attempt is a process.

``python killing.py FOLDER`` reads ``plan.json`` there: the signals to send, and when: after which share of the time
that the whole training took here. The attempts are forked from here, so that imports and compilation are paid once.
Prints, as JSON, how each ended and how many seconds after its signal.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.splits import Splits
from components.model.network import Network, as_vector
from components.train import threads
from components.train.arithmetic import Arithmetic
from components.train.step import run

threads.STATE_EVERY_S = 0.05  # states between checks are what is to be tested
threads.PROGRESS_EVERY_S = 0.05


def attempt(folder, name, store, kill=None, after_s=0.0):
    """Forks an attempt and sends it a signal; its exit code (negative: the signal that ended it) and seconds to end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        outputs = str(folder / name), str(folder / f"{name}.html")
        try:
            run(*_inputs(folder), "1-4", store, 0, *outputs, lambda *_: os.write(write, b"."))
        except SystemExit as leaving:
            os._exit(int(leaving.code or 0))
        os._exit(0)
    os.close(write)
    os.read(read, 1)  # what the pack begins with
    os.read(read, 1)  # from inside its training; nothing where it had nothing to train
    time.sleep(after_s)
    signalled = time.monotonic()
    if kill:
        os.kill(pid, kill)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - signalled


def compile_loops(folder):
    """Compiles all that the attempts need."""
    data, splits = Dataset.read(Path(_inputs(folder)[0])), Splits.read(Path(_inputs(folder)[1]))
    settings, network = splits.settings.train, Network.from_dict(splits.network)
    weights = as_vector(network.initial_weights(np.random.default_rng(0)))
    arithmetic = Arithmetic(network, data.crops, data.tumours.label.to_numpy(), settings)
    arithmetic.loss_and_gradient(weights, np.zeros(settings.batch_size, np.int32), [], np.ones(2, np.float32))


def _inputs(folder):
    return str(folder / "dataset"), str(folder / "splits")


def main():
    folder = Path(sys.argv[1])
    compile_loops(folder)
    plan = json.loads((folder / "plan.json").read_text())
    ended = [attempt(folder, "whole", str(folder / "store-of-whole"))]
    whole_s = ended[0][1]
    for number, (name, share) in enumerate(plan):
        ended.append(attempt(folder, f"killed-{number}", str(folder / "store"), signal.Signals[name], share * whole_s))
    ended.append(attempt(folder, "resumed", str(folder / "store")))
    print(json.dumps(ended))


if __name__ == "__main__":
    main()
