"""Times packs of members on the accelerator that it finds, against other ways to train them on the same machine.

    rates      the device's float32 and TF32 matrix products, and its memory bandwidth
    engine     the pack by the JAX engine, compilation apart; equality of a second run and of a smaller pack
    counts     the operations of a step, counted on the CPU
    agreement  loss, gradient and answers after a whole training against the compiled loops and against Keras
    sizes      packs of other sizes, and their memory
    tuned      the engine without XLA's flag for deterministic operations, which keeps it from trying several kernels
    plain      the pack with Keras' convolution in the place of the product
    keras      Keras' own ``fit``, one member after the other
    torch      PyTorch, where it is there: one member after the other in channels-last, and ``torch.func.vmap``
    loops      the engine of compiled loops on this machine's cores

Each part is a process of its own with a time limit, so that one that fails or hangs costs only its own figures; the
parts that measure others' ways, and the device, run without that flag. Writes ``gpu.json`` in the folder ``--out``.
Less than five minutes; without an accelerator everything is small, as a check of the script itself. It needs this
checkout, and the packages ``NEEDED`` with what they need.
"""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What the parts import, apart from PyTorch.
NEEDED = ("jax", "keras", "minio", "numba", "numpy", "pandas", "pydantic", "threadpoolctl")
#: Seconds of each part at most, in the order in which they run.
LIMITS = {
    "rates": 40, "engine": 100, "counts": 30, "agreement": 60, "sizes": 90,
    "tuned": 40, "plain": 60, "keras": 60, "torch": 60, "loops": 60,
}  # fmt: skip
#: Parts that use no GPU, and those that run without the flag for deterministic operations.
ON_CPU, TUNED = ("counts", "loops"), ("rates", "tuned", "plain", "keras")
ROWS = 22


def settings_of(steps):
    """The default protocol, for exactly ``steps`` steps."""
    from components.common.settings import TrainSettings

    never_ends = {"patience_steps": 10**6, "good_accuracy": 1.0, "restart_accuracy": 0.0}
    return TrainSettings(max_steps=steps, restart_step=steps, **never_ends)


def data_of(members, steps):
    """The data of a pack, and its jobs."""
    from components.common.settings import StudySettings
    from components.model.networks.building import build_network
    from components.train.jobs import Data, Job
    from tests.benchmarks.bench_training import cohort_and_splits

    crops, labels, names, splits = cohort_and_splits(members)
    rows = {name: row for row, name in enumerate(names)}
    data = Data(build_network(StudySettings()), crops, labels, rows, settings_of(steps), 1)
    return data, [Job(split, split.id) for split in splits]


def program_of(data, lanes, options):
    from components.train.programs import open_program

    return open_program("jax", data, lanes=lanes, on_gpu=options.gpu, rows=ROWS)


class Finished:
    """Takes the members of ``train_in_lanes``."""

    def __init__(self):
        self.members = {}

    def checked(self, check, verdict):
        pass

    def save(self, key, state):
        pass

    def finished(self, key, member):
        self.members[key] = member

    def stopping(self):
        return False


def trained(data, jobs, program):
    """Seconds of a whole training, and the finished members by key."""
    from components.train.lanes import Resumed, train_in_lanes

    sink, started = Finished(), time.perf_counter()
    train_in_lanes(data, [Resumed(job, None) for job in jobs], ROWS, program, sink)
    return time.perf_counter() - started, sink.members


def inputs(program, data):
    """Random input of one call of a program, all lanes with all steps."""
    import numpy as np

    from components.model.network import as_vector
    from components.train.arithmetic import SgdState
    from components.train.lanes import Task

    rng, settings = np.random.default_rng(0), data.settings
    lanes, steps, batch, tumours = program.lanes, settings.validate_every, settings.batch_size, len(data.labels)
    weights = np.stack([as_vector(data.network.initial_weights(np.random.default_rng(n))) for n in range(lanes)])
    kept = [rng.random((lanes, steps, batch, *one.shape)) >= one.rate for one in data.network.dropouts]
    rows = rng.integers(tumours, size=(lanes, steps, batch), dtype=np.int32)
    validation = rng.integers(tumours, size=(lanes, ROWS), dtype=np.int32)
    state = SgdState(weights, np.zeros_like(weights), weights)
    first, weighted = np.zeros(lanes, np.int32), np.ones((lanes, 2), np.float32)
    return state, Task(first, np.full(lanes, steps, np.int32), rows, kept, weighted, validation)


