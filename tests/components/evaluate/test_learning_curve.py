"""The learning curve of a run: its points, what is read from it, its figure, its section and its page."""

import dataclasses
import re

import numpy as np
import pytest

from components.common.artifacts.learning_curve import LearningCurve, Rise, SmallerTraining
from components.common.settings import EvaluateSettings, StudySettings
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.learning_curve import (
    comparison,
    conclusion,
    evaluation_scores,
    figure,
    learning_curve,
    mean_sizes,
)
from components.evaluate.learning_curve_page import write_learning_curve
from components.evaluate.report import write_report
from components.stats.auc import auc_score

FACTS = {"settings": StudySettings()}


@pytest.fixture(scope="module")
def evaluated(study):
    return study, evaluate(*study, EvaluateSettings(bootstrap=100), seed=1)


def trainings(evaluated, fractions=(0.25, 0.5, 0.75), draws=3, noise=0.3):
    """The run's scores, with the more noise the smaller the fraction."""
    _, result = evaluated
    own, rng = evaluation_scores(result.scores, "mean"), np.random.default_rng(1)
    return {
        fraction: [
            SmallerTraining(
                70 * fraction,
                65 * fraction + draw / 2,
                {
                    group: tuple(np.add(scores, rng.normal(0, noise * (1 - fraction), len(scores))))
                    for group, scores in own.items()
                },
                1.0,
            )
            for draw in range(draws)
        ]
        for fraction in fractions
    }


def curve_of(evaluated, **more) -> LearningCurve:
    (dataset, splits, _), result = evaluated
    return learning_curve(dataset, splits, result, trainings(evaluated, **more), seed=1)


@pytest.fixture(scope="module")
def curve(evaluated) -> LearningCurve:
    return curve_of(evaluated)


def test_points_are_means_over_groups_and_draws(evaluated, curve):
    (dataset, splits, _), result = evaluated
    trained = trainings(evaluated)
    label_of = dict(zip(dataset.tumours.tumour, dataset.tumours.label, strict=True))
    rows = result.scores[result.scores.role == "evaluation"]
    for point in curve.points:
        by_hand = [
            np.mean([auc_score(rows[rows.group == g].label, one.scores[g]) for g in splits.groups])
            for one in trained[point.fraction]
        ]
        assert point.aucs == pytest.approx(by_hand)
        assert (point.mean, point.sd) == pytest.approx((np.mean(by_hand), np.std(by_hand, ddof=1)))
        assert point.patients == 70 * point.fraction
        assert point.training_tumours == pytest.approx(65 * point.fraction + 0.5)
    assert {label_of[name] for name in rows.tumour} == {0, 1}
    assert (curve.run.mean_auc, curve.run.limits) == (result.metrics.mean_auc, result.metrics.mean_auc_limits)
    assert curve.rise.difference == pytest.approx(result.metrics.mean_auc - curve.points[-1].mean)
    assert (curve.draws, curve.networks, curve.groups) == (3, 50, 5)


def test_sizes_are_means_over_networks_and_groups(evaluated):
    (dataset, splits, _), _ = evaluated
    patient_of = dict(zip(dataset.tumours.tumour, dataset.tumours.patient, strict=True))
    developed = [
        {patient_of[name] for name in patient_of if name not in splits.of_group(group)[0].evaluation}
        for group in splits.groups
    ]
    patients, tumours = mean_sizes(splits.members, dataset.tumours)
    assert patients == np.mean([len(own) for own in developed])
    assert tumours == np.mean([len(split.training) for split in splits.members])


def rising(curve, *, low, high, sd=0.02, draws=3, se=0.01):
    return dataclasses.replace(curve, draws=draws, rise=Rise((0.05,) * draws, 0.05, sd, se, low, high))


def test_what_can_be_read_depends_on_the_limits_of_the_difference(curve):
    assert "more tumours of this kind are likely to help" in conclusion(rising(curve, low=0.01, high=0.09))
    assert "gives no reason to expect that more would help" in conclusion(rising(curve, low=-0.09, high=-0.01))
    unclear = conclusion(rising(curve, low=-0.02, high=0.12))
    assert "does not show whether more tumours would help" in unclear
    assert "More draws" in unclear
    assert "draw and training" in conclusion(rising(curve, low=-0.02, high=0.12, draws=20))
    assert "evaluated patients, so that more draws would hardly" in conclusion(
        rising(curve, low=-0.1, high=0.1, se=0.03)
    )
    assert "With more draws" in conclusion(rising(curve, low=None, high=None, sd=None, draws=1))
    assert "With more draws" not in conclusion(rising(curve, low=None, high=None))


