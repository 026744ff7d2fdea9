"""The report in a real browser: nothing reaches beyond the window of a phone or of a desktop."""

import html
import re
import shutil
import subprocess

import pytest

from components.common.settings import EvaluateSettings
from components.common.steps import write_summary
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.report import write_report
from components.preprocess.flow_diagram import flow_svg
from components.split.matrix import split_matrix
from components.train.curves import training_curves

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")

#: Reports the page's width to the frame around it, with the widest element that no box of its own scrolls.
MEASURE = """<script>
addEventListener("load", () => {
  const page = document.documentElement;
  const out = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg")
    && e.getBoundingClientRect().right > page.clientWidth + 1).map(e => e.tagName + "." + e.className);
  parent.postMessage(`${page.scrollWidth} of ${page.clientWidth} ${out.slice(0, 3)}`, "*");
});
</script>"""
FRAME = """<!doctype html><body>
<iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe><p id=width></p>
<script>
addEventListener("message", said => {{ document.getElementById("width").textContent = said.data; }});
</script>"""


def measured(page, width, folder):
    """What the page says of its width in a frame of ``width`` px."""
    path = folder / f"frame-{width}.html"
    path.write_text(FRAME.format(width=width, page=html.escape(page.replace("</body>", MEASURE + "</body>"))))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    options = [
        "--window-size=1400,1000",
        "--hide-scrollbars",
        "--virtual-time-budget=20000",
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r"<p id=\"width\">(\d+) of (\d+) (.*?)</p>", done.stdout)
    assert found, done.stdout[-500:]
    return int(found[1]), int(found[2]), found[3]


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    evaluation = evaluate(*study, EvaluateSettings(bootstrap=100), seed=1)
    facts = {"dataset digest": "d" * 64, "settings": study[1].settings}
    return write_report(tmp_path_factory.mktemp("page"), EvaluatedRun(*study, evaluation, facts)).read_text()


@pytest.mark.parametrize("width", [390, 1280])
def test_report_fits_the_window(page, width, tmp_path):
    assert measured(page, width, tmp_path) == (width, width, "")


def test_a_page_that_is_too_wide_is_noticed(page, tmp_path):
    wide = page.replace("</body>", '<div class="wide" style="width:900px">x</div></body>')
    assert measured(wide, 390, tmp_path) == (900, 390, "DIV.wide")


def test_a_steps_own_page_fits_a_phone(study, tmp_path):
    data, drawn, members = study
    table = [{f"a long name of column {n}": "x" for n in range(9)}]
    curves = training_curves("A", members.members[:10])
    figures = [flow_svg(data.flow), split_matrix(drawn, data.tumours), curves]
    write_summary(str(tmp_path / "page"), "Step", {"fact": "f" * 90}, table, figures=figures, synthetic=True)
    page = (tmp_path / "page").read_text().replace("</html>", "</body></html>")
    assert measured(page, 390, tmp_path) == (390, 390, "")
