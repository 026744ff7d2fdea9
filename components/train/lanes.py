"""Trains members in the lanes of one compiled program: all lanes go to their next validation check in one call.

A lane whose member is finished takes the next member, and a restart goes on in its lane. When no member is left, a lane
stays idle: the program is called with no step for it.
"""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.members import Member
from components.train.arithmetic import Kept, Rows, SgdState
from components.train.convolution import Floats
from components.train.jobs import STATE_EVERY_S, Data, Job, Stopped
from components.train.protocol import ValidationCheck, Verdict
from components.train.training import Interval, MemberTraining, State

Scalar = TypeVar("Scalar", bound=np.generic)


class Task(NamedTuple):
    """What the lanes have to do up to their next validation checks; every array has the lanes as first axis.

    Parameters
    ----------
    first
        [lanes] steps of the attempt before these.
    steps
        [lanes] steps to make; 0 for an idle lane.
    batches
        [lanes, longest interval, batch] rows of the data set; those after a lane's steps are padding.
    kept
        For each dropout layer, what is kept: [lanes, longest interval, batch, *shape].
    class_weights
        [lanes, 2] weights of the losses of responders and non-responders.
    validation
        [lanes, rows] rows of the data set, padded to the largest number of them.
    """

    first: NDArray[np.int32]
    steps: NDArray[np.int32]
    batches: Rows
    kept: Kept
    class_weights: Floats
    validation: Rows


class Program(Protocol):
    """A compiled program that trains members side by side, on one device.

    ``draws_ahead`` says whether the host has nothing else to do meanwhile than to draw the samples of the next call.
    """

    lanes: int
    orientations: int
    determinism: str
    draws_ahead: bool

    def train(self, state: SgdState, task: Task) -> tuple[SgdState, Floats, Floats]:
        """The state after the steps, their mean loss [lanes], and the averaged weights' logits [lanes, rows, 2]."""

    def answer(self, weights: Floats, rows: Rows) -> Floats:
        """Logits [m, 2] of one member's ``weights`` for the tumours at ``rows`` [m]."""


class Sink(Protocol):
    """Takes what the lanes have to tell."""

    def checked(self, check: ValidationCheck, verdict: Verdict) -> None:
        """A validation check of a member."""

    def save(self, key: str, state: State) -> None:
        """The state of a half-trained member."""

    def finished(self, key: str, member: Member) -> None:
        """A trained member."""

    def stopping(self) -> bool:
        """Whether to save the states and stop."""


class Resumed(NamedTuple):
    """A member to train, and its stored state, if there is one."""

    job: Job
    state: State | None


class _Lane(NamedTuple):
    job: Job
    training: MemberTraining
    started: float


def train_in_lanes(data: Data, jobs: Iterable[Resumed], rows: int, program: Program, sink: Sink) -> None:
    """Trains all ``jobs``, each taken as soon as a lane is free for it.

    ``rows`` is the largest number of validation tumours of any of them. Raises as ``MemberTraining.checked``, or
    ``Stopped``, with the states of half-trained members saved.
    """
    pack = _Pack(data, jobs, rows, program, sink)
    saved = time.monotonic()
    try:
        while pack.fill():
            pack.to_next_check()
            if sink.stopping():
                raise Stopped
            if time.monotonic() - saved >= STATE_EVERY_S:
                pack.save()
                saved = time.monotonic()
    except BaseException:
        pack.save()
        raise


class _Pack:
    def __init__(self, data: Data, jobs: Iterable[Resumed], rows: int, program: Program, sink: Sink) -> None:
        self._data, self._rows, self._program, self._sink = data, rows, program, sink
        self._waiting = iter(jobs)
        self._lanes: list[_Lane | None] = [None] * program.lanes

    def fill(self) -> bool:
        """Gives the next members to the idle lanes; whether any lane trains."""
        for number, lane in enumerate(self._lanes):
            if lane is None and (resumed := next(self._waiting, None)):
                job, state = resumed
                training = self._data.training(job.split, self._program.orientations)
                if state:
                    training.resume(state)
                self._lanes[number] = _Lane(job, training, time.monotonic())
        return any(self._lanes)

    def to_next_check(self) -> None:
        """Trains every lane to its next validation check, in one call."""
        inputs = self._inputs()
        if self._program.draws_ahead:
            with ThreadPoolExecutor(1) as thread:
                drawn = thread.submit(self._draw_ahead)
                states, losses, logits = self._program.train(*inputs)
            drawn.result()
        else:
            states, losses, logits = self._program.train(*inputs)
        for number, lane in enumerate(self._lanes):
            if lane is not None:
                sgd = SgdState(*(part[number].copy() for part in states))
                self._checked(number, lane, sgd, float(losses[number]), logits[number])

    def _draw_ahead(self) -> None:
        for lane in filter(None, self._lanes):
            lane.training.draw_ahead()

    def _checked(self, number: int, lane: _Lane, sgd: SgdState, loss: float, logits: Floats) -> None:
        training = lane.training
        verdict = training.checked(sgd, loss, logits[: len(training.validation)])
        self._sink.checked(training.course.checks[-1], verdict)
        if verdict is Verdict.STOP:
            self._lanes[number] = None
            everyone = np.arange(len(self._data.labels), dtype=np.int32)
            answers = self._program.answer(training.best, everyone)
            seconds, determinism = time.monotonic() - lane.started, self._program.determinism
            member = training.finished(answers, seconds=seconds, key=lane.job.key, determinism=determinism)
            self._sink.finished(lane.job.key, member)

    def save(self) -> None:
        """Saves the state of every half-trained member."""
        for lane in filter(None, self._lanes):
            self._sink.save(lane.job.key, lane.training.state())

    def _inputs(self) -> tuple[SgdState, Task]:
        """The state and task of all lanes, padded to the same length; idle lanes repeat another one's."""
        taken = next(lane for lane in self._lanes if lane is not None)
        lanes = [lane or taken for lane in self._lanes]
        idle = np.array([lane is None for lane in self._lanes])
        intervals: dict[int, Interval] = {id(lane): lane.training.interval() for lane in lanes}
        parts = [intervals[id(lane)] for lane in lanes]
        longest = self._data.settings.validate_every
        steps = np.array([len(part.batches) for part in parts], np.int32)
        state = SgdState(*(np.stack(arrays) for arrays in zip(*(lane.training.sgd for lane in lanes), strict=True)))
        return state, Task(
            first=np.array([part.first for part in parts], np.int32),
            steps=np.where(idle, 0, steps).astype(np.int32),
            batches=_padded([part.batches for part in parts], longest),
            kept=[_padded(arrays, longest) for arrays in zip(*(part.kept for part in parts), strict=True)],
            class_weights=np.stack([lane.training.class_weights for lane in lanes]),
            validation=_padded([lane.training.validation for lane in lanes], self._rows),
        )


def _padded(arrays: Sequence[NDArray[Scalar]], length: int) -> NDArray[Scalar]:
    """The arrays as one, each repeated from its start up to ``length`` along its first axis."""
    return np.stack([array if len(array) == length else array[np.arange(length) % len(array)] for array in arrays])
