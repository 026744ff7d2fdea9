import base64
import collections
import dataclasses
import html
import html.parser
import io
import json
import re
import xml.etree.ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from components.common.artifacts.members import Members
from components.common.artifacts.metrics import OneClassMetrics
from components.common.error_rates import simulated_for
from components.common.presets import resolve
from components.common.settings import EvaluateSettings, StudySettings
from components.evaluate import report
from components.evaluate.architecture import drawing, stages
from components.evaluate.blocks import blocks_of
from components.evaluate.checklist import DECLARED, FILLED, ITEMS, MISSING
from components.evaluate.cohort_tables import table_i
from components.evaluate.ensemble import developed
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.figures import crop_image
from components.evaluate.model_card import write_model_card
from components.evaluate.report import reliability_curves, write_report
from components.evaluate.tables import (
    SYNTHETIC,
    TERMINAL_COLUMNS,
    flat_facts,
    minus,
    number,
    p_statement,
    terminal_tables,
)
from components.stats.roc import roc_summary
from tests.components.evaluate.golden_metrics import golden_metrics, golden_study
from tests.components.networks import network_of

SETTINGS = EvaluateSettings(bootstrap=100)
FACTS = {"dataset digest": "d" * 64, "settings": StudySettings(), "restarts": 5, "flagged members": [], "seed": 17}


@pytest.fixture(scope="module")
def reported(study, tmp_path_factory):
    result = evaluate(*study, SETTINGS, seed=1)
    folder = tmp_path_factory.mktemp("report")
    return study, result, write_report(folder, EvaluatedRun(*study, result, FACTS)).read_text()


@pytest.fixture(scope="module")
def leaking(make, tmp_path_factory):
    """A real (not synthetic) study split over tumours."""
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(60, 35, synthetic=False)
    splits = make_splits(dataset, 2, 12, unit="tumour")
    members = make_members(dataset, splits, latent)
    result = evaluate(dataset, splits, members, SETTINGS, seed=1)
    folder = tmp_path_factory.mktemp("leaking")
    card = write_model_card(folder, EvaluatedRun(dataset, splits, members, result, FACTS)).read_text()
    return (
        dataset,
        splits,
        result,
        write_report(folder, EvaluatedRun(dataset, splits, members, result, FACTS)).read_text(),
        card,
    )


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and collects addresses and text."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, _tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(text):
    page = Page()
    page.feed(text)
    assert page.open == []
    return page


def test_report_is_one_small_well_formed_self_contained_page(reported):
    *_, text = reported
    page = parsed(text)
    assert len(text.encode()) < 1_000_000
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "@import" not in text
    assert not re.search(r"url\((?!#|&quot;#)", text)
    assert "nan" not in re.sub(r"[A-Za-z0-9+/=]{200,}", "", text).lower().replace("finance", "").split()


def test_report_prints_table_iii_digit_for_digit(reported):
    _, result, text = reported
    for row in result.table_iii.to_dict("records"):
        assert f">{row['auc']:.3f}<" in text
    assert f"{result.metrics.mean_auc:.3f}" in text
    for group in "ABCDE":
        assert f"Group {group}" in text


@pytest.mark.parametrize(("case", "score"), [("usual", "mean"), ("one_group", "vote")])
def test_pages_of_an_earlier_run_are_written_again(make, tmp_path, case, score):
    """Statistics that were added since are missing in its ``metrics.json``."""
    study = golden_study(make, case)
    settings = EvaluateSettings(bootstrap=100, ensemble_score=score)
    result = dataclasses.replace(evaluate(*study, settings, seed=1), metrics=golden_metrics(case))
    parsed(write_report(tmp_path, EvaluatedRun(*study, result, FACTS)).read_text())
    write_model_card(tmp_path, EvaluatedRun(*study, result, FACTS))
    assert SYNTHETIC in terminal_tables(result, study[0])


