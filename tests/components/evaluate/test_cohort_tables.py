"""Golden numbers: the printed p-values of Tables I and II from the printed counts (STUDY 1)."""

import itertools
import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from components.evaluate.cohort_tables import (
    TABLE_COLUMNS,
    chi_squared_p,
    exact_p,
    mann_whitney_p,
    monte_carlo_p,
    table_i,
    table_ii,
)


@pytest.mark.parametrize(
    ("counts", "printed"),
    [
        ([[43, 37], [13, 13], [1, 3]], "0.520"),
        ([[32, 37], [25, 14]], "0.076"),
        ([[29, 37], [28, 14]], "0.021"),
        ([[27, 14], [30, 37]], "0.033"),
        ([[51, 49], [6, 4]], "0.587"),
        # The paper's two misprints (0.051 and 0.430): what the printed counts give.
        ([[20, 16], [23, 13], [4, 6], [3, 0], [2, 5], [5, 13]], "0.045"),
        ([[22, 22], [35, 31]], "0.755"),
    ],
)
def test_reproduces_the_printed_chi_squared_p(counts, printed):
    assert f"{chi_squared_p(counts):.3f}" == printed


def test_random_tables_reproduce_rs_example():
    """R's help page of ``chisq.test`` says "around 0.29!" for 10,000 random tables; Pearson's p would be 0.24."""
    assert monte_carlo_p([[12, 7], [5, 7]]) == pytest.approx(0.29, abs=0.005)
    assert chi_squared_p([[12, 7], [5, 7]]) == pytest.approx(0.2415, abs=0.0001)


def exact_by_enumeration(counts):
    """Pearson's p over all tables with the same margins, each with its hypergeometric probability."""
    table = np.array(counts)
    rows, first = table.sum(axis=1), table[:, 0].sum()
    expected = np.outer(rows, table.sum(axis=0)) / table.sum()

    def statistic(column):
        return (((np.column_stack([column, rows - column]) - expected) ** 2) / expected).sum()

    columns = [np.array(c) for c in itertools.product(*(range(row + 1) for row in rows)) if sum(c) == first]
    weights = [math.prod(math.comb(row, count) for row, count in zip(rows, c, strict=True)) for c in columns]
    extreme = [statistic(column) >= statistic(table[:, 0]) - 1e-9 for column in columns]
    return sum(w for w, far in zip(weights, extreme, strict=True) if far) / sum(weights)


@pytest.mark.parametrize(
    "counts", [[[43, 37], [13, 13], [1, 3]], [[4, 1], [2, 6], [0, 3]], [[3, 3], [1, 5], [8, 2], [0, 2]]]
)
def test_random_tables_come_close_to_the_enumeration_of_all_tables(counts):
    assert exact_p(counts) == pytest.approx(exact_by_enumeration(counts), abs=0.006)


def test_two_categories_have_fishers_test():
    """The lady tasting tea (Fisher 1935): 34 of the 70 ways to divide eight cups are as extreme as three of four."""
    assert exact_p([[3, 1], [1, 3]]) == pytest.approx(34 / 70)


def test_exact_p_is_added_only_where_an_expected_count_is_below_five():
    assert exact_p([[5, 5], [5, 5]]) is None  # all are exactly 5
    assert exact_p([[5, 5], [5, 4]]) is not None
    assert exact_p([[29, 37], [28, 14]]) is None
    for impossible in ([[5, 6]], [[5, 0], [6, 0]]):
        assert exact_p(impossible) is None


def test_the_papers_small_tables_have_an_exact_p_beside_pearsons():
    """Location, primary site and device have expected counts below 5; Pearson's p is what the paper prints."""
    location, device = [[43, 37], [13, 13], [1, 3]], [[51, 49], [6, 4]]
    site = [[20, 16], [23, 13], [4, 6], [3, 0], [2, 5], [5, 13]]
    assert [f"{chi_squared_p(table):.3f}" for table in (location, device)] == ["0.520", "0.587"]
    assert exact_p(location) == pytest.approx(exact_by_enumeration(location), abs=0.006)
    odds = [math.comb(100, 57 - k) * math.comb(10, k) for k in range(11)]  # k of the 10 by linear accelerator responded
    assert exact_p(device) == pytest.approx(sum(o for o in odds if o <= odds[6]) / sum(odds))
    assert 0.03 < exact_p(site) < 0.045


def test_the_same_table_has_the_same_p_in_every_run():
    counts = [[43, 37], [13, 13], [1, 3]]
    assert exact_p(counts) == exact_p(counts)


