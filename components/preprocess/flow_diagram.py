"""Draws the flow of tumours from table to dataset as SVG: included tumours downwards, exclusions to the right."""

from html import escape

from components.common.artifacts.dataset import Flow

#: Sizes in px: width of the boxes on the spine and beside it, gap between them, height of a line, margin.
WIDE, SIDE, GAP, STEP, MARGIN = 270, 450, 40, 34, 8
SPINE = MARGIN + WIDE // 2

_STYLE = (
    'font-family="system-ui,sans-serif" font-size="13" fill="#222" stroke-width="1.2" role="img" '
    'aria-label="Flow of tumours"'
)
_ARROW = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>'
)


def flow_svg(flow: Flow) -> str:
    """The diagram of a flow: each exclusion with its count, and the number of tumours left after it."""
    end = MARGIN + 2 * STEP + STEP * len(flow.exclusions)
    parts = [
        _line(SPINE, MARGIN + STEP, SPINE, end),
        _box(MARGIN, MARGIN, WIDE, f"listed: {flow.listed} tumours of {flow.listed_patients} patients"),
        _box(MARGIN, end, WIDE, f"used: {flow.used} tumours of {flow.used_patients} patients"),
    ]
    left = flow.listed
    for number, line in enumerate(flow.exclusions):
        left -= line.tumours
        y = MARGIN + STEP * (number + 1.5)
        parts.append(_line(SPINE, y + STEP / 2, MARGIN + WIDE + GAP, y + STEP / 2))
        parts.append(_box(MARGIN + WIDE + GAP, y + 4, SIDE, f"{line.tumours}: {line.reason}", low=STEP - 8))
        parts.append(f'<text x="{SPINE + 8}" y="{y + STEP / 2 + 15}" fill="#777" font-size="11">{left} left</text>')
    width, height = 2 * MARGIN + WIDE + GAP + SIDE, end + STEP + MARGIN
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_STYLE}>{_ARROW}{"".join(parts)}</svg>\n'


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#555" marker-end="url(#tip)"/>'


def _box(x: float, y: float, width: float, text: str, low: float = STEP) -> str:
    box = f'<rect x="{x}" y="{y}" width="{width}" height="{low}" rx="3" fill="#f6f6f6" stroke="#999"/>'
    return f'{box}<text x="{x + 10}" y="{y + low / 2 + 4.5}">{escape(text)}</text>'
