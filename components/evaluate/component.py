"""KFP component that evaluates a run and writes its tables, report and model card."""

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
    group_a: dsl.Output[dsl.ClassificationMetrics],
    group_b: dsl.Output[dsl.ClassificationMetrics],
    group_c: dsl.Output[dsl.ClassificationMetrics],
    group_d: dsl.Output[dsl.ClassificationMetrics],
    group_e: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Writes tables, ROC curves, calibration, report and model card; KFP's own ROC view shows the first five groups."""
    from components.common.steps import step
    from components.evaluate.step import run

    with step("evaluate", tracked_by=splits.path):
        result = run(dataset.path, splits.path, [pack.path for pack in members], evaluation.path, report.path)
        for name, value in result.metrics.items():
            metrics.log_metric(name, value)
        for curves, view in zip(result.groups, (group_a, group_b, group_c, group_d, group_e), strict=False):
            view.log_roc_curve(curves.fpr, curves.tpr, curves.threshold)
            view.log_confusion_matrix(curves.categories, curves.confusion)
