"""A small residual network, which shows that nothing assumes the paper's (He et al. 2016; Wu and He 2018)."""

from typing import Any

from components.common.network_settings import IMAGE_SIZE_PX, ResidualSettings
from components.model.keras_backend import keras


def residual(settings: ResidualSettings) -> Any:
    """The network as a Keras model, from images [n, 151, 151, 1] in [0, 1] to logits [n, 2].

    A convolution with pooling, then blocks of two convolutions with a skip connection. Each convolution is followed by
    group normalisation, which keeps no running statistics; each block halves the resolution, except the first.
    """
    layers = keras.layers
    image = keras.Input((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 1), name="image")
    value = layers.Conv2D(settings.filters, 7, strides=2, padding="same", use_bias=False, name="stem")(image)
    value = layers.ReLU(name="stem_relu")(_normalised(value, settings, "stem_norm"))
    value = layers.MaxPooling2D(2, name="stem_pool")(value)
    for block in range(settings.blocks):
        value = _block(value, settings.filters * 2**block, 1 if block == 0 else 2, settings, f"block_{block + 1}")
    value = layers.GlobalAveragePooling2D(name="features")(value)
    value = layers.Dropout(settings.dropout, name="dropout")(value)
    return keras.Model(image, layers.Dense(2, name="output")(value), name="residual")


def _block(value: Any, filters: int, strides: int, settings: ResidualSettings, name: str) -> Any:
    layers = keras.layers
    skip = value
    if strides > 1:
        skip = layers.Conv2D(filters, 1, strides=strides, use_bias=False, name=f"{name}_skip")(value)
    for number, step in ((1, strides), (2, 1)):
        convolution = layers.Conv2D(
            filters, 3, strides=step, padding="same", use_bias=False, name=f"{name}_conv_{number}"
        )
        value = _normalised(convolution(value), settings, f"{name}_norm_{number}")
        if number == 1:
            value = layers.ReLU(name=f"{name}_relu_1")(value)
    return layers.ReLU(name=f"{name}_relu_2")(layers.Add(name=f"{name}_sum")([value, skip]))


def _normalised(value: Any, settings: ResidualSettings, name: str) -> Any:
    groups = value.shape[-1] // settings.channels_per_group
    return keras.layers.GroupNormalization(groups, name=name)(value)
