import re
from xml.etree import ElementTree

from components.common.artifacts.dataset import Exclusion, Flow
from components.preprocess.flow_diagram import flow_svg

LINES = (Exclusion("NO_FOLLOW_UP", "no imaging < 3 months", 4), Exclusion("TOO_LARGE", "too large", 2))


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_the_figure_shows_the_flow_and_adds_up():
    shown = texts(flow_svg(Flow(20, 15, LINES, 14, 11)))
    assert {"listed: 20 tumours of 15 patients", "used: 14 tumours of 11 patients"} <= set(shown)
    assert {"4: no imaging < 3 months", "2: too large", "16 left", "14 left"} <= set(shown)
    gone = sum(int(match[1]) for text in shown if (match := re.match(r"(\d+): ", text)))
    assert 20 - gone == 14


def test_all_parts_of_the_figure_lie_inside_it():
    root = ElementTree.fromstring(flow_svg(Flow(20, 15, LINES, 14, 11)))
    width, height = float(root.get("width")), float(root.get("height"))
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, wide, high = (float(box.get(name)) for name in ("x", "y", "width", "height"))
        assert min(x, y) >= 0
        assert x + wide <= width
        assert y + high <= height
