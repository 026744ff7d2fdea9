"""The figures of a validation can be read: nothing covers the curves, and a phone does not shrink their text."""

import re

import pandas as pd
import pytest

from components.common.artifacts.clinical_metrics import NetBenefit, Subgroup
from components.common.artifacts.score_metrics import Rates
from components.evaluate.figures import decision, reliability
from components.validate.figures import forest, roc

#: CSS pixels between the margins of a page in a window of 390.
PHONE = 354


def texts(svg: str) -> dict[str, tuple[float, float]]:
    """Every text of a figure with its place, in points from the top left."""
    found = re.findall(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg)
    return {text: (float(x), float(y)) for x, y, text in found}


def curve(sizes: list[int]) -> pd.DataFrame:
    """Points close to each other at the lower and the upper limit of the axes."""
    return pd.DataFrame({"score": [0.4, 0.41, 0.42], "observed": [0.0, 0.0, 1.0], "n": sizes})


def subgroup(name: str) -> Subgroup:
    return Subgroup("contrast agent", name, 10, 10, 15, 0.7, 0.5, 0.9, 0.8, 0.5, 0.9, 0.8, 0.5, 0.9)


RATES = Rates(0.5, 0.5, 0.1, 0.9, 0.5, 0.1, 0.9, 1, 1, 1, 1)
BENEFIT = NetBenefit(0.2, 0.3, 0.1, 0.5, 0.2, 0.1, 0.0, 0.2), NetBenefit(0.8, 0.1, 0.0, 0.2, -1.0, 1.1, 0.9, 1.2)


def test_the_legend_of_a_reliability_curve_is_below_its_axes_and_has_the_counts():
    placed = texts(reliability({"raw score": curve([4, 4, 4]), "calibrated probability": curve([3, 4, 5])}))
    legend = ["perfect calibration", "raw score, 4 a point", "calibrated probability, 3 to 5 a point"]
    assert all(placed[text][1] > placed["mean predicted score"][1] for text in legend)
    assert not {"3", "4", "5"} & placed.keys(), "counts beside the points cover each other"


def test_the_names_of_a_forest_plot_begin_at_its_left_in_the_order_of_the_rows():
    placed = texts(forest([subgroup("not_known"), subgroup("yes")], (0.7, 0.5, 0.9)))
    heights = [placed[name][1] for name in ("all tumours", "contrast agent: not known", "contrast agent: yes")]
    assert heights == sorted(heights)
    assert len({placed[name][0] for name in ("all tumours", "contrast agent: yes")}) == 1


@pytest.mark.parametrize(
    "svg",
    [
        reliability({"raw score": curve([4, 4, 4])}),
        decision(BENEFIT),
        roc([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], RATES, "ROC curve"),
        forest([subgroup("yes")], (0.7, 0.5, 0.9)),
    ],
    ids=["reliability", "decision", "roc", "forest"],
)
def test_a_phone_does_not_shrink_a_figure(svg):
    assert int(re.search(r"max-width:(\d+)px", svg)[1]) <= PHONE
