"""The permutation test of a whole procedure: which labels are exchanged, the p-value, and the null distribution.

Exchangeable units are patients with the same number of tumours; each keeps the labels of its tumours together, as a
vector. Tumours of one patient share a look and often a response. Were their labels permuted one by one, this
correlation would be lost, the null distribution would be too narrow and the p-value too small. That holds for splits by
tumour too.

References: Phipson & Smyth, Stat Appl Genet Mol Biol 2010;9:39 (p-value); Winkler et al., NeuroImage 2015;123:253
(exchangeability blocks).
"""

import collections
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts.permutation import NullDistribution
from components.common.errors import InputError

Labels = NDArray[np.int64]
#: Rows of the patients that may exchange their labels, one array of rows for each patient.
Strata = Mapping[Hashable, list[NDArray[np.intp]]]
#: Two statistics whose difference is at most this share of the observed one are equal but for rounding.
TIE = 1e-12


def strata_of(patients: Sequence[Any], centres: Sequence[Any] | None = None) -> Strata:
    """Groups the patients that may exchange their labels: equal numbers of tumours, and the same centre.

    Parameters
    ----------
    patients
        [n] the patient of each tumour.
    centres
        [n] the centre of each tumour's patient, None or NaN where it is unknown; such patients exchange their labels
        with each other. None where no centre is known.
    """
    rows: dict[Hashable, list[int]] = collections.defaultdict(list)
    for row, patient in enumerate(patients):
        rows[patient].append(row)
    known = ["" if centre is None or centre != centre else str(centre) for centre in centres or [None] * len(patients)]
    strata: dict[Hashable, list[NDArray[np.intp]]] = collections.defaultdict(list)
    for own in rows.values():
        strata[len(own), tuple(sorted({known[row] for row in own}))].append(np.array(own, dtype=np.intp))
    return dict(strata)


def permute_labels(labels: ArrayLike, strata: Strata, rng: np.random.Generator) -> Labels:
    """Labels after the patients of each stratum have exchanged the label vectors of their tumours at random.

    Parameters
    ----------
    labels
        [n] labels 0 and 1.
    strata
        Of the same tumours, from ``strata_of``.
    rng
        Generator of the permutation.
    """
    given = np.asarray(labels, dtype=np.int64)
    permuted = given.copy()
    for patients in strata.values():
        for target, source in zip(patients, rng.permutation(len(patients)), strict=True):
            permuted[target] = given[patients[source]]
    return permuted


def distinct_permutations(labels: ArrayLike, strata: Strata) -> int:
    """How many different label vectors ``permute_labels`` can give, the observed one included."""
    given, count = np.asarray(labels, dtype=np.int64), 1
    for patients in strata.values():
        equal = collections.Counter(tuple(given[rows].tolist()) for rows in patients)
        count *= math.factorial(len(patients)) // math.prod(map(math.factorial, equal.values()))
    return count


def permutation_p_value(observed: float, null: ArrayLike) -> float:
    """One-sided p-value (1 + number of null values that reach the observed one) / (n + 1).

    The observed labelling counts as one of the permutations, so that p is never 0 and the test never too liberal, with
    random permutations that may repeat too (Phipson & Smyth 2010, eq. 2 and section 4).

    Raises
    ------
    InputError
        ``PERMUTATIONS_MISSING`` without any value under the null.
    """
    values = _checked(null)
    return float((1 + np.count_nonzero(values >= observed - TIE * abs(observed))) / (len(values) + 1))


def null_distribution(null: ArrayLike) -> NullDistribution:
    """Summary of [n] values under the null; raises as ``permutation_p_value``."""
    values = _checked(null)
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return NullDistribution(len(values), float(values.mean()), sd, float(np.quantile(values, 0.95)))


def _checked(null: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(null, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(
            "PERMUTATIONS_MISSING", "there is no finite statistic of a permutation", "Permute at least once."
        )
    return values
