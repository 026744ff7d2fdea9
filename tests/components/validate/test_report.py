"""The report of a validation: its contents, its size, and how it fits a phone's and a desktop's window."""

import dataclasses
import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.common.artifacts.dataset import Dataset, Exclusion, Flow
from components.common.artifacts.score_metrics import OtherIntervals, PlattScaling
from components.common.artifacts.validation import Validation
from components.common.artifacts.validation_metrics import Overlap, ValidatedModel, ValidationMetrics
from components.validate.performance import measure
from components.validate.report import MOST_BYTES, limits, write_report
from tests.components.evaluate.test_report_in_browser import CHROMIUM, console_errors, measured
from tests.components.validate.made import make_cohort, make_scores

WINDOW = (40.0, 80.0)
MODEL = ValidatedModel(
    "srs-response", "7", "study", 50, "b" * 64, "d" * 64, "srs-response", True, "mean", 0.5,
    PlattScaling(1.4, -0.2, 110), 0.7625,
)  # fmt: skip


def made(cohort, rows, **changes) -> Validation:
    """A validation of these scores; ``changes`` are fields of its metrics."""
    figures = measure(rows, cohort.tumours, primary="mean", cut_off=0.5, samples=100, seed=1)
    fields = {
        "name": "elsewhere",
        "synthetic": True,
        "synthetic_cohort": True,
        "dataset_digest": cohort.digest,
        "model": MODEL,
        "overlap": Overlap(True, True, "", "refuse", 0, 0),
        "flow": cohort.flow,
        "performance": figures,
    }
    return Validation(rows, ValidationMetrics(**{**fields, **changes}))


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture(scope="module")
def validation(cohort):
    return made(cohort, make_scores(cohort.tumours))


