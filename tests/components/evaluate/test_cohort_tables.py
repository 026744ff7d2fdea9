"""Golden numbers: the printed p-values of Tables I and II from the printed counts (STUDY 1)."""

import pandas as pd
import pytest
from scipy import stats

from components.evaluate.cohort_tables import chi_squared_p, mann_whitney_p, table_i, table_ii


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
    assert table[table["characteristic"].str.startswith("KPS")]["responder"].iloc[0].startswith("-")
    assert table[table["characteristic"].str.startswith("Primary site")]["responder"].tolist() == ["-"]
