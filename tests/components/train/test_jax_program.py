"""What only the compiled program of JAX has: the memory that it needs, and a choice among several devices."""

import dataclasses
import os
import subprocess
import sys

import jax
import numpy as np

from components.model.network import Dropout
from components.train.jax_program import JaxProgram
from components.train.programs import lanes_of_masks, lanes_that_fit
from tests.components.train.packs import data_of


def test_lanes_side_by_side_need_more_memory_than_one_after_another(tiny_network, cohort, tiny):
    needed = [
        JaxProgram(data_of(tiny_network, cohort, tiny), lanes=4, side_by_side=side_by_side).needed_bytes(11)
        for side_by_side in (False, True)
    ]
    batch_bytes = 4 * tiny.batch_size * 151 * 151
    assert needed[0] > batch_bytes
    assert needed[1] > needed[0] + 3 * batch_bytes


def test_fewer_lanes_where_memory_is_short():
    assert lanes_that_fit(50, 10 << 30, 80 << 30) == 50
    assert lanes_that_fit(200, 80 << 30, 80 << 30) == 140
    assert lanes_that_fit(4, 80 << 30, 1 << 30) == 1


def test_fewer_lanes_where_maps_with_dropout_are_large(tiny_network, cohort, tiny):
    settings = dataclasses.replace(tiny, validate_every=64, batch_size=16)
    lanes = {}
    for shape in ((), (32,), (128, 128, 4), (128, 128, 128)):
        dropouts = (Dropout("dropout", 0.5, shape),) if shape else ()
        lanes[shape] = lanes_of_masks(data_of(dataclasses.replace(tiny_network, dropouts=dropouts), cohort, settings))
    assert lanes[()] > lanes[(32,)] > 1000
    assert lanes[(128, 128, 4)] == 8  # 64 Mi values of one byte each
    assert lanes[(128, 128, 128)] == 1


def test_every_device_trains_the_same():
    """Two processors of this machine in the place of two GPUs, in a process of its own."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", f"from {__name__} import train_on_each_device as train; train()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def train_on_each_device():
    from components.common.settings import TrainSettings
    from tests.components.crops import make_crops
    from tests.components.networks import network_of
    from tests.components.train.packs import LANES, STEPS, members, task_of

    network, settings = network_of(pool_1=12, filters_1=2), TrainSettings(batch_size=6, validate_every=STEPS)
    crops = make_crops(30, np.random.default_rng(7))
    found = []
    for device in (0, 1):
        program = JaxProgram(data_of(network, crops, settings), lanes=LANES, side_by_side=False, device=device)
        state, losses, logits = program.train(members(network, LANES), task_of(network))
        found.append([*state, losses, logits, program.answer(state.weights[0], np.arange(9, dtype=np.int32))])
        images = [one for one in jax.live_arrays() if one.size >= 30 * 151 * 151]
        assert jax.devices()[device] in {one.device for one in images}
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
