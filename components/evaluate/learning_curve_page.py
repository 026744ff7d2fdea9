"""The page of a learning curve: the section of the report on a page of its own, which MLflow shows too."""

from pathlib import Path

from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.learning_curve import LearningCurve
from components.common.artifacts.splits import Splits
from components.common.disk import write_whole
from components.common.narrow import labelled
from components.common.pages import POLICY_TAG
from components.common.versions import version_of
from components.evaluate.learning_curve import FILTERS, figure
from components.evaluate.pages import template
from components.evaluate.tables import SYNTHETIC, flat_facts

#: Name of the page in the folder of a run.
PAGE = "learning_curve.html"


def write_learning_curve(folder: Path, splits: Splits, evaluation: Evaluation, curve: LearningCurve) -> Path:
    """Writes the page into the folder of a run; returns its path."""
    facts = {
        "split digest": splits.digest,
        "seed of the run": splits.settings.seed,
        "seed of the draws": curve.seed,
        "settings": splits.settings,
    }
    page = template("learning_curve_page.html.j2", more_filters=FILTERS).render(
        policy=POLICY_TAG,
        metrics=evaluation.metrics,
        synthetic=SYNTHETIC,
        version=version_of("srs-response"),
        learning_curve=curve,
        figures={"learning_curve": figure(curve)},
        facts=flat_facts(facts),
    )
    path = folder / PAGE
    write_whole(path, labelled(page).encode())
    return path
