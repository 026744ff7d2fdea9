"""KFP component: statistics, tables and the report of a run."""

from typing import List

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def evaluate(
    dataset: dsl.Input[dsl.Artifact],
    splits: dsl.Input[dsl.Artifact],
    members: dsl.Input[List[dsl.Artifact]],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Table I, II and III, ROC, calibration, report and model card from all members' answers."""
    from components.common.steps import step
    from components.evaluate.step import run

    with step("evaluate", tracked_by=splits.path):
        packs = [pack.path for pack in members]
        for name, value in run(dataset.path, splits.path, packs, evaluation.path, report.path).items():
            metrics.log_metric(name, value)
