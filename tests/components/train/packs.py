"""A pack for the tests of the compiled programs: its state, what it has to do, and its training by plain Keras."""

import numpy as np

from components.model.keras_backend import keras
from components.model.keras_network import keras_model
from components.model.network import as_vector, windowed
from components.train.arithmetic import SgdState
from components.train.jobs import Data
from components.train.lanes import Task

if keras.backend.backend() == "jax":
    import jax

    from components.train.jax_program import JaxProgram

    Program = JaxProgram
else:
    import tensorflow as tf

    from components.train.tensorflow_program import TensorflowProgram

    Program = TensorflowProgram

LANES, STEPS, ROWS = 4, 5, 11
#: Settings of the arithmetic that are off by default.
EXTRAS = {"weight_decay": 0.5, "weight_average": 0.8, "learning_rate": 0.03}


def data_of(network, cohort, settings):
    """A pack's data, of a cohort of crops, labels and perhaps names."""
    return Data(network, cohort[0], cohort[1], {}, settings, 1)


def members(network, lanes):
    """The state of members of which all but the first have made steps before."""
    weights = np.stack([as_vector(network.initial_weights(np.random.default_rng(n))) for n in range(lanes)])
    velocity = np.random.default_rng(9).normal(0, 1e-3, weights.shape).astype(np.float32)
    velocity[0] = 0
    average = weights.copy()
    average[1:] += 0.01
    return SgdState(weights, velocity, average)


def task_of(network, batch=6, tumours=30):
    """Whole and partial intervals, at the start of an attempt and later, and an idle lane; rows are not in chunks."""
    rng = np.random.default_rng(3)
    kept = [rng.random((LANES, STEPS, batch, *one.shape)) >= one.rate for one in network.dropouts]
    return Task(
        first=np.array([0, 10, 5, 15], np.int32),
        steps=np.array([STEPS, 3, 0, STEPS], np.int32),
        batches=rng.integers(tumours, size=(LANES, STEPS, batch), dtype=np.int32),
        kept=kept,
        class_weights=np.array([[1, 1], [0.6, 1.7], [1, 1], [2, 0.5]], np.float32),
        validation=rng.integers(tumours, size=(LANES, ROWS), dtype=np.int32),
    )


def plain_training(network, crops, labels, settings, state, task):
    """The state, mean loss and logits of the first lane by the network's own Keras model, on either backend.

    Its dropout layer, if it has one, multiplies by the masks, and numpy makes the steps.
    """
    model, images = keras_model(network), windowed(crops, settings)[..., None]
    masks = []
    for layer in model.layers:
        if layer.name == "dropout":
            layer.call = lambda value, rate=layer.rate, **_: value * masks[0] / (1 - rate) if masks else value

    def logits_of(parts, images, *kept):
        masks[:] = kept
        return model.stateless_call(parts, model.non_trainable_variables, images, training=True)[0]

    def loss_of(parts, images, labels, *kept):
        logits = logits_of(parts, images, *kept)
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return keras.ops.mean(losses * keras.ops.take(task.class_weights[0], labels))

    loss_and_gradients = _with_gradients(loss_of)
    decay = settings.learning_rate * settings.weight_decay * network.kernel_mask()
    weights, velocity, average = (part[0] for part in state)
    losses = []
    for step in range(task.steps[0]):
        rows, kept = task.batches[0, step], [one[0, step].astype(np.float32) for one in task.kept]
        loss, gradients = loss_and_gradients(_parts(network, weights), images[rows], labels[rows], *kept)
        gradient = np.concatenate([np.ravel(keras.ops.convert_to_numpy(one)) for one in gradients])
        velocity = settings.momentum * velocity - settings.learning_rate * gradient
        weights = weights * (1 - decay) + velocity
        past = settings.weight_average if task.first[0] + step else 0
        average = (1 - past) * weights + past * average
        losses.append(float(loss))
    answers = _compiled(logits_of)(_parts(network, average), images[task.validation[0]])
    return SgdState(weights, velocity, average), np.mean(losses), keras.ops.convert_to_numpy(answers)


def _parts(network, weights):
    return list(network.views(np.asarray(weights, np.float32)).values())


def _with_gradients(loss_of):
    if keras.backend.backend() == "jax":
        return _compiled(jax.value_and_grad(loss_of))

    def loss_and_gradients(parts, *given):
        with tf.GradientTape() as tape:
            tape.watch(parts)
            loss = loss_of(parts, *given)
        return loss, tape.gradient(loss, parts)

    return _compiled(loss_and_gradients)


def _compiled(function):
    if keras.backend.backend() == "jax":
        return jax.jit(function)
    traced = tf.function(function)
    return lambda *given: traced(*tf.nest.map_structure(tf.constant, given))
