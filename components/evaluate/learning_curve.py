"""The learning curve of a run: what trainings with fewer tumours gave, what can be read from it, and its figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.learning_curve import CurvePoint, LearningCurve, RunPoint, SmallerTraining
from components.common.artifacts.splits import MemberSplit, Splits
from components.common.settings import Score
from components.evaluate.tables import minus, number
from components.figures.drawing import BLUE, GREY, VERMILION, new_axes, style, to_svg
from components.stats.bootstrap import Scored, mean_auc
from components.stats.learning_curve import rise

#: With so many draws Student's quantile and 1 + 1 / draws are nearly what they are with many more.
ENOUGH_DRAWS = 10


def evaluation_scores(scores: pd.DataFrame, score: Score) -> dict[str, tuple[float, ...]]:
    """Each group's primary scores of its evaluation tumours, in the order of ``ensemble.scores``."""
    rows = scores[scores["role"] == "evaluation"]
    return {str(group): tuple(own[score].tolist()) for group, own in rows.groupby("group", sort=True)}


def mean_sizes(members: Sequence[MemberSplit], tumours: pd.DataFrame) -> tuple[float, float]:
    """Mean numbers of a group's development patients and of a network's training tumours."""
    patient_of = dict(zip(tumours["tumour"], tumours["patient"], strict=True))
    patients: dict[str, set[str]] = {}
    for split in members:
        own = {patient_of[name] for name in (*split.training, *split.validation)}
        patients[split.group] = patients.get(split.group, set()) | own
    training = np.mean([len(split.training) for split in members])
    return float(np.mean([len(own) for own in patients.values()])), float(training)


def learning_curve(
    dataset: Dataset,
    splits: Splits,
    evaluation: Evaluation,
    trained: Mapping[float, Sequence[SmallerTraining]],
    *,
    seed: int,
) -> LearningCurve:
    """The curve of a run, given the trainings of every draw by fraction.

    Parameters
    ----------
    dataset, splits, evaluation
        Artifacts of the run.
    trained
        The same number of trainings for each fraction, in the order of the draws.
    seed
        Seed of the draws.
    """
    metrics, settings = evaluation.metrics, splits.settings
    own = _scored(evaluation, metrics.primary_score)
    draws = {fraction: [_with(own, one.scores) for one in trained[fraction]] for fraction in sorted(trained)}
    patients, tumours = mean_sizes(splits.members, dataset.tumours)
    return LearningCurve(
        seed=seed,
        draws=len(next(iter(draws.values()))),
        primary_score=metrics.primary_score,
        networks=len(splits.members),
        groups=len(splits.groups),
        points=tuple(_point(fraction, trained[fraction], scored) for fraction, scored in draws.items()),
        run=RunPoint(patients, tumours, metrics.mean_auc, metrics.mean_auc_limits),
        rise=rise(list(own.values()), draws[max(draws)], rng=settings.seed, samples=settings.evaluate.bootstrap),
    )


def _scored(evaluation: Evaluation, score: Score) -> dict[str, Scored]:
    rows = evaluation.scores[evaluation.scores["role"] == "evaluation"]
    return {
        str(group): Scored(own["label"].to_numpy(), own[score].to_numpy(), own["patient"].to_numpy())
        for group, own in rows.groupby("group", sort=True)
    }


def _with(groups: Mapping[str, Scored], scores: Mapping[str, Sequence[float]]) -> list[Scored]:
    """The groups with the scores of another training."""
    return [Scored(own.y_true, scores[group], own.patient) for group, own in groups.items()]


def _point(fraction: float, trained: Sequence[SmallerTraining], scored: Sequence[Sequence[Scored]]) -> CurvePoint:
    aucs = [mean_auc(groups) for groups in scored]
    return CurvePoint(
        fraction=fraction,
        patients=float(np.mean([one.patients for one in trained])),
        training_tumours=float(np.mean([one.training_tumours for one in trained])),
        aucs=tuple(aucs),
        mean=float(np.mean(aucs)),
        sd=float(np.std(aucs, ddof=1)) if len(aucs) > 1 else None,
    )


