"""KFP component: the step that writes bundles, registers them and applies the gate."""

from typing import List

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def promote(
    dataset: dsl.Input[dsl.Artifact],
    splits: dsl.Input[dsl.Artifact],
    members: dsl.Input[List[dsl.Artifact]],
    evaluation: dsl.Input[dsl.Artifact],
    model_name: str,
    promotion: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.HTML],
) -> str:
    """Registers one version per ensemble and returns the version that became champion, or ""."""
    from components.common.steps import step
    from components.promote.step import run

    with step("promote", tracked_by=splits.path) as progress:
        inputs = (dataset.path, splits.path, [pack.path for pack in members], evaluation.path)
        return run(*inputs, model_name, promotion.path, summary.path, progress)
