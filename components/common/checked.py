"""Values that a user sets, as frozen pydantic dataclasses; one error names all problems at once.

The settings of a study, the parameters of a run, the compile options and the InferenceService's template are declared
this way. Every field has a type, a default, a help text and, for a number, a range; the help pages, the pipelines'
descriptions and the error messages are made from that declaration.
"""

import dataclasses
import difflib
import functools
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import pydantic
import pydantic.dataclasses
from pydantic.fields import FieldInfo

from components.common.errors import InputError
from components.common.field_types import shown, shown_name

CONFIG = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
#: Pydantic's error types for an undeclared name: as a keyword, in a mapping, and where the name is not text.
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden", "invalid_key")
MISSING = ("missing", "missing_argument")
#: Pydantic's error types for a value of the wrong type, with the type that was expected.
NOT_OF_TYPE = {
    "string_type": "text",
    "string_unicode": "text",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "finite_number": "a finite number",
    "dataclass_type": "a mapping of names to values",
    "dict_type": "a mapping of names to values",
    "mapping_type": "a mapping of names to values",
}
#: Similarity, from 0 to 1, above which an unknown name is taken for a misspelling of a declared one.
ALIKE = 0.7
Kind = TypeVar("Kind")


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """The text and codes of the error that collects all problems of one class of values.

    Parameters
    ----------
    heading
        First line of the message, before one line for each problem.
    invalid, unknown
        Error codes: for values that are not allowed, and, if there is at least one, for an undeclared name.
    hint
        What the user can do about it.
    """

    heading: str
    invalid: str
    unknown: str
    hint: str


class Conflicts(ValueError):
    """Raised by a class's own validator where fields contradict each other, though each is valid by itself."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class InvalidPart(ValueError):
    """Raised by a field's validator for a mapping of which another class declares the fields."""

    def __init__(self, error: pydantic.ValidationError, kind: type[Any]) -> None:
        super().__init__(str(error))
        self.problems, self.kind = error.errors(include_url=False), kind


def setting(
    default: Any, text: str, low: float | None = None, high: float | None = None, *, names: Sequence[str] = ()
) -> Any:
    """A field with its help text and, for a number, the closed range allowed.

    A number has both limits or only the lower one; a field with the default ``...`` is required. ``names`` holds the
    field's name and then the names that it had in former releases, which are still accepted.
    """
    alias = pydantic.AliasChoices(*names) if names else None
    return pydantic.Field(default, description=text, ge=low, le=high, validation_alias=alias)


@typing.dataclass_transform(frozen_default=True)
def checked(refusal: Refusal) -> Callable[[type[Kind]], type[Kind]]:
    """Makes a class a frozen dataclass whose construction raises one ``InputError`` for all problems.

    ``dataclasses.replace``, ``fields`` and ``asdict`` work as with any dataclass, and ``replace`` validates again.
    """

    def decorate(plain: type[Kind]) -> type[Kind]:
        kind: Any = pydantic.dataclasses.dataclass(frozen=True, slots=True, config=CONFIG)(plain)
        validate = kind.__init__

        @functools.wraps(validate)
        def refuse_or_make(self: Any, *args: Any, **values: Any) -> None:
            try:
                validate(self, *args, **values)
            except pydantic.ValidationError as error:
                raise refused(error, kind, refusal) from None

        kind.__init__ = refuse_or_make
        return kind  # type: ignore[no-any-return]

    return decorate


def validated(kind: type[Kind], values: Mapping[Any, Any], refusal: Refusal) -> Kind:
    """A value of ``kind`` from parsed JSON or YAML; mappings in it become values of their fields' classes.

    Raises
    ------
    InputError
        With the codes of ``refusal``.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_python(dict(values))
    except pydantic.ValidationError as error:
        raise refused(error, kind, refusal) from None


def refused(error: pydantic.ValidationError, kind: type[Any], refusal: Refusal) -> InputError:
    """The one error for all problems that pydantic found: each with the field's name, value, range and help."""
    problems = error.errors(include_url=False)
    code = refusal.unknown if any(map(_names_unknown, problems)) else refusal.invalid
    return InputError.collected(code, refusal.heading, problems_of(error, kind), refusal.hint)


def problems_of(error: pydantic.ValidationError, kind: type[Any]) -> list[str]:
    """A line for each problem that pydantic found in the values of a class."""
    return [line for problem in error.errors(include_url=False) for line in _lines(problem, kind)]