def test_random_tables_of_many_categories_take_little_memory():
    """All tables at once would be 30 million cells, 240 MB for the counts alone."""
    counts = np.random.default_rng(0).integers(0, 4, (150, 2))
    tracemalloc.start()
    try:
        assert 0 < exact_p(counts) <= 1
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_chi_squared_ignores_empty_categories_and_arms():
    assert chi_squared_p([[5, 6], [0, 0], [7, 2]]) == chi_squared_p([[5, 6], [7, 2]])
    assert chi_squared_p([[5, 6]]) is None
    assert chi_squared_p([[5, 0], [6, 0]]) is None


def test_mann_whitney_is_the_normal_approximation_with_ties():
    a, b = [1, 2, 2, 3, 5], [2, 4, 4, 6, 7, 7]
    # U and its tie-corrected variance written out.
    u = sum((x > y) + 0.5 * (x == y) for x in a for y in b)
    values = pd.Series(a + b)
    ties = sum(t**3 - t for t in values.value_counts())
    n = len(values)
    variance = len(a) * len(b) / 12 * ((n + 1) - ties / (n * (n - 1)))
    expected = 2 * stats.norm.sf(abs(u - len(a) * len(b) / 2) / variance**0.5)
    assert mann_whitney_p(a, b) == pytest.approx(expected)
    assert mann_whitney_p([], [1.0]) is None
    assert mann_whitney_p([2, 2], [2, 2]) is None


def paper_arm(label, extracranial, unknown):
    yes, no = extracranial
    return pd.DataFrame(
        {
            "label": label,
            "extracranial_metastases": [True] * yes + [False] * no + [None] * unknown,
            "primary_controlled": "yes",
            "systemic_therapy": "no",
            "diameter_mm": [20.0 + 0.1 * i for i in range(yes + no + unknown)],
            "primary_site": ["lung", "other"] * ((yes + no + unknown) // 2) + ["lung"] * ((yes + no + unknown) % 2),
            "location": "cerebrum",
            "age": 60.0,
            "sex": "F",
            "kps": [90.0] * (yes + no) + [float("nan")] * unknown,
            "total_dose_gy": 24.0,
            "fractions": 3,
            "bed10_gy": 60.0,
            "device": "cyberknife",
        }
    )


def test_tables_have_the_papers_rows_and_count_only_what_is_known():
    tumours = pd.concat([paper_arm(0, (29, 28), 0), paper_arm(1, (37, 14), 2)], ignore_index=True)
    table = table_i(tumours)
    titles = [title for title in table["characteristic"] if title]
    assert titles[0].startswith("Size, median (range), cm")
    assert titles[-1].startswith("Systemic therapy")
    rows = table[table["characteristic"].str.startswith("Extracranial")]
    assert list(rows["category"]) == ["yes", "no"]
    assert list(rows["responder"]) == ["29", "28"]
    assert list(rows["non_responder"]) == ["37", "14"]
    assert round(rows["p_value"].iloc[0], 3) == 0.021
    assert rows["characteristic"].iloc[0] == "Extracranial metastases (n=57/51)"
    assert tuple(table.columns) == TABLE_COLUMNS
    assert rows["p_exact"].isna().all()
    kps = table[table["characteristic"].str.startswith("KPS")].iloc[0]
    assert kps["non_responder"] == "90 (90-90), n=51"
    sites = table[table["characteristic"].str.startswith("Primary site")]
    assert list(sites["category"]) == ["lung", "other"]


def test_table_ii_names_units_and_keeps_constant_rows():
    tumours = pd.concat([paper_arm(0, (3, 2), 0), paper_arm(1, (2, 2), 0)], ignore_index=True)
    table = table_ii(tumours)
    assert table["characteristic"].tolist() == [
        "Total dose, median (range), Gy",
        "Fractions, median (range)",
        "BED, median (range), Gy10",
        "Device",
    ]
    assert table["category"].iloc[-1] == "CyberKnife"
    assert table["p_value"].isna().all()


def test_tables_are_written_where_a_covariate_is_entirely_missing():
    tumours = pd.concat([paper_arm(0, (3, 2), 0), paper_arm(1, (2, 2), 0)], ignore_index=True)
    tumours = tumours.assign(kps=float("nan"), primary_site=None)
    table = table_i(tumours)
    assert table[table["characteristic"].str.startswith("KPS")]["responder"].iloc[0].startswith("not known")
    assert table[table["characteristic"].str.startswith("Primary site")]["responder"].tolist() == ["not known"]
