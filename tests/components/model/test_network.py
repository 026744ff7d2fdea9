import subprocess
import sys

import numpy as np

from components.common.settings import TrainSettings
from components.model.keras_backend import keras
from components.model.keras_export import member_model
from components.model.keras_network import keras_model
from components.model.network import windowed


def test_shapes_are_those_of_the_keras_model(tiny_network):
    model = keras_model(tiny_network)
    assert list(tiny_network.shapes.values()) == [tuple(weight.shape) for weight in model.trainable_variables]


def test_weights_follow_their_generator(tiny_network):
    first, again = (tiny_network.initial_weights(np.random.default_rng(5)) for _ in range(2))
    other = tiny_network.initial_weights(np.random.default_rng(6))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["conv_1_kernel"], other["conv_1_kernel"])
    assert {name: array.shape for name, array in first.items()} == tiny_network.shapes
    assert all(array.dtype == np.float32 for array in first.values())


def test_window_maps_its_edges_to_zero_and_one():
    settings = TrainSettings(window_level_hu=40, window_width_hu=160)
    hu = np.array([[-1000.0, -40.0, 40.0, 120.0, 3000.0]], np.float32)
    np.testing.assert_allclose(windowed(hu, settings), [[0, 0, 0.5, 1, 1]], atol=1e-6)


def test_the_exported_keras_model_windows_as_windowed_does(tiny_network, cohort):
    settings = TrainSettings(window_level_hu=50, window_width_hu=100)
    model = member_model(tiny_network, tiny_network.initial_weights(np.random.default_rng(1)), settings)
    head = keras.Model(model.inputs[0], model.get_layer("clip").output)
    np.testing.assert_allclose(np.asarray(head(cohort[0][:2])), windowed(cohort[0][:2], settings), atol=1e-6)


def test_a_network_is_built_and_written_without_tensorflow():
    """Its import takes seconds, in every run and every command that names a user's network."""
    code = (
        "import sys; from components.common.settings import StudySettings;"
        "from components.model.networks.building import build_network; build_network(StudySettings());"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_description_needs_neither_keras_nor_tensorflow():
    code = (
        "import sys; import components.model.network, components.train.protocol;"
        "sys.exit(bool({'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