def test_newcombes_interval_comes_first_and_the_papers_is_named(reported):
    """Newcombe's limits of SciPy's roots of his equation are tested in ``tests/components/stats``."""
    (dataset, *_), result, text = reported
    scores = result.scores.query("group == 'A' and role == 'evaluation'")
    summary = roc_summary(scores["label"], scores["mean"], "newcombe")
    row = result.table_iii.query("group == 'A' and member == 'ensemble'").iloc[0]
    assert (row["newcombe_low"], row["newcombe_high"]) == pytest.approx((summary.ci_low, summary.ci_high))
    assert row["p_value_ties"] == pytest.approx(summary.p_value_ties)
    block = text[text.index("<h3>Group A") :]
    assert block.index(f">{summary.ci_low:.3f}<") < block.index("paper&#39;s (SPSS): low") < block.index("<h3>Group B")
    lines = terminal_tables(result, dataset).splitlines()
    (shown,) = (line for line in lines[lines.index("Group A") :][:4] if line.startswith("  95 % CI, low"))
    assert shown.endswith(f" {summary.ci_low:.3f}")


def test_mean_aucs_two_sided_interval_is_shown_beside_its_bound(reported, study, tmp_path):
    (dataset, *_), result, text = reported
    limits = result.metrics.mean_auc_limits
    assert limits.ci_low < result.metrics.mean_auc_lower_bound < result.metrics.mean_auc < limits.ci_high
    interval = f"{limits.ci_low:.3f} to {limits.ci_high:.3f}"
    card = write_model_card(tmp_path, EvaluatedRun(*study, result, FACTS)).read_text()
    for output in (text, card, terminal_tables(result, dataset)):
        assert interval in output


def test_report_counts_the_p_values_that_it_shows(reported):
    """Counted again from the page: cells below a head or beside a title that names a p-value."""
    *_, text = reported
    count = 0
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in table.split("<tr")[1:]]
        columns = [n for n, name in enumerate(rows[0]) if re.fullmatch(r"(.*, )?p|p, .*", name)]
        for row in rows[1:]:
            beside = row[1:] if re.fullmatch(r"p, .*|.*: p", html.unescape(row[0])) else []
            cells = beside or [row[n] for n in columns if n < len(row)]
            count += sum(len(re.findall(r"\d\.\d{3}", cell)) for cell in cells)
    assert f"This page shows {count} p-values" in text


def test_report_says_whether_fewer_networks_suffice_and_whether_the_spread_indicates_errors(reported):
    _, result, text = reported
    assert re.search(r"ensembles of \d+ networks? already come within 0.01 of the AUC of all 10", text)
    for group in result.metrics.groups.values():
        assert f">{group.spread.auc:.3f}<" in text


def test_drawing_names_the_layer_that_dropout_follows():
    for layer, shape in (("conv_2", "4 × 4 × 16"), ("dense_1", "32")):
        blocks = stages(network_of(dropout_after=layer))
        assert [(stage.shape, stage.notes) for stage in blocks if "dropout 0.25" in stage.notes] == [
            (shape, ("dropout 0.25",))
        ]


def test_drawing_of_the_papers_network_has_its_layers_in_order():
    shown = [(stage.title.replace("\u2009", ""), stage.shape) for stage in stages(network_of())]
    assert shown == [
        ("CT crop", "151 × 151 × 1"),
        ("convolution 7×7", "145 × 145 × 8"),
        ("max-pool 8", "18 × 18 × 8"),
        ("convolution 5×5", "14 × 14 × 16"),
        ("max-pool 3", "4 × 4 × 16"),
        ("flattened", "256"),
        ("fully connected", "32"),
        ("fully connected", "16"),
        ("softmax", "2"),
    ]
    assert not blocks_of(network_of())[1]


def test_list_of_layers_for_a_phone_reads_as_text(reported):
    *_, text = reported
    layers = re.search(r'<ol class="narrow-only">(.*?)</ol>', text)[1]
    assert "<b>softmax</b> 2: responder, non-responder</li>" in layers
    assert "<b>max-pool 3</b> 4 × 4 × 16: dropout 0.25</li>" in layers
    assert "<b>flattened</b> 256</li>" in layers


