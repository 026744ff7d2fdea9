"""Declares the layers of the network, over which training, export, drawing and saliency maps loop.

    crop in HU -> window to [0, 1] -> convolutions, each with max-pool and ReLU
               -> fully connected layers, each with ReLU -> two units, softmax                              (STUDY 4)

Convolutions are unpadded and pools do not overlap. Dropout follows the layer that the setting ``dropout_after`` names.
Unit 1 of the last layer is the non-responder. To add a layer, add an entry to ``TrainSettings.convolutions`` or
``TrainSettings.hidden``.
"""

import dataclasses

from components.common.settings import IMAGE_SIZE_PX, TrainSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights, with the pooling, activation and dropout that follow it.

    Parameters
    ----------
    name
        Stem of its weights' names, ``<name>_kernel`` and ``<name>_bias``.
    kernel
        Shape of its kernel: [height, width, in, out] of a convolution, [in, out] of a fully connected layer.
    output
        Shape of its output for one image, after pooling: [side, side, filters], or [units].
    pool
        Size and stride of its max-pooling, px; 0 for none.
    relu
        Whether a ReLU follows; the last layer is followed by a softmax.
    dropout
        Rate of the dropout that follows in training; 0 for none.
    """

    name: str
    kernel: tuple[int, ...]
    output: tuple[int, ...]
    pool: int = 0
    relu: bool = True
    dropout: float = 0.0

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution; otherwise it is fully connected."""
        return len(self.kernel) == 4

    @property
    def units(self) -> int:
        """Number of its filters or units."""
        return self.kernel[-1]


def layers(settings: TrainSettings) -> tuple[Layer, ...]:
    """The layers with weights, from the image to the two outputs.

    Convolutions are named ``conv_1``, ``conv_2`` ..., hidden fully connected layers ``dense_1``, ``dense_2`` ..., and
    the last layer ``output``.
    """
    side, channels = IMAGE_SIZE_PX, 1
    stack = []
    for number, (filters, kernel, pool) in enumerate(settings.convolutions, start=1):
        side = (side - kernel + 1) // pool
        shape = kernel, kernel, channels, filters
        stack.append(Layer(f"conv_{number}", shape, (side, side, filters), pool))
        channels = filters
    features = side**2 * channels
    for number, units in enumerate(settings.hidden, start=1):
        stack.append(Layer(f"dense_{number}", (features, units), (units,)))
        features = units
    stack.append(Layer("output", (features, 2), (2,), relu=False))
    rates: dict[str, float] = {settings.dropout_after: settings.dropout}
    return tuple(dataclasses.replace(layer, dropout=rates.get(layer.name, 0.0)) for layer in stack)
