"""The report of a run: one self-contained HTML page below 1 MB, for the KFP UI, MLflow and print."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import REPORT
from components.common.artifacts.members import Member, Members
from components.common.artifacts.permutation import LEAST_FOR_QUANTILE
from components.common.narrow import labelled
from components.common.pages import POLICY_TAG
from components.common.versions import version_of
from components.evaluate import architecture, figures, learning_curve
from components.evaluate.blocks import activations_of
from components.evaluate.borderline import BORDERLINE, PARTIAL_RESPONSE
from components.evaluate.centre_table import centre_lines, range_over_centres
from components.evaluate.checklist import MISSING, checklist
from components.evaluate.cohort_tables import LEAST_EXPECTED, RANDOM_TABLES, table_i, table_ii
from components.evaluate.confounders import ASSOCIATED, HIGH_AUC, NEAR_CHANCE, table_s1
from components.evaluate.decision import TABULATED
from components.evaluate.ensemble import ENOUGH, MOST_SUBSETS, fewest_members, probabilities_of
from components.evaluate.evaluation import EvaluatedRun
from components.evaluate.failures import failures
from components.evaluate.figures import crop_image
from components.evaluate.pages import MOST_BYTES, MOST_CROPS, MOST_LISTED, template
from components.evaluate.permutation import null_histogram
from components.evaluate.saliency import most_confident, saliency_maps
from components.evaluate.split_tables import set_sizes, split_table
from components.evaluate.study import draws
from components.evaluate.tables import P_TITLES, SYNTHETIC, cohort_lines, flat_facts, table_iii_block
from components.figures.split_matrix import split_matrix
from components.figures.training_curves import training_curves
from components.model.network import Network
from components.model.networks.building import network_of
from components.model.scores import votes
from components.stats.calibration import reliability
from components.stats.logistic import FEWEST_PATIENTS
from components.stats.subgroups import LEAST_OF_CLASS

CONFOUNDER_LIMITS = {"associated": ASSOCIATED, "high": HIGH_AUC, "chance": NEAR_CHANCE}


def write_report(folder: Path, run: EvaluatedRun) -> Path:
    """Writes ``report.html`` into ``folder``, which is made if absent; returns the page's path.

    If the page would be too large, crops of misclassified tumours are left out first, then the training curves. Figures
    and tables are computed only once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT
    render, figures = _template(run), _figures(run)
    misclassified = failures(run.dataset, run.evaluation, run.splits.settings.train, MOST_CROPS)
    page = ""
    for crops, curves in ((MOST_CROPS, True), (MOST_CROPS // 4, True), (0, True), (0, False)):
        shown = [row if rank < crops else {**row, "crop": ""} for rank, row in enumerate(misclassified[:MOST_LISTED])]
        included = figures if curves else {**figures, "training": {}}
        page = labelled(render(failures=shown, failures_in_all=len(misclassified), figures=included))
        if len(page.encode()) < MOST_BYTES:
            break
    path.write_text(page, encoding="utf-8")
    return path


def _template(run: EvaluatedRun) -> Callable[..., str]:
    """Function that renders the page, given ``failures``, ``failures_in_all`` and ``figures``."""
    dataset, splits, evaluation = run.dataset, run.splits, run.evaluation
    items, network, centres = checklist(run), network_of(splits), centre_lines(evaluation)
    return functools.partial(
        template("report.html.j2", more_filters=learning_curve.FILTERS).render,
        policy=POLICY_TAG,
        dataset=dataset,
        splits=splits,
        **draws(splits),
        metrics=evaluation.metrics,
        synthetic=SYNTHETIC,
        flow=dataset.flow,
        table_i=cohort_lines(table_i(dataset.tumours)),
        table_ii=cohort_lines(table_ii(dataset.tumours)),
        table_s1=cohort_lines(table_s1(dataset.tumours)),
        confounders=CONFOUNDER_LIMITS,
        tabulated=TABULATED,
        split_table=split_table(dataset.tumours, splits),
        centre_lines=centres,
        **range_over_centres(centres),
        min_centre_class_size=splits.settings.split.min_centre_class_size,
        only_training=splits.only_training(dataset.tumours),
        never_evaluated=len(dataset.tumours) - evaluation.metrics.study.n,
        set_sizes=set_sizes(dataset.tumours, splits),
        follow_up=dataset.tumours["follow_up_days"].dropna().agg(["median", "min", "max"]).to_dict(),
        several=int((dataset.tumours.groupby("patient").size() > 1).sum()),
        version=version_of("srs-response"),
        line_of_response=(PARTIAL_RESPONSE, BORDERLINE),
        least_of_class=LEAST_OF_CLASS,
        fewest_patients=FEWEST_PATIENTS,
        least_expected=LEAST_EXPECTED,
        random_tables=RANDOM_TABLES,
        p_titles=P_TITLES,
        table_iii={group: table_iii_block(evaluation, group) for group in splits.groups},
        training=_training_rows(run.members),
        saliency=_saliency(run, network),
        enough=ENOUGH,
        most_subsets=MOST_SUBSETS,
        fewest=fewest_members([group.auc_by_size for group in evaluation.metrics.groups.values()]),
        crop_settings=splits.settings.train,
        network=network,
        layers=architecture.stages(network),
        activations=activations_of(network),
        missing=[item for item in items if item["status"] == MISSING],
        statuses=pd.Series([item["status"] for item in items]).value_counts().to_dict(),
        facts=flat_facts(run.facts),
        permutation=run.permutation,
        least_for_quantile=LEAST_FOR_QUANTILE,
        learning_curve=run.learning_curve,
    )


def _figures(run: EvaluatedRun) -> dict[str, Any]:
    """All figures as SVG text: ``roc`` and ``training`` are mappings by group."""
    dataset, splits, members = run.dataset, run.splits, run.members
    scores, metrics = run.evaluation.scores, run.evaluation.metrics
    return {
        "architecture": architecture.drawing(network_of(splits)),
        "split_matrix": split_matrix(splits, dataset.tumours),
        "training": {group: training_curves(group, _of(members, group)) for group in splits.groups},
        "roc": {group: _roc(dataset, members, scores, group) for group in splits.groups},
        "permutation": null_histogram(run.permutation) if run.permutation else "",
        "learning_curve": learning_curve.figure(run.learning_curve) if run.learning_curve else "",
        "sizes": figures.auc_by_size({name: group.auc_by_size for name, group in metrics.groups.items()}),
        "decision": figures.decision(curve) if metrics.clinical and (curve := metrics.clinical.net_benefit) else "",
        "reliability": figures.reliability(reliability_curves(scores, metrics.primary_score)),
    }


def reliability_curves(scores: pd.DataFrame, score: str) -> dict[str, pd.DataFrame]:
    """The curves of development and evaluation predictions; that of the former only if they are not the same ones."""
    of_role = {name: scores[scores["role"] == name] for name in ("development", "evaluation")}
    development, evaluation = (set(zip(rows["tumour"], rows[score], strict=True)) for rows in of_role.values())
    return {
        name: reliability(rows["label"], rows[score])
        for name, rows in of_role.items()
        if rows["label"].nunique() == 2 and (name == "evaluation" or development != evaluation)
    }


def _saliency(run: EvaluatedRun, network: Network) -> list[dict[str, Any]]:
    """Saliency maps for the most confident predictions of the first group; [] without weights."""
    dataset, metrics, train = run.dataset, run.evaluation.metrics, run.splits.settings.train
    group = run.splits.groups[0]
    own = [member for member in _of(run.members, group) if member.weights]
    scores, score = run.evaluation.scores, metrics.primary_score
    of_group = (scores["group"] == group) & (scores["role"] == "evaluation")
    cases = most_confident(scores[of_group], score, metrics.cut_off)
    if not own or cases.empty:
        return []
    crops = dataset.crops[pd.Index(dataset.tumours["tumour"]).get_indexer(cases["tumour"])]
    window = train.window_level_hu, train.window_width_hu
    maps = saliency_maps(own, crops, network, train)
    return [
        {
            **{name: case[name] for name in ("tumour", "label", "correct")},
            "score": case[score],
            "crop": crop_image(crop, *window),
            "map": crop_image(crop, *window, saliency),
        }
        for case, crop, saliency in zip(cases.to_dict("records"), crops, maps, strict=True)
    ]


def _roc(dataset: Dataset, members: Members, scores: pd.DataFrame, group: str) -> str:
    rows = scores[(scores["group"] == group) & (scores["role"] == "evaluation")]
    evaluated = dataset.tumours["tumour"].isin(rows["tumour"]).to_numpy()
    hard_votes = votes(probabilities_of(_of(members, group), len(evaluated))[:, evaluated])
    return figures.roc(group, rows["label"], rows["mean"], rows["vote"], hard_votes)


def _of(members: Members, group: str) -> list[Member]:
    return [member for member in members.members if member.split.group == group]


def _training_rows(members: Members) -> list[dict[str, Any]]:
    return [
        {
            "member": member.id,
            "sizes": f"{len(member.split.training)} / {len(member.split.validation)} / {len(member.split.evaluation)}",
            "facts": member.facts,
        }
        for member in members.members
    ]
