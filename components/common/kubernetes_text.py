"""Pydantic types for names and quantities in the formats of Kubernetes and KFP."""

from typing import Annotated, Any

import pydantic

from components.common.field_types import Text, matching, shown

#: Largest number that the fields for numbers accept.
INT32 = 2**31 - 1
_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_RULE = "a name of at most 63 lower-case letters, digits and hyphens"
#: The name of a namespace; and a name that becomes a host name, and so begins with a letter.
LabelName = Annotated[Text, matching(_LABEL, _LABEL_RULE)]
HostName = Annotated[Text, matching(f"(?=[a-z]){_LABEL}", f"{_LABEL_RULE} that begins with a letter")]
_OBJECT = r"(?=.{1,253}$)[a-z0-9]([-.a-z0-9]*[a-z0-9])?"
_OBJECT_RULE = "a Kubernetes name of lower-case letters, digits, hyphens and dots"
#: The name of any object; and such a name or an empty text.
ObjectName = Annotated[Text, matching(_OBJECT, _OBJECT_RULE)]
ObjectNameOrNone = Annotated[Text, matching(f"({_OBJECT})?", _OBJECT_RULE)]

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"((?=[^/]{{1,253}}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_NAME}"
_KEY_RULE = (
    "a Kubernetes key: at most 63 letters, digits, '-', '_' and '.', and before them at most a domain and a slash"
)
_VALUE_RULE = (
    "a label's value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
)
#: The key of a label, annotation or toleration, or the name of a resource; and the value of a label.
QualifiedName = Annotated[Text, matching(_KEY, _KEY_RULE)]
LabelValue = Annotated[Text, matching(f"({_NAME})?", _VALUE_RULE)]

#: Limits of a task, as literals and as parameters of a run: KFP accepts fewer forms than Kubernetes, and no exponents.
CpuLimit = Annotated[
    Text, matching(r"(?=.*[1-9])[0-9]+(\.[0-9]+|m)?", "a number of CPUs above 0 such as 2, 0.5 or 500m")
]
_SIZE = r"(?=.*[1-9])[0-9]+(\.[0-9]+)?(k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?"
_SIZE_RULE = "an amount of memory above 0 such as 8G or 2Gi"
MemoryLimit = Annotated[Text, matching(_SIZE, _SIZE_RULE)]
MemoryLimitOrNone = Annotated[Text, matching(f"({_SIZE})?", _SIZE_RULE)]


def _as_text(amount: Any) -> Any:
    """Converts numbers to text: YAML reads ``cpu: 2`` as a number, but Kubernetes objects hold text."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        raise ValueError(f"{shown(amount)} is not an amount such as 500m, 2 or 2Gi")
    return str(amount)


#: The quantities that Kubernetes accepts.
Amount = Annotated[
    Text,
    matching(
        r"\+?(\d+\.?\d*|\.\d+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,3})?",
        "an amount such as 500m, 2 or 2Gi",
    ),
    pydantic.BeforeValidator(_as_text),
]