def test_drawing_of_a_residual_network_shows_what_each_connection_skips():
    network = network_of("residual", blocks=2)
    blocks, skips = blocks_of(network)
    convolutions = [number for number, block in enumerate(blocks) if block.kind == "convolution"]
    assert convolutions == [1, 3, 4, 5, 6]
    assert [(skip.start, skip.end, skip.label.replace("\u2009", "")) for skip in skips] == [
        (2, 4, "+"),
        (4, 6, "+ convolution 1×1"),
    ]
    assert blocks[5].notes == ("stride 2", "group norm")
    page = xml.etree.ElementTree.fromstring(drawing(network))
    _, _, width, _ = map(float, page.attrib["viewBox"].split())
    assert all(0 < float(text.attrib["x"]) < width for text in page.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize(
    ("evaluated", "names"), [("ab cd ef", {"evaluation"}), ("abc bcd def", {"development", "evaluation"})]
)
def test_development_predictions_have_a_reliability_curve_if_they_are_not_the_evaluation_ones(evaluated, names):
    """Where no tumour is evaluated twice, as with centres, they are the same predictions."""
    rng = np.random.default_rng(1)
    rows = [
        {"group": group, "tumour": tumour, "patient": tumour, "label": ord(tumour) % 2, "role": "evaluation"}
        for group, own in zip("ABC", evaluated.split(), strict=True)
        for tumour in own
    ]
    table = pd.DataFrame(rows).assign(mean=rng.random(len(rows)), vote=0.5, spread=0.1, members=3)
    scores = pd.concat([table, *(developed(table, group) for group in "ABC")], ignore_index=True)
    assert set(scores.role) == {"development", "evaluation"}
    assert reliability_curves(scores, "mean").keys() == names


@pytest.mark.parametrize(
    ("value", "other", "digits", "shown"),
    [(0.8611, 0.91651, 3, "-0.056"), (0.5004, 0.4996, 3, "0.000"), (0.7, 0.7004, 3, "0.000"), (0.125, 0.3, 1, "-0.2")],
)
def test_differences_are_those_of_the_figures_beside_them(value, other, digits, shown):
    assert number(minus(value, other, digits), digits) == shown
    assert float(number(value, digits)) - float(number(other, digits)) == pytest.approx(float(shown))


def test_every_printed_gain_is_the_difference_of_its_two_ends(reported):
    *_, text = reported
    table = text[text.index("Gain of the ensemble over its networks") :]
    rows = re.findall(r"<tr><td>[A-E]</td>.*?</tr>", table[: table.index("</table>")], re.S)
    assert len(rows) == 5
    for row in rows:
        ensemble, votes, gain, _, _, probabilities, second, *_ = re.findall(r">\s*([^<>]+?)\s*</td>", row)[1:]
        assert float(ensemble) - float(votes) == pytest.approx(float(gain))
        assert float(ensemble) - float(probabilities) == pytest.approx(float(second))


def test_a_characteristic_without_a_test_says_why(reported):
    (dataset, *_), result, _ = reported
    same = dataclasses.replace(dataset, tumours=dataset.tumours.assign(device="linac"))
    assert "no test: an arm is empty, or all tumours have one value" in terminal_tables(result, same)
    assert "no test" not in terminal_tables(result, dataset)


def test_only_phantom_runs_are_labelled_synthetic(reported, leaking):
    (dataset, *_), result, text = reported
    assert text.count(SYNTHETIC) >= 2
    assert "SYNTHETIC" in re.search(r"<title>(.*?)</title>", text).group(1)
    assert terminal_tables(result, dataset).count(SYNTHETIC) == 2
    real_dataset, _, real_result, real_text, real_card = leaking
    for output in (real_text, real_card, terminal_tables(real_result, real_dataset)):
        assert "SYNTHETIC" not in output


def test_report_and_card_warn_of_shared_patients_where_tumours_are_split(reported, leaking):
    _, splits, _, text, card = leaking
    assert "patients are shared" in text
    assert f"up to {splits.shared_patients} patients" in text
    assert "patients are shared" in card
    assert f"up to {splits.shared_patients} patients" in card
    *_, patientwise = reported
    assert "No patient is shared" in patientwise
    assert "patients are shared" not in patientwise


def test_every_failure_is_listed_with_its_crop_and_score(reported):
    _, result, text = reported
    evaluated = result.scores[result.scores["role"] == "evaluation"]
    wrong = evaluated[(evaluated["mean"] > 0.5) != (evaluated["label"] == 1)]
    listed = text[text.index('id="failures"') :]
    for row in wrong.to_dict("records"):
        assert f"<b>{row['tumour']}</b>" in listed
        assert f"{row['group']} {row['mean']:.2f} ± {row['spread']:.2f}" in listed
    crops = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', listed)
    assert len(crops) == min(40, wrong["tumour"].nunique())
    assert base64.b64decode(crops[0])[:2] == b"\xff\xd8"


def test_same_inputs_give_the_same_bytes(reported, tmp_path):
    study, result, text = reported
    assert write_report(tmp_path, EvaluatedRun(*study, result, FACTS)).read_text() == text


def test_facts_are_printed_and_escaped(reported, tmp_path):
    study, result, _ = reported
    text = write_report(tmp_path, EvaluatedRun(*study, result, {"note": "<script>alert(1)</script>"})).read_text()
    assert "<script>" not in text
    assert flat_facts({"a": {"b": 1}, "settings": StudySettings(seed=9), "none": []})[0] == ("a / b", "1")
    assert ("settings / seed", "9") in flat_facts({"settings": StudySettings(seed=9)})
    assert ("none", "none") in flat_facts({"none": []})


def test_terminal_tables_keep_to_a_hundred_columns(reported, leaking):
    (dataset, *_), result, _ = reported
    other_dataset, _, other_result, *_ = leaking
    for text in (terminal_tables(result, dataset), terminal_tables(other_result, other_dataset)):
        assert max(map(len, text.splitlines())) <= TERMINAL_COLUMNS
        assert "[" not in text  # the console reads brackets as mark-up
        for title in ("Table I.", "Table II.", "Table III."):
            assert title in text


def test_small_expected_counts_have_an_exact_p_beside_pearsons(reported):
    (dataset, *_), result, text = reported
    table = table_i(dataset.tumours)
    (location,) = (table["characteristic"] == "Location").to_numpy().nonzero()
    row = table.iloc[location[0]]
    assert row["p_exact"] != row["p_value"]
    pearson, exact = f"{row['p_value']:.3f}", f"{row['p_exact']:.3f}"
    assert f'class="n">{pearson} (exact {exact})</td>' in text
    assert "99,999 random tables" in text
    lines = terminal_tables(result, dataset).splitlines()
    (first,) = (n for n, line in enumerate(lines) if line.startswith("  Location"))
    assert lines[first].endswith(f" {pearson}")
    assert lines[first + 1].endswith(f" ({exact})")
    assert "(" not in lines[first + 2]


def test_report_stays_small_for_a_large_cohort(make, tmp_path):
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(800, 700, signal=-2.0)
    splits = make_splits(dataset, 5, 2)
    members = make_members(dataset, splits, latent)
    result = evaluate(dataset, splits, members, SETTINGS, seed=1)
    path = write_report(tmp_path, EvaluatedRun(dataset, splits, members, result, {}))
    assert path.stat().st_size < 1_000_000
    assert "worst are shown" in path.read_text()


def test_report_is_written_where_a_group_has_no_development_auc(make, tmp_path):
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(8, 8)
    splits = make_splits(dataset, 2, 1)
    members = make_members(dataset, splits, latent)
    result = evaluate(dataset, splits, members, SETTINGS, seed=1)
    groups = {
        name: dataclasses.replace(
            group,
            evaluation=dataclasses.replace(group.evaluation, platt=None, development_cut_off=None),
            development=OneClassMetrics(n=1, tumours=12, never_evaluated=11, mean_members=1.0),
            covariates=None,
        )
        for name, group in result.metrics.groups.items()
    }
    metrics = dataclasses.replace(result.metrics, groups=groups, mean_auc_lower_bound=None)
    result = dataclasses.replace(result, metrics=metrics)
    page = write_report(tmp_path, EvaluatedRun(dataset, splits, members, result, {})).read_text()
    parsed(page)
    card = write_model_card(tmp_path, EvaluatedRun(dataset, splits, members, result, {})).read_text()
    for text in (page, card, terminal_tables(result, dataset)):
        assert "no confidence limits, as there are too few patients" in text
    assert page.count("one class only") >= 4
    assert "| one class only |" in card
    assert "No limits: fewer than 10 patients" in page
    assert not re.search(r"\b0 patients|\b0 of 0\b|\b0 (evaluated )?tumours with", page + card)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "p = 0.012"), (0.0006, "p = 0.001"), (0.0004, "p < 0.001"), (None, "p = –")]
)
def test_a_p_value_in_a_sentence_has_one_sign(value, text):
    assert p_statement(value) == text


