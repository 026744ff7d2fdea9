"""Trains one member from its initial weights to the accepted ones.

Everything random is a function of (run seed, group, index, attempt, step), and no generator has a state to save. So a
half-trained member consists of its weights, their velocity and average, the best weights so far, and its course.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.splits import MemberSplit
from components.common.errors import TrainingError
from components.common.settings import TrainSettings
from components.model.network import Weights, as_vector, dropout_shape, initial_weights, views
from components.train.arithmetic import Rows, SgdState
from components.train.convolution import Floats
from components.train.member_store import State
from components.train.protocol import Course, ValidationCheck, Verdict, advance, steps_to_next_check

#: Tumours in one forward pass, which limits its memory.
ANSWER_CHUNK = 32


class Device(Protocol):
    """Training and inference on a data set, on CPU (``Arithmetic``) or on a GPU (``GpuArithmetic``)."""

    settings: TrainSettings
    orientations: int
    determinism: str

    def train(
        self, state: SgdState, first: int, batches: Rows, dropout_masks: Sequence[Floats | None], class_weights: Floats
    ) -> tuple[SgdState, float]:
        """SGD steps on ``batches``."""

    def answer(self, weights: Floats, rows: Rows) -> Floats:
        """Outputs before the softmax."""


class AttemptSampler:
    """All random samples of one attempt of one member, as functions of the step number.

    Parameters
    ----------
    training
        [tumours, orientations] rows of the training set's tumours in the data set.
    """

    def __init__(self, split: MemberSplit, training: Rows, settings: TrainSettings, *, seed: int, attempt: int) -> None:
        self._entropy = [seed, int.from_bytes(split.group.encode()), split.index, attempt]
        self._training, self._settings = training, settings

    def weights(self) -> Weights:
        """The attempt's initial weights."""
        return initial_weights(self._settings, self._generator(0))

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

    def dropout_masks(self, first: int, steps: int) -> list[Floats | None]:
        """One dropout mask per step: 0, or 1 / (1 - rate), which preserves the mean."""
        rate, shape = self._settings.dropout, (self._settings.batch_size, *dropout_shape(self._settings))
        if not rate:
            return [None] * steps
        samples = (self._generator(2, step).random(shape, np.float32) for step in range(first, first + steps))
        return [(sample >= rate).astype(np.float32) / np.float32(1 - rate) for sample in samples]

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([*self._entropy, *purpose])


class MemberTraining:
    """Trains a member from one validation check to the next.

    Parameters
    ----------
    device
        Training and inference on the data set.
    labels
        [n] integers, 1 = non-responder.
    rows
        Row in the data set of each tumour's pseudonym.
    """

    def __init__(
        self,
        device: Device,
        labels: NDArray[np.integer[Any]],
        rows: Mapping[str, int],
        split: MemberSplit,
        seed: int,
    ) -> None:
        self.split, self.seed, self.determinism, self.course = split, seed, device.determinism, Course()
        self._device, self._settings, self._labels = device, device.settings, labels
        training = np.array([rows[tumour] for tumour in split.training], np.int32)
        self._training = training[:, None] + len(labels) * np.arange(device.orientations, dtype=np.int32)
        self._validation = np.array([rows[tumour] for tumour in split.validation], np.int32)
        self._class_weights = class_weights(labels[training], self._settings)
        self._start_attempt()
        self._best = self._sgd.average

    def _start_attempt(self) -> None:
        """Samples the initial weights of the current attempt and sets their velocity to zero."""
        attempt = self.course.attempt
        self._sampler = AttemptSampler(self.split, self._training, self._settings, seed=self.seed, attempt=attempt)
        weights = as_vector(self._sampler.weights())
        self._sgd = SgdState(weights, np.zeros_like(weights), weights)

    def to_next_check(self) -> Verdict:
        """Trains to the next validation check, makes it and applies the protocol; raises ``LOSS_NOT_FINITE``."""
        first, steps = self.course.step, steps_to_next_check(self.course, self._settings)
        batches, dropout_masks = self._sampler.batches(first, steps), self._sampler.dropout_masks(first, steps)
        self._sgd, loss = self._device.train(self._sgd, first, batches, dropout_masks, self._class_weights)
        check = self._check_validation(first + steps, loss)
        self.course, verdict = advance(self.course, check, self._settings)
        if self.course.best is check:
            self._best = self._sgd.average
        if verdict is Verdict.RESTART:
            self._start_attempt()
        return verdict

    def _check_validation(self, step: int, training_loss: float) -> ValidationCheck:
        log_odds, labels = self._log_odds(self._sgd.average, self._validation), self._labels[self._validation]
        attempt = self.course.attempt
        if not (np.isfinite(training_loss) and np.isfinite(log_odds).all()):
            message = f"member {self.split.id}: the loss is no longer finite at step {step} of attempt {attempt}"
            raise TrainingError("LOSS_NOT_FINITE", message, "Lower learning_rate or momentum.")
        validation_loss = float(np.mean(np.logaddexp(0, np.where(labels == 1, -log_odds, log_odds))))
        accuracy = float(np.mean((log_odds > 0) == (labels == 1)))
        return ValidationCheck(attempt, step, training_loss, validation_loss, accuracy)

    def _log_odds(self, weights: Floats, rows: Rows) -> NDArray[np.float64]:
        """Log-odds of non-response [m] of the tumours at ``rows``."""
        chunks = [rows[first : first + ANSWER_CHUNK] for first in range(0, len(rows), ANSWER_CHUNK)]
        outputs = np.concatenate([self._device.answer(weights, chunk) for chunk in chunks])
        return np.asarray(outputs[:, 1] - outputs[:, 0], np.float64)

    def accepted(self) -> tuple[Weights, NDArray[np.float32]]:
        """The weights of the best validation check, and their probability of non-response of all n tumours."""
        log_odds = self._log_odds(self._best, np.arange(len(self._labels), dtype=np.int32))
        return views(self._best, self._settings), (1 / (1 + np.exp(-log_odds))).astype(np.float32)

    def state(self) -> State:
        """The state of the half-trained member, from which ``resume`` continues bit for bit."""
        return State({**self._sgd._asdict(), "best": self._best}, {"course": self.course.to_dict()})

    def resume(self, state: State) -> None:
        """Continues from ``state``."""
        self.course = Course.from_dict(state.facts["course"])
        self._start_attempt()
        self._sgd = SgdState(*(state.arrays[name] for name in SgdState._fields))
        self._best = state.arrays["best"]


def class_weights(labels: NDArray[np.integer[Any]], settings: TrainSettings) -> Floats:
    """Weights [2] of the losses of responders and non-responders, for a training set's ``labels``."""
    if settings.class_weights == "none":
        return np.ones(2, np.float32)
    return (len(labels) / (2 * np.bincount(labels, minlength=2))).astype(np.float32)
