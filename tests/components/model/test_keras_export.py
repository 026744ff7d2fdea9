"""Keras models that plain TensorFlow loads, and that answer as the graph does."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import onnxruntime
import pytest

from components.common.errors import BundleError
from components.common.settings import TrainSettings
from components.model import keras_export
from components.model.export import ensemble_graph
from components.model.keras_backend import keras
from components.model.keras_export import ensemble_model, member_model, save_keras, tensorflow_answers, to_saved_model
from components.model.manifest import INPUT
from components.model.network import window_scale
from tests.components.networks import drawn_weights, network_of, reference_probabilities

SETTINGS = TrainSettings(window_level_hu=50, window_width_hu=120)
SMALL = {
    "cha2018": {"filters_1": 2, "filters_2": 3, "dense_1": 5, "dense_2": 4},
    "residual": {"filters": 4, "blocks": 1, "channels_per_group": 2},
}


def case(name, members=2):
    network, rng = network_of(name, **SMALL[name]), np.random.default_rng(4)
    return network, [(f"A-{number:02d}", drawn_weights(network, rng)) for number in range(1, members + 1)]


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(5).normal(50, 60, (3, 151, 151)).astype(np.float32)


@pytest.mark.parametrize("name", SMALL)
def test_a_plain_process_with_tensorflow_answers_as_the_graph(name, tmp_path, crops):
    network, members = case(name)
    path = tmp_path / "ensemble.keras"
    save_keras(ensemble_model(network, members, SETTINGS), path)
    graph = ensemble_graph(network, [weights for _, weights in members], window_scale(SETTINGS)).SerializeToString()
    expected = onnxruntime.InferenceSession(graph).run(None, {INPUT: crops})[0]
    np.testing.assert_allclose(tensorflow_answers(path, crops), expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3


def test_a_member_is_one_column(crops):
    network, [(name, weights), _] = case("cha2018")
    model = member_model(network, weights, SETTINGS, name)
    expected = reference_probabilities(weights, crops, network, SETTINGS)
    np.testing.assert_allclose(np.asarray(model(crops)), expected[:, np.newaxis], atol=1e-5)


def test_all_layers_are_standard_and_members_can_be_told_apart():
    model = ensemble_model(*case("residual"), SETTINGS)
    layers = [inner for layer in model.layers for inner in getattr(layer, "layers", [layer])]
    assert {getattr(keras.layers, type(layer).__name__) for layer in layers} == {type(layer) for layer in layers}
    assert {"A-01", "A-02", "A-01_probability", "A-02_probability"} <= {layer.name for layer in model.layers}


def test_the_same_members_give_the_same_bytes(tmp_path):
    network, members = case("cha2018")
    for name in ("a", "b"):
        keras.utils.clear_session(free_memory=False)
        save_keras(ensemble_model(network, members, SETTINGS), tmp_path / name)
        keras.layers.Dense(1)  # automatic names go on counting
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "date" not in zipfile.ZipFile(tmp_path / "a").read("metadata.json").decode()


def test_a_saved_model_answers_too(tmp_path, crops):
    network, members = case("cha2018")
    path, folder = tmp_path / "model.keras", tmp_path / "saved"
    save_keras(ensemble_model(network, members, SETTINGS), path)
    to_saved_model(path, folder)
    np.save(tmp_path / "crops.npy", crops)
    code = (
        "import sys, numpy as np, tensorflow as tf; loaded = tf.saved_model.load(sys.argv[1]);"
        "np.save(sys.argv[3], loaded.serve(np.load(sys.argv[2])).numpy())"
    )
    command = [sys.executable, "-I", "-c", code, *(str(tmp_path / name) for name in ("saved", "crops.npy", "out.npy"))]
    subprocess.run(command, check=True, timeout=300, capture_output=True, env={"PATH": os.environ["PATH"]})
    expected = np.stack([reference_probabilities(one, crops, network, SETTINGS) for _, one in members], axis=1)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-5)


def test_what_tensorflow_cannot_load_is_refused(tmp_path, crops, monkeypatch):
    (tmp_path / "broken.keras").write_bytes(b"no model")
    with pytest.raises(BundleError, match="TensorFlow could not load or run") as error:
        tensorflow_answers(tmp_path / "broken.keras", crops)
    assert error.value.code == "KERAS_FAILED"
    monkeypatch.setattr(keras_export, "SECONDS", 0.01)
    with pytest.raises(BundleError, match="longer than"):
        to_saved_model(tmp_path / "broken.keras", tmp_path / "saved")