def comparison(curve: LearningCurve) -> str:
    """The run against its largest fraction, in a sentence."""
    last, run, found = curve.points[-1], curve.run, curve.rise
    spread = f"SD over {curve.draws} draws {number(found.sd)}" if found.sd is not None else "one draw"
    interval = f"; 95 % CI {number(found.low)} to {number(found.high)}" if found.low is not None else ""
    return (
        f"With {run.training_tumours:.0f} training tumours per network instead of {last.training_tumours:.0f}, "
        f"the mean AUC is {number(run.mean_auc)} instead of {number(last.mean)}: a difference of "
        f"{minus(run.mean_auc, last.mean):+.3f} ({spread}{interval})."
    )


def conclusion(curve: LearningCurve) -> str:
    """Whether more tumours are likely to help, as far as the difference of run and largest fraction shows it."""
    low, high = curve.rise.low, curve.rise.high
    if low is None or high is None:
        more = " With more draws (--draws) it can be judged." if curve.rise.sd is None else ""
        return f"Its spread is unknown, so the curve does not show whether more tumours would help.{more}"
    if low > 0:
        return "The curve still rises where it ends: more tumours of this kind are likely to help."
    if high < 0:
        return "The run is worse than with fewer tumours: the curve gives no reason to expect that more would help."
    return f"The interval includes 0: the curve does not show whether more tumours would help. {_narrower(curve)}"


def _narrower(curve: LearningCurve) -> str:
    """What would narrow the interval of the difference, by the larger of its two variances."""
    of_draws, of_patients = (curve.rise.sd or 0.0) ** 2 * (1 + 1 / curve.draws), (curve.rise.se_patients or 0.0) ** 2
    if of_draws > of_patients and curve.draws < ENOUGH_DRAWS:
        return "More draws (--draws) would narrow the interval."
    source = "draw and training" if of_draws > of_patients else "the choice of evaluated patients"
    return f"Most of its width is due to {source}, so that more draws would hardly narrow it."


#: What the templates call these functions.
FILTERS = {"comparison": comparison, "conclusion": conclusion}


def figure(curve: LearningCurve) -> str:
    """Mean AUC against the mean number of training tumours per network, as SVG; nothing is drawn beyond the run."""
    with style():
        drawing, axes = new_axes((5.2, 3.3))
        for point in curve.points:
            at = [point.training_tumours] * curve.draws
            axes.scatter(at, point.aucs, s=16, color=GREY, lw=0, zorder=3, label=_once("draw", point, curve))
        at = [*(point.training_tumours for point in curve.points), curve.run.training_tumours]
        axes.plot(at, [*(point.mean for point in curve.points), curve.run.mean_auc], color=BLUE, lw=1.2, zorder=1)
        for point in curve.points:
            label = _once("mean ± SD over draws" if point.sd is not None else "mean", point, curve)
            where = point.training_tumours, point.mean, point.sd
            axes.errorbar(*where, fmt="o", color=BLUE, ms=5, capsize=3, zorder=2, label=label)
        _draw_run(axes, curve.run)
        axes.set(xlabel="training tumours per network (mean)", ylabel="mean AUC over the groups")
        axes.set_xlim(0, 1.08 * curve.run.training_tumours)
        drawing.legend(loc="outside lower center", ncols=2)
        return to_svg(drawing, "Mean AUC against the number of training tumours per network")


def _once(label: str, point: CurvePoint, curve: LearningCurve) -> str:
    """The label at the first point, which stands for all in the legend."""
    return label if point is curve.points[0] else "_"


def _draw_run(axes: Any, run: RunPoint) -> None:
    limits = run.limits
    reach = [[run.mean_auc - limits.ci_low], [limits.ci_high - run.mean_auc]] if limits else None
    label = "this run, 95 % CI" if limits else "this run"
    axes.errorbar(
        [run.training_tumours], [run.mean_auc], reach, fmt="D", color=VERMILION, ms=6, capsize=4, zorder=4, label=label
    )
