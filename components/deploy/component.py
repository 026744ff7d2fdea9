"""KFP component: the step that serves the promoted version through a KServe InferenceService."""

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def deploy(version: str, model_name: str, namespace: str, summary: dsl.Output[dsl.HTML]) -> None:
    """Pins the InferenceService to ``version`` and queries it; does nothing if the gate promoted no version."""
    from components.common.steps import step
    from components.deploy.step import run

    with step("deploy"):
        run(version, model_name, namespace, summary.path)
