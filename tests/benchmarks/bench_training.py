"""Times the engine against Keras ``fit`` on the same data, network and number of SGD steps, in one run.

    (a) Keras, a process for each member, as many at a time as there are cores; extrapolated from the first ones
    (b) Keras, all members in one process; extrapolated from the first ones
    (c) the engine cpu, all members in one process; nothing extrapolated
    (d) the engine jax, all members in one process; nothing extrapolated

Each part runs in processes of its own, imports and compilation included. Also: what part of the speed of a matrix
product the engine reaches, counting what the plain network computes; time and memory for packs of other sizes; and what
logging to MLflow costs. Four minutes on two cores. ``python tests/benchmarks/bench_training.py --help``.
"""

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.common.processors import processors

ROOT = Path(__file__).parents[2]
TUMOURS, TRAINING, VALIDATION = 110, 65, 22


def settings_of(options):
    """The default protocol, but training ends after exactly ``options.steps`` steps."""
    from components.common.settings import TrainSettings

    never_ends = {"patience_steps": 10**6, "good_accuracy": 1.0, "restart_accuracy": 0.0}
    steps = {"max_steps": options.steps, "restart_step": options.steps}
    return TrainSettings(**{**json.loads(options.settings), **steps, **never_ends})


def default_network():
    """The description of the default network."""
    from components.common.settings import StudySettings
    from components.model.networks.building import build_network

    return build_network(StudySettings())


def cohort_and_splits(members):
    """Noisy discs with random labels, so that no member stops early, and splits of ``members`` members."""
    import numpy as np

    from components.common.artifacts.splits import MemberSplit

    rng = np.random.default_rng(0)
    labels = rng.permutation(TUMOURS) % 2
    distance = np.hypot(*np.ogrid[-75:76, -75:76])
    radius = rng.uniform(20, 65, (TUMOURS, 1, 1))
    crops = 35 + 30 * (distance < radius) + rng.normal(0, 20, (TUMOURS, 151, 151))
    names, splits = [f"T{row:03d}" for row in range(TUMOURS)], []
    for index in range(members):
        order = [names[row] for row in rng.permutation(TUMOURS)]
        sets = (order[:TRAINING], order[TRAINING : TRAINING + VALIDATION], order[TRAINING + VALIDATION :])
        splits.append(MemberSplit("A", index, *(tuple(sorted(names)) for names in sets)))
    return crops.astype(np.float32), labels, names, splits


def train_with_keras(options):
    """Seconds of each of ``options.members`` members, trained one after the other by Keras ``fit``."""
    import tensorflow as tf

    from components.model.keras_backend import keras
    from components.model.keras_network import keras_model
    from components.model.network import windowed

    settings, network = settings_of(options), default_network()
    crops, labels, names, splits = cohort_and_splits(options.members)
    images = windowed(crops, settings)[..., None]
    rows = {name: row for row, name in enumerate(names)}
    seconds = []
    for split in splits:
        started = time.perf_counter()
        model = keras_model(network)
        optimizer = keras.optimizers.SGD(settings.learning_rate, settings.momentum)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"])
        training, validation = ([rows[name] for name in names] for names in (split.training, split.validation))
        data = tf.data.Dataset.from_tensor_slices((images[training], labels[training]))
        data = data.shuffle(TRAINING).repeat().batch(settings.batch_size)
        model.fit(
            data,
            steps_per_epoch=settings.validate_every,
            epochs=settings.max_steps // settings.validate_every,
            validation_data=(images[validation], labels[validation]),
            verbose=0,
        )
        model.predict(images, verbose=0)
        seconds.append(time.perf_counter() - started)
    return {"member_seconds": seconds}


def train_with_engine(options):
    """Seconds of training ``options.members`` members by the engine, in the order in which they finish."""
    from components.train.engine import train_pack

    crops, labels, names, splits = cohort_and_splits(options.members)
    network, started = default_network(), time.perf_counter()
    members = train_pack(network, crops, labels, names, splits, settings_of(options), seed=1, dataset_digest="bench")
    assert all(member.history.step.max() == options.steps for member in members)
    return {"train_seconds": time.perf_counter() - started}


def train_with_jax(options):
    """As ``train_with_engine``, by the engine jax, compilation included."""
    options.settings = json.dumps({**json.loads(options.settings), "engine": "jax"})
    return train_with_engine(options)


def train_with_engine_and_mlflow(options):
    """Share of processor time that logging takes when a pack logs to a SQLite store all that the step logs."""
    import tempfile

    import pandas as pd

    from components.common import tracking
    from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
    from components.common.artifacts.splits import Splits
    from components.common.settings import StudySettings
    from components.train.engine import train_pack

    crops, labels, names, splits = cohort_and_splits(options.members)
    table = pd.DataFrame({name: [""] * TUMOURS for name in TUMOUR_COLUMNS}).assign(tumour=names, label=labels)
    data = Dataset(crops, table, Flow(TUMOURS, TUMOURS, (), TUMOURS, TUMOURS), {}, True, "d" * 64)
    settings = StudySettings(train=settings_of(options))
    network = default_network()
    assignment = Splits(tuple(splits), "patient", 0, {"asked": [12, 11]}, settings, network=network.to_dict())
    spent = []

    def timed(function):
        def call(*arguments):
            started = time.thread_time()
            function(*arguments)
            spent.append(time.thread_time() - started)

        return call

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        tree = tracking.open_tree("bench", settings, data, assignment, attempt="bench")
        before = time.process_time()
        train_pack(
            network, crops, labels, names, splits, settings.train, seed=1, dataset_digest="bench",
            progress=timed(tracking.PackProgress(tree, "all")),
            accepted=timed(lambda member: tracking.log_members(tree, [member], data)),
        )  # fmt: skip
        return {"logging_part": sum(spent) / (time.process_time() - before)}


