"""Net benefit, subgroups, confounders, borderline tumours and outcomes of a run."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from components.common.artifacts.clinical_metrics import Subgroup
from components.common.artifacts.metrics import Calls, CallsByResponse
from components.common.artifacts.score_metrics import PlattScaling
from components.common.settings import EvaluateSettings
from components.evaluate.borderline import CHANGE, borderline, distance_to_line
from components.evaluate.clinical import patients_evaluated
from components.evaluate.confounders import scan_facts, with_not_stated
from components.evaluate.covariates import clinical_probability
from components.evaluate.decision import THRESHOLDS, calibrated_rows
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.outcomes import later_outcomes
from components.evaluate.pages import template
from components.evaluate.report import write_report
from components.evaluate.subgroup_tables import subgroup_metrics

SETTINGS = EvaluateSettings(bootstrap=100)


@pytest.fixture(scope="module")
def result(study):
    return evaluate(*study, SETTINGS, seed=1)


@pytest.fixture(scope="module")
def pooled(result):
    """Evaluated tumours, each once."""
    rows = result.scores[result.scores["role"] == "evaluation"]
    return rows.groupby("tumour").agg({"patient": "first", "label": "first", "mean": "mean"}).reset_index()


def table(**columns):
    rows = len(next(iter(columns.values())))
    names = ("contrast_agent", "kvp", "slice_thickness_mm", "kernel", "pseudoprogression", "later_response",
             "baseline_diameter_mm", "follow_up_diameter_mm", "sex", "age", "primary_site", "location", "diameter_mm",
             "device", "systemic_therapy_kind", "centre")  # fmt: skip
    known = {"tumour": [f"T{n}" for n in range(rows)], "patient": [f"P{n}" for n in range(rows)]}
    return pd.DataFrame(dict.fromkeys(names, np.nan) | known | columns)


def rows_of(tumours, score):
    return tumours[["tumour", "patient", "label"]].assign(mean=score)


def test_decision_curve_is_that_of_the_definition_on_probabilities_scaled_out_of_sample(result):
    """Platt scaling of each group by scikit-learn; the net benefit from its confusion matrix (Vickers & Elkin 2006)."""
    parts = []
    for _, own in result.scores.groupby("group"):
        development, evaluated = (own[own["role"] == role] for role in ("development", "evaluation"))
        n_pos, n_neg = (development["label"] == 1).sum(), (development["label"] == 0).sum()
        target = np.where(development["label"] == 1, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))
        x = np.log(development["mean"] / (1 - development["mean"])).to_numpy()[:, None]
        fit = LogisticRegression(C=np.inf, tol=1e-10)
        fit.fit(np.tile(x, (2, 1)), np.repeat([1, 0], len(x)), np.append(target, 1 - target))
        logit = np.log(evaluated["mean"] / (1 - evaluated["mean"])).to_numpy()[:, None]
        parts.append(evaluated.assign(p=fit.predict_proba(logit)[:, 1]))
    rows = pd.concat(parts).groupby("tumour").agg({"label": "first", "p": "mean"})
    clinical = result.metrics.clinical
    assert clinical.calibrated == len(rows)
    assert tuple(point.threshold for point in clinical.net_benefit) == THRESHOLDS
    for point in clinical.net_benefit:
        (_, fp), (_, tp) = sklearn_metrics.confusion_matrix(rows["label"], rows["p"] >= point.threshold)
        expected = (tp - fp * point.threshold / (1 - point.threshold)) / len(rows)
        assert point.model == pytest.approx(expected, abs=1e-6)


def test_groups_without_a_scaling_are_left_out_of_the_decision_curve():
    scores = pd.DataFrame({"group": ["A", "A", "B"], "role": "evaluation", "tumour": ["T1", "T2", "T1"],
                           "patient": ["P1", "P2", "P1"], "label": [0, 1, 0], "mean": [0.2, 0.8, 0.9]})  # fmt: skip
    rows = calibrated_rows(scores, {"A": PlattScaling(1.0, 0.0, 9), "B": None}, "mean")
    assert rows["tumour"].tolist() == ["T1", "T2"]
    assert rows["probability"].tolist() == pytest.approx([0.2, 0.8])
    assert calibrated_rows(scores, {"A": None, "B": None}, "mean").empty


def test_subgroups_agree_with_scikit_learn(study, result, pooled):
    tumours = study[0].tumours.set_index("tumour").loc[pooled["tumour"]].reset_index()
    found = {(s.covariate, s.category): s for s in result.metrics.clinical.subgroups}
    women, young = tumours["sex"] == "F", tumours["age"] < tumours["age"].median()
    for chosen, key in ((women, ("Sex", "F")), (young, ("Age, years", f"below {tumours['age'].median():g}"))):
        own = pooled[chosen.to_numpy()]
        assert found[key].auc == pytest.approx(sklearn_metrics.roc_auc_score(own["label"], own["mean"]))
        assert found[key].sensitivity == pytest.approx(sklearn_metrics.recall_score(own["label"], own["mean"] > 0.5))
    assert {"1", "1.25", "3"} == {category for name, category in found if name == "Slice thickness, mm"}


def test_added_value_agrees_with_nested_regressions_by_scikit_learn(study, result):
    rows = result.scores.query("group == 'A' and role == 'evaluation'")
    base = special.logit(clinical_probability(study[0].tumours, rows))
    columns = np.column_stack([base, special.logit(rows["mean"])])
    losses = []
    for design in (columns[:, :1], columns):
        fit = LogisticRegression(C=np.inf, tol=1e-10).fit(design, rows["label"])
        losses.append(sklearn_metrics.log_loss(rows["label"], fit.predict_proba(design), normalize=False))
    added = result.metrics.groups["A"].covariates.added_value
    assert (added.n, added.coefficient) == (len(rows), pytest.approx(fit.coef_[0, 1], rel=1e-4))
    assert added.likelihood_ratio == pytest.approx(2 * (losses[0] - losses[1]), rel=1e-4)
    assert added.p_value == pytest.approx(stats.chi2.sf(added.likelihood_ratio, 1))
    assert result.metrics.clinical.added_value.n == result.metrics.study.n


def contrast_study(make, *, within):
    """Contrast agent follows the label of nine in ten tumours; ``within`` is the signal within each kind of scan."""
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(110, 89, signal=0.0)
    rng = np.random.default_rng(5)
    label = dataset.tumours["label"].to_numpy()
    contrast = np.where(rng.random(110) < 0.9, label, 1 - label)
    dataset.tumours["contrast_agent"] = np.where(contrast == 1, "yes", "no")
    latent = 3.0 * contrast + within * label + rng.normal(size=110)
    splits = make_splits(dataset)
    return dataset, splits, make_members(dataset, splits, latent)


def test_a_contrast_agent_that_decides_the_label_raises_the_flag(make, study, tmp_path):
    confounded = contrast_study(make, within=0.0)
    result = evaluate(*confounded, SETTINGS, seed=1)
    facts = {fact.name: fact for fact in result.metrics.clinical.scan}
    assert facts["Contrast agent"].associated
    assert not facts["Slice thickness, mm"].explains
    page = write_report(tmp_path, EvaluatedRun(*confounded, result, {})).read_text()
    assert "Possible confounder: contrast agent" in page
    unconfounded = evaluate(*study, SETTINGS, seed=1)
    assert "Possible confounder" not in write_report(tmp_path, EvaluatedRun(*study, unconfounded, {})).read_text()


def in_subgroups(first, second):
    """Subgroups by contrast agent with the given AUCs, of 20 + 20 tumours each."""
    return [Subgroup("Contrast agent", name, 20, 20, 40, auc, *[None] * 8)
            for name, auc in (("yes", first), ("no", second))]  # fmt: skip


@pytest.mark.parametrize(
    ("subgroups", "auc", "explains"),
    [
        (in_subgroups(0.5, 0.52), 0.8, True),
        (in_subgroups(0.5, 0.7), 0.8, False),
        (in_subgroups(0.5, 0.52), 0.6, False),  # nothing to explain
        (in_subgroups(0.5, None), 0.8, True),
        (in_subgroups(None, None), 0.8, False),
        (in_subgroups(0.5, 0.5)[:1], 0.8, False),  # all scanned alike
    ],
)
def test_a_fact_explains_an_auc_that_no_subgroup_keeps(subgroups, auc, explains):
    tumours = table(contrast_agent=["yes", "no"] * 40, label=[0, 0, 1, 1] * 20)
    (fact,) = scan_facts(tumours, subgroups, auc, 80)
    assert (fact.name, fact.associated, fact.explains) == ("Contrast agent", False, explains)
    assert fact.p_value == pytest.approx(1.0)


def test_an_agent_that_only_one_arm_states_raises_the_flag_too():
    """Files that do not name an agent are a category: 20 of 21 responders name one, 6 of 19 non-responders do."""
    stated = ["yes"] * 20 + [None] + ["yes"] * 6 + [None] * 13
    tumours = table(contrast_agent=stated, label=[0] * 21 + [1] * 19)
    (fact,) = scan_facts(tumours, (), 0.5, 40)
    assert (fact.name, fact.associated) == ("Contrast agent", True)
    assert fact.p_value == pytest.approx(stats.chi2_contingency([[20, 6], [1, 13]], correction=False).pvalue)
    assert list(with_not_stated(tumours)["contrast_agent"].unique()) == ["yes", "not stated"]


def test_distance_to_the_line_of_partial_response():
    tumours = table(baseline_diameter_mm=[20, 20, 20, 20, np.nan], follow_up_diameter_mm=[14, 13, 0, 24, 3])
    assert distance_to_line(tumours) == pytest.approx([0, -5, -70, 50, np.nan], nan_ok=True)


def test_borderline_tumours_are_left_out_of_the_clear_ones():
    """Six clear responders and six clear non-responders called rightly, four borderline ones called wrongly."""
    follow_up = [8] * 6 + [20] * 6 + [13.5, 13.5, 14.5, 14.5]
    label = [0] * 6 + [1] * 6 + [0, 0, 1, 1]
    tumours = table(baseline_diameter_mm=[20] * 16, follow_up_diameter_mm=follow_up, label=label)
    score = [0.1] * 6 + [0.9] * 6 + [0.95, 0.95, 0.05, 0.05]
    by_class = {(s.covariate, s.category): s for s in borderline(tumours, rows_of(tumours, score), "mean", 0.5)}
    clear, near = (by_class[CHANGE, f"{words} from -30 %"] for words in ("10 points or more", "less than 10 points"))
    assert (clear.responders, clear.non_responders, clear.auc) == (6, 6, 1.0)
    assert (near.responders, near.non_responders, near.auc, near.sensitivity) == (2, 2, None, 0.0)
    unknown = table(label=[0, 1])
    assert borderline(unknown, rows_of(unknown, [0.1, 0.9]), "mean", 0.5) == ()


def test_later_outcomes_are_counted_where_known():
    tumours = table(pseudoprogression=["yes", "no", None, None], later_response=["PR", None, "PD", None], label=[1] * 4)
    found = later_outcomes(tumours, rows_of(tumours, [0.1, 0.9, 0.8, 0.9]), "mean", 0.5)
    assert [dataclasses.astuple(line) for line in found] == [
        ("pseudoprogression", 1, 0),
        ("progression that was no pseudoprogression", 0, 1),
        ("later response PR", 1, 0),
        ("later response PD", 0, 1),
    ]


def test_patients_with_several_tumours_are_counted_apart():
    tumours = pd.DataFrame({"tumour": list("abcde"), "patient": ["P1", "P2", "P3", "P3", "P4"]})
    found = patients_evaluated(tumours, pd.Series(["a", "c"]))
    assert dataclasses.astuple(found) == (3, 1, 1, 1)


def test_unknown_covariates_have_no_subgroup():
    tumours = table(label=[0, 1], sex=["F", "M"])
    found = subgroup_metrics(tumours, rows_of(tumours, [0.1, 0.9]), "mean", 0.5)
    assert [(s.covariate, s.category, s.auc) for s in found] == [("Sex", "F", None), ("Sex", "M", None)]


def test_the_costly_error_is_said_aloud_with_its_number(study, result, pooled, tmp_path):
    response = study[0].tumours.set_index("tumour").loc[pooled["tumour"], "response"].to_numpy()
    progressive = pooled[response == "PD"]
    missed = int((progressive["mean"] <= 0.5).sum())
    page = write_report(tmp_path, EvaluatedRun(*study, result, {})).read_text()
    assert f"Of {len(progressive)} evaluated tumours with progressive disease, {missed} (" in page


@pytest.mark.parametrize(
    ("missed", "others", "sentence"),
    [
        (1, 6, "Of 7 evaluated tumours with progressive disease, 1 (14&nbsp;%) was called a responder: acting on that"),
        (
            2,
            6,
            "Of 8 evaluated tumours with progressive disease, 2 (25&nbsp;%) were called responders: acting on these",
        ),
        (0, 1, "Of 1 evaluated tumour with progressive disease, 0 (0&nbsp;%) were called responders."),
    ],
)
def test_the_sentence_about_the_costly_error_agrees_with_its_numbers(missed, others, sentence):
    calls = CallsByResponse(Calls(0, 0), Calls(0, 0), Calls(0, 0), Calls(missed, others))
    metrics = SimpleNamespace(study=SimpleNamespace(confusion_by_response=calls), clinical=None)
    assert sentence in template("report_outcomes.html.j2").render(metrics=metrics)
