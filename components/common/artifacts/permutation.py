"""The files of a permutation test, which lie in the folder of a local run: each permutation's, and the test's."""

import dataclasses
import math
from typing import ClassVar

from pydantic import with_config

from components.common.artifacts.beside_run import Resumable, RunResult
from components.common.artifacts.typed_json import STRICT
from components.common.settings import Score

#: Fewest values under the null of which a 95 % quantile is given: with n of them, no p-value is below 1 / (n + 1).
LEAST_FOR_QUANTILE = 19
#: Largest difference of two AUCs of the same predictions, which sums in another order leave.
SAME_AUC = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class NullDistribution:
    """Mean, standard deviation and 95 % quantile of ``n`` values under the null.

    The standard deviation (divisor n - 1) is None for one value, the quantile for fewer than ``LEAST_FOR_QUANTILE``, in
    files of earlier releases too.
    """

    n: int
    mean: float
    sd: float | None
    quantile_95: float | None

    def __post_init__(self) -> None:
        if self.n < LEAST_FOR_QUANTILE:
            object.__setattr__(self, "quantile_95", None)


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class PermutationTest(RunResult):
    """A permutation test of the whole procedure: splits, training and evaluation with permuted labels.

    Parameters
    ----------
    n, seed
        Number of permutations, and the seed of their generators.
    p_value
        (1 + number of permutations whose mean AUC reaches the observed one) / (n + 1).
    primary_score
        The ensemble's score whose AUC is meant.
    observed, observed_development
        The run's mean AUC over the groups, on evaluation tumours and on development predictions (None where these lack
        a class in every group).
    null, development_null
        The mean AUCs of the permutations, summarised; the second is None where no permutation has one.
    aucs, development_aucs
        The mean AUC of each permutation.
    patients, centres
        Number of patients, and of known centres within which their labels were permuted (0: the centres are unknown).
    distinct
        How many permutations the design allows, the observed labels included; None for more than a million.
    redrawn
        Permutations that were replaced by another one because the splits would have lacked a class.
    """

    file: ClassVar[str] = "permutation.json"
    kind: ClassVar[str] = "permutation test"
    n: int
    seed: int
    p_value: float
    primary_score: Score
    observed: float
    observed_development: float | None
    null: NullDistribution
    development_null: NullDistribution | None
    aucs: tuple[float, ...]
    development_aucs: tuple[float | None, ...]
    patients: int
    centres: int
    distinct: int | None
    redrawn: int

    @property
    def development_repeats_evaluation(self) -> bool:
        """Whether development and evaluation AUCs are equal throughout, and so no two lines of evidence.

        It is so where two groups evaluate each other's development tumours, as with two centres.
        """
        pairs = zip((self.observed_development, *self.development_aucs), (self.observed, *self.aucs), strict=True)
        return all(one is not None and math.isclose(one, other, abs_tol=SAME_AUC) for one, other in pairs)


@with_config(STRICT)
@dataclasses.dataclass(frozen=True, slots=True)
class Repetition(Resumable):
    """A finished permutation.

    Parameters
    ----------
    index
        Its number, from 0.
    evaluation, development
        Mean AUC over the groups on evaluation tumours, and on development predictions, None where these lack a class.
    redrawn
        Permutations that it replaced because the splits would have lacked a class.
    seconds
        How long it took.
    """

    kind: ClassVar[str] = "permutation"
    index: int
    evaluation: float
    development: float | None
    redrawn: int
    seconds: float
