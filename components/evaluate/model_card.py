"""The model card (Markdown) and the reporting checklist (JSON) of a run."""

from pathlib import Path
from typing import Any

from components.common.artifacts.evaluation import MODEL_CARD
from components.common.error_rates import design_of, simulated_for
from components.common.files import write_json
from components.evaluate.checklist import MISSING, checklist
from components.evaluate.evaluation import EvaluatedRun
from components.evaluate.pages import template
from components.evaluate.study import draws
from components.evaluate.tables import SYNTHETIC, flat_facts


def write_model_card(folder: Path, run: EvaluatedRun) -> Path:
    """Writes ``model_card.md`` and ``checklist.json`` into ``folder``, made if absent; returns the card's path."""
    folder.mkdir(parents=True, exist_ok=True)
    items = checklist(run)
    write_json(folder / "checklist.json", {"synthetic": run.dataset.synthetic, "items": items})
    path = folder / MODEL_CARD
    path.write_text(card(run, items), encoding="utf-8")
    return path


def card(run: EvaluatedRun, items: list[dict[str, Any]]) -> str:
    """The card as Markdown."""
    counts = run.evaluation.metrics.counts
    design = design_of(run.splits.unit, counts.groups, counts.members)
    text: str = template("model_card.md.j2").render(
        dataset=run.dataset,
        splits=run.splits,
        own_design=design,
        simulated=simulated_for(design),
        only_training=run.splits.only_training(run.dataset.tumours),
        **draws(run.splits),
        member_count=len(run.members.members),
        metrics=run.evaluation.metrics,
        synthetic=SYNTHETIC,
        missing=[item for item in items if item["status"] == MISSING],
        facts=flat_facts({name: value for name, value in run.facts.items() if name != "settings"}),
    )
    return text
