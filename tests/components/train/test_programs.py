"""A compiled program against the compiled loops and against plain Keras, and its lanes among themselves.

The program is that of the backend of this process. ``test_tensorflow_program`` runs this module with TensorFlow.
"""

import dataclasses

import numpy as np
import pytest

from components.common.settings import TrainSettings
from components.model.keras_backend import keras
from components.train.arithmetic import Arithmetic, SgdState
from tests.components.networks import network_of
from tests.components.train.packs import EXTRAS, LANES, ROWS, STEPS, Program, data_of, members, plain_training, task_of

#: Each step adds float32 rounding, of sums that the engines take in different orders, to weights of size 1.
ROUNDING = 2e-6


@pytest.fixture(scope="module")
def settings(tiny):
    return dataclasses.replace(tiny, **EXTRAS)


@pytest.fixture(scope="module")
def program(tiny_network, cohort, settings):
    return Program(data_of(tiny_network, cohort, settings), lanes=LANES, side_by_side=False)


@pytest.fixture(scope="module")
def given(tiny_network):
    return members(tiny_network, LANES), task_of(tiny_network)


def lane(arrays, number):
    """The part of a lane, as a program of one lane takes or returns it."""
    return keras.tree.map_structure(lambda array: array[number : number + 1], arrays)


def equal(found, expected):
    return all(map(np.array_equal, keras.tree.flatten(found), keras.tree.flatten(expected)))


def test_training_equals_that_of_the_compiled_loops(tiny_network, cohort, settings, program, given):
    state, task = given
    after, losses, logits = program.train(state, task)
    loops = Arithmetic(tiny_network, *cohort[:2], settings)
    for number in range(LANES):
        start, first = SgdState(*(part[number] for part in state)), int(task.first[number])
        steps = slice(0, int(task.steps[number]))
        kept = [one[number][steps] for one in task.kept]
        if task.steps[number]:
            expected, loss = loops.train(start, first, task.batches[number][steps], kept, task.class_weights[number])
            assert losses[number] == pytest.approx(loss, rel=1e-5)
            assert np.abs(expected.weights - start.weights).max() > 1e-2, "it has learnt something"
            for found, part in zip(after, expected, strict=True):
                np.testing.assert_allclose(found[number], part, atol=ROUNDING)
            reference = loops.answer(expected.average, task.validation[number])
            np.testing.assert_allclose(logits[number], reference, atol=2e-5)


def test_a_lane_without_steps_stays(program, given):
    state, task = given
    idle = int(np.flatnonzero(task.steps == 0)[0])
    after, losses, _ = program.train(state, task)
    assert equal(lane(after, idle), lane(state, idle))
    assert losses[idle] == 0


def test_a_member_trains_bit_by_bit_as_alone(tiny_network, cohort, settings, program, given):
    state, task = given
    alone = Program(data_of(tiny_network, cohort, settings), lanes=1, side_by_side=False)
    together = program.train(state, task)
    for number in range(LANES):
        assert equal(alone.train(lane(state, number), lane(task, number)), lane(together, number))


def test_what_follows_a_lanes_steps_and_rows_changes_nothing(program, given):
    state, task = given
    short = int(np.argmin(np.where(task.steps, task.steps, STEPS)))
    batches, validation = task.batches.copy(), task.validation.copy()
    batches[short, task.steps[short] :] = 0
    validation[:, -3:] = 0
    other = program.train(state, task._replace(batches=batches, validation=validation))
    expected = program.train(state, task)
    assert task.steps[short] < STEPS
    assert equal(other[:2], expected[:2])
    assert np.array_equal(other[2][:, :-3], expected[2][:, :-3])


def test_two_calls_equal_one(program, given):
    state, task = given
    whole = task._replace(first=np.zeros(LANES, np.int32), steps=np.full(LANES, STEPS, np.int32))
    half, later = STEPS // 2, np.roll(np.arange(STEPS), -(STEPS // 2))
    first = whole._replace(steps=np.full(LANES, half, np.int32))
    second = whole._replace(
        first=np.full(LANES, half, np.int32),
        steps=np.full(LANES, STEPS - half, np.int32),
        batches=whole.batches[:, later],
        kept=[one[:, later] for one in whole.kept],
    )
    halfway, _, _ = program.train(state, first)
    assert equal(program.train(halfway, second)[0], program.train(state, whole)[0])


def test_lanes_side_by_side_train_the_same_members(tiny_network, cohort, settings, program, given):
    state, task = given
    batch = Program(data_of(tiny_network, cohort, settings), lanes=LANES, side_by_side=True)
    found, expected = batch.train(state, task), program.train(state, task)
    for one, other, size in zip(keras.tree.flatten(found[0]), keras.tree.flatten(expected[0]), "wva", strict=True):
        np.testing.assert_allclose(one, other, atol=ROUNDING, err_msg=size)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)
    busy = task.steps > 0
    np.testing.assert_allclose(found[2][busy], expected[2][busy], atol=2e-5)


def test_another_network_trains_as_plain_keras_does(cohort, settings):
    network = network_of("residual", blocks=2, filters=4, channels_per_group=2)
    state, task = members(network, 1), lane(task_of(network), 0)
    program = Program(data_of(network, cohort, settings), lanes=1, side_by_side=False)
    after, losses, logits = program.train(state, task)
    expected, loss, answers = plain_training(network, *cohort[:2], settings, state, task)
    assert losses[0] == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(after.average[0], expected.average, atol=1e-5)
    np.testing.assert_allclose(logits[0], answers, rtol=5e-4)  # normalisation multiplies the weights' rounding


@pytest.mark.parametrize("rows", [1, ROWS, 30])
def test_answers_any_number_of_rows(tiny_network, cohort, settings, program, given, rows):
    weights, chosen = given[0].weights[1], np.arange(rows, dtype=np.int32)
    expected = Arithmetic(tiny_network, *cohort[:2], settings).answer(weights, chosen)
    np.testing.assert_allclose(program.answer(weights, chosen), expected, atol=2e-5)


def test_trains_on_turned_and_mirrored_images(tiny_network, cohort, given):
    settings = TrainSettings(batch_size=6, validate_every=STEPS, augmentation="both")
    state, task = lane(given[0], 0), lane(given[1], 0)
    task = task._replace(batches=(task.batches * 8 + 5).astype(np.int32))
    program = Program(data_of(tiny_network, cohort, settings), lanes=1, side_by_side=False)
    loops = Arithmetic(tiny_network, *cohort[:2], settings)
    assert program.orientations == loops.orientations == 8
    kept = [one[0] for one in task.kept]
    expected, _ = loops.train(SgdState(*(part[0] for part in state)), 0, task.batches[0], kept, task.class_weights[0])
    np.testing.assert_allclose(program.train(state, task)[0].weights[0], expected.weights, atol=ROUNDING)
