"""The network of the paper (STUDY 4): two convolutions with max-pooling, two fully connected layers, two outputs."""

from typing import Any

from components.common.network_settings import IMAGE_SIZE_PX, Cha2018Settings
from components.model.keras_backend import keras


def cha2018(settings: Cha2018Settings) -> Any:
    """The network as a Keras model, from images [n, 151, 151, 1] in [0, 1] to logits [n, 2].

    Convolutions are unpadded and pools do not overlap. Kernels before a ReLU start He-normal, those of the last layer
    Glorot-uniform, and biases at zero.
    """
    layers = keras.layers
    before_relu = {"activation": "relu", "kernel_initializer": _he_normal()}
    stack = [
        layers.Conv2D(settings.filters_1, settings.kernel_1, **before_relu, name="conv_1"),
        layers.MaxPooling2D(settings.pool_1, name="pool_1"),
        layers.Conv2D(settings.filters_2, settings.kernel_2, **before_relu, name="conv_2"),
        layers.MaxPooling2D(settings.pool_2, name="pool_2"),
        layers.Flatten(name="features"),
        layers.Dense(settings.dense_1, **before_relu, name="dense_1"),
        layers.Dense(settings.dense_2, **before_relu, name="dense_2"),
        layers.Dense(2, name="output"),
    ]
    last = settings.dropout_after.replace("conv", "pool")  # dropout follows the pooling of a convolution
    position = [layer.name for layer in stack].index(last) + 1
    stack.insert(position, layers.Dropout(settings.dropout, name="dropout"))
    return keras.Sequential([keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1)), *stack], name="cha2018")


def _he_normal() -> Any:
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
