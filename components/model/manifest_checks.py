"""Checks types, ranges and lengths of a manifest's fields; NaN and infinity are already refused while it is read."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from components.common.errors import InputError
from components.common.files import SHA256
from components.common.limits import (
    MAX_GOLDEN_CROP_HU,
    MAX_GOLDEN_PROBABILITY,
    MAX_GROUPS,
    MAX_MANIFEST_TEXT,
    MAX_MEMBERS,
    MAX_SEEN_CROPS,
    MAX_SEEN_PATIENTS,
)
from components.common.settings import StudySettings

#: Largest slope and intercept of a Platt scaling.
STEEPEST = 50.0
#: Largest HU of a statistic of crops.
WIDEST_HU = 100_000
#: Largest difference of the graph's probabilities from training's; a GPU's may differ so much from another device's.
EXPORT_TOLERANCE = 1e-3
Check = Callable[[Any], bool]


def problems(fields: Mapping[str, Any]) -> list[str]:
    """A line for each invalid field of a manifest; none quotes a value."""
    found = [f"{name} must be {what}" for name, (fits, what) in _FIELDS.items() if not fits(fields[name])]
    return found or _disagreements(fields)


def _disagreements(fields: Mapping[str, Any]) -> list[str]:
    """Whether the groups hold each member once, and hold out only patients that another group has seen."""
    groups, seen = fields["groups"].values(), set(fields["seen_patients"])
    found = []
    if sorted(one for group in groups for one in group["members"]) != sorted(fields["members"]):
        found.append("groups must hold each of members once")
    if any(not seen.issuperset(group["held_out"]) for group in groups):
        found.append("groups must hold out only seen_patients")
    return found


def _is_number(low: float, high: float) -> Check:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_MANIFEST_TEXT and value.isprintable()


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(SHA256, value) is not None


def _is_list(fits: Check, low: int, high: int) -> Check:
    def check(value: Any) -> bool:
        return isinstance(value, list) and low <= len(value) <= high and all(map(fits, value))

    return check


def _is_distinct(check: Check) -> Check:
    return lambda value: check(value) and len(set(value)) == len(value)


def _is_settings(value: Any) -> bool:
    """Whether this release accepts all settings, and no text is too long, numbers written as text included."""
    if not isinstance(value, dict):
        return False
    texts = [text for part in (value, *value.values()) if isinstance(part, dict) for text in part.values()]
    if any(isinstance(text, str) and len(text) > MAX_MANIFEST_TEXT for text in texts):
        return False
    try:
        StudySettings.from_dict(value)
    except (InputError, TypeError):
        return False
    return True


def _are_percentiles(value: Any) -> bool:
    """Whether the values in ``{"mean_hu": {"50": 31.2, ...}, "sd_hu": {...}}`` rise with the percentage."""
    return isinstance(value, dict) and set(value) == {"mean_hu", "sd_hu"} and all(map(_rises, value.values()))


def _rises(levels: Any) -> bool:
    if not isinstance(levels, dict) or not 1 <= len(levels) <= 101 or not all(map(_is_percentage, levels)):
        return False
    ordered = [levels[percent] for percent in sorted(levels, key=float)]
    return all(map(_is_number(-WIDEST_HU, WIDEST_HU), ordered)) and ordered == sorted(ordered)


def _are_groups(value: Any) -> bool:
    """Whether these are groups, each with ids of members and digests of held-out patients."""
    names, members = _is_list(_is_text, 1, MAX_GROUPS), _is_distinct(_is_list(_is_text, 1, MAX_MEMBERS))
    held_out = _is_distinct(_is_list(_is_digest, 0, MAX_SEEN_PATIENTS))
    return (
        isinstance(value, dict)
        and names(list(value))
        and all(isinstance(one, dict) and set(one) == {"members", "held_out"} for one in value.values())
        and all(members(one["members"]) and held_out(one["held_out"]) for one in value.values())
    )


def _is_calibration(value: Any) -> bool:
    """Whether this is None, or slope, intercept and number of predictions of a Platt scaling."""
    checks = {"slope": _is_number(-STEEPEST, STEEPEST), "intercept": _is_number(-STEEPEST, STEEPEST)}
    checks["n"] = lambda count: type(count) is int and 1 <= count <= 10**9
    is_whole = isinstance(value, dict) and set(value) == set(checks)
    return value is None or (is_whole and all(check(value[name]) for name, check in checks.items()))


def _are_scores(value: Any) -> bool:
    """Whether these are rising percentiles of a score from 0 to 1, or there are none."""
    return value == {} or (_rises(value) and all(map(_is_number(0, 1), value.values())))


def _is_percentage(text: str) -> bool:
    return re.fullmatch(r"\d{1,3}(\.\d{1,9})?", text, re.ASCII) is not None and float(text) <= 100


def _are_tolerances(value: Any) -> bool:
    most = {"crop_hu": MAX_GOLDEN_CROP_HU, "probability": MAX_GOLDEN_PROBABILITY}
    return (
        isinstance(value, dict)
        and set(value) == set(most)
        and all(_is_number(0, limit)(value[name]) for name, limit in most.items())
    )


def _are_file_digests(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_digest, value.values()))


_FIELDS: dict[str, tuple[Check, str]] = {
    "group": (_is_text, f"text of 1 to {MAX_MANIFEST_TEXT:,} characters"),
    "members": (
        _is_distinct(_is_list(_is_text, 1, MAX_MEMBERS)),
        f"1 to {MAX_MEMBERS} different texts of at most {MAX_MANIFEST_TEXT:,} characters",
    ),
    "image_definition": (lambda value: isinstance(value, dict), "an object"),
    "image_digest": (_is_digest, "a SHA-256"),
    "cut_off": (_is_number(0, 1), "a number from 0 to 1"),
    "ensemble_score": (lambda value: value in ("mean", "vote"), "mean or vote"),
    "settings": (_is_settings, f"settings of this release, their texts of at most {MAX_MANIFEST_TEXT:,} characters"),
    "seed": (lambda value: type(value) is int and 0 <= value < 2**31, "an integer from 0 to 2,147,483,647"),
    "dataset_digest": (_is_digest, "a SHA-256"),
    "split_digests": (_is_list(_is_digest, 1, MAX_MEMBERS), f"1 to {MAX_MEMBERS} SHA-256"),
    "training_crops": (_are_percentiles, "mean_hu and sd_hu, each with rising percentiles"),
    "seen_patients": (
        _is_distinct(_is_list(_is_digest, 0, MAX_SEEN_PATIENTS)),
        f"at most {MAX_SEEN_PATIENTS:,} different SHA-256",
    ),
    "seen_crops": (
        _is_distinct(_is_list(_is_digest, 0, MAX_SEEN_CROPS)),
        f"at most {MAX_SEEN_CROPS:,} different SHA-256",
    ),
    "groups": (_are_groups, f"1 to {MAX_GROUPS} groups, each with members and held_out"),
    "calibration": (_is_calibration, f"null, or slope and intercept from -{STEEPEST:g} to {STEEPEST:g} and n"),
    "development_scores": (_are_scores, "rising percentiles from 0 to 1, or none"),
    "pseudonym_key": (lambda value: value == "" or _is_text(value), "a fingerprint, or empty"),
    "synthetic": (lambda value: isinstance(value, bool), "true or false"),
    "golden_tolerance": (
        _are_tolerances,
        f"crop_hu from 0 to {MAX_GOLDEN_CROP_HU} and probability from 0 to {MAX_GOLDEN_PROBABILITY}",
    ),
    "export_difference": (_is_number(0, EXPORT_TOLERANCE), f"a number from 0 to {EXPORT_TOLERANCE}"),
    "files": (_are_file_digests, "a SHA-256 for each file"),
    "extra": (lambda value: isinstance(value, dict), "an object"),
}
