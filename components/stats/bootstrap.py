"""Patient-clustered bootstrap: patients are sampled with replacement, each with all of their tumours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from components.common.artifacts.score_metrics import Limits
from components.common.errors import InputError
from components.stats.auc import Floats, auc_score, checked, patient_numbers, placements
from components.stats.newcombe import newcombe_limits

#: Numbers in memory at once while resampling: 4 MB of float64, about the size of a processor cache.
CHUNK = 500_000

#: The bootstrap resamples evaluated patients and keeps the models, which overlap in their training sets and would vary
#: with the cohort too (Bates et al., JASA 2024;119:1434). Its standard error of the mean AUC is multiplied by this.
SE_INFLATION = 1.15

#: From this many patients on, a resample's AUC differs from its linear part by far less than its standard error.
LINEAR_FROM = 3000

#: Number of classes of patients of nearly equal influence that the linear part is sampled from.
INFLUENCE_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Scored:
    """Cases of one group: label, score and patient, each [n]."""

    y_true: ArrayLike
    score: ArrayLike
    patient: ArrayLike


def resampled_aucs(groups: Sequence[Scored], rng: np.random.Generator | int, samples: int) -> Floats:
    """AUC of every group in every resample of patients, [samples, groups].

    The same resample of patients is used for all groups, so that patients shared by groups stay shared. A resample in
    which any group lacks a class is discarded; at most ten times ``samples`` are made.

    Raises
    ------
    InputError
        As ``auc.checked``; ``BOOTSTRAP_IMPOSSIBLE`` where most resamples lack a class.
    """
    rng = np.random.default_rng(rng)
    tables = [_Sorted.of(group) for group in groups]
    names = [np.asarray(group.patient) for group in groups]
    all_patients, codes = np.unique(np.concatenate(names), return_inverse=True)
    patients = np.split(codes, np.cumsum([len(name) for name in names])[:-1])
    valid: list[Floats] = []
    for counts in _resamples(rng, len(all_patients), samples, max(len(codes), len(all_patients))):
        aucs = np.stack([table.auc(counts[:, cases]) for table, cases in zip(tables, patients, strict=True)], axis=1)
        valid.append(aucs[np.isfinite(aucs).all(axis=1)])
        if sum(map(len, valid)) >= samples:
            return np.concatenate(valid)[:samples]
    raise InputError(
        "BOOTSTRAP_IMPOSSIBLE",
        "too few patients: most bootstrap resamples lack one of the classes",
        "Enlarge the evaluation sets, or use an analytic interval.",
    )


def resampled_auc(group: Scored, rng: np.random.Generator | int, samples: int) -> Floats:
    """AUC of one group in resamples of its patients, [samples]; from ``LINEAR_FROM`` patients on by its linear part."""
    many = len(np.unique(np.asarray(group.patient))) >= LINEAR_FROM
    return _linear_aucs(group, rng, samples) if many else resampled_aucs([group], rng, samples)[:, 0]


def resampled_means(values: Floats, patients: NDArray[np.intp], rng: np.random.Generator | int, samples: int) -> Floats:
    """Means over the cases of every resample of patients, [samples, k].

    Parameters
    ----------
    values
        [n, k] k values of each case.
    patients
        [n] patients numbered from 0, as ``auc.patient_numbers`` numbers them.
    rng
        Generator, or a seed for one.
    samples
        Number of resamples.
    """
    sizes = np.bincount(patients)
    sums = np.stack([np.bincount(patients, column) for column in values.T], axis=1)
    means: list[Floats] = []
    for counts in _resamples(np.random.default_rng(rng), len(sizes), samples, max(sums.shape)):
        means.append((counts @ sums) / (counts @ sizes)[:, None])
        if sum(map(len, means)) >= samples:
            break
    return np.concatenate(means)[:samples]


def _linear_aucs(group: Scored, rng: np.random.Generator | int, samples: int) -> Floats:
    """AUC plus the influences (DeLong's components) of sampled patients, in classes of nearly equal influence."""
    positive, score = checked(group.y_true, group.score)
    numbers, parts = patient_numbers(group.patient, positive), placements(positive, score)
    contributions = np.empty(len(score))
    contributions[positive] = (parts.positive - parts.auc) / len(parts.positive)
    contributions[~positive] = (parts.negative - parts.auc) / len(parts.negative)
    influence = np.sort(np.bincount(numbers, contributions))
    classes = np.array_split(influence, INFLUENCE_CLASSES)
    sizes, means = np.array([len(c) for c in classes]), np.array([c.mean() for c in classes])
    counts = np.random.default_rng(rng).multinomial(len(influence), sizes / len(influence), size=samples)
    return np.asarray(np.clip(parts.auc + counts @ means, 0.0, 1.0))


def _resamples(rng: np.random.Generator, patients: int, samples: int, width: int) -> Iterator[NDArray[np.float64]]:
    """Chunks [chunk, patients] of how often each patient is sampled, at most ten times ``samples`` rows in all."""
    chunk = max(1, min(samples, CHUNK // width))
    for _ in range(-(-10 * samples // chunk)):
        sampled = rng.integers(0, patients, (chunk, patients)) + patients * np.arange(chunk)[:, None]
        yield np.bincount(sampled.ravel(), minlength=chunk * patients).reshape(chunk, patients).astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Indices of a group's positive and negative cases by rising score, and negatives below each positive.

    ``lower`` negatives score less than the positive case, ``upper`` at most as much, so that a tie counts one half.
    """

    positive: NDArray[np.intp]
    negative: NDArray[np.intp]
    lower: NDArray[np.intp]
    upper: NDArray[np.intp]

    @classmethod
    def of(cls, group: Scored) -> "_Sorted":
        is_positive, score = checked(group.y_true, group.score)
        patient_numbers(group.patient, is_positive)
        order = np.argsort(score, kind="stable")
        positive, negative = order[is_positive[order]], order[~is_positive[order]]
        lower, upper = (np.searchsorted(score[negative], score[positive], side) for side in ("left", "right"))
        return cls(positive, negative, lower, upper)

    def auc(self, weights: Floats) -> Floats:
        """Weighted AUC of every row of ``weights`` [samples, n]; NaN where the weights of a class are all 0."""
        positive = weights[:, self.positive]
        below = np.cumsum(np.pad(weights[:, self.negative], ((0, 0), (1, 0))), axis=1)
        pairs = positive.sum(axis=1) * below[:, -1]
        concordant = np.einsum("ij,ij->i", positive, below[:, self.lower] + below[:, self.upper]) / 2
        with np.errstate(invalid="ignore"):
            return np.asarray(concordant / pairs)


def mean_auc(groups: Sequence[Scored]) -> float:
    """Mean of the groups' AUCs."""
    return float(np.mean([auc_score(group.y_true, group.score) for group in groups]))


@dataclass(frozen=True, slots=True)
class ResampledMean:
    """Mean AUC over groups and what a bootstrap found of it, from which limits of any level are computed.

    Parameters
    ----------
    auc
        Mean of the groups' AUCs.
    se
        Standard error of the bootstrap, inflated.
    inflation
        Factor that is in ``se``.
    fewest
        Over the groups, the fewest patients who have a positive case, and the fewest who have a negative one.
    """

    auc: float
    se: float
    inflation: float
    fewest: tuple[int, int]

    @classmethod
    def of(
        cls,
        groups: Sequence[Scored],
        *,
        rng: np.random.Generator | int,
        samples: int = 2000,
        inflation: float = SE_INFLATION,
    ) -> "ResampledMean":
        """Resamples the patients of all groups once; parameters and errors as ``mean_auc_limits``."""
        area = mean_auc(groups)
        se = inflation * float(resampled_aucs(groups, rng, samples).mean(axis=1).std(ddof=1))
        return cls(area, se, inflation, _fewest_patients(groups))

    def limits(self, level: float = 0.95, *, one_sided: bool = False) -> Limits:
        """Limits as ``mean_auc_limits`` describes them."""
        z = float(stats.norm.isf(1 - level if one_sided else (1 - level) / 2))
        if self.auc in (0.0, 1.0):
            return Limits(self.se, *newcombe_limits(self.auc, *self.fewest, self.inflation * z))
        centre, reach = float(special.logit(self.auc)), z * self.se / (self.auc * (1 - self.auc))
        return Limits(self.se, float(special.expit(centre - reach)), float(special.expit(centre + reach)))


def mean_auc_limits(
    groups: Sequence[Scored],
    *,
    rng: np.random.Generator | int,
    samples: int = 2000,
    level: float = 0.95,
    one_sided: bool = False,
    inflation: float = SE_INFLATION,
) -> Limits:
    """Standard error of the mean AUC over groups, inflated, and its limits by the delta method on the logit scale.

    Where every group's AUC is 0, or every one 1, no resample varies: the limits are then Newcombe's for a single group,
    of as many patients of each class as the group with fewest of them has, with ``inflation`` on his standard error.

    Parameters
    ----------
    groups
        Labels, scores and patients of every group's evaluation set; a patient may be in several groups.
    rng
        Generator, or a seed for one.
    samples
        Patient-clustered bootstrap resamples, the same for all groups.
    level
        Confidence level of the interval, or of each bound if ``one_sided``.
    one_sided
        Whether the limits are one-sided bounds.
    inflation
        Factor on the bootstrap's standard error.

    Raises
    ------
    InputError
        As ``resampled_aucs``.
    """
    found = ResampledMean.of(groups, rng=rng, samples=samples, inflation=inflation)
    return found.limits(level, one_sided=one_sided)


def _fewest_patients(groups: Sequence[Scored]) -> tuple[int, int]:
    """Over the groups, the fewest patients who have a positive case, and the fewest who have a negative one."""
    patients = [(np.asarray(group.y_true) == 1, np.asarray(group.patient)) for group in groups]
    with_positive = min(len(np.unique(names[positive])) for positive, names in patients)
    return with_positive, min(len(np.unique(names[~positive])) for positive, names in patients)


def mean_auc_lower_bound(
    groups: Sequence[Scored], *, rng: np.random.Generator | int, samples: int = 2000, level: float = 0.95
) -> float:
    """One-sided lower bound of the mean AUC, which the promotion gate uses; parameters as ``mean_auc_limits``."""
    return mean_auc_limits(groups, rng=rng, samples=samples, level=level, one_sided=True).ci_low
