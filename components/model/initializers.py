"""Draws initial weights as Keras' initializers define them, from numpy's generators.

Keras draws from generators of its backend. Here every engine and every device draws the same weights.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Drawn = NDArray[np.float64]

#: Keras' named cases of ``VarianceScaling``: scale, mode, distribution.
SCALINGS = {
    "GlorotUniform": (1.0, "fan_avg", "uniform"),
    "GlorotNormal": (1.0, "fan_avg", "truncated_normal"),
    "HeUniform": (2.0, "fan_in", "uniform"),
    "HeNormal": (2.0, "fan_in", "truncated_normal"),
    "LecunUniform": (1.0, "fan_in", "uniform"),
    "LecunNormal": (1.0, "fan_in", "truncated_normal"),
}
#: Standard deviation of a standard normal distribution that is truncated at -2 and 2.
TRUNCATED_SD = 0.87962566103423978


def draw(initializer: Mapping[str, Any], shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Initial values of one array of weights.

    Parameters
    ----------
    initializer
        ``{"class_name": "GlorotUniform", "config": {...}}``, as in Keras' JSON format; its seed is not used.
    shape
        The last two sides are inputs and outputs, those before them the kernel's.
    rng
        The only source of randomness.
    """
    name, config = initializer["class_name"], initializer["config"]
    return np.asarray(_KINDS[name](config, shape, rng), np.float32).reshape(shape)


def is_known(initializer: Mapping[str, Any]) -> bool:
    """Whether ``draw`` knows this initializer."""
    return initializer["class_name"] in _KINDS


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Numbers of inputs and outputs of a unit, as Keras counts them."""
    if len(shape) < 2:
        return (float(shape[0]), float(shape[0])) if shape else (1.0, 1.0)
    field = math.prod(shape[:-2])
    return float(field * shape[-2]), float(field * shape[-1])


def _variance_scaling(config: Mapping[str, Any], shape: tuple[int, ...], rng: np.random.Generator) -> Drawn:
    fan_in, fan_out = _fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[config["mode"]]
    scale, fan = config["scale"], max(1.0, fan)
    if config["distribution"] == "uniform":
        return rng.uniform(-1, 1, shape) * math.sqrt(3 * scale / fan)
    if config["distribution"] == "untruncated_normal":
        return rng.standard_normal(shape) * math.sqrt(scale / fan)
    return _truncated(shape, rng) * math.sqrt(scale / fan) / TRUNCATED_SD


def _scaling(scale: float, mode: str, distribution: str) -> Callable[..., Drawn]:
    fixed = {"scale": scale, "mode": mode, "distribution": distribution}
    return lambda _config, shape, rng: _variance_scaling(fixed, shape, rng)


def _truncated(shape: tuple[int, ...], rng: np.random.Generator) -> Drawn:
    """Standard normal values between -2 and 2; others are drawn again."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values


_KINDS: dict[str, Callable[[Mapping[str, Any], tuple[int, ...], np.random.Generator], Drawn]] = {
    "Zeros": lambda _config, shape, _rng: np.zeros(shape),
    "Ones": lambda _config, shape, _rng: np.ones(shape),
    "Constant": lambda config, shape, _rng: np.full(shape, config["value"]),
    "RandomNormal": lambda config, shape, rng: config["mean"] + config["stddev"] * rng.standard_normal(shape),
    "RandomUniform": lambda config, shape, rng: rng.uniform(config["minval"], config["maxval"], shape),
    "TruncatedNormal": lambda config, shape, rng: config["mean"] + config["stddev"] * _truncated(shape, rng),
    "VarianceScaling": _variance_scaling,
    **{name: _scaling(*fixed) for name, fixed in SCALINGS.items()},
}