def seconds_of(call, repeats=5):
    """Seconds of the first call, and the median of ``repeats`` further ones."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds[0], statistics.median(seconds[1:])


def rates(options, tell):
    """Rates of a large matrix product in float32 and TF32, and of copying memory."""
    import jax
    import jax.numpy as jnp

    device = jax.devices()[0]
    tell(device=str(device.device_kind), platform=device.platform, jax=jax.__version__)
    side = 8192 if options.gpu else 1024
    a, b = jax.random.normal(jax.random.key(0), (2, side, side))
    for name, precision in (("float32", "highest"), ("tf32", "tensorfloat32" if options.gpu else "highest")):
        product = jax.jit(partial(jnp.matmul, precision=precision))
        _, seconds = seconds_of(lambda product=product: product(a, b).block_until_ready())
        tell(**{f"{name}_tflops": 2 * side**3 / seconds / 1e12})
    values = jax.random.normal(jax.random.key(1), (2**28 if options.gpu else 2**24,))
    shifted = jax.jit(lambda values: values + 1)
    _, seconds = seconds_of(lambda: shifted(values).block_until_ready())
    tell(bandwidth_gb_per_s=2 * values.nbytes / seconds / 1e9)


def engine(options, tell):
    """The pack by the engine, and its equality with a second run and a smaller pack."""
    import jax
    import numpy as np

    data, jobs = data_of(options.members, options.steps)
    program = timed_program(data, jobs, options, tell)
    trained(data, jobs[:1], program)  # compiles the answers of finished members
    seconds, members = trained(data, jobs, program)
    tell(seconds=seconds, ms_per_member_step=seconds / len(jobs) / options.steps * 1e3)
    tell(xla_gb_per_step=traffic(program, data) / 1e9, needed_mb=program.needed_bytes(ROWS) / 2**20)
    tell(peak_mb=(jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20)
    _, second = trained(data, jobs, program)
    few = jobs[: max(1, len(jobs) // 5)]
    _, smaller = trained(data, few, program_of(data, len(few), options))
    for name, others in (("second_run", second), ("smaller_pack", smaller)):
        pairs = [(others[key].probabilities, members[key].probabilities) for key in others]
        tell(**{f"{name}_equal": all(np.array_equal(*pair) for pair in pairs)})
        tell(**{f"{name}_largest_difference": max(float(np.abs(one - other).max()) for one, other in pairs)})


def tuned(options, tell):
    """The calls of the pack's program alone."""
    data, jobs = data_of(options.members, options.steps)
    timed_program(data, jobs, options, tell)


