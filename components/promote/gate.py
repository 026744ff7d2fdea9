"""The gate: decides by five rules whether a new ensemble becomes champion.

*Value*: the training procedure is good enough, judged by the mean AUC over the groups, whichever ensemble is promoted.
*Centre*: where each group left out a centre, it is so at the worst one too. *Design*: splits are by patient or centre,
and groups and members are enough. *Change*: the procedure is no worse than the
champion's, nor than that of the reference, on the same tumours (``change``). *Load*: the serving runtime opens the
bundle and reproduces its golden case. No rule uses a p-value. All functions here are pure. docs/inference.md gives the
error rates, which ``make inference`` measures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from components.common.artifacts.metrics import Metrics
from components.common.counted import counted
from components.common.settings import LEAST_CENTRES, LEAST_GROUPS, LEAST_MEMBERS, GateSettings
from components.promote.change import Change

Decision = Literal["promoted", "refused", "not_comparable"]

#: AUC of guessing; the one-sided 95 % lower bound of the mean AUC must be above it.
CHANCE_AUC = 0.5
#: What a reason says beside the rule's name.
_OUTCOME: dict[Decision, str] = {"promoted": "passed", "refused": "FAILED", "not_comparable": "UNDECIDED"}
BY_HAND = "A person can decide otherwise: `srs promote VERSION --reason TEXT`."


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision on an ensemble, with a sentence for each rule, and the numbers and thresholds used.

    ``group`` is the name of the ensemble: ``study``, or that of a group; ``story`` the decision told in a paragraph.
    """

    verdict: Decision
    reasons: tuple[str, ...]
    group: str
    numbers: dict[str, float]
    story: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """Whether the serving runtime opened the bundle and reproduced its golden case, and its message."""

    ok: bool
    text: str


def decide(metrics: Metrics, group: str, changes: Sequence[Change], load: Load, settings: GateSettings) -> Verdict:
    """The verdict. Every rule is applied and gives a reason; ``refused`` takes precedence over ``not_comparable``.

    Parameters
    ----------
    metrics
        The evaluation's metrics.
    group
        Name of the ensemble that is to be promoted.
    changes
        Comparisons with the champion and with the reference; empty where there is no champion yet.
    load
        Result of opening the bundle in the serving runtime.
    settings
        The thresholds.
    """
    loaded: Decision = "promoted" if load.ok else "refused"
    checked = [_value(metrics, settings), *_centre(metrics, settings), _design(metrics, settings)]
    checked += [_change(changes, settings), (loaded, f"Load: {load.text}")]
    order: tuple[Decision, ...] = ("refused", "not_comparable", "promoted")
    verdict = min((decision for decision, _ in checked), key=order.index)
    reasons = tuple(_headed(*one) for one in checked)
    hint = (BY_HAND,) if verdict != "promoted" and load.ok else ()
    return Verdict(verdict, (*reasons, *hint), group, _numbers(metrics, changes, settings))


def _headed(decision: Decision, reason: str) -> str:
    """A reason, ``Rule: text``, with the rule's outcome: ``Rule (passed): text``."""
    rule, _, text = reason.partition(":")
    return f"{rule} ({_OUTCOME[decision]}):{text}"


def _value(metrics: Metrics, settings: GateSettings) -> tuple[Decision, str]:
    mean, bound = metrics.mean_auc, _bound(metrics)
    passed = mean >= settings.min_mean_auc and bound > CHANCE_AUC
    text = (
        f"Value: the mean ensemble AUC over {counted(len(metrics.groups), 'group')} is {mean:.3f} (required: "
        f"{settings.min_mean_auc:.2f}) and its one-sided 95 % bound {bound:.3f} (required: above {CHANCE_AUC})."
    )
    return ("promoted" if passed else "refused"), text


def _centre(metrics: Metrics, settings: GateSettings) -> list[tuple[Decision, str]]:
    """The rule *Centre*, where splits are by centre."""
    if not metrics.centres:
        return []
    name = metrics.worst_group
    worst = metrics.groups[name].evaluation
    text = (
        f"Centre: of {len(metrics.centres)} centres that were left out in turn, {metrics.centres[name]} (group {name}) "
        f"has the lowest AUC, {worst.auc:.3f} (required: {settings.min_centre_auc:.2f}), on {worst.n_negative} "
        f"responders and {worst.n_positive} non-responders."
    )
    return [("promoted" if worst.auc >= settings.min_centre_auc else "refused", text)]


