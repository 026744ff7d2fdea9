"""KFP component: one pack of members, trained on one device."""

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Artifact],
    splits: dsl.Input[dsl.Artifact],
    pack: str,
    state_uri: str,
    gpu_type: str,
    gpu_count: str,
    cpu: str,
    memory: str,
    members: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.HTML],
) -> None:
    """Trains the members of ``pack``, or loads them from the member store at ``state_uri``."""
    from components.common.steps import step
    from components.train.step import run

    print(f"requested resources: {gpu_count} x {gpu_type}, cpu {cpu}, memory {memory}")
    with step("train", tracked_by=splits.path) as progress:
        run(dataset.path, splits.path, pack, state_uri, int(gpu_count), members.path, summary.path, progress)
