"""Split matrix: the set (training, validation or evaluation) of each tumour for each member."""

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from components.common.artifacts.splits import Splits
from components.figures.drawing import SKY, VERMILION, new_axes, style, to_svg


def split_matrix(splits: Splits, table: pd.DataFrame) -> str:
    """The set of each tumour of the dataset's table (column) for each member (row), as inline SVG.

    Responders are left of the line, and tumours of one patient are adjacent.
    """
    tumours = list(table.sort_values(["label", "patient"], kind="stable")["tumour"])
    responders = int((table["label"] == 0).sum())
    column_of = {tumour: column for column, tumour in enumerate(tumours)}
    roles = np.zeros((len(splits.members), len(tumours)))
    for row, split in enumerate(splits.members):
        for value, names in enumerate((split.training, split.validation, split.evaluation)):
            roles[row, [column_of[name] for name in names]] = value
    colours = ("#e6e9ee", SKY, VERMILION)
    with style():
        figure, axes = new_axes((7.2, min(1.5 + 0.07 * len(roles), 7.0)))
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
        return to_svg(figure, "Training, validation and evaluation tumours of every member")
