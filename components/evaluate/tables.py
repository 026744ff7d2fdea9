"""Tables as rows of text, shared by the report, the model card and the terminal."""

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.metrics import DevelopmentMetrics, Metrics, OneClassMetrics
from components.common.artifacts.score_metrics import Limits, RocSummary
from components.common.counted import counted
from components.evaluate.cohort_tables import LEAST_EXPECTED, RANDOM_TABLES, table_i, table_ii
from components.evaluate.set_metrics import newcombe_of

#: What stands for the p-value of a characteristic that cannot be tested, and why.
NO_TEST, WHY_NO_TEST = "no test", "an arm is empty, or all tumours have one value"
#: Widest line of the terminal tables.
TERMINAL_COLUMNS = 100
SYNTHETIC = "SYNTHETIC: phantom data, no patient"

#: Title and column of each statistic, the recommended interval first; the paper's are SPSS's.
TABLE_III_ROWS = (
    ("AUC", "auc"),
    ("95 % CI, low", "newcombe_low"),
    ("95 % CI, high", "newcombe_high"),
    ("sensitivity, %", "sensitivity"),
    ("specificity, %", "specificity"),
    ("p, ties corrected", "p_value_ties"),
    ("paper's (SPSS): low", "ci_low"),
    ("paper's (SPSS): high", "ci_high"),
    ("paper's (SPSS): p", "p_value"),
)
P_TITLES = tuple(title for title, column in TABLE_III_ROWS if column.startswith("p_value"))
#: Width of the titles in the terminal; a block of eleven columns then has ``TERMINAL_COLUMNS``.
TITLE_COLUMNS = 21


def number(value: Any, digits: int = 3) -> str:
    """A number with fixed decimals, or a dash where it is missing."""
    return "–" if value is None or pd.isna(value) else f"{float(value):.{digits}f}"


def minus(value: Any, other: Any, digits: int = 3) -> float | None:
    """The difference of two numbers as ``number`` prints them, so that a reader who subtracts them finds the same."""
    shown = [number(one, digits) for one in (value, other)]
    return None if "–" in shown else round(float(shown[0]) - float(shown[1]), digits) + 0.0  # no minus before zero


def limits_text(limits: Limits | RocSummary | None, missing: str = "too few patients") -> str:
    """Confidence limits, or the reason why they are missing."""
    return missing if limits is None else f"{number(limits.ci_low)} to {number(limits.ci_high)}"


def mean_limits_text(metrics: Metrics) -> str:
    """Confidence limits of the mean AUC, or why there are none."""
    if metrics.mean_auc_lower_bound is None:
        return "no confidence limits, as there are too few patients"
    interval = f"95 % CI {limits_text(limits)}; " if (limits := metrics.mean_auc_limits) else ""
    return f"{interval}one-sided 95 % lower bound {number(metrics.mean_auc_lower_bound)}"


def development_auc(development: DevelopmentMetrics | OneClassMetrics) -> str:
    """AUC of a group's development predictions, or why there is none."""
    missing = "one class only" if development.n else "no predictions"
    return missing if development.auc is None else number(development.auc)


def p_value(value: Any) -> str:
    """A p-value as papers print it."""
    return "<0.001" if value is not None and value < 0.0005 else number(value)


def p_statement(value: Any) -> str:
    """A p-value within a sentence: p = 0.012, or p < 0.001."""
    text = p_value(value)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def percent(value: Any) -> str:
    """A proportion as a whole percentage, or a dash where it is missing."""
    return "–" if value is None or pd.isna(value) else f"{100 * float(value):.0f}"


def lower_first(text: str) -> str:
    """A title within a sentence."""
    return text[:1].lower() + text[1:]


#: What the templates of report and model card call these functions.
FILTERS = {
    "counted": counted,
    "number": number,
    "minus": minus,
    "p": p_value,
    "p_statement": p_statement,
    "percent": percent,
    "limits": limits_text,
    "mean_limits": mean_limits_text,
    "development_auc": development_auc,
    "newcombe": newcombe_of,
    "lower_first": lower_first,
}


