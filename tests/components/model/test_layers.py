"""A network with other layers needs only another declaration, and means the same wherever it is used."""

import numpy as np
import onnxruntime
import pytest

from components.common.settings import TrainSettings
from components.evaluate.architecture import stages
from components.evaluate.saliency import margin_gradient
from components.model.export import INPUT, ensemble_graph
from components.model.layers import layers
from components.model.network import (
    dropout_shape,
    initial_weights,
    keras_model,
    weight_shapes,
    windowed,
)
from tests.components.networks import NETWORKS, reference_probabilities


@pytest.fixture(params=NETWORKS)
def network(request):
    """The settings of a network."""
    return NETWORKS[request.param]


@pytest.fixture
def members(network):
    """Weights of two members, biases too."""
    rng = np.random.default_rng(11)
    drawn = [initial_weights(network, rng) for _ in range(2)]
    return [{n: (a + 0.05 * rng.standard_normal(a.shape)).astype(np.float32) for n, a in w.items()} for w in drawn]


def test_the_default_network_is_the_studys():
    declared = [(layer.name, layer.kernel, layer.output, layer.pool, layer.relu) for layer in layers(TrainSettings())]
    assert declared == [
        ("conv_1", (7, 7, 1, 8), (18, 18, 8), 8, True),
        ("conv_2", (5, 5, 8, 16), (4, 4, 16), 3, True),
        ("dense_1", (256, 32), (32,), 0, True),
        ("dense_2", (32, 16), (16,), 0, True),
        ("output", (16, 2), (2,), 0, False),
    ]


def test_keras_has_the_weights_that_are_declared(network):
    model = keras_model(network)
    assert [tuple(weight.shape) for weight in model.weights] == list(weight_shapes(network).values())
    assert model.get_layer("dropout").rate == network.dropout
    assert tuple(model.get_layer("dropout").output.shape[1:]) == dropout_shape(network)


def test_the_graph_answers_as_keras_does(network, members, cohort):
    crops = cohort[0][:3]
    graph = ensemble_graph(members, network).SerializeToString()
    answers = onnxruntime.InferenceSession(graph).run(None, {INPUT: crops})[0]
    expected = np.stack([reference_probabilities(weights, crops, network) for weights in members], axis=1)
    np.testing.assert_allclose(answers, expected, atol=2e-6)


def test_the_maps_margin_is_the_log_odds_of_keras(network, members, cohort):
    margin, gradient = margin_gradient(members[0], windowed(cohort[0][:2], network).astype(float), network)
    probability = reference_probabilities(members[0], cohort[0][:2], network)
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), probability, atol=1e-5)
    assert gradient.shape == cohort[0][:2].shape


def test_the_drawing_has_a_block_for_each_layer(network):
    titles = [stage.title.partition("\u2009")[0].split(" ")[0] for stage in stages(network)]
    convolutions, hidden = len(network.convolutions), len(network.hidden)
    expected = ["CT", *["convolution", "max-pool"] * convolutions, "flattened", *["fully"] * hidden, "softmax"]
    assert titles == expected
    assert sum("dropout" in stage.shape for stage in stages(network)) == 1
