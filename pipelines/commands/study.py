"""Settings of a run as a user gives them: a study file, then ``--set`` flags."""

import dataclasses
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from components.common.errors import InputError
from components.common.presets import PRESETS
from components.common.settings import SECTIONS, StudySettings


def read_study(path: Path | None) -> dict[str, Any]:
    """The settings of a YAML or JSON study file; none where no file is given.

    Raises
    ------
    InputError
        ``STUDY_FILE_INVALID`` where it is absent or no mapping.
    """
    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise InputError("STUDY_FILE_INVALID", f"the study file {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InputError("STUDY_FILE_INVALID", f"the study file {path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError("STUDY_FILE_INVALID", f"the study file {path} must hold sections such as `train:`")
    return values


def read_flags(flags: Iterable[str]) -> dict[str, Any]:
    """Settings from texts such as ``train.learning_rate=0.05`` or ``seed=2``.

    Raises
    ------
    InputError
        ``SETTING_UNKNOWN`` for a text of another form.
    """
    values: dict[str, Any] = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals:
            raise InputError("SETTING_UNKNOWN", f"--set {flag}: not of the form section.name=value")
        if dot:
            values.setdefault(section, {})[key] = value.strip()
        else:
            values[section] = value.strip()
    return values


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """One mapping of settings; later parts win, section by section."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = {**result[key], **value} if both else value
    return result


def settings_help() -> str:
    """Every setting with its default, its range and what it means."""
    lines = [f"Presets: {', '.join(PRESETS)}. Give settings by --set SECTION.NAME=VALUE or in a study file.", ""]
    default = StudySettings()
    for section, kind in SECTIONS.items():
        lines += [f"{section}: {(kind.__doc__ or '').strip()}"]
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            value = getattr(getattr(default, section), field.name)
            lines.append(f"  {section}.{field.name} = {value!r:<10} {_allowed(hints[field.name], field.metadata)}")
            lines.append(f"      {field.metadata['help']}")
        lines.append("")
    return "\n".join(lines)


def _allowed(kind: Any, metadata: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if metadata["low"] is not None:
        return f"{metadata['low']:g} to {metadata['high']:g}"
    return ""
