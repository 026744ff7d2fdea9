"""Types of the fields that a user sets, and how a message quotes a value that was refused."""

import json
import math
import re
from collections.abc import Callable
from typing import Annotated, Any

import pydantic

#: Longest part of a refused value that a message quotes, in characters.
SHOWN = 80


def shown(value: Any) -> str:
    """A refused value as a message quotes it: as it is written in YAML or JSON, texts in quotes."""
    try:
        text = _written(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of too many digits"
    except RecursionError:
        return "a value nested too deeply"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def shown_name(name: Any) -> str:
    """A name as a message begins with it: plain, or quoted as a value is where it would not be recognised."""
    plain = isinstance(name, str) and name.strip() == name != "" and name.isprintable() and len(name) <= SHOWN
    return name if plain else shown(name)


def _written(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such numbers
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, str | float):
        return repr(value)
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError):  # a key of another type, a value that contains itself, or a large number
        text = repr(value)
    return text.encode("utf-8", "backslashreplace").decode()


def _numeric(kind: type[int] | type[float], what: str) -> Callable[[Any], int | float]:
    def read(value: Any) -> int | float:
        if isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not a number")
        try:
            if isinstance(value, str) and (not value.isascii() or "_" in value):
                raise ValueError  # Python's own spellings
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{shown(value)} is not {what}") from None
        if not isinstance(value, str) and number != value and value == value:  # NaN is refused later, as not finite
            raise ValueError(f"{shown(value)} is not {what}")
        return number

    return read


def _truth(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not true or false")
    return value


#: Numbers may arrive as text (flags) or as floats (KFP), true and false as text; nothing else is converted.
Integer = Annotated[int, pydantic.BeforeValidator(_numeric(int, "an integer"))]
Number = Annotated[float, pydantic.BeforeValidator(_numeric(float, "a number"))]
Truth = Annotated[bool, pydantic.BeforeValidator(_truth)]
Text = pydantic.StrictStr


def matching(pattern: str, what: str) -> pydantic.AfterValidator:
    """A validator of texts: ``pattern`` must match the whole text; otherwise the message says it is not ``what``."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{shown(text)} is not {what}")
        return text

    return pydantic.AfterValidator(check)
