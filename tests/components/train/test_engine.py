import dataclasses
import os
import signal
import threading
import time

import numpy as np
import pytest

from components.common.artifacts.splits import MemberSplit
from components.common.errors import InputError, TrainingError
from components.model.network import Network
from components.train import threads
from components.train.engine import member_key, train_pack
from components.train.member_store import open_store
from tests.components.networks import network_of, reference_probabilities


@pytest.fixture(scope="module")
def trained(cohort, splits, tiny, tiny_network):
    return train_pack(tiny_network, *cohort, splits, tiny, seed=1, dataset_digest="d", workers=1)


def same(member, other):
    """Whether two members are equal in every bit that they depend on."""
    weights = all(np.array_equal(member.weights[name], other.weights[name]) for name in member.weights)
    return (
        weights and np.array_equal(member.probabilities, other.probabilities) and member.history.equals(other.history)
    )


def test_members_are_complete(trained, cohort, splits, tiny, tiny_network):
    assert [member.split for member in trained] == splits
    for member in trained:
        assert {name: array.shape for name, array in member.weights.items()} == tiny_network.shapes
        assert member.probabilities.shape == cohort[1].shape
        assert member.probabilities.dtype == np.float32
        assert list(member.history) == ["attempt", "step", "training_loss", "validation_loss", "validation_accuracy"]
        assert member.facts.determinism == "bitwise-cpu"
        assert member.facts.reused is False
        assert member.facts.restarts == member.history.attempt.max() - 1


def test_probabilities_are_those_of_the_reference_network(trained, cohort, tiny, tiny_network):
    for member in trained:
        expected = reference_probabilities(member.weights, cohort[0], tiny_network)
        np.testing.assert_allclose(member.probabilities, expected, atol=1e-5)


def test_accepted_member_is_that_of_the_best_check(trained, cohort):
    row = {tumour: i for i, tumour in enumerate(cohort[2])}
    for member in trained:
        best = member.history.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True]).iloc[0]
        validation = [row[tumour] for tumour in member.split.validation]
        accuracy = np.mean((member.probabilities[validation] > 0.5) == cohort[1][validation])
        assert accuracy == pytest.approx(best.validation_accuracy) == member.facts.validation_accuracy
        assert member.facts.accepted_step == best.step


@pytest.mark.parametrize(("order", "workers"), [([2], 1), ([2, 0, 1], 2), ([1, 0], 3)])
def test_bits_do_not_depend_on_pack_or_workers(trained, cohort, splits, tiny, tiny_network, order, workers):
    pack = train_pack(
        tiny_network, *cohort, [splits[i] for i in order], tiny, seed=1, dataset_digest="d", workers=workers
    )
    assert all(same(member, trained[i]) for i, member in zip(order, pack, strict=True))


