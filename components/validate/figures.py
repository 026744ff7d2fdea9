"""Figures of a validation: its ROC curve, and the AUC in subgroups or centres."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from components.common.artifacts.clinical_metrics import Subgroup
from components.common.artifacts.score_metrics import Rates
from components.figures.drawing import BLUE, GREY, SQUARE, VERMILION, new_axes, style, to_svg
from components.stats.roc import roc_curve

#: Inches of a forest plot: its width, which a phone shows without shrinking the text, the height of a row with its name
#: above the interval, and what the axis needs.
FOREST_WIDTH, ROW_HEIGHT, FOREST_MARGIN = 3.6, 0.4, 0.6
#: Rows from an interval up to its name.
NAME_ABOVE = 0.37
#: Behind a name, so that no line crosses its letters.
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}


def roc(labels: ArrayLike, score: ArrayLike, rates: Rates, title: str) -> str:
    """ROC curve of the primary score, with the point of the model's cut-off.

    Parameters
    ----------
    labels, score
        [n] labels (1 = non-responder) and primary scores.
    rates
        Sensitivity and specificity at the model's cut-off.
    title
        Title of the axes.
    """
    curve = roc_curve(labels, score)
    with style():
        figure, axes = new_axes(SQUARE)
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="chance")
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=BLUE, lw=2, label="primary score")
        point = (1 - rates.specificity, rates.sensitivity)
        axes.scatter(*point, s=48, color=VERMILION, zorder=3, label=f"cut-off {rates.cut_off:g}")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(title)
        axes.set_aspect("equal")
        axes.legend(loc="lower right")
        return to_svg(figure, "ROC curve on the cohort")


def forest(rows: Sequence[Subgroup], overall: tuple[float, float, float]) -> str:
    """AUC with Newcombe's interval of every subgroup that has one, and of the cohort; "" where none has one.

    Parameters
    ----------
    rows
        Subgroups, in the order from above.
    overall
        AUC of the whole cohort and its limits.
    """
    known = [
        (f"{row.covariate}: {row.category.replace('_', ' ')}", row.auc, row.auc_low, row.auc_high)
        for row in rows
        if row.auc is not None
    ]
    if not known:
        return ""
    names, *columns = zip(("all tumours", *overall), *known, strict=True)
    auc, low, high = np.array(columns, dtype=float)
    at = np.arange(len(names))[::-1]
    with style():
        figure, axes = new_axes((FOREST_WIDTH, FOREST_MARGIN + ROW_HEIGHT * len(names)))
        axes.axvline(0.5, color=GREY, lw=0.8, ls=":")
        axes.axvline(overall[0], color=BLUE, lw=0.8, ls="--")
        axes.hlines(at, low, high, color=BLUE, lw=1.3)
        axes.scatter(auc, at, s=[46] + [24] * len(known), color=BLUE, zorder=3)
        for row, name in zip(at, names, strict=True):
            axes.text(0, row + NAME_ABOVE, name, va="center", bbox=PAPER)
        axes.set_yticks([])
        axes.spines.left.set_visible(False)
        axes.set(xlabel="AUC with 95 % limits (Newcombe)", xlim=(0, 1.02), ylim=(-0.5, len(names) - 0.1))
        return to_svg(figure, "AUC in subgroups")
