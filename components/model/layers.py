"""The network's layers, declared once: all that trains, exports, draws or explains the network loops over them.

    crop in HU -> window to [0, 1] -> convolutions, each with max-pool and ReLU
               -> fully connected layers, each with ReLU -> two units, softmax                              (STUDY 4)

Convolutions are valid and pools do not overlap. Drop-out follows the layer that the setting ``dropout_after`` names.
Unit 1 of the last layer is the non-responder. A further layer is one more entry of ``TrainSettings.convolutions`` or
``TrainSettings.hidden``.
"""

import dataclasses

from components.common.settings import IMAGE_SIZE_PX, TrainSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights, and what follows it.

    Parameters
    ----------
    name
        Stem of its weights' names, ``<name>_kernel`` and ``<name>_bias``.
    kernel
        Shape of its kernel: [height, width, in, out] of a convolution, [in, out] of a fully connected layer.
    output
        Shape of what it gives for one image, after its pool: [side, side, filters], or [units].
    pool
        Side and stride of its max-pool, px; 0 without one.
    relu
        Whether a ReLU follows; after the last layer it is a softmax.
    dropout
        Rate of the drop-out that follows in training; 0 without one.
    """

    name: str
    kernel: tuple[int, ...]
    output: tuple[int, ...]
    pool: int = 0
    relu: bool = True
    dropout: float = 0.0

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, else fully connected."""
        return len(self.kernel) == 4

    @property
    def units(self) -> int:
        """Its filters or units."""
        return self.kernel[-1]


def layers(settings: TrainSettings) -> tuple[Layer, ...]:
    """The layers with weights, from the image to the two outputs.

    Convolutions are named ``conv_1``, ``conv_2`` ..., hidden fully connected layers ``dense_1``, ``dense_2`` ..., and
    the last layer ``output``.
    """
    side, channels = IMAGE_SIZE_PX, 1
    found = []
    for number, (filters, kernel, pool) in enumerate(settings.convolutions, start=1):
        side = (side - kernel + 1) // pool
        shape = kernel, kernel, channels, filters
        found.append(Layer(f"conv_{number}", shape, (side, side, filters), pool))
        channels = filters
    features = side**2 * channels
    for number, units in enumerate(settings.hidden, start=1):
        found.append(Layer(f"dense_{number}", (features, units), (units,)))
        features = units
    found.append(Layer("output", (features, 2), (2,), relu=False))
    rates: dict[str, float] = {settings.dropout_after: settings.dropout}
    return tuple(dataclasses.replace(layer, dropout=rates.get(layer.name, 0.0)) for layer in found)