def flat_facts(facts: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as (name, text) pairs."""
    if dataclasses.is_dataclass(facts) and not isinstance(facts, type):
        facts = dataclasses.asdict(facts)
    if isinstance(facts, Mapping):
        return [
            pair
            for key, value in facts.items()
            for pair in flat_facts(value, f"{prefix} / {key}" if prefix else str(key))
        ]
    if isinstance(facts, list | tuple):
        facts = ", ".join(map(str, facts)) or "none"
    return [(prefix, str(facts))]


def cohort_lines(table: pd.DataFrame) -> list[dict[str, str]]:
    """Printed lines of Table I or II; each characteristic and its p-values are on its first line only."""
    lines, previous = [], None
    for row in table.to_dict("records"):
        first = row["characteristic"] != previous
        previous = row["characteristic"]
        tested = first and not pd.isna(row["p_value"])
        printed = p_value(row["p_value"]) if tested else NO_TEST if first else ""
        lines.append(
            {
                "characteristic": previous if first else "",
                "category": row["category"],
                "responder": row["responder"],
                "non_responder": row["non_responder"],
                "p": printed,
                "p_exact": "" if pd.isna(row["p_exact"]) else p_value(row["p_exact"]),
                "test": row["test"] if tested else "",
            }
        )
    return lines


def table_iii_block(evaluation: Evaluation, group: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of Table III for one group: networks in columns, statistics in rows, as in the paper."""
    table = evaluation.table_iii[evaluation.table_iii["group"] == group]
    rows = []
    for title, column in TABLE_III_ROWS:
        formatted = percent if title.endswith("%") else p_value if column.startswith("p_value") else number
        rows.append([title, *(formatted(value) for value in table[column])])
    flags = [" *" if flagged and member != "ensemble" else "" for member, flagged in
             zip(table["member"], table["flagged"], strict=True)]  # fmt: skip
    return [f"{name}{flag}" for name, flag in zip(table["member"].astype(str), flags, strict=True)], rows


def terminal_tables(evaluation: Evaluation, dataset: Dataset) -> str:
    """Tables I, II and III as plain text of at most 100 columns, labelled SYNTHETIC for phantom data."""
    label = [SYNTHETIC] if dataset.synthetic else []
    labels = dataset.tumours["label"]
    arms = f"responder n={int((labels == 0).sum())} / non-responder n={int((labels == 1).sum())}"
    parts = [*label]
    for title, table in (("Table I. Patients and tumours", table_i), ("Table II. Treatment", table_ii)):
        parts += [f"{title} ({arms})", *_cohort_text(cohort_lines(table(dataset.tumours))), ""]
    score = {"mean": "mean probability", "vote": "vote fraction"}[evaluation.metrics.primary_score]
    parts += [f"Table III. Networks by their hard votes, ensembles by their {score} (* flagged in training)"]
    for group in sorted(evaluation.table_iii["group"].unique()):
        parts += [f"Group {group}", *_table_iii_text(*table_iii_block(evaluation, group)), ""]
    parts += _mean_text(evaluation.metrics)
    return "\n".join(parts + label)


def _cohort_text(lines: list[dict[str, str]]) -> list[str]:
    """Lines of text; an exact p-value stands in brackets below Pearson's, beside the characteristic's next category."""
    text, exact = [], ""
    for line in lines:
        name, *more = textwrap.wrap(line["characteristic"], 36) or [""]
        left = f"  {name:<37}{line['category']:<14}{line['responder']:>19}{line['non_responder']:>19}"
        text.append(f"{left}{line['p'] or exact:>8}")
        text += [f"  {part}" for part in more]
        exact = f"({line['p_exact']})" if line["p_exact"] else ""
    if any(line["p"] == NO_TEST for line in lines):
        text.append(f"  {NO_TEST}: {WHY_NO_TEST}")
    if any(line["p_exact"] for line in lines):
        tests = f"Fisher's exact test or {RANDOM_TABLES:,} random tables"
        text.append(f"  (p): by {tests}, since some expected counts are below {LEAST_EXPECTED}")
    return [part.rstrip()[:TERMINAL_COLUMNS] for part in text]


def _table_iii_text(head: list[str], rows: list[list[str]], across: int = 11) -> list[str]:
    """Table III in blocks of ``across`` columns, so that large ensembles stay readable."""
    text = []
    for start in range(0, len(head), across):
        names = [name.replace("ensemble", "ens.") for name in head[start : start + across]]
        text.append(f"  {'':<{TITLE_COLUMNS}}" + "".join(f"{name:>7}" for name in names))
        for title, *cells in rows:
            text.append(f"  {title:<{TITLE_COLUMNS}}" + "".join(f"{cell:>7}" for cell in cells[start : start + across]))
    return text


def _mean_text(metrics: Metrics) -> list[str]:
    median, low, high = map(number, (metrics.members_auc.median, metrics.members_auc.min, metrics.members_auc.max))
    return [
        f"{_whose(metrics.counts.groups)}: {number(metrics.mean_auc)} ({mean_limits_text(metrics)})",
        *_worst_centre(metrics),
        *_often_used(metrics.evaluation_sets_used),
        f"Median AUC of the networks: {median} (range {low} to {high})",
    ]


def _worst_centre(metrics: Metrics) -> list[str]:
    """The centre with the lowest AUC, where each group left one out."""
    if metrics.worst_centre_auc is None:
        return []
    group, worst = metrics.worst_group, number(metrics.worst_centre_auc)
    return [f"Lowest AUC of {len(metrics.centres)} centres left out: {worst} ({metrics.centres[group]}, group {group})"]


def _often_used(times: int) -> list[str]:
    """A warning where other runs were evaluated on the same tumours before."""
    if times < 2:
        return []
    return [f"These evaluation sets have been used {times} times: a result that is chosen from several is too good."]


def _whose(groups: int) -> str:
    return "AUC of the ensemble" if groups == 1 else f"Mean AUC of the {groups} ensembles"
