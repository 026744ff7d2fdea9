"""The settings of each built-in network: one frozen class for each, the section ``network`` of a study's settings.

A network of a user's own has the settings that its function declares; see ``components.model.networks``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic

from components.common.checked import Conflicts, InvalidPart, Refusal, checked, problems_of, setting
from components.common.errors import InputError
from components.common.field_types import Integer, Number

IMAGE_SIZE_PX = 151
SETTINGS = Refusal(
    "the study's settings cannot be used:",
    invalid="SETTING_INVALID",
    unknown="SETTING_UNKNOWN",
    hint="`srs run --settings-help` lists all settings and their ranges.",
)


class Settings:
    """Base class of the settings of each step, and of each network."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


@checked(SETTINGS)
class Cha2018Settings(Settings):
    """The paper's network: two convolutions with max-pooling, two fully connected layers (STUDY 4)."""

    filters_1: Integer = setting(8, "number of filters of the first convolution", 1, 512)
    filters_2: Integer = setting(16, "number of filters of the second convolution", 1, 512)
    kernel_1: Integer = setting(7, "kernel size of the first convolution, pixels", 1, 31)
    kernel_2: Integer = setting(5, "kernel size of the second convolution, pixels", 1, 31)
    pool_1: Integer = setting(8, "size and stride of the first max-pooling, pixels", 1, 16)
    pool_2: Integer = setting(3, "size and stride of the second max-pooling, pixels", 1, 16)
    dense_1: Integer = setting(32, "number of units of the first fully connected layer", 1, 4096)
    dense_2: Integer = setting(16, "number of units of the second fully connected layer", 1, 4096)
    dropout: Number = setting(0.25, "fraction of activations that dropout sets to zero in training", 0.0, 0.9)
    dropout_after: Literal["conv_1", "conv_2", "dense_1", "dense_2"] = setting(
        "conv_2", "layer whose output dropout acts on; for a convolution, after its max-pooling"
    )

    @pydantic.model_validator(mode="after")
    def _leaves_an_image(self) -> Self:
        side = IMAGE_SIZE_PX
        for kernel, pool in ((self.kernel_1, self.pool_1), (self.kernel_2, self.pool_2)):
            side = max(0, side - kernel + 1) // pool
        if not side:
            raise Conflicts("the convolutions and max-poolings leave nothing of the image")
        return self


@checked(SETTINGS)
class ResidualSettings(Settings):
    """A small residual network with group normalisation; not in the paper."""

    filters: Integer = setting(8, "number of filters of the first block; each further block has twice as many", 1, 256)
    blocks: Integer = setting(3, "number of residual blocks, each after the first at half the resolution", 1, 5)
    channels_per_group: Integer = setting(4, "channels that group normalisation normalises together", 1, 256)
    dropout: Number = setting(0.25, "fraction of features that dropout sets to zero in training", 0.0, 0.9)

    @pydantic.model_validator(mode="after")
    def _divides(self) -> Self:
        if self.filters % self.channels_per_group:
            raise Conflicts("filters is not a multiple of channels_per_group")
        return self


#: The networks that ``train.network`` may name, with their settings.
NETWORKS: dict[str, type[Settings]] = {"cha2018": Cha2018Settings, "residual": ResidualSettings}
#: The network's settings that were training settings in release 0.1.
FORMER = tuple(field.name for field in dataclasses.fields(Cha2018Settings))


class Named(dict[str, Any]):
    """The given settings of a network, with the network's name."""

    def __init__(self, network: Any, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.network = network


def _completed(values: Any) -> Any:
    """All settings of a built-in network, by default where they are not given; a user's own as they are given."""
    kind = NETWORKS.get(values.network) if isinstance(values, Named) else None
    if kind is None:
        return dict(values) if isinstance(values, Mapping) else values
    try:
        return pydantic.TypeAdapter(kind).validate_python(dict(values)).to_dict()
    except pydantic.ValidationError as error:
        raise InvalidPart(error, kind) from None


#: The settings of the network that ``train.network`` names, as plain values; see ``with_names``.
NetworkSettings = Annotated[dict[str, Any], pydantic.BeforeValidator(_completed)]


def with_names(values: Any) -> Any:
    """A study's settings as they are given, in which the network's are a ``Named``.

    Release 0.1 had the network's settings in ``train``; they are moved to the section ``network``.
    """
    given = dict(values if isinstance(values, Mapping) else values.kwargs or {})  # else pydantic's ArgsKwargs
    train, network = given.get("train", {}), given.get("network", {})
    if not isinstance(network, Mapping):
        return values
    name = getattr(train, "network", "cha2018")
    if isinstance(train, Mapping):
        former = {name: train[name] for name in FORMER if name in train}
        if twice := sorted(set(former) & set(network)):
            raise Conflicts(*(f"train.{one}: the former name of network.{one}; give one of them" for one in twice))
        given["train"] = {name: value for name, value in train.items() if name not in former}
        network, name = {**former, **network}, train.get("network", "cha2018")
    given["network"] = Named(name if isinstance(name, str) else "", network)
    return given if isinstance(values, Mapping) else type(values)(values.args, given)


def settings_of(network: str, kind: type[Any] | None, values: Mapping[str, Any]) -> Any:
    """The settings that a network's function is called with: a value of its dataclass ``kind``; None where it has none.

    Raises
    ------
    InputError
        ``SETTING_UNKNOWN`` or ``SETTING_INVALID``.
    """
    known = [field.name for field in dataclasses.fields(kind) if field.init] if kind else []
    place = f"The dataclass {kind.__name__} of {kind.__module__} declares them." if kind else ""
    hint = SETTINGS.hint if network in NETWORKS else place
    if unknown := [one for one in values if one not in known]:
        names = f"its settings are {', '.join(known)}" if known else "it has no settings"
        lines = [f"network.{one}: unknown to the network {network}; {names}" for one in unknown]
        raise InputError.collected(SETTINGS.unknown, SETTINGS.heading, lines, hint)
    if kind is None:
        return None
    adapter = pydantic.TypeAdapter(kind)
    try:
        given = adapter.validate_python(dict(values))
        return adapter.validate_python({name: getattr(given, name) for name in known})  # its defaults too
    except pydantic.ValidationError as error:
        lines = [f"network.{line}" for line in problems_of(error, kind)]
        raise InputError.collected(SETTINGS.invalid, SETTINGS.heading, lines, hint) from None
