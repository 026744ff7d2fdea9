"""The training of one member, from its initial weights to the accepted ones, without the arithmetic between checks.

Everything random is a function of (run seed, group, index, attempt, step), and no generator has a state to save. So a
half-trained member consists of its weights, their velocity and average, the best weights so far, and its course.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.members import Member, MemberFacts
from components.common.artifacts.splits import MemberSplit
from components.common.errors import TrainingError
from components.common.settings import TrainSettings
from components.model.network import Network, Weights, as_vector
from components.train.arithmetic import Kept, Rows, SgdState
from components.train.convolution import Floats
from components.train.protocol import Course, ValidationCheck, Verdict, advance, steps_to_next_check


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """A half-trained member: named arrays and plain values."""

    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


class Interval(NamedTuple):
    """What an engine needs to train a member to its next validation check.

    Parameters
    ----------
    first
        Number of steps of the attempt before the first of these.
    batches
        [steps, batch] rows of the data set.
    kept
        For each dropout layer: what is kept, [steps, batch, *shape].
    """

    first: int
    batches: Rows
    kept: Kept


class AttemptSampler:
    """All random samples of one attempt of one member, as functions of the step number.

    Parameters
    ----------
    training
        [tumours, orientations] rows of the training set's tumours in the data set.
    """

    def __init__(
        self,
        network: Network,
        split: MemberSplit,
        training: Rows,
        settings: TrainSettings,
        *,
        seed: int,
        attempt: int,
    ) -> None:
        self._entropy = [seed, int.from_bytes(split.group.encode()), split.index, attempt]
        self._network, self._training, self._settings = network, training, settings

    def weights(self) -> Weights:
        """The attempt's initial weights."""
        return self._network.initial_weights(self._generator(0))

    def batches(self, first: int, steps: int) -> Rows:
        """Rows [steps, batch] from step ``first`` on, out of consecutive epochs, each shuffled anew."""
        size, batch = len(self._training), self._settings.batch_size
        start, stop = first * batch, (first + steps) * batch
        epochs = range(start // size, -(-stop // size))
        rows = np.concatenate([self._epoch(epoch) for epoch in epochs])
        return rows[start - epochs[0] * size :][: stop - start].reshape(steps, batch)

    def _epoch(self, epoch: int) -> Rows:
        """Every tumour once, each in a random orientation."""
        rng, (tumours, orientations) = self._generator(1, epoch), self._training.shape
        shuffled = rng.permutation(self._training)
        chosen: Rows = shuffled[np.arange(tumours), rng.integers(orientations, size=tumours) if orientations > 1 else 0]
        return chosen

    def kept(self, first: int, steps: int) -> list[NDArray[np.bool_]]:
        """For each dropout layer, whether a value is kept in each step from ``first`` on: [steps, batch, *shape]."""
        return [self._kept_by(number, range(first, first + steps)) for number in range(len(self._network.dropouts))]

    def _kept_by(self, number: int, steps: range) -> NDArray[np.bool_]:
        layer = self._network.dropouts[number]
        shape, which = (self._settings.batch_size, *layer.shape), [number] if number else []
        samples = (self._generator(2, step, *which).random(shape, np.float32) for step in steps)
        return np.stack([sample >= np.float32(layer.rate) for sample in samples])

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([*self._entropy, *purpose])


class MemberTraining:
    """A member's training: the random samples up to each validation check, and what follows from the check.

    An engine computes what lies between: it takes ``interval`` and ``sgd``, and passes its results to ``checked``.

    Parameters
    ----------
    labels
        [n] integers, 1 = non-responder.
    rows
        Row in the data set of each tumour's pseudonym.
    orientations
        Number of orientations of each tumour in the data set: row t + n * o is tumour t in orientation o.
    """

    def __init__(
        self,
        network: Network,
        settings: TrainSettings,
        labels: NDArray[np.integer[Any]],
        rows: Mapping[str, int],
        split: MemberSplit,
        *,
        seed: int,
        orientations: int,
    ) -> None:
        self.split, self.seed, self.course = split, seed, Course()
        self._network, self._settings, self._labels = network, settings, labels
        training = np.array([rows[tumour] for tumour in split.training], np.int32)
        self._training = training[:, None] + len(labels) * np.arange(orientations, dtype=np.int32)
        self.validation = np.array([rows[tumour] for tumour in split.validation], np.int32)
        self.class_weights = class_weights(labels[training], settings)
        self._start_attempt()
        self.best = self.sgd.average

    def _start_attempt(self) -> None:
        """Samples the initial weights of the current attempt and sets their velocity to zero."""
        self._sampler = AttemptSampler(
            self._network, self.split, self._training, self._settings, seed=self.seed, attempt=self.course.attempt
        )
        self._ahead: Interval | None = None
        weights = as_vector(self._sampler.weights())
        self.sgd = SgdState(weights, np.zeros_like(weights), weights)

    def interval(self) -> Interval:
        """The samples of the steps to the next validation check."""
        if self._ahead and self._ahead.first == self.course.step:
            return self._ahead
        return self._drawn(self.course)

    def draw_ahead(self) -> None:
        """Draws the samples after the next validation check, for the case that the attempt goes on."""
        check = self.course.step + steps_to_next_check(self.course, self._settings)
        if check < self._settings.max_steps:
            self._ahead = self._drawn(dataclasses.replace(self.course, step=check))

    def _drawn(self, course: Course) -> Interval:
        first, steps = course.step, steps_to_next_check(course, self._settings)
        return Interval(first, self._sampler.batches(first, steps), self._sampler.kept(first, steps))

    def checked(self, sgd: SgdState, training_loss: float, logits: Floats) -> Verdict:
        """Makes the validation check after an interval and applies the protocol.

        Parameters
        ----------
        sgd
            The state after the interval.
        training_loss
            Mean loss of its steps.
        logits
            [validation tumours, 2] of the averaged weights.

        Raises
        ------
        TrainingError
            ``LOSS_NOT_FINITE``.
        """
        step = self.course.step + steps_to_next_check(self.course, self._settings)
        check = self._check(step, training_loss, log_odds(logits))
        self.sgd = sgd
        self.course, verdict = advance(self.course, check, self._settings)
        if self.course.best is check:
            self.best = sgd.average
        if verdict is Verdict.RESTART:
            self._start_attempt()
        return verdict

    def _check(self, step: int, training_loss: float, odds: NDArray[np.float64]) -> ValidationCheck:
        labels, attempt = self._labels[self.validation], self.course.attempt
        if not (np.isfinite(training_loss) and np.isfinite(odds).all()):
            message = f"member {self.split.id}: the loss is no longer finite at step {step} of attempt {attempt}"
            raise TrainingError("LOSS_NOT_FINITE", message, "Lower learning_rate or momentum.")
        validation_loss = float(np.mean(np.logaddexp(0, np.where(labels == 1, -odds, odds))))
        accuracy = float(np.mean((odds > 0) == (labels == 1)))
        return ValidationCheck(attempt, step, training_loss, validation_loss, accuracy)

    def finished(self, logits: Floats, *, seconds: float, key: str, determinism: str) -> Member:
        """The trained member with the weights ``best``, whose ``logits`` [n, 2] are those of all tumours."""
        course = self.course
        assert course.best is not None
        facts = MemberFacts(
            seed=self.seed,
            restarts=course.restarts,
            flagged=course.flagged,
            accepted_step=course.best.step,
            validation_accuracy=course.best.validation_accuracy,
            seconds=round(seconds, 3),
            key=key,
            reused=False,
            determinism=determinism,
        )
        history = pd.DataFrame([dataclasses.asdict(check) for check in course.checks])
        probabilities = (1 / (1 + np.exp(-log_odds(logits)))).astype(np.float32)
        return Member(self.split, self._network.views(self.best), history, probabilities, facts)

    def state(self) -> State:
        """The state of the half-trained member, from which ``resume`` continues bit for bit."""
        return State({**self.sgd._asdict(), "best": self.best}, {"course": self.course.to_dict()})

    def resume(self, state: State) -> None:
        """Continues from ``state``."""
        self.course = Course.from_dict(state.facts["course"])
        self._start_attempt()
        self.sgd = SgdState(*(state.arrays[name] for name in SgdState._fields))
        self.best = state.arrays["best"]


def log_odds(logits: Floats) -> NDArray[np.float64]:
    """Log-odds of non-response [m] from logits [m, 2]."""
    return np.asarray(logits[:, 1] - logits[:, 0], np.float64)


def class_weights(labels: NDArray[np.integer[Any]], settings: TrainSettings) -> Floats:
    """Weights [2] of the losses of responders and non-responders, for a training set's ``labels``."""
    if settings.class_weights == "none":
        return np.ones(2, np.float32)
    return (len(labels) / (2 * np.bincount(labels, minlength=2))).astype(np.float32)