def test_the_comparison_names_sizes_difference_and_spread(curve):
    run = dataclasses.replace(curve.run, mean_auc=curve.points[-1].mean + 0.05)
    curve = dataclasses.replace(curve, run=run)
    text = comparison(rising(curve, low=-0.02, high=0.12))
    assert f"{curve.run.training_tumours:.0f} training tumours per network instead of 49" in text
    assert "a difference of +0.050 (SD over 3 draws 0.020; 95 % CI -0.020 to 0.120)" in text
    assert "(one draw)" in comparison(rising(curve, low=None, high=None, sd=None, draws=1))


def test_the_difference_is_that_of_the_figures_beside_it(curve):
    """0.8611 - 0.91651 is -0.0554, but who reads 0.861 and 0.917 expects -0.056."""
    last = dataclasses.replace(curve.points[-1], mean=0.91651)
    ends = dataclasses.replace(
        curve, points=(*curve.points[:-1], last), run=dataclasses.replace(curve.run, mean_auc=0.8611)
    )
    text = comparison(rising(ends, low=-0.1, high=0.02))
    assert "is 0.861 instead of 0.917: a difference of -0.056 (" in text


def test_a_curve_is_read_as_it_was_written(curve, tmp_path):
    assert LearningCurve.read(tmp_path) is None
    curve.write(tmp_path)
    assert LearningCurve.read(tmp_path) == curve


def section(evaluated, curve, folder) -> str:
    study, result = evaluated
    run = EvaluatedRun(*study, result, FACTS, learning_curve=curve)
    text = write_report(folder, run).read_text()
    return text[text.index('id="learning-curve"') : text.index('id="reporting"')] if curve else text


def test_a_report_shows_the_curve_and_what_it_means(evaluated, curve, tmp_path):
    text = section(evaluated, curve, tmp_path)
    assert conclusion(curve) in text
    assert comparison(curve).replace("+", "&#43;") in text or comparison(curve) in text
    assert text.count("<svg") == 2  # for wide and for narrow windows
    for point in curve.points:
        assert f"{point.training_tumours:.1f}" in text
        assert f"{point.mean:.3f}" in text
    assert "says nothing beyond its last point" in text
    assert "not part of the promotion gate" in text


def test_a_report_without_a_curve_has_no_section(evaluated, tmp_path):
    assert "earning curve" not in section(evaluated, None, tmp_path)


def test_one_draw_is_shown_without_a_spread(evaluated, tmp_path):
    text = section(evaluated, curve_of(evaluated, draws=1, fractions=(0.5,)), tmp_path)
    row = text[text.index("<td>0.5 of the patients</td>") :]
    assert "one draw" in row[: row.index("</tr>")]
    assert "–" not in text, "a dash is no reason"
    assert "1 time for each fraction" in text
    assert "mean ± SD" not in text


@pytest.mark.parametrize(("synthetic", "unit"), [(True, "patient"), (False, "tumour")])
def test_the_page_holds_the_section_and_the_labels_of_the_run(evaluated, curve, tmp_path, synthetic, unit):
    (_, splits, _), result = evaluated
    metrics = dataclasses.replace(result.metrics, synthetic=synthetic, split_unit=unit)
    path = write_learning_curve(tmp_path, splits, dataclasses.replace(result, metrics=metrics), curve)
    text = path.read_text()
    assert conclusion(curve) in text
    assert ("SYNTHETIC" in text) == synthetic
    assert ("Leakage: patients are shared" in text) == (unit == "tumour")
    assert "Research only. Not a medical device." in text
    assert "Content-Security-Policy" in text


def test_the_figure_ends_with_the_run_and_has_a_point_for_every_draw(curve):
    drawn = figure(curve)
    assert drawn.count("this run, 95 % CI") == 2  # for wide and for narrow windows
    assert drawn.count("mean ± SD over draws") == 2
    assert re.search(r"training tumours per network", drawn)
    bare = dataclasses.replace(curve, run=dataclasses.replace(curve.run, limits=None))
    assert "95 % CI" not in figure(bare)