def matrix_product_speed(_options):
    """GFLOP/s of TensorFlow's float32 matrix product on all cores."""
    import tensorflow as tf

    a = tf.random.normal((2048, 2048))
    tf.matmul(a, a).numpy()
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        tf.matmul(a, a).numpy()
        seconds.append(time.perf_counter() - started)
    return {"gflops": 2 * 2048**3 / min(seconds) / 1e9}


PARTS = {"keras": train_with_keras, "engine": train_with_engine, "jax": train_with_jax}
PARTS["product"] = matrix_product_speed
PARTS["logging"] = train_with_engine_and_mlflow


def run_part(part, options, members):
    """Runs one part in its own process; adds its wall seconds (imports included) and peak memory."""
    command = [sys.executable, __file__, "--part", part, "--members", str(members)]
    command += ["--steps", str(options.steps), "--settings", options.settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {"SRS_KERAS_BACKEND": "tensorflow"} if part == "keras" else {}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "wall_seconds": time.perf_counter() - started}


def flops_per_step(settings):
    """Floating-point operations of one SGD step, counted for the plain network: twice forward for backward."""
    import math

    from components.common.settings import IMAGE_SIZE_PX
    from components.model.layer_stack import layer_stack

    side, forward = IMAGE_SIZE_PX, []
    for layer in layer_stack(default_network()):
        positions = (side - layer.kernel[0] + 1) ** 2 if layer.is_convolution else 1
        forward.append(positions * math.prod(layer.kernel))
        side = (side - layer.kernel[0] + 1) // layer.pool
    return float(2 * settings.batch_size * (3 * sum(forward) - forward[0]))  # images need no gradient


def measure(options):
    """Measures all parts and their ratios."""
    cores = processors()
    members = options.members
    processes = 2 * cores
    with ThreadPoolExecutor(cores) as threads:
        started = time.perf_counter()
        list(threads.map(lambda _: run_part("keras", options, 1), range(processes)))
        each = (time.perf_counter() - started) / processes
    one = run_part("keras", options, options.sample)
    later = one["member_seconds"][1:]
    engine = {count: run_part("engine", options, count) for count in sorted({members, *options.also})}
    a = members * each
    b = one["wall_seconds"] + (members - options.sample) * sum(later) / len(later)
    c = engine[members]["wall_seconds"]
    d = run_part("jax", options, members)["wall_seconds"]
    settings, sizes = settings_of(options), sorted(engine)
    grown = (engine[sizes[-1]]["peak_mb"] - engine[sizes[0]]["peak_mb"]) / max(1, sizes[-1] - sizes[0])
    product = run_part("product", options, 0)["gflops"]
    speed = flops_per_step(settings) * options.steps * members / engine[members]["train_seconds"] / 1e9
    return {
        "members": members, "steps": options.steps, "cores": cores, "settings": dataclasses.asdict(settings),
        "a_keras_processes_s": a, "a_extrapolated_from": processes,
        "b_keras_one_process_s": b, "b_extrapolated_from": options.sample,
        "c_engine_s": c, "a_over_c": a / c, "b_over_c": b / c,
        "d_jax_s": d, "b_over_d": b / d,
        "engine": {str(count): part for count, part in engine.items()},
        "memory_mb_each_more_member": grown, "weights_mb": 4 * default_network().size / 2**20,
        "logging_part": run_part("logging", options, 10)["logging_part"],
        "product_gflops": product, "engine_part_of_product": speed / product,
    }  # fmt: skip


def table(found):
    """The figures as lines of text."""
    n = found["members"]
    lines = [
        f"{n} members, {found['steps']} SGD steps each, {found['cores']} cores",
        f"(a) Keras, a process each     {found['a_keras_processes_s']:8.1f} s   {found['a_over_c']:5.1f} x engine"
        f"   extrapolated from {found['a_extrapolated_from']}",
        f"(b) Keras, one process        {found['b_keras_one_process_s']:8.1f} s   {found['b_over_c']:5.1f} x engine"
        f"   extrapolated from {found['b_extrapolated_from']}",
        f"(c) engine cpu                {found['c_engine_s']:8.1f} s",
        f"(d) engine jax                {found['d_jax_s']:8.1f} s   (b) takes {found['b_over_d']:.1f} times as long",
        f"    the plain network's operations at {found['engine_part_of_product']:.0%} of the speed of a matrix product"
        f" ({found['product_gflops']:.0f} GFLOP/s); logging to MLflow takes {found['logging_part']:.1%}",
    ]
    for count, part in found["engine"].items():
        each = part["train_seconds"] / int(count)
        lines.append(f"    {count:>4} members: {each:.2f} s a member, peak memory {part['peak_mb']:.0f} MB")
    grown, weights = found["memory_mb_each_more_member"], found["weights_mb"]
    lines.append(f"    memory of one more member: {grown:.2f} MB (its weights: {weights:.2f} MB)")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--steps", type=int, default=200, help="SGD steps of a member")
    parser.add_argument("--sample", type=int, default=3, help="members that (b) is extrapolated from, at least 2")
    parser.add_argument("--also", type=int, nargs="*", default=[10, 200], help="other pack sizes for the engine")
    parser.add_argument("--settings", default="{}", help="changes of the default TrainSettings, as JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench" / "training.json")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sample < 2:
        parser.error("--sample must be at least 2")
    if options.part:
        found = PARTS[options.part](options)
        print(json.dumps({**found, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    found = measure(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1))
    print(table(found))


if __name__ == "__main__":
    main()