def timed_program(data, jobs, options, tell):
    """The pack's program, with the seconds of its compilation and of all its calls."""
    started = time.perf_counter()
    program = program_of(data, len(jobs), options)
    given = inputs(program, data)
    program.train(*given)
    tell(lanes=program.lanes, compile_seconds=time.perf_counter() - started)
    _, seconds = seconds_of(lambda: program.train(*given))
    calls = -(-len(jobs) // program.lanes) * options.steps / data.settings.validate_every
    tell(device_seconds=seconds * calls)
    return program


def counts(_options, tell):
    """Operations of the gradients of one step of one member, in what XLA is given to compile."""
    data, _ = data_of(1, 1)
    tell(gflop_per_member_step=lowered_gradients(data, 1).cost_analysis()["flops"] / 1e9)


def traffic(program, data):
    """Bytes that the gradients of one step of all lanes read and write, as XLA counts them.

    On a GPU XLA does not count what libraries do for it, so that there may be more.
    """
    return lowered_gradients(data, program.lanes).compile().cost_analysis()["bytes accessed"]


def lowered_gradients(data, lanes):
    """The gradients of one step of ``lanes`` members side by side, before XLA compiles them."""
    import jax
    import numpy as np

    from components.train.pack_program import MemberStep

    shape, step = jax.ShapeDtypeStruct, MemberStep(data)
    lanes = lanes, data.settings.batch_size
    images = shape((*lanes, *data.crops.shape[1:], 1), np.float32)
    kept = [shape((*lanes, *one.shape), np.bool_) for one in data.network.dropouts]
    weights, class_weights = shape((lanes[0], data.network.size), np.float32), shape((lanes[0], 2), np.float32)

    def gradients(*arrays):
        with jax.default_matmul_precision("highest"):
            return jax.vmap(jax.grad(step.loss))(*arrays)

    return jax.jit(gradients).lower(weights, images, shape(lanes, np.int32), kept, class_weights)


def agreement(options, tell):
    """Differences from the compiled loops and from Keras' own model."""
    import jax
    import numpy as np

    from components.model.keras_network import keras_model
    from components.model.network import as_vector, windowed
    from components.train.arithmetic import Arithmetic
    from components.train.pack_program import MemberStep

    data, jobs = data_of(3, options.steps)
    weights = as_vector(data.network.initial_weights(np.random.default_rng(0)))
    rows, even = np.arange(8, dtype=np.int32), np.ones(2, np.float32)
    images, step = windowed(data.crops[:8], data.settings)[..., None], MemberStep(data)
    model = keras_model(dataclasses.replace(data.network))

    def plain(weights, *_):
        parts = [weights[first:last].reshape(shape) for first, last, shape in places(data.network)]
        logits, _ = model.stateless_call(parts, model.non_trainable_variables, images, training=False)
        return -jax.nn.log_softmax(logits)[rows, data.labels[:8]].mean()

    kept = [np.ones((8, *one.shape), bool) for one in data.network.dropouts]
    loops = Arithmetic(data.network, data.crops, data.labels, data.settings)
    loops_loss, loops_gradient = loops.loss_and_gradient(weights, rows, kept, even)
    undropped = [1 - one.rate for one in data.network.dropouts]  # masks that divide by the rate would scale all values
    with jax.default_matmul_precision("highest"):
        ours = jax.jit(jax.value_and_grad(step.loss))
        loss, gradient = ours(weights, images, data.labels[:8], kept, even)
        scaled = [mask * np.float32(part) for mask, part in zip(kept, undropped, strict=True)]
        plain_loss, plain_gradient = jax.jit(jax.value_and_grad(plain))(weights)
        free_loss, free_gradient = ours(weights, images, data.labels[:8], scaled, even)
    tell(loss_against_loops=abs(float(loss) - loops_loss), loss_against_keras=abs(float(free_loss - plain_loss)))
    tell(gradient_against_loops=relative(gradient, loops_gradient))
    tell(gradient_against_keras=relative(free_gradient, plain_gradient))
    _, members = trained(data, jobs, program_of(data, len(jobs), options))
    expected = trained_by_loops(data, [job.split for job in jobs])[1]
    differences = [np.abs(members[one.split.id].probabilities - one.probabilities).max() for one in expected]
    tell(probabilities_after_training_against_loops=float(max(differences)))


def places(network):
    """First and last position of each weight in a vector of all, and its shape."""
    import math

    stop = 0
    for shape in network.shapes.values():
        start, stop = stop, stop + math.prod(shape)
        yield start, stop, shape


def relative(found, expected):
    import numpy as np

    return float(np.linalg.norm(np.asarray(found) - expected) / np.linalg.norm(expected))


def trained_by_loops(data, splits):
    """Seconds of a pack by the compiled loops, and its members."""
    from components.train.engine import train_pack

    started, settings = time.perf_counter(), dataclasses.replace(data.settings, engine="cpu")
    given = data.network, data.crops, data.labels, list(data.rows), splits, settings
    members = train_pack(*given, seed=data.seed, dataset_digest="bench")
    return time.perf_counter() - started, members


def loops(options, tell):
    """The pack by the compiled loops on all cores, after they are compiled."""
    from components.common.processors import processors

    data, jobs = data_of(options.members, options.steps)
    short = data._replace(settings=settings_of(data.settings.validate_every))
    trained_by_loops(short, [jobs[0].split])
    tell(seconds=trained_by_loops(data, [job.split for job in jobs])[0], cores=processors())


def sizes(options, tell):
    """One interval of packs of other sizes."""
    import jax

    for members in (50, 200, 1000) if options.gpu else (2, 4):
        data, _ = data_of(1, options.steps)
        from components.train.jax_program import JaxProgram

        program = JaxProgram(data, lanes=members, side_by_side=True)
        arrays = inputs(program, data)
        first, again = seconds_of(lambda program=program, arrays=arrays: program.train(*arrays), repeats=3)
        each = again / members / data.settings.validate_every * 1e3
        figures = {"first_call_seconds": first, "ms_per_member_step": each}
        figures["needed_mb"] = program.needed_bytes(ROWS) / 2**20
        figures["peak_mb"] = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20
        tell(**{f"members_{members}": figures})


def plain(options, tell):
    """The engine's program with Keras' convolution and max-pooling, which become grouped ones."""
    from components.model.keras_backend import keras
    from components.train.jax_program import JaxProgram
    from components.train.training_model import ProductConv2D

    def convolution_op(self, inputs, kernel):
        maps = keras.layers.Conv2D.convolution_op(self, inputs, kernel)
        return keras.ops.max_pool(maps, self.pool, self.pool) if self.pool else maps

    ProductConv2D.convolution_op = convolution_op
    data, _ = data_of(1, options.steps)
    program = JaxProgram(data, lanes=options.members, side_by_side=True)
    arrays = inputs(program, data)
    first, again = seconds_of(lambda: program.train(*arrays), repeats=2)
    steps = data.settings.validate_every
    tell(first_call_seconds=first, seconds=again / steps * options.steps, extrapolated_from_steps=steps)


def keras(options, tell):
    """Keras' ``fit``, whose function is compiled for each member anew."""
    from components.model.keras_backend import keras
    from components.model.keras_network import keras_model
    from components.model.network import windowed

    data, _ = data_of(1, options.steps)
    settings, images = data.settings, windowed(data.crops, data.settings)[..., None]
    for name in ("first_member_seconds", "member_seconds"):
        started = time.perf_counter()
        model = keras_model(data.network)
        optimizer = keras.optimizers.SGD(settings.learning_rate, settings.momentum)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        samples = settings.validate_every * settings.batch_size
        for _ in range(options.steps // settings.validate_every):
            model.fit(
                images[:samples], data.labels[:samples], batch_size=settings.batch_size, verbose=0,
                validation_data=(images[-ROWS:], data.labels[-ROWS:]),
            )  # fmt: skip
        tell(**{name: time.perf_counter() - started})
    tell(seconds=(time.perf_counter() - started) * options.members, extrapolated_from_members=1)


def torch(options, tell):
    """PyTorch's convolution: members one after the other, and as a batch by ``torch.func.vmap``."""
    try:
        import torch
    except ImportError:
        tell(absent=True)
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = "cuda" if torch.cuda.is_available() else "cpu"
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    tell(torch=torch.__version__, device=device)
    data, _ = data_of(1, options.steps)
    images = torch.rand(110, 1, 151, 151, device=device)
    labels = torch.randint(0, 2, (110,), device=device)
    layers = torch.nn
    model = layers.Sequential(
        layers.Conv2d(1, 8, 7), layers.ReLU(), layers.MaxPool2d(8), layers.Conv2d(8, 16, 5), layers.ReLU(),
        layers.MaxPool2d(3), layers.Flatten(), layers.Dropout(0.25), layers.Linear(256, 32), layers.ReLU(),
        layers.Linear(32, 16), layers.ReLU(), layers.Linear(16, 2),
    ).to(device)  # fmt: skip
    loss_of, settings = torch.nn.functional.cross_entropy, data.settings
    steps, batch = settings.validate_every, settings.batch_size

    def one_by_one():
        single = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(single.parameters(), settings.learning_rate, settings.momentum)
        for _ in range(steps):
            rows = torch.randint(0, 110, (batch,), device=device)
            optimizer.zero_grad()
            loss_of(single(images[rows].contiguous(memory_format=torch.channels_last)), labels[rows]).backward()
            optimizer.step()
        wait()

    _, seconds = seconds_of(one_by_one, repeats=3)
    whole = options.members * options.steps / steps
    tell(one_by_one_seconds=seconds * whole, one_by_one_extrapolated_from_steps=steps)
    model = model.to(memory_format=torch.contiguous_format)
    stacked = {
        name: torch.randn(options.members, *one.shape, device=device) * 0.1 for name, one in model.named_parameters()
    }
    velocity = {name: torch.zeros_like(one) for name, one in stacked.items()}

    def loss_and_gradient(parameters, rows):
        return torch.func.grad(lambda p: loss_of(torch.func.functional_call(model, p, images[rows]), labels[rows]))(
            parameters
        )

    batched = torch.func.vmap(loss_and_gradient, randomness="different")

    def side_by_side():
        for _ in range(steps):
            rows = torch.randint(0, 110, (options.members, batch), device=device)
            for name, gradient in batched(stacked, rows).items():
                velocity[name].mul_(settings.momentum).sub_(gradient, alpha=settings.learning_rate)
                stacked[name].add_(velocity[name])
        wait()

    _, seconds = seconds_of(side_by_side, repeats=2)
    tell(vmap_seconds=seconds * options.steps / steps, vmap_extrapolated_from_steps=steps)


PARTS = {one.__name__: one for one in (rates, engine, counts, agreement, sizes, tuned, plain, keras, torch, loops)}


def run_part(name, options):
    """The child's main function: prints each figure as soon as it is known."""
    from components.train.device_process import Device, choose_device

    flags = os.environ.get("XLA_FLAGS", "")
    choose_device(Device("jax", 0 if options.gpu and name not in ON_CPU else None))
    if name in TUNED:
        os.environ["XLA_FLAGS"] = flags
    if name == "torch":
        os.environ["JAX_PLATFORMS"] = "cpu"  # the GPU is PyTorch's, with its own version of cuDNN

    def tell(**figures):
        print(json.dumps(figures), flush=True)

    PARTS[name](options, tell)


def measured(name, options, limit):
    """The figures of a part, with what ended it where it did not end by itself."""
    command = [sys.executable, __file__, "--part", name, "--members", str(options.members), "--steps"]
    command += [str(options.steps), *(["--gpu"] if options.gpu else [])]
    environment, started = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}, time.monotonic()
    found = {}
    try:
        done = subprocess.run(
            command, env=environment, timeout=limit, check=False, capture_output=True, text=True, cwd=ROOT
        )
        output = done.stdout
        if done.returncode:
            found["error"] = done.stderr[-2000:]
    except subprocess.TimeoutExpired as ended:
        output = (ended.stdout or b"").decode()
        found["error"] = f"ended after {limit:.0f} s"
    for line in output.splitlines():
        if line.startswith("{"):
            found |= json.loads(line)
    return {**found, "wall_seconds": time.monotonic() - started}


def ratios(found):
    """How much longer the other ways take than the engine, and what parts of the device's rates it reaches."""
    parts, result = found["parts"], {}
    seconds = parts["engine"].get("seconds")
    if not seconds:
        return result
    others = {"plain": "seconds", "keras": "seconds", "loops": "seconds", "torch": "one_by_one_seconds"}
    for part, figure in others.items():
        if figure in parts.get(part, {}):
            result[f"{part}_over_engine"] = parts[part][figure] / seconds
    if "vmap_seconds" in parts.get("torch", {}):
        result["torch_vmap_over_engine"] = parts["torch"]["vmap_seconds"] / seconds
    if "device_seconds" in parts.get("tuned", {}):
        result["deterministic_over_tuned"] = parts["engine"]["device_seconds"] / parts["tuned"]["device_seconds"]
    device, whole, counted = parts["rates"], parts["engine"], parts.get("counts", {})
    if "bandwidth_gb_per_s" in device and "xla_gb_per_step" in whole and "gflop_per_member_step" in counted:
        arithmetic = (
            counted["gflop_per_member_step"] * found["members"] * found["steps"] / device["float32_tflops"] / 1e3
        )
        rounds = -(-found["members"] // whole["lanes"]) * found["steps"]
        memory = whole["xla_gb_per_step"] * rounds / device["bandwidth_gb_per_s"]
        result |= {"seconds_at_float32_rate": arithmetic, "seconds_at_bandwidth": memory}
        result["limit"] = "arithmetic" if arithmetic > memory else "bandwidth"
        result["part_of_limit"] = max(arithmetic, memory) / whole["device_seconds"]
    return result


def card():
    """Name of the first NVIDIA GPU, or None."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, help="default: 50, without a GPU 4")
    parser.add_argument("--steps", type=int, help="default: 200, without a GPU 20")
    parser.add_argument("--seconds", type=float, default=285, help="time limit of all parts together")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(LIMITS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench", help="folder of gpu.json")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--gpu", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run_part(options.part, options)
        return
    found_card, deadline = card(), time.monotonic() + options.seconds
    options.gpu = found_card is not None
    options.members = options.members or (50 if options.gpu else 4)
    options.steps = options.steps or (200 if options.gpu else 20)
    found = {"card": found_card, "machine": platform.processor() or platform.machine(), "members": options.members}
    found |= {"steps": options.steps, "python": platform.python_version(), "parts": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.parts:
        left = deadline - time.monotonic()
        found["parts"][name] = measured(name, options, min(LIMITS[name], left)) if left > 5 else {"error": "no time"}
        found["ratios"] = ratios(found) if {"engine", "rates"} <= set(found["parts"]) else {}
        (options.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
        print(name, json.dumps(found["parts"][name]), flush=True)
    print(json.dumps(found["ratios"], indent=1))


if __name__ == "__main__":
    main()
