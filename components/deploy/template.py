"""The platform engineer's template of the InferenceService, read from YAML with all its problems named at once."""

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from components.common.errors import InputError

#: Kubernetes' rules for the name of an object that becomes a host name, of any object, and for amounts.
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
OBJECT = re.compile(r"(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
QUANTITY = re.compile(r"\+?(\d+\.?\d*|\.\d+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+)?")
#: Keys of ``resources``.
AMOUNTS = ("requests", "limits")


@dataclasses.dataclass(frozen=True, slots=True)
class Template:
    """What the platform engineer sets in the template ConfigMap; everything else comes of the version.

    Parameters
    ----------
    name
        Name of the InferenceService.
    runtime, model_format
        Our ServingRuntime, and the format that it declares.
    service_account
        Gives the storage initialiser its access to the bucket.
    min_replicas, max_replicas
        Of KServe's autoscaler.
    resources
        ``{"requests": {...}, "limits": {...}}`` of the predictor's container.
    labels, annotations
        Added as they are, e.g. ``serving.kserve.io/deploymentMode``.
    canary_percent
        Part of the traffic that a new version gets until it has given its golden answers; 0 gives it all at once.
    gateway_api
        Whether KServe routes by the Gateway API: in Standard mode nothing else can share traffic.
    """

    name: str = "srs-response"
    runtime: str = "srs-response"
    model_format: str = "srs-response"
    service_account: str = ""
    min_replicas: int = 1
    max_replicas: int = 1
    resources: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    canary_percent: int = 0
    gateway_api: bool = False

    @classmethod
    def from_mapping(cls, values: Mapping[Any, Any]) -> Self:
        """A template from parsed YAML; a key without a value keeps its default.

        Raises
        ------
        InputError
            ``TEMPLATE_UNKNOWN`` where a key is not known, ``TEMPLATE_INVALID`` where a value is not allowed; either
            names all problems.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        given = {key: value for key, value in values.items() if value is not None}
        unknown = _unknown(values, known, "keys")
        problems = [*unknown, *(found for key in known if key in given for found in _problems(key, given[key]))]
        low, high = (given.get(name, 1) for name in ("min_replicas", "max_replicas"))
        if not problems and low > high:
            problems.append(f"min_replicas is {low} and above max_replicas, which is {high}")
        if problems:
            code = "TEMPLATE_UNKNOWN" if unknown else "TEMPLATE_INVALID"
            hint = "Correct it in the ConfigMap that infra/ brings, and run the step again."
            raise InputError.collected(code, "the InferenceService template cannot be used:", problems, hint)
        if "resources" in given:
            given["resources"] = {
                kind: {name: str(amount) for name, amount in amounts.items()}
                for kind, amounts in given["resources"].items()
            }
        return cls(**given)


def _problems(key: str, value: Any) -> list[str]:
    return RULES[key](key, value)


def _unknown(given: Iterable[Any], known: Iterable[str], what: str) -> list[str]:
    """One line that names the keys that are not known, what was meant, and what there is."""
    known = list(known)
    strangers = sorted({str(key) for key in given if key not in known})
    if not strangers:
        return []
    close = {near for name in strangers for near in difflib.get_close_matches(_snake(name), known, 1)}
    meant = f" (meant: {', '.join(sorted(close))}?)" if close else ""
    return [f"unknown {what}: {', '.join(strangers)}{meant}; allowed are {', '.join(known)}"]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _name(key: str, value: Any) -> list[str]:
    fits = isinstance(value, str) and NAME.fullmatch(value)
    return [] if fits else [f"{key} is no name: lower-case letters, digits and hyphens, at most 63"]


def _object(key: str, value: Any) -> list[str]:
    fits = isinstance(value, str) and OBJECT.fullmatch(value)
    return [] if fits else [f"{key} is no name of an object of Kubernetes: lower-case letters, digits, hyphens, dots"]


def _optional_object(key: str, value: Any) -> list[str]:
    return [] if value == "" else _object(key, value)


def _word(key: str, value: Any) -> list[str]:
    return [] if isinstance(value, str) and value.strip() else [f"{key} is no text"]


def _whole(low: int, high: int | None = None) -> Callable[[str, Any], list[str]]:
    def check(key: str, value: Any) -> list[str]:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and low <= value and (high is None or value <= high):
            return []
        return [f"{key} of the template is no whole number from {low}" + (f" to {high}" if high is not None else "")]

    return check


def _truth(key: str, value: Any) -> list[str]:
    return [] if isinstance(value, bool) else [f"{key} is neither true nor false"]


def _texts(key: str, value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{key} is no mapping of names to texts"]
    wrong = sorted(str(name) for name, text in value.items() if not (isinstance(name, str) and isinstance(text, str)))
    return [f'{key}: {", ".join(wrong)} is no text: write it in quotes, e.g. "true"'] if wrong else []


def _resources(key: str, value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{key} is no mapping with {' and '.join(AMOUNTS)}"]
    found = _unknown(value, AMOUNTS, f"keys of {key}")
    for kind in AMOUNTS:
        amounts = value.get(kind, {})
        if not isinstance(amounts, Mapping):
            found.append(f'{key}.{kind} is no mapping such as {{cpu: "2", memory: 2Gi}}')
            continue
        wrong = sorted(str(name) for name, amount in amounts.items() if not _is_amount(name, amount))
        found += [f"{key}.{kind}: {', '.join(wrong)} is no amount such as 500m, 2 or 2Gi"] if wrong else []
    return found


def _is_amount(name: Any, amount: Any) -> bool:
    number = isinstance(amount, str | int | float) and not isinstance(amount, bool)
    return isinstance(name, str) and number and QUANTITY.fullmatch(str(amount)) is not None


RULES: Mapping[str, Callable[[str, Any], list[str]]] = {
    "name": _name,
    "runtime": _object,
    "model_format": _word,
    "service_account": _optional_object,
    "min_replicas": _whole(0),
    "max_replicas": _whole(1),
    "resources": _resources,
    "labels": _texts,
    "annotations": _texts,
    "canary_percent": _whole(0, 99),
    "gateway_api": _truth,
}
