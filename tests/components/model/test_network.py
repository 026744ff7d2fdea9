import subprocess
import sys

import numpy as np

from components.common.settings import TrainSettings
from components.model.network import initial_weights, keras_model, set_weights, weight_shapes, windowed


def test_shapes_are_those_of_the_keras_model(tiny):
    model = keras_model(tiny)
    assert list(weight_shapes(tiny).values()) == [tuple(weight.shape) for weight in model.weights]


def test_weights_follow_their_generator(tiny):
    first, again = (initial_weights(tiny, np.random.default_rng(5)) for _ in range(2))
    other = initial_weights(tiny, np.random.default_rng(6))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["conv_1_kernel"], other["conv_1_kernel"])
    assert {name: array.shape for name, array in first.items()} == weight_shapes(tiny)
    assert all(array.dtype == np.float32 for array in first.values())


def test_window_maps_its_edges_to_zero_and_one():
    settings = TrainSettings(window_level_hu=40, window_width_hu=160)
    hu = np.array([[-1000.0, -40.0, 40.0, 120.0, 3000.0]], np.float32)
    np.testing.assert_allclose(windowed(hu, settings), [[0, 0, 0.5, 1, 1]], atol=1e-6)


def test_keras_model_windows_as_windowed_does(tiny, cohort):
    import keras

    model = keras_model(tiny)
    set_weights(model, initial_weights(tiny, np.random.default_rng(1)))
    head = keras.Model(model.inputs[0], model.get_layer("clip").output)
    np.testing.assert_allclose(head(cohort[0][:2]).numpy(), windowed(cohort[0][:2], tiny), atol=1e-6)


def test_shapes_need_no_tensorflow():
    code = (
        "import sys; import components.model.network, components.train.protocol; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