def fields(kind: type[Any], *path: Any) -> dict[str, FieldInfo]:
    """The declared fields of a class, or of the class of its field at ``path``; empty where that is no such class."""
    declared: dict[str, FieldInfo] = getattr(kind, "__pydantic_fields__", {})
    for name in path:
        inner = declared.get(name)
        declared = getattr(inner.annotation, "__pydantic_fields__", {}) if inner else {}
    return declared


def help_of(kind: type[Any], name: str) -> str:
    """The help text of a field."""
    return fields(kind)[name].description or ""


def sentence(field: FieldInfo) -> str:
    """A field's help text as a sentence."""
    text = field.description or ""
    return f"{text[:1].upper()}{text[1:]}."


def range_of(field: FieldInfo) -> str:
    """The values that a field accepts, such as ``one of mean, vote`` or ``1 to 512``; "" where it has no limits."""
    if typing.get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(field.annotation)))
    limits = [getattr(rule, side) for side in ("ge", "le") for rule in field.metadata if hasattr(rule, side)]
    texts = [f"{limit:,}" if isinstance(limit, int) else f"{limit:g}" for limit in limits]
    return " to ".join(texts) if len(texts) != 1 else f"{texts[0]} or more"


def _names_unknown(problem: Mapping[str, Any]) -> bool:
    cause = _cause(problem)
    return any(map(_names_unknown, cause.problems)) if isinstance(cause, InvalidPart) else problem["type"] in UNKNOWN


def _cause(problem: Mapping[str, Any]) -> Any:
    """The exception that a validator of ours raised, if it was one."""
    return problem.get("ctx", {}).get("error")


def _lines(problem: Mapping[str, Any], kind: type[Any]) -> Iterator[str]:
    """One line for a problem, or several where a class's own validator found several."""
    path = _path(problem)
    start = f"{'.'.join(map(shown_name, path))}: " if path else ""
    cause = _cause(problem)
    if isinstance(cause, InvalidPart):
        for inner in cause.problems:
            beginning = f"{start[:-2]}." if inner["loc"] else start
            yield from (beginning + line for line in _lines(inner, cause.kind))
    elif isinstance(cause, Conflicts):
        yield from (start + text for text in cause.problems)
    elif problem["type"] in UNKNOWN:
        yield f"{start}unknown name; {_known(path[-1], fields(kind, *path[:-1]))}"
    else:
        field = _declared(kind, path)
        text = f". {sentence(field)}" if field and field.description else ""
        yield f"{start}{cause or _wrong(problem, field)}{text}"


def _path(problem: Mapping[str, Any]) -> list[Any]:
    """Names that lead to a value; pydantic has made text or a number of a key that is neither, such as ``true``."""
    path = list(problem["loc"])
    if problem["type"] == "invalid_key":
        return [*path[:-1], problem["input"]]
    is_key = path[-1:] == ["[key]"] and problem["type"] not in UNKNOWN
    return [*path[:-2], problem["input"]] if is_key else path


def _declared(kind: type[Any], path: Sequence[Any]) -> FieldInfo | None:
    """The innermost declared field on the path to a value: for an entry of a mapping, the field of the mapping."""
    candidates = (_field_named(fields(kind, *path[: depth - 1]), path[depth - 1]) for depth in range(len(path), 0, -1))
    return next(filter(None, candidates), None)


def _field_named(siblings: Mapping[str, FieldInfo], name: Any) -> FieldInfo | None:
    """The field with this name, or with this name in a former release."""
    former = (field for field in siblings.values() if name in getattr(field.validation_alias, "choices", ()))
    return siblings.get(name) or next(former, None)


def _wrong(problem: Mapping[str, Any], field: FieldInfo | None) -> str:
    """The message for one invalid value, unless a validator below has its own."""
    if problem["type"] in MISSING:
        return "must be given"
    value, allowed = shown(problem["input"]), range_of(field) if field else ""
    if problem["type"] in NOT_OF_TYPE:
        return f"{value} is not {NOT_OF_TYPE[problem['type']]}"
    if problem["type"] in ("greater_than_equal", "less_than_equal"):
        return f"{value} is outside {allowed}" if " to " in allowed else f"{value} is not {allowed}"
    return f"{value} is not {allowed}" if problem["type"] == "literal_error" else str(problem["msg"])


def _known(name: Any, siblings: Mapping[str, Any]) -> str:
    """A suggestion for an unknown name: the most similar declared name, or else all of them."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", shown_name(name)).lower()
    close = difflib.get_close_matches(snake, siblings, 1, ALIKE)
    return f"did you mean {close[0]}?" if close else f"known names: {', '.join(siblings)}"
