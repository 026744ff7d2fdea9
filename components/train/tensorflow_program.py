"""The compiled program of TensorFlow that trains members side by side; the same as ``jax_program``.

It is compiled by XLA. On CPU the members of a pack are trained one after another (``map_fn``), on a GPU as a batch
(``vectorized_map``).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from components.train.arithmetic import Rows, SgdState
from components.train.convolution import Floats
from components.train.jobs import Data
from components.train.lanes import Task
from components.train.pack_program import MemberStep, determinism_of, images_and_labels


def prepare_gpu() -> bool:
    """Whether there is a GPU; TensorFlow then takes its memory as it needs it."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    return bool(gpus)


class TensorflowProgram:
    """``lanes.Program`` by TensorFlow, on one device.

    Parameters
    ----------
    side_by_side
        Whether lanes are a batch, or computed one after another.
    device
        Name of the device, ``CPU:0`` or ``GPU:0``.
    """

    def __init__(
        self,
        data: Data,
        *,
        lanes: int,
        side_by_side: bool,
        device: str = "CPU:0",
    ) -> None:
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.determinism = determinism_of(on_gpu=side_by_side)
        self.lanes, self._side_by_side, self._device = lanes, side_by_side, device
        self.draws_ahead = side_by_side  # on a GPU; on CPU this core is the device
        self._step = MemberStep(data)
        images, labels = images_and_labels(data)
        self.orientations = len(images) // len(data.crops)
        with tf.device(device):
            self._images, self._labels = tf.constant(images), tf.constant(labels)
        self._train, self._answer = (
            tf.function(function, jit_compile=True, autograph=False) for function in (self._train_lanes, self._logits)
        )

    def train(self, state: SgdState, task: Task) -> tuple[SgdState, Floats, Floats]:
        """The state after the steps, their mean loss [lanes], and the averaged weights' logits [lanes, rows, 2]."""
        with tf.device(self._device):
            given = tf.nest.map_structure(tf.constant, (state, self._step.chunked(task)))
            after, losses, logits = self._train(self._images, self._labels, *given)
        states, answers = SgdState(*(part.numpy() for part in after)), logits.numpy()
        return states, losses.numpy(), answers[:, : task.validation.shape[1]]

    def answer(self, weights: Floats, rows: Rows) -> Floats:
        """Logits [m, 2] of one member's ``weights`` for the tumours at ``rows`` [m]."""
        with tf.device(self._device):
            chunks = tf.constant(self._step.in_chunks(rows))
            logits = self._answer(self._images, tf.constant(weights), chunks, tf.constant(True))
        return np.asarray(logits)[: len(rows)]

    def _train_lanes(self, images: Any, labels: Any, states: SgdState, tasks: Task) -> tuple[SgdState, Any, Any]:
        def train(lane: tuple[SgdState, Task]) -> tuple[SgdState, Any, Any]:
            return self._train_lane(images, labels, *lane)

        found: tuple[SgdState, Any, Any]
        if self._side_by_side:
            found = tf.vectorized_map(train, (states, tasks), fallback_to_while_loop=False)
            return found
        weights, rows = tf.TensorSpec(states.weights.shape[1:]), np.prod(tasks.validation.shape[1:])
        kinds = SgdState(weights, weights, weights), tf.TensorSpec([]), tf.TensorSpec([rows, 2])
        found = tf.map_fn(train, (states, tasks), fn_output_signature=kinds, parallel_iterations=1)
        return found

    def _train_lane(self, images: Any, labels: Any, state: SgdState, task: Task) -> tuple[SgdState, Any, Any]:
        def step(number: Any, state: SgdState, total: Any) -> tuple[SgdState, Any]:
            rows = tf.gather(task.batches, number)
            masks = [tf.gather(one, number) for one in task.kept]
            with tf.GradientTape() as tape:
                tape.watch(state.weights)
                given = tf.gather(images, rows), tf.gather(labels, rows), masks, task.class_weights
                loss = self._step.loss(state.weights, *given)
            gradient = tape.gradient(loss, state.weights)
            return self._step.descend(state, gradient, task.first + number), total + loss

        state, total = self._repeated(step, (state, tf.constant(0.0)), task.steps, task.batches.shape[0])
        logits = self._logits(images, state.average, task.validation, task.steps > 0)
        return state, total / tf.cast(tf.maximum(task.steps, 1), tf.float32), logits

    def _repeated(self, step: Callable[..., Any], start: Any, steps: Any, most: int) -> Any:
        """``step`` applied ``steps`` times; side by side ``most`` times, where a lane stays once it has its steps."""

        def next_step(number: Any, state: SgdState, total: Any) -> tuple[Any, SgdState, Any]:
            before, after = (state, total), step(number, state, total)
            if self._side_by_side:
                after = tf.nest.map_structure(lambda new, old: tf.where(number < steps, new, old), after, before)
            return number + 1, *after

        last = most if self._side_by_side else steps
        return tf.while_loop(lambda number, *_: number < last, next_step, (tf.constant(0), *start))[1:]

    def _logits(self, images: Any, weights: Any, chunks: Any, needed: Any) -> Any:
        """Logits [rows, 2] for rows in chunks; zeros where they are not needed."""

        def logits(rows: Any) -> Any:
            return self._step.logits(weights, tf.gather(images, rows))

        def if_needed(rows: Any) -> Any:
            return tf.cond(needed, lambda: logits(rows), lambda: tf.zeros([rows.shape[0], 2]))

        parts = [logits(rows) if self._side_by_side else if_needed(rows) for rows in tf.unstack(chunks)]
        return tf.concat(parts, 0)
