"""Named sets of settings, and the settings of a run: those of a preset, changed by the user's.

A study file, the flags of ``srs run`` and the pipeline parameter ``settings`` are all resolved here, so that an invalid
value is refused before any work.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.common.checked import validated
from components.common.errors import InputError
from components.common.files import strict_json
from components.common.settings import SETTINGS, StudySettings

ONE_PLACE = "Give each value in one place only."
#: Sections and settings that a validation uses; all others are the model's own.
USED_BY_VALIDATION = ("study", "seed", "preprocess", "evaluate.bootstrap")
SECTIONS = frozenset(field.name for field in dataclasses.fields(StudySettings))
#: The values of each preset that differ from the defaults in ``settings``.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    # Everything that the paper states, even where it is the default; the image's 151 px and 40 mm are constants.
    "paper": {
        "preprocess": {
            "slice_rule": "centre",
            "follow_up_window_days": 92,
            "min_diameter_mm": 10.0,
            "max_diameter_mm": 35.0,
            "max_metastases": 5,
        },
        "split": {
            "groups": 5,
            "members": 10,
            "evaluation_responders": 12,
            "evaluation_non_responders": 11,
            "split_unit": "tumour",
        },
        # Plain SGD: the paper states no momentum, so the step is as long as the default one with momentum 0.9.
        "train": {
            "momentum": 0.0,
            "learning_rate": 0.1,
            "network": "cha2018",
            "class_weights": "none",
            "weight_decay": 0.0,
            "augmentation": "none",
            "weight_average": 0.0,
        },
        "network": {"dropout_after": "conv_2"},
        "evaluate": {"ensemble_score": "vote", "cut_off": 0.5},
        "promote": {"what": "A"},
    },
    "fast": {
        "split": {"groups": 2, "members": 3},
        "train": {"max_steps": 200, "restart_step": 100, "patience_steps": 60, "max_restarts": 1},
    },
}


def resolve(preset: str, *overrides: Mapping[str, Any]) -> StudySettings:
    """The settings of a preset, changed by ``overrides`` in their order.

    Parameters
    ----------
    preset
        ``default``, ``paper`` (everything the paper states) or ``fast`` (few members and steps, to see that it runs).
    overrides
        Mappings such as ``{"seed": 2, "train": {"learning_rate": 0.05}}``.

    Raises
    ------
    InputError
        ``PRESET_UNKNOWN``, ``SETTING_UNKNOWN`` or ``SETTING_INVALID``, naming all problems at once.
    """
    if preset not in PRESETS:
        raise InputError("PRESET_UNKNOWN", f"there is no preset {preset!r}", f"Presets: {', '.join(PRESETS)}.")
    return validated(StudySettings, merged(PRESETS[preset], *overrides), SETTINGS)


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping of settings; later parts win, section by section."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            former = result.get(key, {})
            if not isinstance(value, Mapping):
                result[key] = value
            elif isinstance(former, Mapping):  # else it is no section, and is refused as such
                result[key] = {**former, **value}
    return result


def require_used_by_validation(overrides: Mapping[str, Any]) -> None:
    """Refuses settings that a validation would ignore; to be called before ``resolve``.

    ``resolve`` would compare an unused value with those of the study's defaults, which say nothing of the model.

    Parameters
    ----------
    overrides
        A user's settings, as for ``resolve``, which refuses sections that do not exist.

    Raises
    ------
    InputError
        ``SETTING_UNUSED``, naming all of them at once.
    """
    names = [
        f"{section}.{name}" if name else section
        for section, values in overrides.items()
        if section in SECTIONS and section not in USED_BY_VALIDATION
        for name in (values if isinstance(values, Mapping) else [""])
    ]
    if unused := [name for name in names if name not in USED_BY_VALIDATION]:
        heading = "a validation does not use these settings, which are the model's own:"
        hint = f"Leave them out: a validation uses only {', '.join(USED_BY_VALIDATION)}."
        raise InputError.collected("SETTING_UNUSED", heading, unused, hint)


def overrides_in(settings: str) -> dict[str, Any]:
    """The user's settings in the pipelines' parameter ``settings``; ``SETTINGS_NOT_JSON`` where it is no object."""
    try:
        overrides = strict_json((settings or "{}").encode())
    except ValueError:
        overrides = None
    if not isinstance(overrides, dict):
        hint = 'Give, for example, {"train": {"learning_rate": 0.01}}.'
        raise InputError("SETTINGS_NOT_JSON", "the parameter settings is not a JSON object", hint)
    return overrides


def resolve_parameters(preset: str, seed: int, groups: int, members: int, settings: str) -> StudySettings:
    """The settings of a pipeline run from its parameters; 0 groups or members leaves the preset's number.

    Raises
    ------
    InputError
        ``SETTINGS_NOT_JSON``, ``SETTING_INVALID`` where a parameter contradicts ``settings``, or the errors of
        ``resolve``.
    """
    overrides = overrides_in(settings)
    sizes = {name: count for name, count in (("groups", groups), ("members", members)) if count}
    given: dict[str, Any] = {"split": sizes}
    if seed != StudySettings().seed:  # the default may not have been given at all
        given["seed"] = seed
    study, contradicted = resolve(preset, given, overrides), resolve(preset, overrides, given)
    if study != contradicted:
        effective = {"seed": study.seed, "groups": study.split.groups, "members": study.split.members}
        problems = [
            f"{name}: the parameter is {value}, settings says {effective[name]}"
            for name, value in (given | sizes).items()
            if name in effective and value != effective[name]
        ]
        raise InputError.collected("SETTING_INVALID", "the parameters of the run cannot be used:", problems, ONE_PLACE)
    return study
