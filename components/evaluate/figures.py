"""The report's figures as inline SVG: axes, units, legends, and colours that colour-blind readers tell apart.

No pyplot and no global state: every figure is drawn on a canvas of its own. Text stays text, so that figures
are searchable, small and sharp in print.
"""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import image as mpl_image
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from components.common.artifacts import Splits
from components.common.members import Member
from components.evaluate.roc import rates_at, roc_curve

#: Okabe & Ito's palette, distinguishable with any colour vision; lines also differ in dash or marker.
BLUE, ORANGE, VERMILION, GREEN, PURPLE, SKY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
GREY = "#8a8f98"
GROUP_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, "#000000", SKY, ORANGE)
GROUP_MARKERS = "osD^vP*X"
DASHES = ("-", "--", "-.", ":")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "srs-response",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555b66",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
}

SQUARE = (3.5, 3.5)
WIDE = (3.5, 2.5)


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
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(SQUARE)
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="no information")
        rates = [rates_at(labels, votes, 0.5) for votes in members]
        spots = np.array([(1 - rate.specificity, rate.sensitivity) for rate in rates])
        axes.scatter(*spots.T, s=26, color=GREY, alpha=0.55, lw=0, label="members' votes", zorder=2)
        for score, colour, dash, name in ((vote, ORANGE, "--", "fraction of votes"), (mean, BLUE, "-", "mean")):
            points = roc_curve(labels, score)
            axes.plot(points.false_positive_rate, points.true_positive_rate, color=colour, ls=dash, lw=2, label=name)
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(f"Group {group}")
        axes.set_aspect("equal")
        axes.legend(loc="lower right")
        return _svg(figure, f"ROC curves of group {group}")


def auc_by_size(sizes: dict[str, list[dict[str, float]]]) -> str:
    """AUC against the number of members, one line a group."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes((4.6, 3.0))
        for place, (group, rows) in enumerate(sizes.items()):
            table = pd.DataFrame(rows)
            axes.plot(table["members"], table["mean_auc"], **_group_style(place), ms=4, lw=1.4, label=f"group {group}")
        axes.set(xlabel="members in the ensemble", ylabel="AUC, mean over subsets")
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside right upper")
        return _svg(figure, "AUC against the number of members")


def reliability(curves: dict[str, pd.DataFrame]) -> str:
    """Reliability curves by name; each point carries its count of answers."""
    looks = ((BLUE, "-", "o", (-13, 6)), (VERMILION, "--", "s", (5, -10)))
    with mpl.rc_context(_STYLE):
        figure, axes = _axes((3.9, 3.7))
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="perfect")
        for (name, curve), (colour, dash, marker, shift) in zip(curves.items(), looks, strict=False):
            axes.plot(curve["score"], curve["observed"], color=colour, ls=dash, marker=marker, ms=5, label=name)
            for row in curve.to_dict("records"):
                at = (row["score"], row["observed"])
                axes.annotate(f"{row['n']}", at, shift, textcoords="offset points", fontsize=7, color=colour)
        axes.set(xlabel="score", ylabel="share of non-responders", xlim=(-0.02, 1.02), ylim=(-0.04, 1.04))
        axes.set_aspect("equal")
        axes.legend(loc="upper left")
        return _svg(figure, "Reliability curves with counts")


def training(group: str, members: Sequence[Member]) -> str:
    """Validation accuracy of a group's members, one line a member and attempt; a cross ends an attempt."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(WIDE)
        ends: list[tuple[float, float]] = []
        for place, member in enumerate(members):
            look = {"color": GROUP_COLOURS[place % len(GROUP_COLOURS)], "ls": DASHES[place % len(DASHES)]}
            attempts = _attempts(member.history)
            for steps, accuracy in attempts:
                axes.plot(steps, accuracy, **look, lw=0.9, alpha=0.75)
            ends += [(steps[-1], accuracy[-1]) for steps, accuracy in attempts[:-1]]
        if ends:
            axes.scatter(*np.array(ends).T, marker="x", s=28, color="black", lw=1.3, zorder=3, label="restart")
            axes.legend(loc="lower right")
        axes.set(xlabel="steps over all attempts", ylabel="validation accuracy", ylim=(0, 1.02))
        axes.set_title(f"Group {group}")
        return _svg(figure, f"Validation accuracy of the members of group {group}")


def split_matrix(splits: Splits, table: pd.DataFrame) -> str:
    """Which tumour of the dataset's table (column) serves which member (row) for what.

    Responders stand left of the line, and the tumours of a patient side by side.
    """
    tumours = list(table.sort_values(["label", "patient"], kind="stable")["tumour"])
    responders = int((table["label"] == 0).sum())
    place = {tumour: column for column, tumour in enumerate(tumours)}
    roles = np.zeros((len(splits.members), len(tumours)))
    for row, split in enumerate(splits.members):
        for value, names in enumerate((split.training, split.validation, split.evaluation)):
            roles[row, [place[name] for name in names]] = value
    colours = ("#e6e9ee", SKY, VERMILION)
    with mpl.rc_context(_STYLE):
        figure, axes = _axes((7.2, min(1.5 + 0.07 * len(roles), 7.0)))
        axes.imshow(roles, aspect="auto", cmap=ListedColormap(colours), vmin=0, vmax=2, interpolation="nearest")
        axes.axvline(responders - 0.5, color="black", lw=1)
        groups = [split.group for split in splits.members]
        axes.set_yticks([groups.index(g) + (groups.count(g) - 1) / 2 for g in splits.groups], splits.groups)
        axes.tick_params(axis="y", length=0)
        for group in splits.groups[1:]:
            axes.axhline(groups.index(group) - 0.5, color="white", lw=1.5)
        axes.set(xlabel="tumours: responders | non-responders", ylabel="group")
        handles = [
            Patch(color=c, label=n) for c, n in zip(colours, ("training", "validation", "evaluation"), strict=True)
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
        return _svg(figure, "Training, validation and evaluation tumours of every member")


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


def _attempts(history: pd.DataFrame) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Steps, counted over all attempts, and validation accuracy of every attempt."""
    found, before = [], 0.0
    for _, rows in history.groupby("attempt", sort=True):
        steps = rows["step"].to_numpy(float) + before
        found.append((steps, rows["validation_accuracy"].to_numpy(float)))
        before = steps.max()
    return found


def _group_style(place: int) -> dict[str, Any]:
    return {
        "color": GROUP_COLOURS[place % len(GROUP_COLOURS)],
        "marker": GROUP_MARKERS[place % len(GROUP_MARKERS)],
        "ls": DASHES[place % len(DASHES)],
    }


def _axes(size: tuple[float, float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def _svg(figure: Figure, title: str) -> str:
    """Inline SVG that scales to its place, named for screen readers, the same bytes each time."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' id="[A-Za-z0-9]+_\d+"', "", text)
    width = float(figure.get_size_inches()[0]) * 96
    head = f'<svg role="img" aria-label="{title}" style="width:100%;max-width:{width:.0f}px;height:auto"'
    return re.sub(r'<svg( height="[^"]*"| width="[^"]*")?', head, text, count=1)
