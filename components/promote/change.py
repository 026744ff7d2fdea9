"""The gate's rule *Change*: a run's training procedure against that of an earlier version, on the same tumours.

For each of the challenger's groups, its ensemble and one of the other's predict the group's evaluation tumours: the
one that has seen fewest of these patients, which is that of the same group unless evaluation sets are centres. Tumours
of patients that either side's members have seen are dropped. The statistic is the mean over the groups of the
difference of the AUCs, its standard error a bootstrap over patients, the same resample for all groups. The rule asks
whether a loss can be ruled out, not whether none was found: with few tumours, the latter passes nearly everything.

All groups are compared even where one group's ensemble is promoted, since one group's two dozen tumours cannot tell
a loss of 0.1 from none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from components.common.errors import InputError
from components.common.settings import GateSettings
from components.model.manifest import Manifest
from components.stats.bootstrap import SE_INFLATION, Scored, mean_auc, resampled_aucs

#: Level of the one-sided bound of the difference.
LEVEL = 0.95
#: Resamples of patients. The standard error needs far fewer than a percentile would.
SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Side:
    """The facts of a bundle that decide what it can be compared with, and on which tumours.

    Parameters
    ----------
    image_digest
        Digest of the image definition by which its crops are cut.
    study
        Name of the study, the key of its evaluation sets and of its patients' digests.
    pseudonym_key
        Fingerprint of the key of its pseudonyms; "" if unknown.
    synthetic
        Whether it was trained on a phantom.
    seen
        For each group, the digests of the patients in the training or validation set of any of its members.
    """

    image_digest: str
    study: str
    pseudonym_key: str
    synthetic: bool
    seen: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, manifest: Manifest) -> "Side":
        """The facts in a manifest."""
        patients = frozenset(manifest.seen_patients)
        return cls(
            image_digest=manifest.image_digest,
            study=manifest.settings["study"],
            pseudonym_key=manifest.pseudonym_key,
            synthetic=manifest.synthetic,
            seen={name: patients - frozenset(facts["held_out"]) for name, facts in manifest.groups.items()},
        )

    def least_seen(self, patients: Sequence[str], group: str) -> str:
        """The group that has seen fewest of the patients; ``group`` where no other has seen fewer."""
        order = sorted(self.seen, key=lambda name: (name != group, name))
        return min(order, key=lambda name: sum(patient in self.seen[name] for patient in patients))


@dataclass(frozen=True, slots=True)
class Trial:
    """One group's evaluation tumours, with the scores of both sides' ensembles.

    Parameters
    ----------
    tumours
        [n] their names.
    labels
        [n] 1 = non-responder.
    patients
        [n] digest of each tumour's patient, as in the manifests.
    challenger, other
        [n] primary scores.
    other_group
        The other's group whose ensemble scored.
    """

    tumours: Sequence[str]
    labels: NDArray[np.int64]
    patients: Sequence[str]
    challenger: NDArray[np.float64]
    other: NDArray[np.float64]
    other_group: str

    def without(self, patients: frozenset[str]) -> "Trial":
        """The trial without the tumours of these patients."""
        kept = [index for index, patient in enumerate(self.patients) if patient not in patients]
        names, owners = ([texts[index] for index in kept] for texts in (self.tumours, self.patients))
        return Trial(names, self.labels[kept], owners, self.challenger[kept], self.other[kept], self.other_group)

    @property
    def smaller_class(self) -> int:
        """Number of tumours of the rarer class."""
        positives = int((self.labels == 1).sum())
        return min(positives, len(self.labels) - positives)


@dataclass(frozen=True, slots=True)
class Change:
    """Mean AUC of the challenger minus that of another version, or why they cannot be compared.

    Parameters
    ----------
    against
        ``champion`` or ``reference``.
    obstacles
        Sentences that say why there is no comparison; then the other fields say nothing.
    groups
        The groups that were compared.
    difference, se
        Mean over the groups of the difference of the AUCs, and its standard error.
    responders, non_responders
        Numbers of different tumours.
    """

    against: str
    obstacles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    difference: float = math.nan
    se: float = math.nan
    responders: int = 0
    non_responders: int = 0

    @property
    def lower_bound(self) -> float:
        """One-sided 95 % lower bound of the difference."""
        return self.difference - NormalDist().inv_cdf(LEVEL) * self.se

    def power(self, margin: float) -> float:
        """Probability with which the bound of an equally good challenger lies above ``-margin``."""
        return 1.0 if self.se == 0 else NormalDist().cdf(margin / self.se - NormalDist().inv_cdf(LEVEL))


def compare(
    challenger: Side, other: Side, trials: Mapping[str, Trial], settings: GateSettings, *, against: str, seed: int = 0
) -> Change:
    """Compares two versions, or lists why they cannot be compared.

    Parameters
    ----------
    challenger, other
        The facts of both.
    trials
        The evaluation tumours of each of the challenger's groups.
    settings
        ``min_class_size``: a group with fewer tumours of a class, after patients were dropped, is left out.
    against
        ``champion`` or ``reference``.
    seed
        Seed of the bootstrap.
    """
    if obstacles := _differences(challenger, other):
        return Change(against, tuple(obstacles))
    fair = {
        name: trial.without(challenger.seen.get(name, frozenset()) | other.seen.get(trial.other_group, frozenset()))
        for name, trial in sorted(trials.items())
    }
    used = {name: trial for name, trial in fair.items() if trial.smaller_class >= settings.min_class_size}
    if not used:
        most = max((trial.smaller_class for trial in fair.values()), default=0)
        return Change(against, (_too_few(most, settings.min_class_size),))
    labels = {name: int(label) for one in used.values() for name, label in zip(one.tumours, one.labels, strict=True)}
    positives = sum(labels.values())
    try:
        difference, se = _mean_difference(list(used.values()), seed)
    except InputError as error:
        return Change(against, (f"{error.safe_message}.",))
    return Change(against, (), tuple(used), difference, se, len(labels) - positives, positives)


def _differences(challenger: Side, other: Side) -> list[str]:
    """The differences between two bundles that rule out a comparison."""
    differences = []
    if challenger.image_digest != other.image_digest:
        differences.append("it has another image definition.")
    if challenger.study != other.study:
        differences.append("it belongs to another study, so that it is unknown which patients both have seen.")
    elif challenger.pseudonym_key and other.pseudonym_key and challenger.pseudonym_key != other.pseudonym_key:
        problem = "its pseudonyms were made with another key, so that it is unknown which patients both have seen."
        differences.append(f"{problem} Set the former key in SRS_PSEUDONYM_KEY and run the study again.")
    if challenger.synthetic != other.synthetic:
        which = "this run has a SYNTHETIC cohort and it has not" if challenger.synthetic else "it is SYNTHETIC"
        differences.append(f"{which}.")
    return differences


def _too_few(most: int, least: int) -> str:
    return (
        f"in no group both classes have at least {least} tumours of patients that neither has seen in training "
        f"(the largest smaller class has {most})."
    )


def _mean_difference(trials: Sequence[Trial], seed: int) -> tuple[float, float]:
    """Mean difference of the AUCs and its standard error by bootstrap over patients, inflated as the mean AUC's."""
    challenger = [Scored(one.labels, one.challenger, one.patients) for one in trials]
    other = [Scored(one.labels, one.other, one.patients) for one in trials]
    aucs = resampled_aucs([*challenger, *other], seed, SAMPLES)
    differences = aucs[:, : len(trials)].mean(axis=1) - aucs[:, len(trials) :].mean(axis=1)
    return mean_auc(challenger) - mean_auc(other), SE_INFLATION * float(differences.std(ddof=1))
