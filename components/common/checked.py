"""Frozen dataclasses that check every field against its type and range, all problems at once.

Numbers may come as text (flags) or floats (KFP); nothing else is bent.
"""

import dataclasses
import types
import typing
from typing import Any, Literal

from components.common.errors import InputError


def setting(default: Any, text: str, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its help text and, for numbers, the closed range allowed."""
    return dataclasses.field(default=default, metadata={"help": text, "low": low, "high": high})


class Checked:
    """Checks every field of a frozen dataclass against its type and range, all problems at once."""

    def __post_init__(self) -> None:
        problems = []
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            try:
                value = cast(hints[field.name], getattr(self, field.name))
                check_range(value, field.metadata.get("low"), field.metadata.get("high"))
            except ValueError as error:
                problems.append(f"{field.name}: {error}")
            else:
                object.__setattr__(self, field.name, value)
        problems += self._conflicts() if not problems else []
        if problems:
            step = type(self).__name__.removesuffix("Settings").lower()
            raise InputError.collected("SETTING_INVALID", f"settings of {step}:", problems)

    def _conflicts(self) -> list[str]:
        """Problems between fields; subclasses say theirs."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


def cast(kind: Any, value: Any) -> Any:
    """``value`` as ``kind``; numbers may come as text (flags) or floats (KFP), nothing else is bent."""
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise ValueError(f"{value!r} is not one of {', '.join(map(str, typing.get_args(kind)))}")
        return value
    if isinstance(kind, types.UnionType) or not isinstance(kind, type):
        raise TypeError(f"settings have no rule for type {kind}")
    if kind is bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not true or false")
        return value
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not text")
        return value
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a{'n integer' if kind is int else ' number'}") from None
    if not isinstance(value, str) and number != value:
        raise ValueError(f"{value!r} is not an integer")
    return number


def check_range(value: Any, low: float | None, high: float | None) -> None:
    """Refuses a value outside the closed range; None leaves a side open."""
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise ValueError(f"{value!r} is outside {low:g} to {high:g}")
