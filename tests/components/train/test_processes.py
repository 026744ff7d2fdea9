"""Training by programs of JAX and TensorFlow in processes of their own, on the CPU of this machine."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from components.common.environment import KERAS_BACKEND
from components.common.errors import TrainingError
from components.common.processors import processors
from components.train import processes
from components.train.device_process import ONE_THREAD, VISIBLE, Device, choose_device
from components.train.engine import train_pack
from components.train.member_store import open_store

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def protocol(tiny):
    """Intervals of another length at the end of an attempt, everything optional, and restarts."""
    extras = {"augmentation": "both", "weight_decay": 0.01, "weight_average": 0.8, "class_weights": "balanced"}
    return dataclasses.replace(tiny, max_steps=18, **extras)


@pytest.fixture(scope="module")
def train(cohort, splits, tiny_network, protocol):
    """``train(engine, ...)`` trains the members, in one process."""

    def run(engine, pack=None, settings=protocol, network=tiny_network, workers=1, **options):
        settings, options = dataclasses.replace(settings, engine=engine), {"workers": workers, **options}
        return train_pack(network, *cohort, pack or splits, settings, seed=1, dataset_digest="d", **options)

    return run


@pytest.fixture(scope="module")
def by_jax(train):
    return train("jax")


def same_bits(member, other):
    weights = all(np.array_equal(member.weights[name], other.weights[name]) for name in other.weights)
    return weights and member.history.equals(other.history)


def assert_alike(members, others):
    """The same course of training, and answers that differ by rounding only."""
    for member, other in zip(members, others, strict=True):
        assert list(member.weights) == list(other.weights)
        assert list(member.history.step) == list(other.history.step)
        assert list(member.history.attempt) == list(other.history.attempt)
        assert member.facts.restarts == other.facts.restarts
        assert member.facts.accepted_step == other.facts.accepted_step
        np.testing.assert_allclose(member.probabilities, other.probabilities, atol=1e-4)


def test_jax_trains_the_members_of_the_compiled_loops(train, by_jax):
    assert_alike(by_jax, train("cpu"))
    assert max(member.facts.restarts for member in by_jax) > 0
    assert {member.facts.determinism for member in by_jax} == {"bitwise-cpu"}


def test_tensorflow_trains_the_members_of_the_compiled_loops(train):
    assert_alike(train("tensorflow"), train("cpu"))


def test_members_are_the_same_whatever_process_trains_them(train, by_jax, splits):
    accepted = []
    members = train("jax", list(reversed(splits)), workers=2, accepted=lambda member: accepted.append(member.id))
    assert all(same_bits(member, other) for member, other in zip(reversed(members), by_jax, strict=True))
    assert sorted(accepted) == [split.id for split in splits]


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="this system cannot limit a process to a core")
@pytest.mark.skipif(processors() < 2, reason="there is only one core")
def test_bits_do_not_depend_on_the_number_of_cores(train, by_jax, splits):
    this = psutil.Process()
    allowed = this.cpu_affinity()
    this.cpu_affinity(allowed[:1])
    try:
        members = train("jax", splits[:1])
    finally:
        this.cpu_affinity(allowed)
    assert same_bits(members[0], by_jax[0])


def interrupt(after):
    """A ``progress`` that is interrupted when it was called ``after`` times since the first validation check."""
    calls = []

    def progress(_done, _total, note):
        if note:
            calls.append(note)
        if len(calls) > after:
            raise KeyboardInterrupt

    return progress


def test_members_go_on_where_they_were_stopped(train, by_jax, tmp_path, monkeypatch):
    store = open_store(str(tmp_path))
    monkeypatch.setattr(processes, "PROGRESS_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train("jax", store=store, progress=interrupt(3), state_uri=str(tmp_path))
    saved = [path for path in (tmp_path / "states").iterdir() if path.is_file()]
    assert saved or list((tmp_path / "members").iterdir())
    members = train("jax", store=store, state_uri=str(tmp_path))
    assert all(same_bits(member, other) for member, other in zip(members, by_jax, strict=True))
    assert not [path for path in (tmp_path / "states").iterdir() if path.is_file()]
    assert [member.facts.reused for member in train("jax", store=store)] == [True] * len(members)


def test_processes_that_have_nothing_to_save_are_not_waited_for(train, tmp_path, monkeypatch):
    def stop(_done, _total, note):
        assert not note, "a check was made"
        if children():
            raise KeyboardInterrupt

    def ready(_connections, seconds):
        assert seconds == 0.0, "the parent waits for its children"
        return []

    monkeypatch.setattr(processes, "PROGRESS_EVERY_S", 0.0)
    monkeypatch.setattr(processes, "_ready", ready)
    with pytest.raises(KeyboardInterrupt):
        train("jax", store=open_store(str(tmp_path)), progress=stop)
    assert not children()
    assert not list(tmp_path.rglob("*.zip"))


def children():
    return [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]


def test_a_process_that_is_killed_is_reported(train):
    def kill(*_line):
        for child in children():
            child.send_signal(signal.SIGKILL)

    with pytest.raises(TrainingError, match="killed by signal 9") as caught:
        train("jax", progress=kill)
    assert caught.value.code == "ENGINE_FAILED"
    assert "memory" in caught.value.hint


def test_a_loss_that_is_not_finite_names_the_member(train, protocol):
    wild = dataclasses.replace(protocol, learning_rate=10.0, weight_decay=10.0)  # weights grow a hundredfold a step
    with pytest.raises(TrainingError, match=r"member A-0\d: the loss is no longer finite") as caught:
        train("jax", settings=wild)
    assert caught.value.code == "LOSS_NOT_FINITE"
    assert not children()


def test_what_a_process_fails_by_is_reported(train, tiny_network):
    broken = dataclasses.replace(tiny_network, architecture={"class_name": "Functional", "config": {}})
    with pytest.raises(TrainingError, match=r"a training process failed: \w+Error: ") as caught:
        train("jax", network=broken)
    assert caught.value.code == "ENGINE_FAILED"


def test_a_gpu_that_is_not_there_is_reported(train):
    with pytest.raises(TrainingError, match="finds none") as caught:
        train("auto", gpus=1)
    assert caught.value.code == "NO_GPU"


ORPHANED = """
import json, os, sys
import numpy as np
from components.common.settings import TrainSettings
from components.train.engine import train_pack
from tests.components.crops import make_crops, make_splits
from tests.components.networks import network_of

