"""Reads a YAML text that a user wrote: one plain value, without aliases, doubled keys or bottomless nesting."""

from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

#: The types of JSON. YAML's own - dates, sets, bytes, merged mappings - are left out: a date stays text.
PLAIN = [f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")]


class _Plain(yaml.SafeLoader):
    """Refuses what hides mistakes, or makes a small text large."""

    yaml_constructors: ClassVar = {
        tag: how for tag, how in yaml.SafeLoader.yaml_constructors.items() if tag in (*PLAIN, None)
    }
    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        first: [rule for rule in rules if rule[0] in PLAIN]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise ValueError(f"line {line}: aliases (*name) are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key.value, str)]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"line {node.start_mark.line + 1}: {doubled!r} is given more than once")
        return super().construct_mapping(node, deep)


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
