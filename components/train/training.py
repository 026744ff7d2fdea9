"""One member on its way from its first draw to the accepted weights.

Everything random is a function of (run seed, group, index, attempt, step): no generator is carried along, so a
half-trained member is its weights, their velocity, the best weights seen, and its course.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.common.artifacts import MemberSplit
from components.common.errors import TrainingError
from components.common.settings import TrainSettings
from components.train.arithmetic import Arithmetic, Tensors
from components.train.member_store import State
from components.train.network import Weights, initial_weights, weight_shapes
from components.train.protocol import Course, Look, Verdict, advance, steps_to_next_look

#: Tumours answered in one call: bounds the memory of a forward pass.
ANSWER_CHUNK = 32


class Draws:
    """All that is random in one attempt of one member, as functions of the step's number."""

    def __init__(
        self, split: MemberSplit, training: NDArray[np.int32], batch_size: int, *, seed: int, attempt: int
    ) -> None:
        self._entropy = [seed, int.from_bytes(split.group.encode()), split.index, attempt]
        self._training, self._batch_size = training, batch_size

    def weights(self, settings: TrainSettings) -> Weights:
        """The attempt's first weights."""
        return initial_weights(settings, np.random.default_rng([*self._entropy, 0]))

    def batches(self, first: int, steps: int) -> NDArray[np.int32]:
        """Rows of the data set [steps, batch] from step ``first``: epochs, each newly shuffled, end to end."""
        size, start = len(self._training), first * self._batch_size
        stop = start + steps * self._batch_size
        epochs = range(start // size, -(-stop // size))
        rngs = (np.random.default_rng([*self._entropy, 1, epoch]) for epoch in epochs)
        rows = np.concatenate([rng.permutation(self._training) for rng in rngs])
        return rows[start - epochs[0] * size :][: stop - start].reshape(steps, self._batch_size)

    def dropout_keys(self, first: int, steps: int) -> NDArray[np.int64]:
        """Keys [steps, 2] of the counter-based generator that draws the drop-out."""
        word = int(np.random.SeedSequence([*self._entropy, 2]).generate_state(1, np.uint64)[0]) >> 1
        return np.stack([np.full(steps, word), np.arange(first, first + steps)], axis=1).astype(np.int64)


class MemberTraining:
    """A member that trains from one look at its validation set to the next.

    Parameters
    ----------
    arithmetic
        Steps and answers on the data set.
    labels
        [n] integers, 1 = non-responder.
    rows
        Row of the data set by tumour pseudonym.
    """

    def __init__(
        self,
        arithmetic: Arithmetic,
        labels: NDArray[np.integer[Any]],
        rows: Mapping[str, int],
        split: MemberSplit,
        seed: int,
    ) -> None:
        self.split, self.course = split, Course()
        self._arithmetic, self._settings, self._labels, self._seed = arithmetic, arithmetic.settings, labels, seed
        self._training = np.array([rows[tumour] for tumour in split.training], np.int32)
        self._validation = np.array([rows[tumour] for tumour in split.validation], np.int32)
        self._start_attempt()
        self._best: Tensors = self._weights

    def _start_attempt(self) -> None:
        """Draws the weights of the course's attempt and sets their velocity to zero."""
        attempt, batch_size = self.course.attempt, self._settings.batch_size
        self._draws = Draws(self.split, self._training, batch_size, seed=self._seed, attempt=attempt)
        self._weights: Tensors = tuple(tf.constant(array) for array in self._draws.weights(self._settings).values())
        self._velocity: Tensors = tuple(tf.zeros_like(tensor) for tensor in self._weights)

    def to_next_look(self) -> Verdict:
        """Trains to the next look, takes it and follows the protocol; ``LOSS_NOT_FINITE`` where that fails."""
        first, steps = self.course.step, steps_to_next_look(self.course, self._settings)
        batches, keys = self._draws.batches(first, steps), self._draws.dropout_keys(first, steps)
        self._weights, self._velocity, loss = self._arithmetic.train(self._weights, self._velocity, batches, keys)
        look = self._look(first + steps, float(loss))
        self.course, verdict = advance(self.course, look, self._settings)
        if self.course.best is look:
            self._best = self._weights
        if verdict is Verdict.RESTART:
            self._start_attempt()
        return verdict

    def _look(self, step: int, training_loss: float) -> Look:
        log_odds, labels = self._log_odds(self._weights, self._validation), self._labels[self._validation]
        attempt = self.course.attempt
        if not (np.isfinite(training_loss) and np.isfinite(log_odds).all()):
            message = f"member {self.split.id}: the loss is not a number by step {step} of attempt {attempt}"
            raise TrainingError("LOSS_NOT_FINITE", message, "Lower learning_rate or momentum.")
        validation_loss = float(np.mean(np.logaddexp(0, np.where(labels == 1, -log_odds, log_odds))))
        accuracy = float(np.mean((log_odds > 0) == (labels == 1)))
        return Look(attempt, step, training_loss, validation_loss, accuracy)

    def _log_odds(self, weights: Tensors, rows: NDArray[np.int32]) -> NDArray[np.float64]:
        """Log-odds of non-response [m] of the tumours at ``rows``."""
        chunks = [rows[first : first + ANSWER_CHUNK] for first in range(0, len(rows), ANSWER_CHUNK)]
        outputs = np.concatenate([self._arithmetic.answer(weights, chunk).numpy() for chunk in chunks])
        return np.asarray(outputs[:, 1] - outputs[:, 0], np.float64)

    def accepted(self) -> tuple[Weights, NDArray[np.float32]]:
        """The best weights seen on validation, and their probability of non-response of all n tumours."""
        log_odds = self._log_odds(self._best, np.arange(len(self._labels), dtype=np.int32))
        return self._named(self._best), (1 / (1 + np.exp(-log_odds))).astype(np.float32)

    def _named(self, tensors: Tensors) -> Weights:
        return {name: tensor.numpy() for name, tensor in zip(weight_shapes(self._settings), tensors, strict=True)}

    def state(self) -> State:
        """The member half-trained: what ``resume`` goes on from, bit for bit."""
        kinds = {"weights": self._weights, "velocity": self._velocity, "best": self._best}
        arrays = {f"{kind}/{name}": a for kind, tensors in kinds.items() for name, a in self._named(tensors).items()}
        return State(arrays, {"course": self.course.to_dict()})

    def resume(self, state: State) -> None:
        """Goes on from ``state``."""
        self.course = Course.from_dict(state.facts["course"])
        self._start_attempt()
        self._weights, self._velocity, self._best = (
            tuple(tf.constant(state.arrays[f"{kind}/{name}"]) for name in weight_shapes(self._settings))
            for kind in ("weights", "velocity", "best")
        )
