"""Reads a run's settings from a study file and from ``--set`` flags."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.common.checked import fields, range_of
from components.common.errors import InputError
from components.common.field_types import shown
from components.common.network_settings import NETWORKS
from components.common.presets import PRESETS
from components.common.settings import SECTIONS
from components.common.yaml_text import read_yaml

_EXAMPLE = "An example stands in docs/data-scientist.md; `srs run --settings-help` lists all settings."


def read_study(path: Path | None) -> dict[str, Any]:
    """The settings in a YAML or JSON study file; an empty dict if no file is given.

    Raises
    ------
    InputError
        ``STUDY_FILE_INVALID`` if the file cannot be read or is not a mapping.
    """
    if path is None:
        return {}
    try:
        values = read_yaml(path.read_bytes())
    except OSError as error:
        raise InputError("STUDY_FILE_INVALID", f"the study file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError("STUDY_FILE_INVALID", f"the study file {path} cannot be used: {error}", _EXAMPLE) from None
    if not isinstance(values, dict | None):
        raise InputError("STUDY_FILE_INVALID", f"the study file {path} must hold sections such as `train:`", _EXAMPLE)
    return {name: value for name, value in (values or {}).items() if value is not None}  # a section without a line


def read_flags(flags: Iterable[str]) -> dict[str, Any]:
    """Settings from flags such as ``train.learning_rate=0.05`` or ``seed=2``.

    Raises
    ------
    InputError
        ``SETTING_UNKNOWN`` for a flag of another form.
    """
    values: dict[str, Any] = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not section or (dot and not key):
            raise InputError("SETTING_UNKNOWN", f"--set {flag}: not of the form section.name=value", _EXAMPLE)
        if isinstance(values.get(section, {} if dot else ""), dict) is not bool(dot):
            raise InputError("SETTING_UNKNOWN", f"--set gives both {section} and settings in {section}", _EXAMPLE)
        if key in values.get(section, {}) if dot else section in values:
            raise InputError("SETTING_UNKNOWN", f"--set gives {name.strip()} more than once", _EXAMPLE)
        if dot:
            values.setdefault(section, {})[key] = value.strip()
        else:
            values[section] = value.strip()
    return values


def settings_help() -> str:
    """Every setting with its default, its range and what it means."""
    lines = [f"Presets: {', '.join(PRESETS)}. Give settings by --set SECTION.NAME=VALUE or in a study file.", ""]
    others = [(f"network, where train.network is {name}", kind) for name, kind in NETWORKS.items()][1:]
    for title, kind in [*SECTIONS.items(), *others]:
        section = title.partition(",")[0]
        lines += [f"{title}: {(kind.__doc__ or '').strip()}"]
        for name, field in fields(kind).items():
            lines.append(f"  {section}.{name} = {shown(field.default):<10} {range_of(field)}".rstrip())
            lines.append(f"      {field.description}")
        lines.append("")
    return "\n".join(lines)