def test_nothing_is_counted_that_is_not_there(make, tmp_path):
    """Split by tumour, but each patient has one; nobody is misclassified; no tumour progressed."""
    make_dataset, make_splits, make_members = make
    dataset, _ = make_dataset(40, 40)
    dataset.tumours["response"] = np.where(dataset.tumours["label"] == 1, "SD", "PR")
    splits = make_splits(dataset, 2, 2, unit="tumour")
    members = make_members(dataset, splits, np.where(dataset.tumours["label"] == 1, 9.0, -9.0))
    members = dataclasses.replace(
        members,
        members=tuple(
            dataclasses.replace(one, probabilities=np.where(dataset.tumours["label"] == 1, 0.9, 0.1))
            for one in members.members
        ),
    )
    run = EvaluatedRun(dataset, splits, members, evaluate(dataset, splits, members, SETTINGS, seed=1), FACTS)
    page, card = write_report(tmp_path, run).read_text(), write_model_card(tmp_path, run).read_text()
    parsed(page)
    assert "no patient has tumours in two sets of a split" in page
    assert "in this run, none is" in card
    assert "No ensemble misclassified an evaluation tumour" in page
    assert "no patients with several tumours" in page
    assert not re.search(r"\b0 patients|\b0 of 0\b|\b0 (evaluated )?tumours", page + card)


