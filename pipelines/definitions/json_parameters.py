"""Parameters of a run that are JSON: among them, on which nodes the training pods run."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pydantic

from components.common.field_types import shown
from components.common.files import strict_json
from components.common.kubernetes_text import LabelValue, QualifiedName

#: The fields of a toleration, and the values of those that have a list of them.
TOLERATION: dict[str, tuple[str, ...]] = {
    "key": (),
    "operator": ("Exists", "Equal"),
    "value": (),
    "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    "tolerationSeconds": (),
}
_TEXTS: dict[str, pydantic.TypeAdapter[str]] = {
    "key": pydantic.TypeAdapter(QualifiedName),
    "value": pydantic.TypeAdapter(LabelValue),
}


def _json(kind: type, what: str) -> pydantic.BeforeValidator:
    def read(value: Any) -> Any:
        if value == "":
            return kind()
        try:
            parsed = strict_json(value.encode()) if isinstance(value, str) else value
        except ValueError:
            parsed = None
        if not isinstance(parsed, kind):
            raise ValueError(f"{shown(value)} is not {what}")
        return parsed

    return pydantic.BeforeValidator(read)


def _tolerations(items: list[Any]) -> list[Any]:
    """Refuses what Kubernetes would refuse when the training pods are created, hours after the run was submitted."""
    for item in items:
        if not isinstance(item, dict):
            raise ValueError(f"{shown(item)} is not a toleration: a JSON object of {', '.join(TOLERATION)}")
        if problem := next(_problems(item), ""):
            raise ValueError(f"{shown(item)} is not a toleration: {problem}")
    return items


def _problems(item: Mapping[str, Any]) -> Iterator[str]:
    given = {name: value for name, value in item.items() if value not in (None, "")}
    for name, value in given.items():
        if name not in TOLERATION:
            yield f"unknown field {shown(name)}; the fields are {', '.join(TOLERATION)}"
        elif TOLERATION[name] and value not in TOLERATION[name]:
            yield f"{name} is one of {', '.join(TOLERATION[name])}"
        elif name == "tolerationSeconds" and (
            isinstance(value, bool) or not isinstance(value, int | float) or value % 1
        ):
            yield "tolerationSeconds is a whole number"
        elif name in _TEXTS:
            yield from _text_problem(name, value)
    if "key" not in given and given.get("operator") != "Exists":
        yield "without a key, its operator must be Exists"
    if "value" in given and given.get("operator") == "Exists":
        yield "with the operator Exists, it has no value"
    if "tolerationSeconds" in given and given.get("effect") != "NoExecute":
        yield "tolerationSeconds goes with the effect NoExecute only"


def _text_problem(name: str, value: Any) -> Iterator[str]:
    try:
        _TEXTS[name].validate_python(value)
    except pydantic.ValidationError as error:
        cause = error.errors()[0].get("ctx", {}).get("error")
        yield f"{name}: {cause or f'{shown(value)} is not text'}"


JsonList = Annotated[list[Any], _json(list, "a JSON list")]
JsonObject = Annotated[dict[str, Any], _json(dict, "a JSON object")]
Tolerations = Annotated[list[Any], _json(list, "a JSON list"), pydantic.AfterValidator(_tolerations)]
NodeSelector = Annotated[dict[QualifiedName, LabelValue], _json(dict, "a JSON object")]
