"""Settings of training: the image that a network sees, and the training protocol."""

from typing import Literal, Self

import pydantic

from components.common.checked import Conflicts, checked, setting
from components.common.field_types import Integer, Number
from components.common.network_settings import NETWORKS, SETTINGS, Settings
from components.common.setting_types import NetworkName

Engine = Literal["auto", "cpu", "jax", "tensorflow"]


@checked(SETTINGS)
class TrainSettings(Settings):
    """The image that a network sees, and the training protocol (STUDY 4)."""

    network: NetworkName = setting(
        "cha2018",
        f"the network: {' or '.join(NETWORKS)}, or a function of your own as package.module:function; its settings are "
        "the section network",
    )
    engine: Engine = setting(
        "auto",
        "what trains: compiled loops on CPU (cpu), which know the layers of cha2018; programs of JAX or TensorFlow for "
        "packs of CNNs (jax, tensorflow); or cpu where it knows the layers and no GPU was requested, else jax (auto)",
    )
    window_level_hu: Number = setting(40.0, "centre of the CT window, HU", -1000, 3000)
    window_width_hu: Number = setting(80.0, "width of the CT window, HU", 1, 6000)
    learning_rate: Number = setting(0.01, "learning rate of stochastic gradient descent", 1e-8, 10)
    momentum: Number = setting(0.9, "momentum of stochastic gradient descent", 0.0, 0.999)
    batch_size: Integer = setting(8, "number of tumours in the mini-batch of one training step", 1, 4096)
    class_weights: Literal["none", "balanced"] = setting(
        "none",
        "weights of the two classes in the loss: equal (none), or the inverse of each class's frequency in the "
        "training set (balanced)",
    )
    weight_decay: Number = setting(
        0.0,
        "decoupled weight decay of all kernels: a step takes this fraction times the learning rate from each; "
        "not in the paper",
        0.0,
        10,
    )
    augmentation: Literal["none", "flips", "rotations", "both"] = setting(
        "none",
        "random orientation in which training sees a crop: mirrored (flips), turned by multiples of 90 degrees "
        "(rotations), or both; not in the paper",
    )
    weight_average: Number = setting(
        0.0,
        "decay of an exponential moving average of the weights, which is then validated and kept instead of the "
        "weights themselves; 0: no average; not in the paper",
        0.0,
        0.9999,
    )
    max_steps: Integer = setting(600, "largest number of training steps of one attempt", 1, 10**7)
    validate_every: Integer = setting(10, "number of training steps between two validation checks", 1, 10**6)
    restart_step: Integer = setting(
        150, "training step by which a validation check must have reached restart_accuracy", 1, 10**7
    )
    restart_accuracy: Number = setting(
        0.60,
        "validation accuracy that an attempt must reach by restart_step; otherwise it restarts from new random weights",
        0.0,
        1.0,
    )
    max_restarts: Integer = setting(
        4, "largest number of restarts; after that the best weights so far are used, and the CNN is flagged", 0, 100
    )
    good_accuracy: Number = setting(0.95, "validation accuracy at which training ends", 0.0, 1.0)
    patience_steps: Integer = setting(
        100, "number of training steps without a better validation check after which training ends", 1, 10**7
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.restart_step > self.max_steps:
            raise Conflicts("restart_step is beyond max_steps")
        return self
