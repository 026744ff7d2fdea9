"""Drawing of a network's architecture (the paper's Figure 2) from its Keras model, as inline SVG."""

from dataclasses import dataclass

import numpy as np

from components.common.settings import IMAGE_SIZE_PX
from components.evaluate.blocks import Block, Skip, blocks_of
from components.model.network import Network

#: Largest drawn side of a feature map, and largest drawn depth of its channels, px.
TALLEST, DEEPEST = 120.0, 26.0
#: Smallest width of a block with its text, and of the whole drawing, px.
NARROWEST, WIDTH = 116.0, 980.0
BASELINE = 172.0

#: Heights of blocks without feature maps: the first features, the first and the last hidden layer, the two outputs.
FLAT, FIRST_HIDDEN, LAST_HIDDEN, OUTPUTS = 96.0, 74.0, 56.0, 26.0
COLOURS = {
    "image": "#dfe3ea",
    "convolution": "#9ecae1",
    "pooling": "#f2c879",
    "features": "#dfe3ea",
    "hidden": "#a8d8b9",
    "output": "#e8a98c",
    "other": "#d5c7e3",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One block: its title, its shape as text, notes beside it, its drawn height and depth in px, and its colour."""

    title: str
    shape: str
    notes: tuple[str, ...]
    height: float
    depth: float
    colour: str


def stages(network: Network) -> list[Stage]:
    """The blocks from the input to the two output units."""
    blocks, _ = blocks_of(network)
    hidden = [block for block in blocks if block.kind == "hidden"]
    heights = dict(zip(map(id, hidden), np.linspace(FIRST_HIDDEN, LAST_HIDDEN, len(hidden)).tolist(), strict=True))
    return [_stage(block, heights.get(id(block), FLAT)) for block in blocks]


def _stage(block: Block, height: float) -> Stage:
    colour = COLOURS[block.kind]
    if block.kind == "output":
        return Stage(block.title, "2", ("responder", "non-responder"), OUTPUTS, 0.0, colour)
    if len(block.shape) != 3:
        return Stage(block.title, str(block.shape[0]), block.notes, height, 0.0, colour)
    rows, columns, channels = block.shape
    shape = f"{rows} × {columns} × {channels}"
    return Stage(block.title, shape, block.notes, _height(rows), _depth(channels), colour)


def drawing(network: Network) -> str:
    """The whole drawing as SVG, 980 units wide, or wider for a network of many layers."""
    blocks, (_, skips) = stages(network), blocks_of(network)
    width = max(WIDTH, NARROWEST * len(blocks))
    step = width / len(blocks)
    height = 244 + 15 * max(0, *(len(stage.notes) - 2 for stage in blocks))
    parts = [_block(stage, step * (index + 0.5)) for index, stage in enumerate(blocks)]
    arrows = [
        f'<path d="M{step * index - 9:.0f},{BASELINE - 50} h14 m-4,-4 l4,4 l-4,4" fill="none" stroke="#555b66"/>'
        for index in range(1, len(blocks))
    ]
    arcs = [_arc(skip, step) for skip in skips]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img"'
        ' aria-label="Architecture of one network"'
        f' style="width:100%;min-width:{max(760, 0.8 * width):.0f}px;max-width:{width:.0f}px;height:auto"'
        ' font-size="11" text-anchor="middle">' + "".join(arcs + parts + arrows) + "</svg>"
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
    lines = [f"<tspan font-weight='600'>{stage.title}</tspan>", stage.shape, *stage.notes]
    text = "".join(f'<text x="{centre:.1f}" y="{BASELINE + 18 + 15 * i}">{line}</text>' for i, line in enumerate(lines))
    return faces + front + text


def _arc(skip: Skip, step: float) -> str:
    """A skip connection: a line above the blocks, between the arrows after its first and its last block."""
    start, end, low = step * (skip.start + 1), step * (skip.end + 1), BASELINE - 56
    path = f"M{start:.0f},{low} V24 q0,-8 8,-8 H{end - 8:.0f} q8,0 8,8 V{low} m-3,-5 l3,5 l3,-5"
    line = f'<path d="{path}" fill="none" stroke="#8a6fae" stroke-width="1.2"/>'
    return f'{line}<text x="{(start + end) / 2:.0f}" y="11" font-size="10" fill="#6b4f91">{skip.label}</text>'