@pytest.fixture(scope="module")
def page(cohort, validation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_report(folder, validation, cohort.tumours, cohort.crops, WINDOW).read_text()


def test_all_sections_are_there_and_nothing_is_loaded(page):
    anchors = re.findall(r'<a href="#(\w+)"', page[page.index("<nav") : page.index("</nav>")])
    results = ["cohort", "discrimination", "calibration", "benefit", "subgroups", "centres", "failures"]
    assert anchors == [*results, "limits", "run"]
    assert all(f'<h2 id="{name}">' in page for name in anchors)
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert len(page.encode()) < MOST_BYTES


def test_the_main_figures_and_the_estimate_of_development_are_shown(page, validation):
    auc = validation.metrics.performance.auc
    assert f"{auc.ci_low:.3f} to {auc.ci_high:.3f}" in page
    assert "0.762" in page
    assert "What may be compared." in page
    assert "C-aaaaaaaaaa" in page


def test_every_misclassified_tumour_is_listed_with_its_crop(page, validation):
    rows = validation.scores
    wrong = rows[(rows["mean"] > 0.5) != (rows["label"] == 1)]
    assert set(re.findall(r'<img src="data:[^"]+" alt="CT crop of tumour (\S+)"', page)) == set(wrong["tumour"])


@pytest.mark.parametrize(("model", "cohort_too"), [(True, False), (False, True)])
def test_is_labelled_where_one_side_is_synthetic(cohort, validation, tmp_path, model, cohort_too):
    metrics = dataclasses.replace(
        validation.metrics, synthetic_cohort=cohort_too, model=dataclasses.replace(MODEL, synthetic=model)
    )
    page = write_report(
        tmp_path, dataclasses.replace(validation, metrics=metrics), cohort.tumours, cohort.crops, WINDOW
    ).read_text()
    assert page.count("SYNTHETIC: phantom data") == 2
    assert "Synthetic: the model." in page if model else "Synthetic: the cohort." in page
    assert "not of one kind" in page


def test_a_real_cohort_has_no_label(cohort, validation, tmp_path):
    model = dataclasses.replace(MODEL, synthetic=False, development_auc=None, platt=None)
    rows = validation.scores.assign(calibrated=np.nan)
    real = made(cohort, rows, synthetic=False, synthetic_cohort=False, model=model)
    page = write_report(tmp_path, real, cohort.tumours, cohort.crops, WINDOW).read_text()
    assert "SYNTHETIC" not in page
    assert "The bundle states no estimate of its development." in page
    assert "a decision curve of it would not mean anything" in page


def test_a_large_cohort_stays_below_the_limit(tmp_path):
    cohort = make_cohort(1200)
    noise = np.random.default_rng(1)
    crops = np.tile(noise.normal(40, 60, (300, 151, 151)).astype(np.float32), (4, 1, 1))
    rows = make_scores(cohort.tumours)
    rows["mean"] = 1 - rows["mean"]
    validation = made(cohort, rows, flow=Flow(1200, 28, (), 1200, 28))
    page = write_report(tmp_path, validation, cohort.tumours, crops, WINDOW).read_text()
    assert len(page.encode()) < MOST_BYTES
    assert "worst are shown" in page


def text_of(folder, cohort, validation) -> str:
    """The page as its reader sees it."""
    page = write_report(folder, validation, cohort.tumours, cohort.crops, WINDOW).read_text()
    return html.unescape(re.sub(r"<[^>]+>", " ", page.replace("&nbsp;", " ")))


def test_p_values_are_written_as_papers_do(cohort, validation, tmp_path):
    """0.001 and below, an equals sign and "<" are not said together."""
    auc = validation.metrics.performance.auc
    for p, text in ((0.00001, "Test of AUC = 0.5: p < 0.001 ("), (0.0123, "Test of AUC = 0.5: p = 0.012 (")):
        figures = dataclasses.replace(validation.metrics.performance, auc=dataclasses.replace(auc, p_value_ties=p))
        metrics = dataclasses.replace(validation.metrics, performance=figures)
        page = text_of(tmp_path, cohort, dataclasses.replace(validation, metrics=metrics))
        assert text in page
        assert "= <" not in page


def test_missing_figures_are_explained_and_nothing_is_said_of_none(tmp_path):
    """Nine patients, whose scores separate the classes."""
    cohort = make_cohort(9)
    label = cohort.tumours["label"].to_numpy()
    rows = make_scores(cohort.tumours).assign(mean=0.2 + 0.6 * label, vote=label * 1.0, calibrated=0.1 + 0.8 * label)
    validation = made(cohort, rows)
    figures = dataclasses.replace(validation.metrics.performance, intervals=OtherIntervals(None, None, None))
    metrics = dataclasses.replace(validation.metrics, performance=figures)
    page = text_of(tmp_path, cohort, dataclasses.replace(validation, metrics=metrics))
    assert "Not estimable: the scores separate the classes, or the fit diverges." in page
    assert "No limits: fewer than 10 patients." in page
    assert "(ideal: 1): the scores separate the classes" in page[page.index("calibration slope of") :]
    assert re.search(r"not estimable\s+calibration slope of", page), "the card's headline is no dash"
    assert page[page.index("DeLong") : page.index("Newcombe's interval")].count("too few patients") == 2
    assert "The model misclassified no tumour at cut-off 0.5." in page
    assert "Score ± spread" not in page
    assert not re.search(r"\b0 (patients|tumours)\b", page)


def tiny(count: int) -> tuple[Dataset, pd.DataFrame]:
    """A cohort of ``count`` tumours and patients, and scores that separate its classes."""
    cohort = make_cohort(count)
    label = cohort.tumours["label"].to_numpy()
    scores = {"mean": 0.2 + 0.6 * label, "vote": label * 1.0, "calibrated": 0.1 + 0.8 * label}
    return cohort, make_scores(cohort.tumours).assign(**scores)


def test_too_few_tumours_are_no_headline(tmp_path):
    cohort, rows = tiny(3)
    page = " ".join(text_of(tmp_path, cohort, made(cohort, rows)).split())
    assert "Warning. There are too few tumours to judge the model: 2 responders and 1 non-responder" in page
    cards = page[page.index("Details") : page.index("3 tumours in 3 patients")]
    assert cards.count("too few tumours to judge") == 2
    assert "100 / 100" not in page
    assert "1.000; 95 % limits 0.283 to 1.000 (Newcombe)" in cards, "Newcombe's interval stays"
    assert "1.000 to 1.000" not in page
    assert "Too few patients: with fewer than 10" in page
    assert "95 % band" not in page
    assert page.count("(no limits)") > 14, "net benefit"


def test_intervals_without_width_are_explained(tmp_path):
    """Enough tumours and patients, but DeLong's and the bootstrap's interval of a perfect AUC is a point."""
    cohort, rows = tiny(12)
    page = " ".join(text_of(tmp_path, cohort, made(cohort, rows)).split())
    assert "1.000 to 1.000" not in page
    assert page[page.index("DeLong") : page.index("Newcombe's interval")].count("not estimable") == 2
    assert "Not estimable: the scores separate the classes, or are all equal" in page
    assert "too few tumours" not in page
    assert "95 % band" in page


def test_one_of_something_is_singular_everywhere(tmp_path):
    cohort, rows = tiny(3)
    flow = Flow(2, 1, (Exclusion("X", "excluded", 1),), 1, 1, unlisted_gtvs=1)
    overlap = Overlap(True, True, "", "exclude", 1, 1)
    page = " ".join(text_of(tmp_path, cohort, made(cohort, rows, flow=flow, overlap=overlap)).split())
    assert not re.findall(r"(?<![\d.,-])1 (?:tumour|patient|responder|non-responder|GTV|centre)s\b", page)
    assert "1 tumour in 1 patient evaluated" in page


def test_the_page_says_what_it_is_not_for_and_its_limits(page):
    assert "Research only. Not a medical device." in page
    limits_section = page[page.index('<h2 id="limits">') : page.index('<h2 id="run">')]
    for words in ("Retrospective", "inclusion criteria", "Poor input", "Missing data.", "This page shows"):
        assert words in limits_section


def test_the_words_for_net_benefit_are_those_of_a_runs_report(page):
    template = Path("components/evaluate/report_decision.html.j2").read_text()
    headings = re.findall(r"<th[^>]*>([^<]*acting for all)", page)
    assert len(headings) == 2
    assert all(heading in template for heading in headings)
    assert "all treated" not in page


def test_what_is_complete_needs_no_explanation(cohort, validation, tmp_path):
    page = text_of(tmp_path, cohort, validation)
    assert "ot estimable" not in page
    assert "o limits:" not in page
    assert "patients seen in development nobody was recognised, by the pseudonyms" in re.sub(r"\s+", " ", page)


@pytest.mark.parametrize(("handling", "asked"), [("exclude", True), ("refuse", False)])
def test_warns_where_seen_patients_could_not_be_looked_for(cohort, validation, tmp_path, handling, asked):
    overlap = Overlap(False, True, "the pseudonyms were made with another key", handling, 0, 0)
    metrics = dataclasses.replace(validation.metrics, overlap=overlap)
    page = text_of(tmp_path, cohort, dataclasses.replace(validation, metrics=metrics))
    warning = page[page.index("Warning.") :][:600]
    assert "made with another key" in warning
    assert ("Although seen=exclude was asked for, nobody was left out." in warning) == asked
    assert "the patients of the tumours that were evaluated (40)" in warning
    assert "Nobody was recognised, by the images of the tumours," in page


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_window(page, tmp_path, width):
    assert measured(page, width, tmp_path) == (width, width, "")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_printed_page_fits_the_sheet(page, tmp_path):
    """A4 with margins of 10 mm is 718 px wide."""
    assert measured(page.replace("@media print", "@media screen"), 718, tmp_path) == (718, 718, "")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_policy_blocks_no_part_of_the_page(page, tmp_path):
    assert console_errors([page], tmp_path) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((None, None, None), "not estimable"),
        ((None, None, None, 2, "too few"), "too few"),
        ((0.5, None, None), "0.500 (no limits)"),
        ((-0.0001, -0.25, 0.5), "0.000 (\u22120.250 to 0.500)"),
    ],
)
def test_estimates_are_shown_with_their_limits(given, text):
    assert limits(*given) == text