def _design(metrics: Metrics, settings: GateSettings) -> tuple[Decision, str]:
    """Refuses runs whose mean AUC does not say what it seems to, unless the settings ask for them by name."""
    weaknesses, counts = {}, metrics.counts
    what, least_groups = ("centre", LEAST_CENTRES) if metrics.centres else ("group", LEAST_GROUPS)
    if metrics.split_unit == "tumour":
        shared = f"up to {metrics.shared_patients} patients are on two sides of a split"
        likely = f" ({shared}), so that the AUC is likely to be too high" if metrics.shared_patients else ""
        weaknesses["tumour_splits"] = f"splits are by tumour{likely}"
    if counts.members < counts.groups * LEAST_MEMBERS or counts.groups < least_groups:
        least = f"at least {least_groups} {what}s, with {LEAST_MEMBERS} networks each, are required"
        found = f"there are {counts.members} networks in {counted(counts.groups, what)}"
        weaknesses["few_members"] = f"{found}; {least}"
    if not weaknesses:
        return "promoted", f"Design: splits are by {metrics.split_unit}, and {what}s and networks are enough."
    accepted = all(map(settings.accepts, weaknesses))
    named = "; ".join(f"{text} [{name}]" for name, text in weaknesses.items())
    how = "accepted by gate.accept" if accepted else "the setting gate.accept accepts what is named in brackets"
    return ("promoted" if accepted else "refused"), f"Design: {named}; {how}."


def _change(changes: Sequence[Change], settings: GateSettings) -> tuple[Decision, str]:
    if not changes:
        return "promoted", "Change: there is no champion yet."
    if settings.change == "off":
        return "promoted", "Change: the comparison with the champion is switched off."
    if obstacles := [f"{one.against}: {obstacle}" for one in changes for obstacle in one.obstacles]:
        return "not_comparable", f"Change: not comparable with the {' '.join(obstacles)}"
    passed = all(_passes(change, settings) for change in changes)
    return ("promoted" if passed else "refused"), f"Change: {' '.join(_comparison(one, settings) for one in changes)}"


def _passes(change: Change, settings: GateSettings) -> bool:
    if settings.change == "better" and change.against == "champion":
        return change.lower_bound > 0
    return change.lower_bound > -settings.max_loss_auc


def _comparison(change: Change, settings: GateSettings) -> str:
    least = 0.0 if settings.change == "better" and change.against == "champion" else -settings.max_loss_auc
    return (
        f"mean AUC {change.difference:+.3f} against the {change.against} (SE {change.se:.3f}), one-sided 95 % bound "
        f"{change.lower_bound:+.3f} (required: above {least:+.2f}), on {change.responders} responders and "
        f"{change.non_responders} non-responders of {_named(change.groups)}; an equally good model passes with a "
        f"probability of {change.power(-least):.0%}."
    )


def _named(groups: Sequence[str]) -> str:
    return f"group{'s' if len(groups) > 1 else ''} {', '.join(groups)}"


def _bound(metrics: Metrics) -> float:
    """The bound of the mean AUC, or NaN where there is none, which passes no threshold."""
    return math.nan if metrics.mean_auc_lower_bound is None else metrics.mean_auc_lower_bound


def _numbers(metrics: Metrics, changes: Sequence[Change], settings: GateSettings) -> dict[str, float]:
    numbers = {"mean_auc": metrics.mean_auc, "mean_auc_lower_bound": _bound(metrics)}
    numbers |= {name: getattr(settings, name) for name in ("min_mean_auc", "max_loss_auc", "min_class_size")}
    if metrics.worst_centre_auc is not None:
        numbers |= {"worst_centre_auc": metrics.worst_centre_auc, "min_centre_auc": settings.min_centre_auc}
    for change in changes:
        figures = ("difference", "se", "lower_bound", "responders", "non_responders")
        numbers |= {f"{change.against}.{name}": getattr(change, name) for name in figures}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
