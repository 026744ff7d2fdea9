"""Tables I and II: responders and non-responders side by side, with the paper's tests (STUDY 1).

Medians are compared by the two-sided Mann-Whitney test (normal approximation with ties, as SPSS prints it),
counts by Pearson's chi-squared test **without** continuity correction, which alone reproduces the paper's p-values.
Where an expected count is below 5, its approximation is poor, and an exact p-value stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

#: Spellings of yes in the cohort table; any other non-empty value means no.
YES = {"yes", "true", "1", "1.0", "y"}

TABLE_COLUMNS = ("characteristic", "category", "responder", "non_responder", "p_value", "p_exact", "test")

#: With a smaller expected count in any cell the chi-squared approximation is not relied upon (Cochran 1954).
LEAST_EXPECTED = 5

#: Random tables of the Monte Carlo test, and its seed: the same table gives the same p-value in every run. Its standard
#: error is 0.0007 at p = 0.05.
RANDOM_TABLES, MONTE_CARLO_SEED = 99_999, 0

#: Cells of random tables in memory at once: 8 MB of float64.
CELLS_AT_ONCE = 1_000_000

RESPONDER, NON_RESPONDER = 0, 1
#: What stands for a characteristic that is known of no tumour.
NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Row:
    """One characteristic: its title, the tumour table's column, and its kind (median, category or flag)."""

    title: str
    column: str
    kind: str
    unit: str = ""
    digits: int = 0

    @property
    def full_title(self) -> str:
        """The title with its unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


TABLE_I = (
    Row("Size, median (range)", "diameter_mm", "median", "cm", 1),
    Row("Primary site", "primary_site", "category"),
    Row("Location", "location", "category"),
    Row("Age, median (range)", "age", "median", "years"),
    Row("Sex", "sex", "category"),
    Row("KPS, median (range)", "kps", "median"),
    Row("Primary controlled", "primary_controlled", "flag"),
    Row("Extracranial metastases", "extracranial_metastases", "flag"),
    Row("Systemic therapy", "systemic_therapy", "flag"),
)
TABLE_II = (
    Row("Total dose, median (range)", "total_dose_gy", "median", "Gy"),
    Row("Fractions, median (range)", "fractions", "median"),
    Row("BED, median (range)", "bed10_gy", "median", "Gy10"),
    Row("Device", "device", "category"),
)


def table_i(tumours: pd.DataFrame) -> pd.DataFrame:
    """Table I, patient and tumour characteristics; columns ``TABLE_COLUMNS``, one row per printed line."""
    return cohort_table(tumours, TABLE_I)


def table_ii(tumours: pd.DataFrame) -> pd.DataFrame:
    """Table II, treatment; columns ``TABLE_COLUMNS``."""
    return cohort_table(tumours, TABLE_II)


def mann_whitney_p(first: ArrayLike, second: ArrayLike) -> float | None:
    """Two-sided p-value of the Mann-Whitney test; None where an arm is empty or all values are equal."""
    a, b = (np.asarray(values, dtype=np.float64) for values in (first, second))
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if len(a) == 0 or len(b) == 0 or np.ptp(np.concatenate([a, b])) == 0:
        return None
    return float(stats.mannwhitneyu(a, b, alternative="two-sided", method="asymptotic", use_continuity=False).pvalue)


def chi_squared_p(counts: Sequence[Sequence[int]]) -> float | None:
    """The p-value of Pearson's chi-squared test without continuity correction; None where no test is possible.

    Parameters
    ----------
    counts
        [categories, arms] counts; empty categories and arms are left out.

    Examples
    --------
    >>> round(chi_squared_p([[29, 37], [28, 14]]), 3)
    0.021
    """
    table = _occupied(counts)
    return float(stats.chi2_contingency(table, correction=False).pvalue) if min(table.shape) > 1 else None


def exact_p(counts: Sequence[Sequence[int]]) -> float | None:
    """A p-value that needs no large counts: Fisher's exact test for 2 x 2 tables, ``monte_carlo_p`` for larger ones.

    Parameters
    ----------
    counts
        As for ``chi_squared_p``.

    Returns
    -------
    float or None
        None where no test is possible, and where every expected count is at least ``LEAST_EXPECTED``.
    """
    table = _occupied(counts)
    if min(table.shape) < 2 or stats.contingency.expected_freq(table).min() >= LEAST_EXPECTED:
        return None
    return float(stats.fisher_exact(table).pvalue) if table.shape == (2, 2) else monte_carlo_p(counts)


def monte_carlo_p(counts: Sequence[Sequence[int]]) -> float:
    """The p-value of Pearson's chi-squared among ``RANDOM_TABLES`` random tables with the same margins."""
    table = _occupied(counts)
    method = stats.MonteCarloMethod(
        n_resamples=RANDOM_TABLES,
        batch=max(1, CELLS_AT_ONCE // table.size),
        rng=np.random.default_rng(MONTE_CARLO_SEED),
    )
    return float(stats.chi2_contingency(table, correction=False, method=method).pvalue)


def _occupied(counts: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The table without empty categories and arms."""
    table = np.asarray(counts, dtype=np.int64)
    return np.asarray(table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0])


def cohort_table(tumours: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """A table of responders and non-responders; columns ``TABLE_COLUMNS``."""
    arms = tuple(tumours[tumours["label"] == label] for label in (RESPONDER, NON_RESPONDER))
    lines = [line for row in rows for line in (_median if row.kind == "median" else _counts)(row, arms)]
    return pd.DataFrame(lines, columns=list(TABLE_COLUMNS))


def _median(row: Row, arms: tuple[pd.DataFrame, ...]) -> list[tuple[object, ...]]:
    values = [known_numbers(row, arm) for arm in arms]
    shown = [
        median_range(value, row.digits) + _known_count(value, arm) for value, arm in zip(values, arms, strict=True)
    ]
    return [(row.full_title, "", *shown, mann_whitney_p(*values), None, "Mann-Whitney")]


def median_range(values: NDArray[np.float64], digits: int) -> str:
    """Median and range as text, or that no value is known."""
    if len(values) == 0:
        return NOT_KNOWN
    median, low, high = (f"{value:.{digits}f}" for value in (np.median(values), values.min(), values.max()))
    return f"{median} ({low}-{high})"


def _known_count(values: object, arm: pd.DataFrame) -> str:
    known = len(values)  # type: ignore[arg-type]
    return f", n={known}" if known < len(arm) else ""


def _counts(row: Row, arms: tuple[pd.DataFrame, ...]) -> list[tuple[object, ...]]:
    known = [known_categories(row, arm) for arm in arms]
    categories = ordered(pd.concat(known), row.kind)
    counts = [[int((column == category).sum()) for column in known] for category in categories]
    tests = (chi_squared_p(counts), exact_p(counts), "chi-squared") if counts else (None, None, "chi-squared")
    sizes = [len(column) for column in known]
    title = row.title if sizes == [len(arm) for arm in arms] else f"{row.title} (n={sizes[0]}/{sizes[1]})"
    head = [
        (title, display_name(category), *map(str, row_counts))
        for category, row_counts in zip(categories, counts, strict=True)
    ]
    if not head:
        return [(title, "", NOT_KNOWN, NOT_KNOWN, *tests)]
    return [(*line, *(tests if i == 0 else (None, None, ""))) for i, line in enumerate(head)]


def display_name(category: str) -> str:
    """A category as the paper spells it; the cohort table uses lower case and underscores."""
    return {"cyberknife": "CyberKnife"}.get(category, category.replace("_", " "))


def known_categories(row: Row, tumours: pd.DataFrame) -> pd.Series:
    """The category of each tumour for which it is known; for a flag, yes or no."""
    column = tumours[row.column].dropna().astype(str).str.strip()
    column = column[column != ""]
    return column.str.lower().isin(YES).map({True: "yes", False: "no"}) if row.kind == "flag" else column


def known_numbers(row: Row, tumours: pd.DataFrame) -> NDArray[np.float64]:
    """The number of each tumour for which it is known, in the row's unit."""
    scale = 0.1 if row.unit == "cm" else 1.0
    return np.asarray(pd.to_numeric(tumours[row.column], errors="coerce").dropna().to_numpy(float) * scale)


def ordered(values: pd.Series, kind: str) -> list[str]:
    """Categories by frequency with ``other`` last; for a flag, yes before no."""
    if kind == "flag":
        return [flag for flag in ("yes", "no") if (values == flag).any()]
    frequency = values.value_counts()
    return sorted(frequency.index, key=lambda name: (name.lower() == "other", -int(frequency[name]), name))
