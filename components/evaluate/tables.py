"""Tables as rows of text, for the report, the card and the terminal alike."""

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.metrics import Metrics
from components.evaluate.cohort_tables import table_i, table_ii

#: Widest line of the terminal tables.
TERMINAL_COLUMNS = 100
SYNTHETIC = "SYNTHETIC: phantom data, no patient"

TABLE_III_ROWS = (
    ("AUC", "auc"),
    ("p", "p_value"),
    ("95 % CI low", "ci_low"),
    ("95 % CI high", "ci_high"),
    ("sensitivity, %", "sensitivity"),
    ("specificity, %", "specificity"),
)


def number(value: Any, digits: int = 3) -> str:
    """A figure of fixed decimals; a dash where there is none."""
    return "–" if value is None or pd.isna(value) else f"{float(value):.{digits}f}"


def p_value(value: Any) -> str:
    """A p-value as papers print it."""
    return "<0.001" if value is not None and value < 0.0005 else number(value)


def percent(value: Any) -> str:
    """A share as whole per cent."""
    return "–" if value is None or pd.isna(value) else f"{100 * float(value):.0f}"


def flat_facts(facts: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as pairs of name and text."""
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
    """Printed lines of Table I or II: a category's characteristic is named once."""
    lines, before = [], None
    for row in table.to_dict("records"):
        first = row["characteristic"] != before
        before = row["characteristic"]
        printed = p_value(row["p_value"]) if first else ""
        lines.append(
            {
                "characteristic": before if first else "",
                "category": row["category"],
                "responder": row["responder"],
                "non_responder": row["non_responder"],
                "p": printed,
                "test": row["test"] if printed not in ("", "–") else "",
            }
        )
    return lines


def table_iii_block(evaluation: Evaluation, group: str) -> tuple[list[str], list[list[str]]]:
    """Table III of one group as the paper lays it out: members across, statistics down."""
    table = evaluation.table_iii[evaluation.table_iii["group"] == group]
    rows = []
    for title, column in TABLE_III_ROWS:
        shown = percent if title.endswith("%") else p_value if column == "p_value" else number
        rows.append([title, *(shown(value) for value in table[column])])
    flags = [" *" if flagged and member != "ensemble" else "" for member, flagged in
             zip(table["member"], table["flagged"], strict=True)]  # fmt: skip
    return [f"{name}{flag}" for name, flag in zip(table["member"].astype(str), flags, strict=True)], rows


def terminal_tables(evaluation: Evaluation, dataset: Dataset) -> str:
    """Tables I, II and III as plain text of at most 100 columns, labelled SYNTHETIC where due."""
    label = [SYNTHETIC] if dataset.synthetic else []
    labels = dataset.tumours["label"]
    arms = f"responder n={int((labels == 0).sum())} / non-responder n={int((labels == 1).sum())}"
    parts = [*label]
    for title, table in (("Table I. Patients and tumours", table_i), ("Table II. Treatment", table_ii)):
        parts += [f"{title} ({arms})", *_cohort_text(cohort_lines(table(dataset.tumours))), ""]
    score = evaluation.metrics.primary_score
    parts.append(f"Table III. Members by their votes, ensembles by their {score} (* best seen, validation stayed low)")
    for group in sorted(evaluation.table_iii["group"].unique()):
        parts += [f"Group {group}", *_table_iii_text(*table_iii_block(evaluation, group)), ""]
    parts += _mean_text(evaluation.metrics)
    return "\n".join(parts + label)


def _cohort_text(lines: list[dict[str, str]]) -> list[str]:
    text = []
    for line in lines:
        name, *more = textwrap.wrap(line["characteristic"], 36) or [""]
        text.append(
            f"  {name:<37}{line['category']:<14}{line['responder']:>19}{line['non_responder']:>19}{line['p']:>8}"
        )
        text += [f"  {part}" for part in more]
    return [part.rstrip()[:TERMINAL_COLUMNS] for part in text]


def _table_iii_text(head: list[str], rows: list[list[str]], across: int = 11) -> list[str]:
    """The block in pieces of ``across`` columns, so that long ensembles stay readable."""
    text = []
    for start in range(0, len(head), across):
        names = [name.replace("ensemble", "ens.") for name in head[start : start + across]]
        text.append(f"  {'':<16}" + "".join(f"{name:>7}" for name in names))
        for title, *cells in rows:
            text.append(f"  {title:<16}" + "".join(f"{cell:>7}" for cell in cells[start : start + across]))
    return text


def _mean_text(metrics: Metrics) -> list[str]:
    bound, single = number(metrics.mean_auc_lower_bound), metrics.members_auc
    return [
        f"Mean AUC of the {metrics.counts.groups} ensembles {number(metrics.mean_auc)} (one-sided 95 % bound {bound}); "
        f"members {number(single.min)} to {number(single.max)}, median {number(single.median)}",
    ]
