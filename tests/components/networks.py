"""Networks with other layers than the study's, and the answers of Keras, with which all others are compared."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.common.checked import checked
from components.common.settings import SETTINGS, TrainSettings
from components.model.network import keras_model, set_weights


@checked(SETTINGS)
class Other(TrainSettings):
    """Settings that declare the layers of a test."""

    convolutions: tuple = ()
    hidden: tuple = ()


NETWORKS = {
    "a third convolution": Other(convolutions=((2, 5, 4), (3, 4, 3), (4, 3, 2)), hidden=(6, 5)),
    "one convolution": Other(convolutions=((3, 6, 12),), hidden=(6, 5), dropout_after="conv_1"),
    "three hidden layers": Other(convolutions=((2, 4, 6), (3, 3, 4)), hidden=(7, 6, 5), dropout_after="dense_2"),
    "no hidden layer": Other(convolutions=((2, 4, 6), (3, 3, 4)), hidden=()),
}


def reference_probabilities(
    weights: Mapping[str, NDArray[np.float32]], crops_hu: NDArray[np.float32], settings: TrainSettings
) -> NDArray[np.float32]:
    """Probability of non-response [n] of crops [n, 151, 151] in HU, computed by the Keras model."""
    model = keras_model(settings)
    set_weights(model, weights)
    return np.concatenate(
        [model(crops_hu[i : i + 32], training=False).numpy()[:, 1] for i in range(0, len(crops_hu), 32)]
    )
