"""Parameters of a run on a cluster: text from a command line, typed and checked before anything is sent."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from components.common.errors import InputError
from components.common.presets import resolve_parameters
from pipelines.definitions.pods import QUANTITY

#: Parameters that Kubernetes reads as quantities.
QUANTITIES = ("cpu", "memory", "gather_memory")
#: Parameters that name a place; a pod sees no folder of the machine that submits.
PLACES = ("cohort_uri", "state_uri")
DEPLOYMENTS = ("none", "kserve")


def read_parameters(flags: Iterable[str]) -> dict[str, str]:
    """``name=value`` texts as a mapping; ``PARAMETER_INVALID`` where one is not of that form."""
    pairs = [flag.partition("=") for flag in flags]
    wrong = [f"{name}: not of the form name=value" for name, equals, _ in pairs if not equals]
    if wrong:
        raise InputError.collected("PARAMETER_INVALID", "--param:", wrong)
    return {name.strip(): value for name, _, value in pairs}


def typed(declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> dict[str, Any]:
    """The values of ``given`` in the types that a pipeline declares.

    Parameters
    ----------
    declared
        ``root.inputDefinitions.parameters`` of the pipeline's specification.
    given
        Values as text.

    Raises
    ------
    InputError
        ``PARAMETER_INVALID`` naming all that is unknown, missing or of the wrong type, or, where that is well, what is
        no place, quantity or deployment; then what the settings' own check raises.
    """
    problems = [f"{name}: the pipeline has no such parameter" for name in sorted(set(given) - set(declared))]
    needed = {name for name, parameter in declared.items() if not parameter.get("isOptional")}
    problems += [f"{name}: must be given" for name in sorted(needed - set(given))]
    values: dict[str, Any] = {}
    for name in sorted(set(given) & set(declared)):
        try:
            values[name] = _KINDS[declared[name]["parameterType"]](given[name])
        except ValueError as error:
            problems.append(f"{name}: {error}")
    problems = problems or _unusable({name: value for name, value in values.items() if isinstance(value, str)})
    if problems:
        known = f"Parameters: {', '.join(sorted(declared))}."
        raise InputError.collected("PARAMETER_INVALID", "parameters of the run:", problems, known)
    if {"preset", "settings"} <= set(declared):
        study: dict[str, Any] = {name: parameter.get("defaultValue") for name, parameter in declared.items()} | values
        seed, groups, members = (int(study[name]) for name in ("seed", "groups", "members"))
        resolve_parameters(study["preset"], seed, groups, members, study["settings"])
    return values


def _unusable(values: Mapping[str, str]) -> list[str]:
    problems = [
        f"{name}: {value!r} is no quantity such as 2 or 8G"
        for name, value in values.items()
        if name in QUANTITIES and not QUANTITY.fullmatch(value)
    ]
    problems += [
        f"{name}: {value!r} is neither s3://bucket/prefix nor an absolute path that the pods mount"
        for name, value in values.items()
        if name in PLACES and value and not re.match(r"s3://[^/]+|/", value)
    ]
    if values.get("deploy_to", "none") not in DEPLOYMENTS:
        problems.append(f"deploy_to: {values['deploy_to']!r} is not one of {', '.join(DEPLOYMENTS)}")
    if not re.fullmatch(r"\d+", values.get("gpu_count", "0")):
        problems.append(f"gpu_count: {values['gpu_count']!r} is no number of GPUs")
    return problems


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no integer") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"


def _json(kind: type, word: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, kind):
            raise ValueError(f"{text!r} is no JSON {word}")
        return value

    return read


_KINDS: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "NUMBER_INTEGER": _integer,
    "NUMBER_DOUBLE": _number,
    "BOOLEAN": _truth,
    "LIST": _json(list, "list"),
    "STRUCT": _json(dict, "object"),
}
