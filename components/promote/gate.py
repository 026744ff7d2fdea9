"""The gate: is the procedure worth promoting, is the challenger no worse than the champion, does it load.

Pure functions on figures. *Value* reads the procedure, that is the mean over the groups, never one ensemble:
the best of five of a true AUC of .75 reads .855. *Change* compares the same group's two ensembles on tumours of
patients that neither saw. *Load* is the answer of the real serving runtime. A p-value is never a gate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from numpy.typing import ArrayLike

from components.common.artifacts.metrics import Metrics
from components.common.settings import GateSettings
from components.stats.paired import paired_test

Decision = Literal["promoted", "refused", "not_comparable"]

#: AUC of guessing: the one-sided 95 % bound of the mean AUC must lie above it.
CHANCE_AUC = 0.5
#: Level of the one-sided bound of the paired difference below which a challenger counts as worse.
CHANGE_LEVEL = 0.90
#: Power for which the detectable difference is reported.
POWER = 0.80


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a group's ensemble: a sentence for each rule, the figures and thresholds behind."""

    verdict: Decision
    reasons: tuple[str, ...]
    group: str
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True)
class Contender:
    """What the gate must know of a bundle.

    Parameters
    ----------
    image_digest
        Of the image definition that its crops are cut by.
    study
        Key of its draws and of its patients' digests.
    synthetic
        Whether it learned from a phantom.
    seen_patients
        Keyed digests of all patients that trained or validated any member.
    """

    group: str
    image_digest: str
    study: str
    synthetic: bool
    seen_patients: frozenset[str]

    @classmethod
    def from_manifest(cls, fields: Mapping[str, Any]) -> "Contender":
        """From the fields of ``manifest.json``."""
        return cls(
            group=fields["group"],
            image_digest=fields["image_digest"],
            study=fields["settings"]["study"],
            synthetic=fields["synthetic"],
            seen_patients=frozenset(fields["seen_patients"]),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """The challenger's evaluation tumours, answered by both sides.

    Parameters
    ----------
    labels
        [n] 1 = non-responder.
    patients
        [n] keyed digest of each tumour's patient, as the manifests list them.
    challenger, champion
        [n] primary ensemble scores.
    """

    labels: Sequence[int]
    patients: Sequence[str]
    challenger: ArrayLike
    champion: ArrayLike


@dataclass(frozen=True, slots=True)
class Change:
    """AUC of the challenger minus the champion's (patients as clusters), or the obstacles to comparing them."""

    obstacles: tuple[str, ...]
    difference: float = math.nan
    se: float = math.nan
    responders: int = 0
    non_responders: int = 0

    @property
    def bounds(self) -> tuple[float, float]:
        """One-sided 90 % lower and upper bounds of the difference."""
        reach = NormalDist().inv_cdf(CHANGE_LEVEL) * self.se
        return self.difference - reach, self.difference + reach

    @property
    def detectable(self) -> float:
        """True difference that the one-sided test at 90 % finds with 80 % power."""
        return (NormalDist().inv_cdf(CHANGE_LEVEL) + NormalDist().inv_cdf(POWER)) * self.se


@dataclass(frozen=True, slots=True)
class Load:
    """Whether the serving runtime opened the bundle and reproduced its golden case, and what it said."""

    ok: bool
    text: str


def choose_group(metrics: Metrics, champion_group: str | None) -> str:
    """The group that challenges: the champion's where the run has it, else the best by out-of-bag AUC.

    Never the best by evaluation AUC, which would choose on the figures that are then reported.
    """
    if champion_group in metrics.groups:
        return str(champion_group)
    return metrics.best_out_of_bag_group


def compare(challenger: Contender, champion: Contender, trial: Trial, settings: GateSettings) -> Change:
    """Compares the two on the trial's tumours, or says why that would not be fair."""
    responders = sum(label == 0 for label in trial.labels)
    non_responders = len(trial.labels) - responders
    obstacles = [*_unlike(challenger, champion), *_seen(challenger, champion, trial)]
    if min(responders, non_responders) < settings.min_class_size:
        least = f"at least {settings.min_class_size} of each class are needed"
        obstacles.append(f"only {responders} responders and {non_responders} non-responders were compared; {least}.")
    if obstacles:
        return Change(tuple(obstacles), responders=responders, non_responders=non_responders)
    paired = paired_test(trial.labels, trial.challenger, trial.champion, patients=list(trial.patients))
    return Change((), paired.difference, paired.se, responders, non_responders)


def _unlike(challenger: Contender, champion: Contender) -> list[str]:
    """What makes two bundles answers to different questions."""
    found = []
    if challenger.group != champion.group:
        found.append(f"the champion is of group {champion.group}, the challenger of group {challenger.group}.")
    if challenger.image_digest != champion.image_digest:
        found.append("champion and challenger cut their images by different definitions.")
    if challenger.study != champion.study:
        found.append("the champion belongs to another study, so who saw which patient cannot be told.")
    if challenger.synthetic != champion.synthetic:
        phantom = "challenger" if challenger.synthetic else "champion"
        found.append(f"the {phantom} learned from a SYNTHETIC cohort and the other from patients.")
    return found


def _seen(challenger: Contender, champion: Contender, trial: Trial) -> list[str]:
    patients = set(trial.patients)
    sides = {"champion": champion.seen_patients, "challenger": challenger.seen_patients}
    counts = {side: len(patients & seen) for side, seen in sides.items()}
    return [
        f"the {side} saw {count} of the {len(patients)} patients compared while it was trained."
        for side, count in counts.items()
        if count
    ]


def decide(metrics: Metrics, group: str, change: Change | None, load: Load, settings: GateSettings) -> Verdict:
    """The verdict. Every rule is checked and gives its reason; a refusal outweighs ``not_comparable``.

    Parameters
    ----------
    metrics
        Of the evaluation; ``mean_auc`` and ``mean_auc_lower_bound`` are read.
    group
        From ``choose_group``.
    change
        From ``compare``; None where there is no champion yet.
    load
        What the serving runtime said.
    settings
        Thresholds.
    """
    loaded: Decision = "promoted" if load.ok else "refused"
    checked = [_value(metrics, settings), _change(change, settings), (loaded, f"Load: {load.text}")]
    order: tuple[Decision, ...] = ("refused", "not_comparable", "promoted")
    verdict = min((decision for decision, _ in checked), key=order.index)
    return Verdict(verdict, tuple(reason for _, reason in checked), group, _numbers(metrics, change, settings))


def _value(metrics: Metrics, settings: GateSettings) -> tuple[Decision, str]:
    mean, bound = metrics.mean_auc, _bound(metrics)
    passed = mean >= settings.min_mean_auc and bound > CHANCE_AUC
    text = (
        f"Value: the mean ensemble AUC over {len(metrics.groups)} groups is {mean:.3f} "
        f"(needed: {settings.min_mean_auc:.2f}) and its one-sided 95 % bound {bound:.3f} (needed: above {CHANCE_AUC})."
    )
    return ("promoted" if passed else "refused"), text


def _change(change: Change | None, settings: GateSettings) -> tuple[Decision, str]:
    if change is None:
        return "promoted", "Change: there is no champion yet."
    if settings.change == "off":
        return "promoted", "Change: the comparison with the champion is switched off."
    if change.obstacles:
        hint = "`srs promote VERSION --reason TEXT` lets a person decide."
        return "not_comparable", f"Change: not comparable: {' '.join(change.obstacles)} {hint}"
    (low, high), least = change.bounds, -settings.max_loss_auc
    if settings.change == "better":
        passed, needed = low > 0, "lower bound above 0"
    else:
        passed, needed = change.difference >= least and high >= 0, f"at least {least:.2f}, and upper bound at least 0"
    text = (
        f"Change: AUC {change.difference:+.3f} against the champion (needed: {needed}; SE {change.se:.3f}, n = "
        f"{change.responders} + {change.non_responders}, one-sided 90 % bounds {low:+.3f} and {high:+.3f}; "
        f"a difference of {change.detectable:.3f} is found with 80 % power)."
    )
    return ("promoted" if passed else "refused"), text


def _bound(metrics: Metrics) -> float:
    """The bound of the mean AUC, or NaN, which passes no threshold, where there is none."""
    return math.nan if metrics.mean_auc_lower_bound is None else metrics.mean_auc_lower_bound


def _numbers(metrics: Metrics, change: Change | None, settings: GateSettings) -> dict[str, float]:
    numbers = {"mean_auc": metrics.mean_auc, "mean_auc_lower_bound": _bound(metrics)}
    numbers |= {name: getattr(settings, name) for name in ("min_mean_auc", "max_loss_auc", "min_class_size")}
    if change is not None:
        numbers |= {"responders": change.responders, "non_responders": change.non_responders, "se": change.se}
        numbers |= {"difference": change.difference, "detectable": change.detectable}
        numbers |= dict(zip(("lower_bound", "upper_bound"), change.bounds, strict=True))
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
