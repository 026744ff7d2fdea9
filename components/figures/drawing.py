"""Shared drawing of figures as inline SVG: axes, a colour-blind-safe palette and reproducible output.

There is no pyplot and no global state: every figure has its own canvas. Text stays text, so that figures are
searchable, small and sharp in print.
"""

import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

#: Okabe & Ito's palette, distinguishable for colour-blind readers; lines also differ in dash or marker.
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

#: Inches. A phone shows a figure of this width at about its full size; wider ones are drawn once more for it.
PHONE_WIDTH, LEGIBLE_WIDTH = 3.6, 4.0
SQUARE = (3.5, 3.5)
WIDE = (3.5, 2.5)


def style() -> AbstractContextManager[None]:
    """Context in which matplotlib uses the style of all figures."""
    return mpl.rc_context(_STYLE)


def line_style(index: int) -> dict[str, Any]:
    """Colour, marker and dash of the line number ``index``."""
    return {
        "color": GROUP_COLOURS[index % len(GROUP_COLOURS)],
        "marker": GROUP_MARKERS[index % len(GROUP_MARKERS)],
        "ls": DASHES[index % len(DASHES)],
    }


def new_axes(size: tuple[float, float]) -> tuple[Figure, Any]:
    """An empty figure of ``size`` inches and its axes."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def to_svg(figure: Figure, title: str) -> str:
    """Responsive inline SVG with ``title`` for screen readers; the same figure always gives the same bytes.

    A figure wider than ``LEGIBLE_WIDTH`` would be shrunk on a phone until its text is too small to read. It is drawn
    twice, and pages show the second, which has ``PHONE_WIDTH`` and text of the same size, in a narrow window only
    (``narrow.NARROW_STYLE``).
    """
    width, height = (float(side) for side in figure.get_size_inches())
    if width <= LEGIBLE_WIDTH:
        return _svg(figure, title)
    wide = _svg(figure, title, shown="wide-only")
    figure.set_size_inches(PHONE_WIDTH, height)
    return wide + _svg(figure, title, shown="narrow-only")


def _svg(figure: Figure, title: str, shown: str = "") -> str:
    """``shown`` is the class of an SVG for wide or narrow windows only, and part of the names of what it refers to."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": title + shown}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' id="[A-Za-z0-9]+_\d+"', "", text)
    width = float(figure.get_size_inches()[0]) * 96
    only = f' class="{shown}"' if shown else ""
    head = f'<svg role="img" aria-label="{title}"{only} style="width:100%;max-width:{width:.0f}px;height:auto"'
    return re.sub(r'<svg( height="[^"]*"| width="[^"]*")?', head, text, count=1)
