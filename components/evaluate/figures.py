"""The report's own figures: ROC curves, AUC by ensemble size, reliability curves, and crops with saliency maps."""

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import image as mpl_image
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts.clinical_metrics import NetBenefit
from components.common.artifacts.metrics import SizeMetrics
from components.figures.drawing import BLUE, GREY, ORANGE, SQUARE, VERMILION, line_style, new_axes, style, to_svg
from components.model.scores import VOTE_CUT_OFF
from components.stats.roc import rates_at, roc_curve


def roc(group: str, labels: ArrayLike, mean: ArrayLike, vote: ArrayLike, members: NDArray[np.float64]) -> str:
    """Figure 4 for one group: the ROC curves of both ensemble scores, and each member's hard votes as a point.

    Parameters
    ----------
    group
        Name of the group, for the title.
    labels, mean, vote
        [n] labels and the ensemble's two scores on the evaluation tumours.
    members
        [members, n] hard votes.
    """
    with style():
        figure, axes = new_axes(SQUARE)
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="chance")
        rates = [rates_at(labels, votes, VOTE_CUT_OFF) for votes in members]
        points = np.array([(1 - rate.specificity, rate.sensitivity) for rate in rates])
        axes.scatter(*points.T, s=26, color=GREY, alpha=0.55, lw=0, label="networks' votes", zorder=2)
        for score, colour, dash, name in ((vote, ORANGE, "--", "vote fraction"), (mean, BLUE, "-", "mean probability")):
            curve = roc_curve(labels, score)
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=colour, ls=dash, lw=2, label=name)
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(f"Group {group}")
        axes.set_aspect("equal")
        axes.legend(loc="lower right")
        return to_svg(figure, f"ROC curves of group {group}")


def auc_by_size(sizes: Mapping[str, Sequence[SizeMetrics]]) -> str:
    """AUC against the number of members in the ensemble, one line per group."""
    with style():
        figure, axes = new_axes((4.6, 3.0))
        for index, (group, rows) in enumerate(sizes.items()):
            counts, aucs = [row.members for row in rows], [row.mean_auc for row in rows]
            axes.plot(counts, aucs, **line_style(index), ms=4, lw=1.4, label=f"group {group}")
        axes.set(xlabel="networks in the ensemble", ylabel="mean AUC over subsets")
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside right upper")
        return to_svg(figure, "AUC against the number of networks in the ensemble")


def reliability(curves: dict[str, pd.DataFrame]) -> str:
    """Reliability curves by name; the legend, below the axes, gives the number of predictions in each point."""
    appearances = ((BLUE, "-", "o"), (VERMILION, "--", "s"))
    with style():
        figure, axes = new_axes((3.6, 4.2))
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="perfect calibration")
        for (name, curve), (colour, dash, marker) in zip(curves.items(), appearances, strict=False):
            label = f"{name}, {_sizes(curve['n'])} a point"
            axes.plot(curve["score"], curve["observed"], color=colour, ls=dash, marker=marker, ms=5, label=label)
        axes.set(
            xlabel="mean predicted score",
            ylabel="observed proportion of non-responders",
            xlim=(-0.02, 1.02),
            ylim=(-0.04, 1.04),
        )
        axes.set_aspect("equal")
        figure.legend(loc="outside lower center")
        return to_svg(figure, "Reliability curves with the number of predictions at each point")


def _sizes(counts: pd.Series) -> str:
    """The numbers of predictions in the points of a curve: one number, or from the smallest to the largest."""
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def decision(curve: Sequence[NetBenefit]) -> str:
    """Net benefit against the threshold probability: by the model with its band, for all tumours, and for none."""
    at = [point.threshold for point in curve]
    with style():
        figure, axes = new_axes((3.6, 3.2))
        axes.axhline(0, color="#000000", lw=1.2, label="act for none")
        axes.plot(at, [point.treat_all for point in curve], color=VERMILION, ls="--", lw=1.4, label="act for all")
        bands = [(point.low, point.high) for point in curve if point.low is not None and point.high is not None]
        if bands:  # all points have one, or none: see ``decision_curve``
            axes.fill_between(at, *zip(*bands, strict=True), color=BLUE, alpha=0.15, lw=0, label="95 % band")
        axes.plot(at, [point.model for point in curve], color=BLUE, lw=2, label="act by the prediction")
        top = max(*(high for _, high in bands), *(point.model for point in curve), curve[0].treat_all, 0.05)
        axes.set(
            xlabel="threshold probability", ylabel="net benefit", xlim=(at[0], at[-1]), ylim=(-0.3 * top, 1.1 * top)
        )
        figure.legend(loc="outside lower center", ncols=2)
        return to_svg(figure, "Net benefit against the threshold probability")


def crop_image(
    crop_hu: NDArray[np.float32], level_hu: float, width_hu: float, saliency: NDArray[np.float64] | None = None
) -> str:
    """A crop [rows, columns] in HU, windowed, as a data URI; rows run from anterior to posterior.

    ``saliency`` [rows, columns] in [0, 1] is overlaid on it; higher values are more opaque and yellower.
    """
    grey = np.clip((np.asarray(crop_hu, np.float64) - level_hu) / width_hu + 0.5, 0, 1)
    shown = np.repeat(grey[..., None], 3, axis=2)
    if saliency is not None:
        opacity = 0.75 * saliency[..., None]
        shown = (1 - opacity) * shown + opacity * mpl.colormaps["viridis"](saliency)[..., :3]
    buffer = io.BytesIO()
    mpl_image.imsave(buffer, shown, format="jpeg", pil_kwargs={"quality": 80})
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
