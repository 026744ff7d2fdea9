"""Pages in a real browser: they fit a phone's and a desktop's window, and their policy blocks no part of them."""

import html
import re
import shutil
import subprocess

import numpy as np
import pytest

from components.common.artifacts.learning_curve import CurvePoint, LearningCurve, Rise, RunPoint
from components.common.artifacts.score_metrics import Limits
from components.common.pages import POLICY_TAG
from components.common.settings import EvaluateSettings
from components.common.steps import summary_page
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.permutation import permutation_test
from components.evaluate.report import write_report
from components.figures.split_matrix import split_matrix
from components.figures.training_curves import training_curves
from components.preprocess.flow_diagram import flow_svg

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")

#: Reports the page's width to the frame around it, with elements that overflow it outside a scrolling box, and on a
#: phone with the boxes that would have to be scrolled, and texts of figures that are too small to read
#: (but for preprocessing's flow diagram, which is still shrunk).
MEASURE = """<script>
addEventListener("load", () => {
  const page = document.documentElement;
  const out = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg")
    && e.getBoundingClientRect().right > page.clientWidth + 1);
  if (page.clientWidth <= 600)
    out.push(...[...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth + 1));
  const scale = e => Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b);
  const size = e => scale(e) * parseFloat(getComputedStyle(e).fontSize);
  if (page.clientWidth <= 600)
    out.push(...[...document.querySelectorAll("svg:not([aria-label='Flow of tumours']) text")]
      .filter(e => e.getBoundingClientRect().width && size(e) < 8.5)
      .map(e => ({tagName: "text", className: e.textContent})));
  const names = out.slice(0, 3).map(e => e.tagName + "." + e.className);
  parent.postMessage(`${page.scrollWidth} of ${page.clientWidth} ${names}`, "*");
});
</script>"""
FRAME = """<!doctype html><body>
<iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe><p id=width></p>
<script>
addEventListener("message", event => {{ document.getElementById("width").textContent = event.data; }});
</script>"""


def measured(page, width, folder):
    """The page's own measure of its width, its window's width and what overflows, in a frame of ``width`` px."""
    path = folder / f"frame-{width}.html"
    measuring = page.replace(POLICY_TAG, "").replace("</body>", MEASURE + "</body>")  # no script runs under the policy
    path.write_text(FRAME.format(width=width, page=html.escape(measuring)))
    done = opened(path, folder, "--hide-scrollbars", "--dump-dom")
    match = re.search(r"<p id=\"width\">(\d+) of (\d+) (.*?)</p>", done.stdout)
    assert match, done.stdout[-500:]
    return int(match[1]), int(match[2]), match[3]


def opened(path, folder, *options):
    """Chromium's output on a file."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", *options]
    command += ["--window-size=1400,1000", "--virtual-time-budget=20000", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)


def console_errors(pages, folder):
    """Messages of the browser's console about pages shown in frames, as the KFP UI shows them."""
    path = folder / "frames.html"
    path.write_text("".join(f'<iframe srcdoc="{html.escape(page)}"></iframe>' for page in pages))
    log = opened(path, folder, "--enable-logging=stderr", f"--screenshot={folder}/shot.png").stderr
    return re.findall(r"CONSOLE[^\"]*\"(.*?)\", source", log)


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    evaluation = evaluate(*study, EvaluateSettings(bootstrap=100), seed=1)
    facts = {"dataset digest": "d" * 64, "settings": study[1].settings}
    aucs = np.random.default_rng(1).normal(0.5, 0.06, 19)
    permuted = permutation_test(study[0], evaluation.metrics, [(auc, auc) for auc in aucs], seed=1, redrawn=0)
    points = tuple(CurvePoint(part, 60 * part, 50 * part, (0.6, 0.64), 0.62, 0.03) for part in (0.25, 0.5, 0.75))
    run = RunPoint(60, 50, 0.7, Limits(0.05, 0.6, 0.8))
    rise = Rise((0.1, 0.06), 0.08, 0.03, 0.02, -0.1, 0.26)
    curve = LearningCurve(1, 2, "mean", 50, 5, points, run, rise)
    whole = EvaluatedRun(*study, evaluation, facts, permuted, curve)
    return write_report(tmp_path_factory.mktemp("page"), whole).read_text()


@pytest.mark.parametrize("width", [390, 1280])
def test_report_fits_the_window(page, width, tmp_path):
    assert measured(page, width, tmp_path) == (width, width, "")


def test_measure_detects_a_page_that_is_too_wide(page, tmp_path):
    wide = page.replace("</body>", '<div class="wide" style="width:900px">x</div></body>')
    assert measured(wide, 390, tmp_path) == (900, 390, "DIV.wide")


def test_measure_detects_text_of_a_figure_that_a_phone_shrinks(page, tmp_path):
    text = '<svg viewBox="0 0 700 40" style="width:100%"><text y="20" font-size="9">small</text></svg>'
    assert measured(page.replace("</body>", f"{text}</body>"), 390, tmp_path) == (390, 390, "text.small")
    assert measured(page.replace("</body>", f"{text}</body>"), 1280, tmp_path) == (1280, 1280, "")


def test_measure_detects_a_box_that_a_phone_must_scroll(page, tmp_path):
    wide = page.replace(
        "</body>", '<div class="scroll" style="overflow-x:auto"><p style="width:900px">x</p></div></body>'
    )
    assert measured(wide, 390, tmp_path) == (390, 390, "DIV.scroll")
    assert measured(wide, 1280, tmp_path) == (1280, 1280, "")


@pytest.fixture(scope="module")
def step_page(study):
    data, splits, members = study
    table = [{f"a long name of column {n}": "x" for n in range(9)}]
    curves = training_curves("A", members.members[:10])
    figures = [flow_svg(data.flow), split_matrix(splits, data.tumours), curves]
    return summary_page("Step", {"fact": "f" * 90}, table, figures=figures, synthetic=True)


def test_a_steps_summary_page_fits_a_phone(step_page, tmp_path):
    assert measured(step_page.replace("</html>", "</body></html>"), 390, tmp_path) == (390, 390, "")


def test_pages_violate_no_part_of_their_policy(page, step_page, tmp_path):
    assert all("data:image" in one or "<svg" in one for one in (page, step_page))
    assert console_errors([page, step_page], tmp_path) == []


def test_injected_markup_runs_and_loads_nothing(page, step_page, tmp_path):
    slipped = '<script>console.log(\'ran\')</script><img src="file:///x.png"><form action="file:///x"></form>'
    errors = console_errors([one.replace("</title>", "</title>" + slipped) for one in (page, step_page)], tmp_path)
    assert sum("script" in line and "Content Security Policy" in line for line in errors) == 2
    assert sum("image" in line and "Content Security Policy" in line for line in errors) == 2
    assert "ran" not in errors
