"""How an ensemble performs in subgroups of tumours: AUC, sensitivity and specificity with intervals.

Intervals of small subgroups are wide, and with many subgroups some will look better or worse by chance: they describe,
and test nothing. They take tumours as independent; the number of patients shows how far they are.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts.clinical_metrics import Subgroup
from components.common.errors import InputError
from components.stats.auc import Bools, Floats, checked, patient_numbers
from components.stats.roc import exact_limits, roc_summary

#: With fewer responders or non-responders a subgroup has no AUC: of 4 + 4 tumours, Newcombe's 95 % interval of an AUC
#: of 0.8 reaches from 0.39 to 0.96.
LEAST_OF_CLASS = 5
#: Significant digits of a cut in the name of a class.
CUT_DIGITS = 4


def subgroups(
    y_true: ArrayLike,
    score: ArrayLike,
    patients: ArrayLike | None,
    covariates: pd.DataFrame,
    *,
    cut_off: float,
    level: float = 0.95,
) -> tuple[Subgroup, ...]:
    """Performance in every category of every covariate.

    Parameters
    ----------
    y_true
        [n] labels, 1 = non-responder; one case for each tumour.
    score
        [n] finite scores, higher for non-responders.
    patients
        [n] patient of each case; None: every case is its own patient.
    covariates
        n rows in the order of the cases, a categorical column for each covariate; unknown values are left out. Split
        continuous ones with ``split_at``.
    cut_off
        A score above it predicts a non-responder.
    level
        Confidence level of the two-sided limits.

    Returns
    -------
    tuple of Subgroup
        In the order of the columns. Categories of a pandas Categorical keep their order, others come by falling number
        of cases; those without a case are left out.

    Raises
    ------
    InputError
        As ``auc.checked``; ``ROC_MISMATCHED`` too where there is not one row, or not one patient, for each case.
    """
    positive, scores = checked(y_true, score)
    numbers = patient_numbers(patients, positive)
    if len(covariates) != len(positive):
        raise InputError("ROC_MISMATCHED", f"{len(covariates)} rows of covariates are given for {len(positive)} cases")
    return tuple(
        _subgroup(str(name), category, positive[rows], scores[rows], numbers[rows], cut_off, level)
        for name, column in covariates.items()
        for category, rows in _categories(column)
    )


def split_at(values: ArrayLike, cuts: Sequence[float] | None = None) -> pd.Categorical:
    """A continuous covariate in classes, each from one cut to below the next.

    Parameters
    ----------
    values
        [n] numbers; NaN is unknown.
    cuts
        Rising cuts, such as clinical thresholds; None: the median of the known values.

    Raises
    ------
    InputError
        ``SUBGROUP_CUTS``.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    at = np.asarray(cuts if cuts is not None else [np.median(known)] if len(known) else [0.0], dtype=np.float64)
    if at.ndim != 1 or at.size == 0 or not np.isfinite(at).all() or not (np.diff(at) > 0).all():
        raise InputError("SUBGROUP_CUTS", "the cuts of a continuous covariate must be finite, rising numbers")
    texts = [np.format_float_positional(cut, precision=CUT_DIGITS, fractional=False, trim="-") for cut in at]
    between = [f"{low} to below {high}" for low, high in itertools.pairwise(texts)]
    classes = pd.Index([f"below {texts[0]}", *between, f"{texts[-1]} or more"])
    codes = np.where(np.isfinite(numbers), np.searchsorted(at, numbers, side="right"), -1)
    return pd.Categorical.from_codes(codes.tolist(), categories=classes, ordered=True)


def _categories(column: pd.Series) -> Iterator[tuple[str, Bools]]:
    """Each category's text and its rows [n]."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        ordered = [category for category in column.cat.categories if (column == category).any()]
    else:
        counts = column[column.notna() & (column != "")].value_counts()
        ordered = sorted(counts.index, key=lambda category: (-int(counts[category]), str(category)))
    for category in ordered:
        yield str(category), (column == category).to_numpy(dtype=bool)


def _subgroup(
    covariate: str,
    category: str,
    positive: Bools,
    scores: Floats,
    patients: NDArray[np.intp],
    cut_off: float,
    level: float,
) -> Subgroup:
    called = scores > cut_off
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    return Subgroup(
        covariate,
        category,
        n_neg,
        n_pos,
        len(np.unique(patients)),
        *_auc(positive, scores, level),
        *_proportion(int((called & positive).sum()), n_pos, level),
        *_proportion(int((~called & ~positive).sum()), n_neg, level),
    )


def _auc(positive: Bools, scores: Floats, level: float) -> tuple[float, float, float] | tuple[None, None, None]:
    if min(positive.sum(), (~positive).sum()) < LEAST_OF_CLASS:
        return None, None, None
    summary = roc_summary(positive, scores, "newcombe", level=level)
    return summary.auc, summary.ci_low, summary.ci_high


def _proportion(hits: int, of: int, level: float) -> tuple[float, float, float] | tuple[None, None, None]:
    return (hits / of, *exact_limits(hits, of, level)) if of else (None, None, None)
