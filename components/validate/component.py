"""KFP component that evaluates a registered model on the dataset of another cohort."""

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def validate(
    dataset: dsl.Input[dsl.Artifact],
    settings: str,
    model_name: str,
    version: str,
    name: str,
    seen: str,
    experiment: str,
    attempt: str,
    validation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    curve: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Predicts all tumours of the cohort with a registered version, and reports how well it does."""
    from components.common.steps import step
    from components.validate.step import Request, run

    with step("validate") as progress:
        request = Request(model_name, version, settings, name, seen, experiment, attempt)
        view = run(dataset.path, request, validation.path, report.path, progress)
        for key, value in view.metrics.items():
            metrics.log_metric(key, value)
        curve.log_roc_curve(*view.curve)