#: Seed of a member whose first layer learns; in so small a network all its units may be dead.
LIVELY = 2
EXTRAS = {"augmentation": "both", "weight_decay": 0.01, "weight_average": 0.8, "class_weights": "balanced"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_optional_settings_change_the_weights_reproducibly(
    cohort, splits, tiny, tiny_network, extra, tmp_path, monkeypatch
):
    settings = dataclasses.replace(tiny, **{extra: EXTRAS[extra]})
    labels = np.where(np.arange(len(cohort[1])) % 8 == 0, 1, cohort[1])  # so that the classes are not even
    data = cohort[0], labels, cohort[2]
    plain, first, second = (
        train_pack(tiny_network, *data, pack, chosen, seed=LIVELY, dataset_digest="d", workers=workers)
        for pack, chosen, workers in ((splits[:1], tiny, 1), (splits[:1], settings, 1), (splits, settings, 2))
    )
    assert same(first[0], second[0])
    assert not np.array_equal(first[0].weights["conv_1_kernel"], plain[0].weights["conv_1_kernel"])
    monkeypatch.setattr(threads, "STATE_EVERY_S", 0.0)
    store = open_store(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(threads, "_to_next_check", dies_after(2))
        with pytest.raises(KeyboardInterrupt):
            train_pack(
                tiny_network, *data, splits[:1], settings, seed=LIVELY, dataset_digest="d", store=store, workers=1
            )
    (resumed,) = train_pack(
        tiny_network, *data, splits[:1], settings, seed=LIVELY, dataset_digest="d", store=store, workers=1
    )
    assert same(resumed, first[0])


def test_another_seed_gives_another_member(trained, cohort, splits, tiny, tiny_network):
    (member,) = train_pack(tiny_network, *cohort, splits[:1], tiny, seed=2, dataset_digest="d", workers=1)
    assert not np.array_equal(member.weights["conv_1_kernel"], trained[0].weights["conv_1_kernel"])


def test_finished_members_come_from_the_store(trained, cohort, splits, tiny, tiny_network, tmp_path):
    store, reported, accepted = open_store(str(tmp_path)), [], []
    first = train_pack(tiny_network, *cohort, splits[:2], tiny, seed=1, dataset_digest="d", store=store, workers=1)
    again = train_pack(
        tiny_network,
        *cohort,
        splits,
        tiny,
        seed=1,
        dataset_digest="d",
        store=store,
        workers=1,
        progress=lambda *line: reported.append(line),
        accepted=lambda member: accepted.append(member.id),
    )
    assert [member.facts.reused for member in again] == [True, True, False]
    assert again[0].facts.seconds == first[0].facts.seconds
    assert all(same(member, trained[i]) for i, member in enumerate(again))
    assert reported[0][:2] == (2, 3)
    assert accepted == [split.id for split in splits]
    assert reported[-1][:2] == (3, 3)
    assert reported[-1][2].startswith("restarts ")


def test_a_half_trained_member_resumes_to_the_same_bits(
    trained, cohort, splits, tiny, tiny_network, tmp_path, monkeypatch
):
    monkeypatch.setattr(threads, "STATE_EVERY_S", 0.0)
    store = open_store(str(tmp_path))
    for checks in (1, 2):  # killed after the first check, and again after two more
        with monkeypatch.context() as patch:
            patch.setattr(threads, "_to_next_check", dies_after(checks))
            with pytest.raises(KeyboardInterrupt):
                train_pack(tiny_network, *cohort, splits[:1], tiny, seed=1, dataset_digest="d", store=store, workers=1)
    (member,) = train_pack(tiny_network, *cohort, splits[:1], tiny, seed=1, dataset_digest="d", store=store, workers=1)
    assert same(member, trained[0])
    assert store.get_state(member.facts.key) is None


def dies_after(checks, to_next_check=threads._to_next_check):
    """``to_next_check`` that raises at the check after ``checks``."""
    taken = []

    def to_next_check_or_die(training, arithmetic):
        if len(taken) == checks:
            raise KeyboardInterrupt
        taken.append(1)
        return to_next_check(training, arithmetic)

    return to_next_check_or_die


def test_sigterm_saves_the_state_and_ends(trained, cohort, splits, tiny, tiny_network, tmp_path, monkeypatch):
    store, took, before = open_store(str(tmp_path)), threading.Event(), signal.getsignal(signal.SIGTERM)
    to_next_check = threads._to_next_check

    def terminated(training, arithmetic):
        verdict = to_next_check(training, arithmetic)
        if not took.is_set():
            took.set()
            while signal.getsignal(signal.SIGTERM) == before:  # the main thread is still submitting jobs
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGTERM)
            stop_seen.wait(60)
        return verdict

    stop_seen = threading.Event()
    monkeypatch.setattr(threads, "PROGRESS_EVERY_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(threads, "_to_next_check", terminated)
        patch.setattr(threads.futures.ThreadPoolExecutor, "shutdown", announce(stop_seen))
        with pytest.raises(SystemExit):
            train_pack(tiny_network, *cohort, splits[:1], tiny, seed=1, dataset_digest="d", store=store, workers=1)
    key = member_key(tiny_network, splits[0], dataclasses.replace(tiny, engine="cpu"), seed=1, dataset_digest="d")
    assert store.get(key) is None
    assert store.get_state(key).facts["course"]["step"] == tiny.validate_every
    (member,) = train_pack(tiny_network, *cohort, splits[:1], tiny, seed=1, dataset_digest="d", store=store, workers=1)
    assert same(member, trained[0])


def announce(event, shutdown=threads.futures.ThreadPoolExecutor.shutdown):
    """``ThreadPoolExecutor.shutdown`` that first sets ``event``."""

    def announced(pool, *args, **options):
        event.set()
        return shutdown(pool, *args, **options)

    return announced


def test_refuses_a_loss_that_is_not_finite(cohort, splits, tiny, tiny_network, tmp_path, monkeypatch):
    def overflowing(network, _rng):
        return {name: np.full(shape, 1e30, np.float32) for name, shape in network.shapes.items()}

    monkeypatch.setattr(Network, "initial_weights", overflowing)
    store = open_store(str(tmp_path))
    with pytest.raises(TrainingError, match=r"A-0\d.*LOSS_NOT_FINITE"):
        train_pack(tiny_network, *cohort, splits, tiny, seed=1, dataset_digest="d", store=store, workers=2)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("role", ["training", "validation"])
def test_refuses_a_set_of_one_class(cohort, splits, tiny, tiny_network, role):
    responders = tuple(np.array(cohort[2])[cohort[1] == 0])
    split = dataclasses.replace(splits[0], **{role: responders})
    with pytest.raises(InputError, match=rf"A-01: the {role} set.*SPLIT_ONE_CLASS"):
        train_pack(tiny_network, *cohort, [split], tiny, seed=1, dataset_digest="d")


def test_refuses_unknown_tumours_without_naming_them(cohort, tiny, tiny_network):
    split = MemberSplit("B", 2, ("T000", "SECRET"), ("T002", "T003"), ())
    with pytest.raises(InputError, match=r"B-02: 1 tumours of the training set.*SPLIT_UNKNOWN_TUMOUR") as caught:
        train_pack(tiny_network, *cohort, [split], tiny, seed=1, dataset_digest="d")
    assert "SECRET" not in str(caught.value)


def test_refuses_crops_of_another_size(cohort, splits, tiny, tiny_network):
    with pytest.raises(InputError, match="DATASET_SHAPE"):
        train_pack(tiny_network, cohort[0][:, :100], *cohort[1:], splits, tiny, seed=1, dataset_digest="d")


def test_refuses_crops_that_are_not_finite(cohort, splits, tiny, tiny_network):
    with pytest.raises(InputError, match="CROPS_NOT_FINITE"):
        train_pack(tiny_network, np.full_like(cohort[0], np.nan), *cohort[1:], splits, tiny, seed=1, dataset_digest="d")


def test_a_member_of_the_engine_that_is_chosen_by_default_is_that_of_its_name(trained, splits, tiny, tiny_network):
    named = dataclasses.replace(tiny, engine="cpu")
    assert tiny.engine == "auto"
    assert trained[0].facts.key == member_key(tiny_network, splits[0], named, seed=1, dataset_digest="d")


def test_keys_depend_on_everything_that_affects_the_weights(splits, tiny, tiny_network):
    other = dataclasses.replace(tiny, learning_rate=0.5)
    wider = network_of(**{**tiny_network.settings, "filters_1": 3})
    cases = [(tiny_network, splits[0], tiny, 1, "d"), (tiny_network, splits[1], tiny, 1, "d")]
    cases += [(tiny_network, splits[0], other, 1, "d"), (tiny_network, splits[0], tiny, 2, "d")]
    cases += [(tiny_network, splits[0], tiny, 1, "e"), (wider, splits[0], tiny, 1, "d")]
    keys = {member_key(*case[:3], seed=case[3], dataset_digest=case[4]) for case in cases}
    assert len(keys) == 6
