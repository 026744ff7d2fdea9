"""Comparison of two runs: ensembles of the same groups on the tumours that both runs evaluated.

Evaluation sets are sampled by study key and pseudonyms, not by the seed, so runs with different seeds or settings share
them.
"""

import textwrap
from typing import Any

import pandas as pd

from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.splits import Splits
from components.common.errors import InputError
from components.evaluate.tables import SYNTHETIC, flat_facts, minus, number, p_value
from components.stats.paired import detectable_difference, paired_test

COLUMNS = ("group", "tumours", "auc_a", "auc_b", "difference", "se", "p_value", "detectable")


def compare(a: Evaluation, b: Evaluation) -> pd.DataFrame:
    """Paired tests of run a against run b, one row per group present in both.

    Parameters
    ----------
    a, b
        Evaluations; each run's ensembles are compared by the run's own primary score.

    Returns
    -------
    pandas.DataFrame
        Columns ``COLUMNS``; ``difference`` is AUC a minus AUC b, ``se`` its standard error by Obuchowski (1997) with
        patients as clusters, ``detectable`` the true difference that such a test detects with 80 % power. Values are
        NaN where the shared tumours lack a class.

    Raises
    ------
    InputError
        ``RUNS_NOT_COMPARABLE`` where no group has a tumour evaluated in both runs, or labels differ.
    """
    shared = _evaluation_scores(a).merge(_evaluation_scores(b), on=["group", "tumour"], suffixes=("_a", "_b"))
    if shared.empty or (shared["label_a"] != shared["label_b"]).any():
        raise InputError(
            "RUNS_NOT_COMPARABLE",
            "the two runs do not evaluate the same tumours with the same labels",
            "Compare runs of one study: the same study name, cohort and key of pseudonyms.",
        )
    return pd.DataFrame([_row(str(group), rows) for group, rows in shared.groupby("group")], columns=list(COLUMNS))


def differing_settings(a: Splits, b: Splits) -> list[tuple[str, Any, Any]]:
    """Name and both values of each setting in which two runs differ, the seed included."""
    first, second = (flat_facts(run.settings) for run in (a, b))
    return [(name, one, other) for (name, one), (_, other) in zip(first, second, strict=True) if one != other]


def records(a: Evaluation, b: Evaluation) -> list[dict[str, Any]]:
    """The comparison as plain values, None where a value is missing."""
    rows = compare(a, b).to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in rows]


def comparison_text(a: Evaluation, b: Evaluation) -> str:
    """The comparison as plain text of at most 100 columns."""
    lines = [f"{'group':<7}{'tumours':>8}{'AUC a':>9}{'AUC b':>9}{'a - b':>9}{'SE':>8}{'p':>9}{'detectable':>12}"]
    for row in compare(a, b).to_dict("records"):
        cells = [number(value) for value in (row["auc_a"], row["auc_b"], minus(row["auc_a"], row["auc_b"]))]
        lines.append(
            f"{row['group']:<7}{row['tumours']:>8}{cells[0]:>9}{cells[1]:>9}{cells[2]:>9}"
            f"{number(row['se']):>8}{p_value(row['p_value']):>9}{number(row['detectable']):>12}"
        )
    means = " and ".join(f"{number(run.metrics.mean_auc)} ({_groups(run)})" for run in (a, b))
    lines += textwrap.wrap(
        f"Mean AUC over all groups: {means}. Detectable: true difference detected with 80 % power.", 100
    )
    if any("–" in line for line in lines[1:]):
        lines.append("A dash: the tumours that both runs evaluated lack a class, or the scores are identical.")
    synthetic = a.metrics.synthetic or b.metrics.synthetic
    return "\n".join([*([SYNTHETIC] if synthetic else []), *lines])


def _groups(run: Evaluation) -> str:
    count = run.scores["group"].nunique()
    return f"{count} groups" if count > 1 else "1 group"


def _evaluation_scores(run: Evaluation) -> pd.DataFrame:
    rows = run.scores[run.scores["role"] == "evaluation"]
    return rows[["group", "tumour", "patient", "label"]].assign(score=rows[run.metrics.primary_score])


def _row(group: str, rows: pd.DataFrame) -> tuple[object, ...]:
    if rows["label_a"].nunique() < 2:
        return (group, len(rows), *[float("nan")] * 6)
    test = paired_test(rows["label_a"], rows["score_a"], rows["score_b"], patients=rows["patient_a"])
    detectable = detectable_difference(test) or float("nan")  # identical scores give no standard error
    figures = (test.auc_a, test.auc_b, test.difference, test.se, test.p_value, detectable)
    return (group, len(rows), *figures)
