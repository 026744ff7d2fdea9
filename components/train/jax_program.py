"""The compiled program of JAX that trains members side by side.

On CPU the members of a pack are trained one after another (``lax.map``), each with the memory of one, and bit by bit as
alone. On a GPU they are a batch (``vmap``), which fills it.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from components.train.arithmetic import Rows, SgdState
from components.train.convolution import Floats
from components.train.jobs import Data
from components.train.lanes import Task
from components.train.pack_program import MemberStep, determinism_of, images_and_labels

#: Of matrix products; by default a GPU would round their factors to 10 bits (TF32).
PRECISION = "highest"


def gpu_memory_bytes() -> int | None:
    """Memory of this process' first GPU that JAX may use; None where there is no GPU."""
    try:
        return int(jax.devices("gpu")[0].memory_stats()["bytes_limit"])
    except (RuntimeError, AssertionError):  # the latter where JAX lacks the plug-in for CUDA
        return None


class JaxProgram:
    """``lanes.Program`` by JAX, on one device.

    Parameters
    ----------
    side_by_side
        Whether lanes are a batch, or computed one after another.
    device
        Number of the device among JAX' devices.
    """

    def __init__(
        self,
        data: Data,
        *,
        lanes: int,
        side_by_side: bool,
        device: int = 0,
    ) -> None:
        self.determinism = determinism_of(on_gpu=side_by_side)
        self.lanes, self._side_by_side = lanes, side_by_side
        self.draws_ahead = side_by_side  # on a GPU; on CPU this core is the device
        with jax.default_matmul_precision(PRECISION):
            self._step = MemberStep(data)
        images, labels = images_and_labels(data)
        self.orientations = len(images) // len(data.crops)
        self._images, self._labels = (jax.device_put(array, jax.devices()[device]) for array in (images, labels))
        self._train, self._answer = jax.jit(self._train_lanes), jax.jit(self._logits)

    def train(self, state: SgdState, task: Task) -> tuple[SgdState, Floats, Floats]:
        """The state after the steps, their mean loss [lanes], and the averaged weights' logits [lanes, rows, 2]."""
        after, losses, logits = self._train(self._images, self._labels, state, self._step.chunked(task))
        arrays = SgdState(*(np.asarray(part) for part in after))
        return arrays, np.asarray(losses), np.asarray(logits)[:, : task.validation.shape[1]]

    def answer(self, weights: Floats, rows: Rows) -> Floats:
        """Logits [m, 2] of one member's ``weights`` for the tumours at ``rows`` [m]."""
        return np.asarray(self._answer(self._images, weights, self._step.in_chunks(rows)))[: len(rows)]

    def needed_bytes(self, rows: int) -> int:
        """Memory for the input and the intermediate results of ``train`` with ``rows`` validation tumours."""
        arguments = self._step.shapes(self.lanes, rows, jax.ShapeDtypeStruct)
        lowered = self._train.lower(self._images, self._labels, *arguments)
        analysis = lowered.compile().memory_analysis()
        assert analysis is not None  # a backend of ours has one
        return int(analysis.temp_size_in_bytes + analysis.argument_size_in_bytes)

    def _train_lanes(self, images: Any, labels: Any, states: SgdState, tasks: Task) -> tuple[SgdState, Any, Any]:
        def train(lane: tuple[SgdState, Task]) -> tuple[SgdState, Any, Any]:
            return self._train_lane(images, labels, *lane)

        lanes = states, tasks
        with jax.default_matmul_precision(PRECISION):
            found: tuple[SgdState, Any, Any] = jax.vmap(train)(lanes) if self._side_by_side else lax.map(train, lanes)
        return found

    def _train_lane(self, images: Any, labels: Any, state: SgdState, task: Task) -> tuple[SgdState, Any, Any]:
        loss_and_gradient = jax.value_and_grad(self._step.loss)

        def step(number: Any, before: tuple[SgdState, Any]) -> tuple[SgdState, Any]:
            (state, total), rows = before, task.batches[number]
            masks = [one[number] for one in task.kept]
            given = images[rows], labels[rows], masks, task.class_weights
            loss, gradient = loss_and_gradient(state.weights, *given)
            return self._step.descend(state, gradient, task.first + number), total + loss

        state, total = self._repeated(step, (state, jnp.float32(0)), task.steps, len(task.batches))
        logits = self._logits(images, state.average, task.validation, task.steps > 0)
        return state, total / jnp.maximum(task.steps, 1), logits

    def _repeated(self, step: Callable[[Any, Any], Any], start: Any, steps: Any, most: int) -> Any:
        """``step`` applied ``steps`` times; side by side ``most`` times, where a lane stays once it has its steps."""
        if not self._side_by_side:
            return lax.fori_loop(0, steps, step, start)

        def if_due(before: Any, number: Any) -> tuple[Any, None]:
            return jax.tree.map(functools.partial(jnp.where, number < steps), step(number, before), before), None

        return lax.scan(if_due, start, jnp.arange(most))[0]

    def _logits(self, images: Any, weights: Any, chunks: Any, needed: Any = True) -> Any:
        """Logits [rows, 2] for rows in chunks; zeros where they are not needed."""

        def logits(rows: Any) -> Any:
            return self._step.logits(weights, images[rows])

        def zeros(rows: Any) -> Any:
            return jnp.zeros((len(rows), 2))

        with jax.default_matmul_precision(PRECISION):
            found = lax.map(lambda rows: lax.cond(needed, logits, zeros, rows), chunks)
        return found.reshape(-1, 2)