def test_drawing_follows_the_settings(make, tmp_path):
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(30, 30)
    splits = make_splits(dataset, 1, 1)
    settings = resolve(
        "default",
        {
            "train": {
                "filters_1": 7,
                "filters_2": 32,
                "kernel_1": 5,
                "pool_1": 4,
                "pool_2": 4,
                "dense_2": 19,
                "window_level_hu": 35,
            }
        },
    )
    object.__setattr__(splits, "settings", settings)
    members = make_members(dataset, splits, latent)
    result = evaluate(dataset, splits, members, SETTINGS, seed=1)
    text = write_report(tmp_path, EvaluatedRun(dataset, splits, members, result, {})).read_text()
    # 151 - 5 + 1 = 147, pooled by 4 to 36, convolved to 32, pooled to 8 (STUDY 4 with the default kernels).
    for shape in ("147 × 147 × 7", "36 × 36 × 7", "32 × 32 × 32", "8 × 8 × 32", ">2048<", ">19<"):
        assert shape in text
    assert "level 35 HU" in text


def test_card_prints_the_mean_every_group_and_missing_items(study, tmp_path):
    result = evaluate(*study, SETTINGS, seed=1)
    card = write_model_card(tmp_path, EvaluatedRun(*study, result, FACTS)).read_text()
    assert f"{result.metrics.mean_auc:.3f}" in card
    for name, group in result.metrics.groups.items():
        assert f"| {name} | {group.evaluation.auc:.3f} |" in card
    assert "another design" not in card
    for rate in simulated_for("5 groups of 10 networks, split by patient").rates:
        assert f"- {rate.question}: {100 * rate.found:.1f} % of runs" in card
    assert "true AUC of 0.75 is promoted: 92 % of runs" in card
    for heading in ("Intended use", "Limits", "Data", "Performance", "missing"):
        assert heading in card
    items = json.loads((tmp_path / "checklist.json").read_text())["items"]
    assert len(items) == len(ITEMS)
    assert {item["status"] for item in items} == {FILLED, DECLARED, MISSING}
    for item in items:
        if item["status"] == MISSING:
            assert f"{item['standard']} {item['item']}: {item['topic']}" in card


def test_checklist_holds_every_item_of_both_standards():
    """Collins et al. 2024: 27 items in 52 parts. Tejani et al. 2024: 44 items."""
    letters = {
        3: "abc",
        5: "ab",
        6: "abc",
        8: "abc",
        9: "abc",
        12: "abcdefg",
        18: "abcdef",
        20: "abc",
        23: "ab",
        27: "abc",
    }
    tripod = [f"{item}{letter}" for item in range(1, 28) for letter in letters.get(item, [""])]
    assert [item for standard, item, *_ in ITEMS if standard == "TRIPOD+AI"] == tripod
    assert [item for standard, item, *_ in ITEMS if standard == "CLAIM"] == [str(item) for item in range(1, 45)]


