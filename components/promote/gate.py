"""The gate: decides by three rules whether a new ensemble becomes champion.

*Value*: the mean AUC over the groups is high enough. It is the mean and not the AUC of one ensemble, since the best of
five ensembles with a true AUC of 0.75 reaches 0.855. *Change*: the challenger is no worse than the champion of the same
group, on tumours of patients that neither has seen. *Load*: the serving runtime opens the bundle and reproduces its
golden case. No rule uses a p-value. All functions here are pure.
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

#: AUC of guessing; the one-sided 95 % lower bound of the mean AUC must be above it.
CHANCE_AUC = 0.5
#: Level of the one-sided bounds of the paired difference, which decide whether a challenger counts as worse.
CHANGE_LEVEL = 0.90
#: Power for which the detectable difference is reported.
POWER = 0.80


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision on a group's ensemble, with a sentence for each rule, and the numbers and thresholds used."""

    verdict: Decision
    reasons: tuple[str, ...]
    group: str
    numbers: dict[str, float]


@dataclass(frozen=True, slots=True)
class Contender:
    """The facts of a bundle that the gate compares.

    Parameters
    ----------
    image_digest
        Digest of the image definition by which its crops are cut.
    study
        Key of its evaluation sets and of its patients' digests.
    synthetic
        Whether it was trained on a phantom.
    seen_patients
        Keyed digests of all patients in the training or validation set of any member.
    """

    group: str
    image_digest: str
    study: str
    synthetic: bool
    seen_patients: frozenset[str]

    @classmethod
    def from_manifest(cls, fields: Mapping[str, Any]) -> "Contender":
        """The facts in the fields of ``manifest.json``."""
        return cls(
            group=fields["group"],
            image_digest=fields["image_digest"],
            study=fields["settings"]["study"],
            synthetic=fields["synthetic"],
            seen_patients=frozenset(fields["seen_patients"]),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """The challenger's evaluation tumours with the scores of both ensembles.

    Parameters
    ----------
    labels
        [n] 1 = non-responder.
    patients
        [n] keyed digest of each tumour's patient, as in the manifests.
    challenger, champion
        [n] primary scores of the two ensembles.
    """

    labels: Sequence[int]
    patients: Sequence[str]
    challenger: ArrayLike
    champion: ArrayLike


@dataclass(frozen=True, slots=True)
class Change:
    """AUC of the challenger minus that of the champion (patients as clusters), or why they cannot be compared."""

    obstacles: tuple[str, ...]
    difference: float = math.nan
    se: float = math.nan
    responders: int = 0
    non_responders: int = 0

    @property
    def bounds(self) -> tuple[float, float]:
        """One-sided 90 % lower and upper bounds of the difference."""
        half_width = NormalDist().inv_cdf(CHANGE_LEVEL) * self.se
        return self.difference - half_width, self.difference + half_width

    @property
    def detectable(self) -> float:
        """True difference that the one-sided test at 90 % detects with 80 % power."""
        return (NormalDist().inv_cdf(CHANGE_LEVEL) + NormalDist().inv_cdf(POWER)) * self.se


@dataclass(frozen=True, slots=True)
class Load:
    """Whether the serving runtime opened the bundle and reproduced its golden case, and its message."""

    ok: bool
    text: str


def choose_group(metrics: Metrics, champion_group: str | None) -> str:
    """The challenger's group: that of the champion if the run has it, else the first; never one chosen by results."""
    return str(champion_group) if champion_group in metrics.groups else next(iter(metrics.groups))


def compare(challenger: Contender, champion: Contender, trial: Trial, settings: GateSettings) -> Change:
    """Compares the two on the trial's tumours, or lists why they cannot be compared fairly."""
    responders = sum(label == 0 for label in trial.labels)
    non_responders = len(trial.labels) - responders
    obstacles = [*_differences(challenger, champion), *_seen(challenger, champion, trial)]
    if min(responders, non_responders) < settings.min_class_size:
        least = f"at least {settings.min_class_size} of each class are required"
        obstacles.append(f"only {responders} responders and {non_responders} non-responders can be compared; {least}.")
    if obstacles:
        return Change(tuple(obstacles), responders=responders, non_responders=non_responders)
    paired = paired_test(trial.labels, trial.challenger, trial.champion, patients=list(trial.patients))
    return Change((), paired.difference, paired.se, responders, non_responders)


def _differences(challenger: Contender, champion: Contender) -> list[str]:
    """The differences between two bundles that rule out a comparison."""
    differences = []
    if challenger.group != champion.group:
        differences.append(f"the champion is of group {champion.group}, the challenger of group {challenger.group}.")
    if challenger.image_digest != champion.image_digest:
        differences.append("champion and challenger use different image definitions.")
    if challenger.study != champion.study:
        differences.append("the champion belongs to another study, so it is unknown which patients both have seen.")
    if challenger.synthetic != champion.synthetic:
        phantom = "challenger" if challenger.synthetic else "champion"
        differences.append(f"the {phantom} was trained on a SYNTHETIC cohort and the other on patients.")
    return differences


def _seen(challenger: Contender, champion: Contender, trial: Trial) -> list[str]:
    """The patients of the trial that one of the two has seen in training."""
    patients = set(trial.patients)
    sides = {"champion": champion.seen_patients, "challenger": challenger.seen_patients}
    counts = {side: len(patients & seen) for side, seen in sides.items()}
    return [
        f"the {side} has seen {count} of the {len(patients)} compared patients in training."
        for side, count in counts.items()
        if count
    ]


def decide(metrics: Metrics, group: str, change: Change | None, load: Load, settings: GateSettings) -> Verdict:
    """The verdict. Every rule is applied and gives a reason; ``refused`` takes precedence over ``not_comparable``.

    Parameters
    ----------
    metrics
        The evaluation's metrics; ``mean_auc`` and ``mean_auc_lower_bound`` are used.
    group
        Result of ``choose_group``.
    change
        Result of ``compare``; None where there is no champion yet.
    load
        Result of opening the bundle in the serving runtime.
    settings
        The thresholds.
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
        f"Value: the mean ensemble AUC over {len(metrics.groups)} groups is {mean:.3f} (required: "
        f"{settings.min_mean_auc:.2f}) and its one-sided 95 % bound {bound:.3f} (required: above {CHANCE_AUC})."
    )
    return ("promoted" if passed else "refused"), text


def _change(change: Change | None, settings: GateSettings) -> tuple[Decision, str]:
    if change is None:
        return "promoted", "Change: there is no champion yet."
    if settings.change == "off":
        return "promoted", "Change: the comparison with the champion is switched off."
    if change.obstacles:
        hint = "Use `srs promote VERSION --reason TEXT` to decide by hand."
        return "not_comparable", f"Change: not comparable: {' '.join(change.obstacles)} {hint}"
    (low, high), least = change.bounds, -settings.max_loss_auc
    if settings.change == "better":
        passed, required = low > 0, "lower bound above 0"
    else:
        passed = change.difference >= least and high >= 0
        required = f"at least {least:.2f}, and upper bound at least 0"
    text = (
        f"Change: AUC {change.difference:+.3f} against the champion (required: {required}; SE {change.se:.3f}, n = "
        f"{change.responders} + {change.non_responders}, one-sided 90 % bounds {low:+.3f} and {high:+.3f}; "
        f"80 % power to detect a difference of {change.detectable:.3f})."
    )
    return ("promoted" if passed else "refused"), text


def _bound(metrics: Metrics) -> float:
    """The bound of the mean AUC, or NaN where there is none, which passes no threshold."""
    return math.nan if metrics.mean_auc_lower_bound is None else metrics.mean_auc_lower_bound


def _numbers(metrics: Metrics, change: Change | None, settings: GateSettings) -> dict[str, float]:
    numbers = {"mean_auc": metrics.mean_auc, "mean_auc_lower_bound": _bound(metrics)}
    numbers |= {name: getattr(settings, name) for name in ("min_mean_auc", "max_loss_auc", "min_class_size")}
    if change is not None:
        numbers |= {"responders": change.responders, "non_responders": change.non_responders, "se": change.se}
        numbers |= {"difference": change.difference, "detectable": change.detectable}
        numbers |= dict(zip(("lower_bound", "upper_bound"), change.bounds, strict=True))
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
