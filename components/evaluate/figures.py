"""The report's own figures: ROC, AUC against members, reliability, crops with their maps."""

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import image as mpl_image
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts.metrics import SizeMetrics
from components.figures.drawing import BLUE, GREY, ORANGE, SQUARE, VERMILION, line_style, new_axes, style, to_svg
from components.model.scores import VOTE_CUT_OFF
from components.stats.roc import rates_at, roc_curve


def roc(group: str, labels: ArrayLike, mean: ArrayLike, vote: ArrayLike, members: NDArray[np.float64]) -> str:
    """Figure 4 for one group: both ensemble scores' curves, and each member's hard votes as a point.

    Parameters
    ----------
    group
        Name for the title.
    labels, mean, vote
        [n] labels and the ensemble's two scores on the evaluation tumours.
    members
        [members, n] hard votes.
    """
    with style():
        figure, axes = new_axes(SQUARE)
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="no information")
        rates = [rates_at(labels, votes, VOTE_CUT_OFF) for votes in members]
        spots = np.array([(1 - rate.specificity, rate.sensitivity) for rate in rates])
        axes.scatter(*spots.T, s=26, color=GREY, alpha=0.55, lw=0, label="members' votes", zorder=2)
        for score, colour, dash, name in ((vote, ORANGE, "--", "fraction of votes"), (mean, BLUE, "-", "mean")):
            points = roc_curve(labels, score)
            axes.plot(points.false_positive_rate, points.true_positive_rate, color=colour, ls=dash, lw=2, label=name)
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(f"Group {group}")
        axes.set_aspect("equal")
        axes.legend(loc="lower right")
        return to_svg(figure, f"ROC curves of group {group}")


def auc_by_size(sizes: Mapping[str, Sequence[SizeMetrics]]) -> str:
    """AUC against the number of members, one line a group."""
    with style():
        figure, axes = new_axes((4.6, 3.0))
        for place, (group, rows) in enumerate(sizes.items()):
            counts, aucs = [row.members for row in rows], [row.mean_auc for row in rows]
            axes.plot(counts, aucs, **line_style(place), ms=4, lw=1.4, label=f"group {group}")
        axes.set(xlabel="members in the ensemble", ylabel="AUC, mean over subsets")
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside right upper")
        return to_svg(figure, "AUC against the number of members")


def reliability(curves: dict[str, pd.DataFrame]) -> str:
    """Reliability curves by name; each point carries its count of answers."""
    looks = ((BLUE, "-", "o", (-13, 6)), (VERMILION, "--", "s", (5, -10)))
    with style():
        figure, axes = new_axes((3.9, 3.7))
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="perfect")
        for (name, curve), (colour, dash, marker, shift) in zip(curves.items(), looks, strict=False):
            axes.plot(curve["score"], curve["observed"], color=colour, ls=dash, marker=marker, ms=5, label=name)
            for row in curve.to_dict("records"):
                at = (row["score"], row["observed"])
                axes.annotate(f"{row['n']}", at, shift, textcoords="offset points", fontsize=7, color=colour)
        axes.set(xlabel="score", ylabel="share of non-responders", xlim=(-0.02, 1.02), ylim=(-0.04, 1.04))
        axes.set_aspect("equal")
        axes.legend(loc="upper left")
        return to_svg(figure, "Reliability curves with counts")


def crop_image(
    crop_hu: NDArray[np.float32], level_hu: float, width_hu: float, attention: NDArray[np.float64] | None = None
) -> str:
    """A crop [rows, columns] in HU, windowed, as a data URI; rows run from anterior to posterior.

    ``attention`` [rows, columns] in [0, 1] is laid over it, the stronger the more opaque and the yellower.
    """
    grey = np.clip((np.asarray(crop_hu, np.float64) - level_hu) / width_hu + 0.5, 0, 1)
    shown = np.repeat(grey[..., None], 3, axis=2)
    if attention is not None:
        veil = 0.75 * attention[..., None]
        shown = (1 - veil) * shown + veil * mpl.colormaps["viridis"](attention)[..., :3]
    buffer = io.BytesIO()
    mpl_image.imsave(buffer, shown, format="jpeg", pil_kwargs={"quality": 80})
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
