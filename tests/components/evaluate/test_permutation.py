"""The report's section about a permutation test."""

import dataclasses
import re

import numpy as np
import pytest

from components.common.settings import EvaluateSettings, StudySettings
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.permutation import null_histogram, permutation_test
from components.evaluate.report import write_report

FACTS = {"settings": StudySettings()}


@pytest.fixture(scope="module")
def evaluated(study):
    return study, evaluate(*study, EvaluateSettings(bootstrap=100), seed=1)


def a_test_of(evaluated, development=0.5, n=99):
    (dataset, *_), result = evaluated
    aucs = np.random.default_rng(1).normal(0.5, 0.06, n)
    return permutation_test(dataset, result.metrics, [(auc, development) for auc in aucs], seed=1, redrawn=2)


def section(evaluated, permutation, folder):
    study, result = evaluated
    text = write_report(folder, EvaluatedRun(*study, result, FACTS, permutation)).read_text()
    return text, text[text.index('id="permutation"') : text.index('id="reporting"')] if permutation else ""


def test_a_report_shows_the_test_and_what_it_means(evaluated, tmp_path):
    test = a_test_of(evaluated)
    _, text = section(evaluated, test, tmp_path)
    assert f"p = {test.p_value:.3f}" in text
    assert f"The mean AUC of this run is {evaluated[1].metrics.mean_auc:.3f}" in text
    assert f"{test.null.mean:.3f}" in text
    assert "whether the procedure finds any signal at all" in text
    assert "not part of the promotion gate" in text
    assert "cannot be below 0.010" in text
    assert "of the same centre (3 centres are known)" in text
    assert "2 permutations for which no splits" in text
    assert text.count("<svg") == 2  # for wide and for narrow windows
    assert re.search(r"Histogram of the mean AUC with permuted labels", text)


def test_a_report_without_a_test_has_no_section(evaluated, tmp_path):
    text, _ = section(evaluated, None, tmp_path)
    assert "ermutation test" not in text


def row_of(text, name):
    row = text[text.index(f"<td>{name}</td>") :]
    return row[: row.index("</tr>")]


def test_one_permutation_and_no_development_predictions_are_told_in_words(evaluated, tmp_path):
    _, text = section(evaluated, a_test_of(evaluated, development=None, n=1), tmp_path)
    assert "no predictions of both classes" in row_of(text, "development")
    assert row_of(text, "evaluation").count("too few") == 2
    assert "repeated 1 time with" in text
    assert "on average (SD" not in text
    assert "with 1 permutation it cannot be below 0.500" in text


@pytest.mark.parametrize("n", [18, 19])
def test_a_95_percent_quantile_is_shown_of_19_permutations_or_more(evaluated, tmp_path, n):
    """With fewer, no p-value is 0.05 or less."""
    test = a_test_of(evaluated, n=n)
    _, text = section(evaluated, test, tmp_path)
    rows = row_of(text, "evaluation") + row_of(text, "development")
    assert (rows.count("too few"), "95&nbsp;% quantile 0." in text) == ((0, True) if n == 19 else (2, False))
    assert ("from 19 permutations on" in text) == (n == 18)
    assert ("95 % quantile" in null_histogram(test)) == (n == 19)


def test_every_permutation_is_in_the_histogram(evaluated):
    """One that lies on an edge too, and where all are equal."""
    (dataset, *_), result = evaluated
    for aucs in ([0.5, 0.5], [0.0, 1.0], [0.41, 0.5, 0.57]):
        test = permutation_test(dataset, result.metrics, [(auc, None) for auc in aucs], seed=1, redrawn=0)
        assert "<svg" in null_histogram(test)


def test_development_predictions_that_repeat_the_evaluation_are_no_second_line(evaluated, tmp_path):
    """As with two centres, each of which evaluates what the other group is developed on."""
    test = a_test_of(evaluated)
    _, text = section(evaluated, test, tmp_path)
    assert "<td>development</td>" in text
    assert "no second line of evidence" not in text
    same = dataclasses.replace(test, observed_development=test.observed, development_aucs=test.aucs)
    _, text = section(evaluated, same, tmp_path)
    assert "<td>development</td>" not in text
    assert "no second line of evidence" in text


@pytest.mark.parametrize(("observed", "last", "repeats"), [(0.7, 0.5, True), (0.7, 0.51, False), (0.71, 0.5, False)])
def test_only_equal_figures_throughout_count_as_a_repetition(evaluated, observed, last, repeats):
    test = a_test_of(evaluated, n=3)
    test = dataclasses.replace(
        test,
        observed=0.7,
        aucs=(0.4, 0.6, 0.5),
        observed_development=observed,
        development_aucs=(0.4, 0.6 + 1e-15, last),
    )
    assert test.development_repeats_evaluation is repeats
    without = dataclasses.replace(test, observed_development=None, development_aucs=(None, None, None))
    assert not without.development_repeats_evaluation