def test_phantom_fills_no_item_about_patients(study, leaking, tmp_path):
    result = evaluate(*study, SETTINGS, seed=1)
    write_model_card(tmp_path, EvaluatedRun(*study, result, FACTS))
    by_item = {
        (i["standard"], i["item"]): i["status"] for i in json.loads((tmp_path / "checklist.json").read_text())["items"]
    }
    assert by_item["TRIPOD+AI", "23a"] == MISSING
    assert by_item["TRIPOD+AI", "20a"] == FILLED
    *_, card = leaking
    assert "TRIPOD+AI 23a" not in card


def test_crop_is_windowed():
    flat = np.full((151, 151), 40, np.float32)
    flat[:, 75:] = 500
    uri = crop_image(flat, 40, 160)
    shown = image.imread(io.BytesIO(base64.b64decode(uri.split(",")[1])), format="jpeg")
    assert abs(int(shown[70, 20, 0]) - 127) < 6
    assert shown[70, 130, 0] > 245


def test_crops_and_then_curves_are_left_out_where_the_page_would_be_too_large(study, monkeypatch, tmp_path):
    """Figures and tables are computed only once."""
    run = EvaluatedRun(*study, evaluate(*study, SETTINGS, seed=1), {})
    calls, known = collections.Counter(), report._figures(run)
    monkeypatch.setattr(report, "_figures", lambda _: calls.update(["_figures"]) or known)
    for name in ("failures", "most_confident", "table_i"):
        computed = getattr(report, name)
        monkeypatch.setattr(report, name, lambda *a, n=name, f=computed: calls.update([n]) or f(*a))
    sizes, shown = [10**9], []
    for _ in range(4):
        monkeypatch.setattr(report, "MOST_BYTES", sizes[-1])  # the page must be smaller than the last one
        calls.clear()
        text = write_report(tmp_path, run).read_text()
        parsed(text)
        assert calls == {"failures": 1, "_figures": 1, "most_confident": 1, "table_i": 1}
        sizes.append(len(text.encode()))
        shown.append((text.count("data:image/jpeg"), "see MLflow for them" in text))
    assert [curves for _, curves in shown] == [False, False, False, True]
    crops = [count for count, _ in shown]
    assert crops[0] > report.MOST_CROPS // 4 == crops[1]
    assert crops[2:] == [0, 0]


def test_saliency_maps_are_shown_where_members_have_weights(make, reported, tmp_path):
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(60, 50)
    splits = make_splits(dataset, 1, 2)
    members = make_members(dataset, splits, latent)
    rng, network = np.random.default_rng(0), network_of()
    weighted = [dataclasses.replace(m, weights=network.initial_weights(rng)) for m in members.members]
    members = Members(tuple(weighted), members.dataset_digest)
    result = evaluate(dataset, splits, members, SETTINGS, seed=1)
    text = write_report(tmp_path, EvaluatedRun(dataset, splits, members, result, {})).read_text()
    parsed(text)
    assert text.count('alt="Saliency map of tumour') == 6
    *_, without = reported
    assert "Saliency maps</h2>" not in without


def text_of(make, tmp_path, drawn, **split):
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(60, 48)
    settings = resolve("default", {"split": {"members": 2, **split}})
    splits = dataclasses.replace(make_splits(dataset, drawn, 2), settings=settings)
    members = make_members(dataset, splits, latent)
    run = EvaluatedRun(dataset, splits, members, evaluate(dataset, splits, members, SETTINGS, seed=1), FACTS)
    return write_report(tmp_path, run).read_text() + write_model_card(tmp_path, run).read_text()


def test_a_single_group_is_not_told_of_as_several(make, tmp_path):
    text = text_of(make, tmp_path, 1, groups=1)
    assert "<b>1 group</b> with an evaluation set" in text
    assert "There are no development predictions" in text
    for untrue in ("the sets overlap", "estimate for the study ensemble", "Which AUC to quote", "<b>Development pred"):
        assert untrue not in text


def test_groups_of_later_draws_are_not_in_the_study_ensemble(make, tmp_path):
    text = text_of(make, tmp_path, 4, groups=2, repeats=2)
    assert "The groups of the draws after the first (C, D) only estimate" in text
    assert "joins the 4 networks of the first draw of groups" in text
    assert "joins 4 networks" in text
