"""Reads a YAML text that a user wrote: one plain value, without aliases, doubled keys or bottomless nesting."""

import re
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

_WHOLE, _POWER = "(0|[1-9][0-9]*)", "([eE][-+]?[0-9]+)"
_TAG = "tag:yaml.org,2002:"
#: How a value without quotes is recognised: as in JSON, but that true and false have YAML's other spellings. What YAML
#: 1.1 takes for more - 010 for 8, 1:30 for 90, a date - stays text, and so do integers too long to be meant.
_PLAIN_VALUES = {
    "null": r"~|null|Null|NULL|",
    "bool": r"(?i:yes|no|true|false|on|off)",
    "int": r"[-+]?(0|[1-9][0-9]{0,30})",
    "float": rf"[-+]?({_WHOLE}?\.[0-9]+{_POWER}?|{_WHOLE}\.?{_POWER}|{_WHOLE}\.)|[-+]?\.(inf|nan)",
}


class _Plain(yaml.SafeLoader):
    """Reads the types of JSON only, and refuses what hides mistakes, or makes a small text large."""

    yaml_implicit_resolvers: ClassVar = {}  # type: ignore[misc]

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.tag:
            what = "aliases (*name)" if isinstance(event, yaml.AliasEvent) else "tags (!name)"
            raise ValueError(f"line {event.start_mark.line + 1}: {what} are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key.value, str)]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"line {node.start_mark.line + 1}: {doubled!r} is given more than once")
        return super().construct_mapping(node, deep)


for _kind, _rule in _PLAIN_VALUES.items():
    _Plain.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(f"({_rule})$"), None)


def read_yaml(content: bytes | str) -> Any:
    """The value of a YAML or JSON text in UTF-8, of JSON's types only.

    Raises
    ------
    ValueError
        With what is wrong, and the line where that is known.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return yaml.load(text, _Plain)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{where}{error.problem or error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {error}") from None
