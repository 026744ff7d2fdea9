"""The model card (Markdown) and the reporting checklist (JSON) of a run."""

from pathlib import Path
from typing import Any

import jinja2

from components.common.artifacts import Dataset, Evaluation, Splits
from components.common.files import write_json
from components.common.members import Members
from components.evaluate.checklist import MISSING, checklist
from components.evaluate.report import flat_facts
from components.evaluate.tables import SYNTHETIC, number, p_value, percent


def write_model_card(
    folder: Path, dataset: Dataset, splits: Splits, members: Members, evaluation: Evaluation, facts: dict[str, Any]
) -> Path:
    """Writes ``model_card.md`` and ``checklist.json`` into ``folder``; returns the card's path.

    Parameters
    ----------
    folder
        Made if absent.
    dataset, splits, members, evaluation
        Artifacts of one run.
    facts
        As ``report.write_report`` takes them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = checklist(evaluation, dataset)
    write_json(folder / "checklist.json", {"synthetic": dataset.synthetic, "items": items})
    path = folder / "model_card.md"
    path.write_text(card(dataset, splits, members, evaluation, facts, items), encoding="utf-8")
    return path


def card(
    dataset: Dataset,
    splits: Splits,
    members: Members,
    evaluation: Evaluation,
    facts: dict[str, Any],
    items: list[dict[str, Any]],
) -> str:
    """The card as Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("components.evaluate", "."),
        autoescape=False,  # noqa: S701 - Markdown; every value is our own figure or a validated setting
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "p": p_value, "percent": percent}
    text: str = environment.get_template("model_card.md.j2").render(
        dataset=dataset,
        splits=splits,
        member_count=len(members.members),
        metrics=evaluation.metrics,
        synthetic=SYNTHETIC,
        missing=[item for item in items if item["status"] == MISSING],
        facts=flat_facts({name: value for name, value in facts.items() if name != "settings"}),
    )
    return text
