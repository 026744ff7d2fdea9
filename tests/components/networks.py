"""Networks with other layers than the study's."""

from components.common.checked import checked
from components.common.settings import SETTINGS, TrainSettings


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
