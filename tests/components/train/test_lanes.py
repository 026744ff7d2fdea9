"""The loop over lanes, with a program that computes each lane by the compiled loops: the members must be the same."""

import dataclasses
import threading

import numpy as np
import pytest

from components.common.errors import TrainingError
from components.model.network import Network
from components.train import lanes
from components.train.arithmetic import Arithmetic, SgdState
from components.train.engine import train_pack
from components.train.jobs import Data, Job, Stopped
from components.train.lanes import Resumed, train_in_lanes
from components.train.protocol import Verdict
from components.train.threads import _logits
from components.train.training import AttemptSampler


class LoopsProgram:
    """A program whose lanes are computed one after the other, with checks of what it is given."""

    determinism = "bitwise-cpu"

    def __init__(self, data, count, *, draws_ahead=False):
        self.lanes, self.calls, self.idle, self.draws_ahead = count, 0, 0, draws_ahead
        self._arithmetic = Arithmetic(data.network, data.crops, data.labels, data.settings)
        self.orientations = self._arithmetic.orientations
        self._every, self._largest = data.settings.validate_every, 0

    def train(self, state, task):
        self.calls += 1
        self.idle += int((task.steps == 0).sum())
        assert {len(part) for part in (*state, *task._replace(kept=task.steps), *task.kept)} == {self.lanes}
        assert task.batches.shape[1] == self._every
        assert all(one.shape[:2] == task.batches.shape[:2] for one in task.kept)
        found = [self._lane(lane, state, task) for lane in range(self.lanes)]
        states, losses, logits = zip(*found, strict=True)
        return SgdState(*(np.stack(parts) for parts in zip(*states, strict=True))), np.array(losses), np.stack(logits)

    def _lane(self, lane, state, task):
        one, count, rows = SgdState(*(part[lane] for part in state)), task.steps[lane], task.validation[lane]
        if not count:
            return one, 0.0, np.zeros((len(rows), 2), np.float32)
        masks, batches = [part[lane, :count] for part in task.kept], task.batches[lane, :count]
        trained, loss = self._arithmetic.train(one, task.first[lane], batches, masks, task.class_weights[lane])
        return trained, loss, _logits(self._arithmetic, trained.average, rows)

    def answer(self, weights, rows):
        return _logits(self._arithmetic, weights, rows)


class Told:
    """Records what the lanes tell; asks them to stop after ``most`` checks."""

    def __init__(self, most=10**9):
        self.checks, self.states, self.members, self.most = [], {}, {}, most

    def checked(self, check, verdict):
        self.checks.append((check, verdict))

    def save(self, key, state):
        self.states[key] = state

    def finished(self, key, member):
        self.members[key] = member

    def stopping(self):
        return len(self.checks) >= self.most


@pytest.fixture
def data(cohort, tiny, tiny_network):
    crops, labels, tumours = cohort
    settings = dataclasses.replace(tiny, max_steps=18)  # so that the last interval of an attempt is shorter
    return Data(tiny_network, crops, labels, {name: row for row, name in enumerate(tumours)}, settings, 1)


@pytest.fixture
def expected(cohort, splits, data):
    """The same members, trained by threads."""
    return train_pack(data.network, *cohort, splits, data.settings, seed=1, dataset_digest="d", workers=1)


def jobs_of(splits, states=None):
    return [Resumed(Job(split, split.id), (states or {}).get(split.id)) for split in splits]


def train_all(data, jobs, program, told):
    train_in_lanes(data, jobs, max(len(job.job.split.validation) for job in jobs), program, told)


def same(member, other):
    return (
        all(np.array_equal(member.weights[name], other.weights[name]) for name in other.weights)
        and np.array_equal(member.probabilities, other.probabilities)
        and member.history.equals(other.history)
        and (member.facts.restarts, member.facts.flagged) == (other.facts.restarts, other.facts.flagged)
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_members_do_not_depend_on_the_number_of_lanes(data, splits, expected, count):
    told, program = Told(), LoopsProgram(data, count)
    train_all(data, jobs_of(splits), program, told)
    assert all(same(told.members[member.id], member) for member in expected)
    assert any(verdict is Verdict.RESTART for _, verdict in told.checks)  # a lane is filled again
    checks = sum(len(member.history) for member in expected)
    assert len(told.checks) == checks
    assert program.calls * count == checks + program.idle


def test_samples_that_were_drawn_ahead_are_the_same(data, splits, expected, monkeypatch):
    draws, batches = [], AttemptSampler.batches

    def recorded(sampler, first, steps):
        draws.append((threading.current_thread() is threading.main_thread(), first))
        return batches(sampler, first, steps)

    monkeypatch.setattr(AttemptSampler, "batches", recorded)
    told = Told()
    train_all(data, jobs_of(splits), LoopsProgram(data, 2, draws_ahead=True), told)
    assert all(same(told.members[member.id], member) for member in expected)
    assert any(verdict is Verdict.RESTART for _, verdict in told.checks)
    waited_for, ahead = ({first for here, first in draws if here is where} for where in (True, False))
    assert waited_for == {0}
    assert 0 not in ahead


def test_lanes_that_stop_go_on_where_they_were(data, splits, expected, monkeypatch):
    states, members = {}, {}
    for most in (2, 4, 10**9):
        told = Told(most)
        waiting = [job for job in jobs_of(splits, states) if job.job.key not in members]
        if most < 10**9:
            with pytest.raises(Stopped):
                train_all(data, waiting, LoopsProgram(data, 2), told)
            assert told.states
        else:
            train_all(data, waiting, LoopsProgram(data, 2), told)
        states |= told.states
        members |= told.members
    assert all(same(members[member.id], member) for member in expected)


def test_states_are_saved_at_intervals(data, splits, monkeypatch):
    monkeypatch.setattr(lanes, "STATE_EVERY_S", 0.0)
    told = Told()
    train_all(data, jobs_of(splits), LoopsProgram(data, 2), told)
    assert set(told.states) == {split.id for split in splits}


def test_a_member_that_fails_leaves_the_states_of_the_others(data, splits, monkeypatch):
    def overflowing(network, rng):
        return {name: np.full(shape, 1e30, np.float32) for name, shape in network.shapes.items()}

    told = Told(2)
    with pytest.raises(Stopped):
        train_all(data, jobs_of(splits[:2]), LoopsProgram(data, 2), told)
    monkeypatch.setattr(Network, "initial_weights", overflowing)
    failing = Told()
    with pytest.raises(TrainingError, match=rf"{splits[2].id}: the loss is no longer finite"):
        train_all(data, [*jobs_of(splits[2:]), *jobs_of(splits[:2], told.states)], LoopsProgram(data, 3), failing)
    others = [failing.states[split.id] for split in splits[:2]]
    assert all(np.isfinite(array).all() for state in others for array in state.arrays.values())
