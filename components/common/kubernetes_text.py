"""Pydantic types for names and quantities in the formats of Kubernetes and KFP."""

from typing import Annotated, Any

import pydantic

from components.common.field_types import Text, matching, shown

#: Largest number that the fields for numbers accept.
INT32 = 2**31 - 1
#: A name that becomes a host name.
HostName = Annotated[
    Text, matching(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", "a name of at most 63 lower-case letters, digits and hyphens")
]
#: The name of a namespace.
LabelName = Annotated[
    Text,
    matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a name of at most 63 lower-case letters, digits and hyphens"),
]
#: The name of a resource of a node, such as nvidia.com/gpu.
ResourceName = Annotated[
    Text,
    matching(
        r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?",
        "the name of a resource such as nvidia.com/gpu",
    ),
]
_OBJECT = r"(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?"
_OBJECT_RULE = "a Kubernetes name of lower-case letters, digits, hyphens and dots"
#: The name of any object; and such a name or an empty text.
ObjectName = Annotated[Text, matching(_OBJECT, _OBJECT_RULE)]
ObjectNameOrNone = Annotated[Text, matching(f"({_OBJECT})?", _OBJECT_RULE)]
#: The quantities that KFP accepts as limits of a task: fewer forms than Kubernetes accepts, and no exponents.
_LIMIT = r"(?=.*[1-9])[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?"
Limit = Annotated[Text, matching(_LIMIT, "a quantity above 0 such as 2 or 8G")]
LimitOrNone = Annotated[Text, matching(f"({_LIMIT})?", "a quantity such as 2Gi")]

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
#: The key of a label or annotation, or the name of a resource; and the value of a label.
QualifiedName = Annotated[
    Text,
    matching(
        rf"((?=[^/]{{1,253}}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_NAME}",
        "a Kubernetes key: at most 63 letters, digits, '-', '_' and '.', and before them at most a domain and a slash",
    ),
]
LabelValue = Annotated[
    Text,
    matching(
        f"({_NAME})?",
        "a label's value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    ),
]


def _as_text(amount: Any) -> Any:
    """Converts numbers to text: YAML reads ``cpu: 2`` as a number, but Kubernetes objects hold text."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        raise ValueError(f"{shown(amount)} is not an amount such as 500m, 2 or 2Gi")
    return str(amount)


#: The quantities that Kubernetes accepts.
Amount = Annotated[
    Text,
    matching(
        r"\+?(\d+\.?\d*|\.\d+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,3})?",
        "an amount such as 500m, 2 or 2Gi",
    ),
    pydantic.BeforeValidator(_as_text),
]
