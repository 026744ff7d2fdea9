"""Drawing of the network's architecture (the paper's Figure 2) from its settings, as inline SVG."""

from dataclasses import dataclass, replace

import numpy as np

from components.common.settings import IMAGE_SIZE_PX, TrainSettings
from components.model.layers import Layer, layers

#: Largest drawn side of a feature map, and largest drawn depth of its channels, px.
TALLEST, DEEPEST = 120.0, 26.0
BASELINE = 172.0

#: Heights of blocks without feature maps: the flattened features, the first and the last hidden layer, the two outputs.
FLAT, FIRST_HIDDEN, LAST_HIDDEN, OUTPUTS = 96.0, 74.0, 56.0, 26.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One block of the drawing: its title, its shape as text, its drawn height and depth in px, and its colour."""

    title: str
    shape: str
    height: float
    depth: float
    colour: str


def stages(settings: TrainSettings) -> list[Stage]:
    """The blocks from the input to the two output units."""
    blocks = [_map("CT crop", IMAGE_SIZE_PX, 1, "#dfe3ea")]
    stack = layers(settings)
    side = IMAGE_SIZE_PX
    for layer in (layer for layer in stack if layer.is_convolution):
        kernel, side = layer.kernel[0], side - layer.kernel[0] + 1
        blocks.append(_map(f"convolution {kernel}\u2009×\u2009{kernel}", side, layer.units, "#9ecae1"))
        side = layer.output[0]
        blocks.append(_annotated(_map(f"max-pool {layer.pool}", side, layer.units, "#f2c879"), layer))
    dense = [layer for layer in stack if not layer.is_convolution]
    blocks.append(Stage("flattened", f"{dense[0].kernel[0]}", FLAT, 0.0, "#dfe3ea"))
    heights = np.linspace(FIRST_HIDDEN, LAST_HIDDEN, len(dense) - 1)
    for layer, height in zip(dense[:-1], heights.tolist(), strict=True):
        blocks.append(_annotated(Stage("fully connected", f"{layer.units}", height, 0.0, "#a8d8b9"), layer))
    return [*blocks, Stage("softmax", "2: responder /: non-responder", OUTPUTS, 0.0, "#e8a98c")]


def _map(title: str, side: int, channels: int, colour: str) -> Stage:
    return Stage(title, f"{side} × {side} × {channels}", _height(side), _depth(channels), colour)


def _annotated(stage: Stage, layer: Layer) -> Stage:
    """A block, annotated with the dropout that follows it."""
    return replace(stage, shape=f"{stage.shape}: dropout {layer.dropout:g}") if layer.dropout else stage


def drawing(settings: TrainSettings) -> str:
    """The whole drawing as SVG, 980 units wide."""
    blocks = stages(settings)
    step = 980 / len(blocks)
    parts = [_block(stage, step * (index + 0.5)) for index, stage in enumerate(blocks)]
    arrows = [
        f'<path d="M{step * index - 9:.0f},{BASELINE - 50} h14 m-4,-4 l4,4 l-4,4" fill="none" stroke="#555b66"/>'
        for index in range(1, len(blocks))
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 244" role="img"'
        ' aria-label="Architecture of one network"'
        ' style="width:100%;min-width:760px;max-width:980px;height:auto" font-size="11" text-anchor="middle">'
        + "".join(parts + arrows)
        + "</svg>"
    )


def _height(side: int) -> float:
    return float(24 + (TALLEST - 24) * (side / IMAGE_SIZE_PX) ** 0.6)


def _depth(channels: int) -> float:
    return min(DEEPEST, 3 + 0.6 * channels)


def _block(stage: Stage, centre: float) -> str:
    width = stage.height * 0.55 if stage.depth else 14.0
    x, y = centre - (width + stage.depth) / 2, BASELINE - stage.height
    far, up = x + width + stage.depth, stage.depth
    outline = f'stroke="#555b66" stroke-width="0.8" fill="{stage.colour}"'
    faces = ""
    if stage.depth:
        top = f"M{x:.1f},{y:.1f} l{up:.1f},{-up:.1f} h{width:.1f} l{-up:.1f},{up:.1f} z"
        side = f"M{x + width:.1f},{y:.1f} L{far:.1f},{y - up:.1f} v{stage.height:.1f} L{x + width:.1f},{BASELINE} z"
        faces = f'<path d="{top}" {outline} fill-opacity=".6"/><path d="{side}" {outline} fill-opacity=".75"/>'
    front = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{stage.height:.1f}" {outline}/>'
    title, *rest = stage.shape.split(": ")
    lines = [f"<tspan font-weight='600'>{stage.title}</tspan>", title, *rest]
    text = "".join(f'<text x="{centre:.1f}" y="{BASELINE + 18 + 15 * i}">{line}</text>' for i, line in enumerate(lines))
    return faces + front + text
