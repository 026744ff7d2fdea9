"""KFP components: the step that splits the cohort and opens the run's MLflow tree, and the exit task that closes it."""

from typing import List

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def split(
    dataset: dsl.Input[dsl.Artifact],
    settings: str,
    experiment: str,
    attempt: str,
    members_per_task: int,
    splits: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.HTML],
) -> List[str]:
    """Samples and verifies every member's split, opens the run in MLflow, and returns the packs to train."""
    from components.common.steps import step
    from components.split.step import run

    with step("split"):
        return run(dataset.path, settings, experiment, attempt, members_per_task, splits.path, summary.path)


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def close_run(attempt: str, experiment: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """Closes the run's MLflow tree as FAILED if a task failed; a finished run is already closed."""
    from components.common.steps import step
    from components.split.step import close

    with step("close-run"):
        close(attempt, experiment, status.state, status.error_message or "")
