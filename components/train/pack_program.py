"""One member's training step and logits, written for any Keras backend: what the compiled programs are made of.

The arithmetic is that of ``components.train.arithmetic``. Gradients and loops are the backend's own; see
``jax_program`` and ``tensorflow_program``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.model.keras_backend import keras
from components.model.network import oriented, windowed
from components.train.arithmetic import SgdState
from components.train.jobs import Data
from components.train.lanes import Task
from components.train.training_model import checked_training_model, dropout_masks

ops = keras.ops
#: Fewest images in one forward pass without gradient; more than a batch would need more memory than training.
ANSWER_CHUNK = 8


def images_and_labels(data: Data) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """What a network sees of the crops, [orientations x n, 151, 151, 1], and the labels of that."""
    images = oriented(windowed(data.crops, data.settings), data.settings.augmentation)[..., None]
    return images, np.tile(data.labels, len(images) // len(data.crops)).astype(np.int32)


def determinism_of(*, on_gpu: bool) -> str:
    """The tag of a program's members, see ``MemberFacts``; on CPU it runs on one thread (``processes``)."""
    return "device" if on_gpu else "bitwise-cpu"


class MemberStep:
    """The arithmetic of one member, on arrays of the backend, to be traced and compiled."""

    def __init__(self, data: Data) -> None:
        network, settings = data.network, data.settings
        self._network, self.settings = network, settings
        self._model = checked_training_model(network)
        self._shapes = list(network.shapes.values())
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1].tolist()
        decay = np.float32(settings.learning_rate * settings.weight_decay)
        self._shrink = 1 - decay * network.kernel_mask() if decay else np.float32(1)
        self.answer_chunk = max(settings.batch_size, ANSWER_CHUNK)

    def logits(self, weights: Any, images: Any, kept: Sequence[Any] = ()) -> Any:
        """Logits [n, 2] of ``images`` for ``weights`` [P], with dropout where ``kept`` says what it keeps."""
        parts = ops.split(weights, self._ends) if self._ends else [weights]
        variables = [ops.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]
        with dropout_masks(kept):
            return self._model.stateless_call(variables, [], images, training=True)[0]

    def loss(self, weights: Any, images: Any, labels: Any, kept: Sequence[Any], class_weights: Any) -> Any:
        """Mean cross-entropy of a batch, weighted by class."""
        log_probabilities = ops.log_softmax(self.logits(weights, images, kept))
        true = ops.one_hot(labels, 2) * class_weights
        return -ops.sum(true * log_probabilities) / images.shape[0]

    def descend(self, state: SgdState, gradient: Any, step: Any) -> SgdState:
        """One step of SGD with momentum and weight decay; the average starts with the weights of the first step."""
        settings = self.settings
        velocity = settings.momentum * state.velocity - settings.learning_rate * gradient
        weights = state.weights * self._shrink + velocity
        if not settings.weight_average:
            return SgdState(weights, velocity, weights)
        average = (1 - settings.weight_average) * weights + settings.weight_average * state.average
        return SgdState(weights, velocity, ops.where(step > 0, average, weights))

    def chunked(self, task: Task) -> Task:
        """The task with validation rows as ``in_chunks``."""
        return task._replace(kept=list(task.kept), validation=self.in_chunks(task.validation))

    def in_chunks(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Rows [..., m] as [..., chunks, images of one forward pass], padded by the first row."""
        missing = -rows.shape[-1] % self.answer_chunk
        padding = np.repeat(rows[..., :1], missing, axis=-1)
        return np.concatenate([rows, padding], -1).reshape(*rows.shape[:-1], -1, self.answer_chunk)

    def shapes(self, lanes: int, rows: int, make: Callable[[tuple[int, ...], Any], Any]) -> tuple[SgdState, Task]:
        """A program's state and task for ``rows`` validation tumours: ``make`` of the shape and type of each array."""
        steps, batch = self.settings.validate_every, self.settings.batch_size
        whole = make((lanes,), np.int32)
        state = make((lanes, self._network.size), np.float32)
        kept = [make((lanes, steps, batch, *one.shape), np.bool_) for one in self._network.dropouts]
        chunks = make((lanes, -(-rows // self.answer_chunk), self.answer_chunk), np.int32)
        batches = make((lanes, steps, batch), np.int32)
        task = Task(whole, whole, batches, kept, make((lanes, 2), np.float32), chunks)
        return SgdState(state, state, state), task