if __name__ == "__main__":
    crops, labels = make_crops(30, np.random.default_rng(7))
    names = [f"T{i:03d}" for i in range(30)]
    settings = TrainSettings(engine="jax", max_steps=10**6, patience_steps=10**6, restart_accuracy=0, restart_step=1)
    splits = make_splits(names, 2, np.random.default_rng(8))
    train_pack(
        network_of(filters_1=1, filters_2=1, kernel_1=2, pool_1=16, dense_1=2, dense_2=2), crops, labels, names, splits,
        settings, seed=1, dataset_digest="d", progress=lambda *line: print("progress", flush=True),
    )
"""


def test_a_process_whose_parent_is_gone_ends(tmp_path):
    script = tmp_path / "orphaned.py"
    script.write_text(ORPHANED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        while len(found := psutil.Process(parent.pid).children(recursive=True)) < 2:  # the child, and a tracker
            assert parent.poll() is None
            time.sleep(0.1)
        for _ in range(2):  # the second comes from inside the training
            parent.stdout.readline()
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(found, timeout=60)
    assert alive == []


@pytest.fixture
def environment(monkeypatch):
    """Variables that ``choose_device`` sets, unset now and restored afterwards."""
    flags = ("JAX_PLATFORMS", "XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE")
    for name in (KERAS_BACKEND, "KERAS_BACKEND", VISIBLE, *flags, *ONE_THREAD):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("gpu", "visible", "expected"), [(0, None, "0"), (1, None, "1"), (1, "4,6", "6"), (0, "GPU-a, GPU-b", "GPU-a")]
)
def test_each_process_sees_its_own_gpu_only(gpu, visible, expected, environment):
    if visible:
        environment.setenv(VISIBLE, visible)
    choose_device(Device("jax", gpu))
    assert os.environ[VISIBLE] == expected
    assert "--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"]


@pytest.mark.parametrize("visible", ["", "3"])
def test_a_gpu_that_the_process_was_not_granted_is_not_used(visible, environment):
    environment.setenv(VISIBLE, visible)
    with pytest.raises(TrainingError, match="2 GPUs are needed, but CUDA_VISIBLE_DEVICES names") as caught:
        choose_device(Device("jax", 1))
    assert caught.value.code == "NO_GPU"


def test_a_process_on_the_cpu_sees_no_gpu(environment):
    environment.setenv(VISIBLE, "0,1")
    choose_device(Device("tensorflow", None))
    assert (os.environ[KERAS_BACKEND], os.environ[VISIBLE], os.environ["JAX_PLATFORMS"]) == (
        "tensorflow",
        "-1",
        "cpu",
    )
