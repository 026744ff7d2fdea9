"""Training curves: validation accuracy of a group's members over all attempts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.common.artifacts.members import Member
from components.figures.drawing import DASHES, GROUP_COLOURS, WIDE, new_axes, style, to_svg


def training_curves(group: str, members: Sequence[Member]) -> str:
    """Validation accuracy of a group's members, one line per member and attempt; a cross marks each restart."""
    with style():
        figure, axes = new_axes(WIDE)
        ends: list[tuple[float, float]] = []
        for index, member in enumerate(members):
            line = {"color": GROUP_COLOURS[index % len(GROUP_COLOURS)], "ls": DASHES[index % len(DASHES)]}
            attempts = _attempts(member.history)
            for steps, accuracy in attempts:
                axes.plot(steps, accuracy, **line, lw=0.9, alpha=0.75)
            ends += [(steps[-1], accuracy[-1]) for steps, accuracy in attempts[:-1]]
        if ends:
            axes.scatter(*np.array(ends).T, marker="x", s=28, color="black", lw=1.3, zorder=3, label="restart")
            axes.legend(loc="lower right")
        axes.set(xlabel="training steps, all attempts", ylabel="validation accuracy", ylim=(0, 1.02))
        axes.set_title(f"Group {group}")
        return to_svg(figure, f"Validation accuracy of the networks of group {group}")


def _attempts(history: pd.DataFrame) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Steps, counted over all attempts, and validation accuracy of every attempt."""
    attempts, previous_steps = [], 0.0
    for _, rows in history.groupby("attempt", sort=True):
        steps = rows["step"].to_numpy(float) + previous_steps
        attempts.append((steps, rows["validation_accuracy"].to_numpy(float)))
        previous_steps = steps.max()
    return attempts
